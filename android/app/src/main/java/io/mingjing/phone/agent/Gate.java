package io.mingjing.phone.agent;

import mingjing.v1.App.AgentStatus;

/**
 * Whether text may be read now, and why not.
 *
 * <p>Invariants: it opens only by an answer of the agent that was asked for after the last beginning or end
 * of a withdrawal; a withdrawal and a problem shut it at once; reading it never waits.
 */
final class Gate {
    private boolean withdrawing;
    /** Counts beginnings and ends of withdrawals: an answer asked for before one says nothing after it. */
    private int steps;
    private volatile boolean mayRead;
    private volatile String problem = "starting";
    private volatile String problemText = "";
    private volatile AgentStatus status = AgentStatus.getDefaultInstance();

    Gate(boolean withdrawing) {
        this.withdrawing = withdrawing;
    }

    /** Some category is granted, no withdrawal has begun, nothing is wrong. */
    boolean mayRead() {
        return mayRead;
    }

    /** The agent's last word. */
    AgentStatus status() {
        return status;
    }

    /** The agent's state, or the app's own problem. */
    String state() {
        return problem.isEmpty() ? status.getState() : problem;
    }

    /** The reason of a problem. */
    String problemText() {
        return problemText;
    }

    synchronized void trouble(String state, String text) {
        mayRead = false;
        problem = state;
        problemText = text == null ? "" : text;
    }

    synchronized void well() {
        problem = "";
        problemText = "";
    }

    /** Shuts; an end of a withdrawal shuts as well, until the agent is asked again. */
    synchronized void withdrawing(boolean now) {
        withdrawing = now;
        steps++;
        mayRead = false;
    }

    synchronized int steps() {
        return steps;
    }

    /** Takes an answer that was asked for at {@code asked}; false when it is too old to count. */
    synchronized boolean take(AgentStatus fresh, int asked) {
        if (asked != steps) {
            return false;
        }
        mayRead = problem.isEmpty() && fresh.getGrantedCount() > 0 && !withdrawing;
        status = fresh;
        return true;
    }
}
