package io.mingjing.phone.agent;

/** The agent refused a call, or a bug in it was caught. The text holds no content and no secrets. */
public final class AgentException extends RuntimeException {
    private static final long serialVersionUID = 1;

    public AgentException(String message) {
        super(message);
    }

    public AgentException(String message, Throwable cause) {
        super(message, cause);
    }
}
