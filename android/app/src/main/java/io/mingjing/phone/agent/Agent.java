package io.mingjing.phone.agent;

/**
 * The Rust agent as the app sees it: five calls, protobuf bytes both ways (proto: app.proto, and FromApp
 * in session.proto). Every call may be made from any thread but the main one; every failure is an
 * {@link AgentException}, and the agent survives it.
 */
public interface Agent {
    /** Opens the agent's folder and connects. StartRequest in, StartReply out. */
    byte[] start(byte[] request, Callbacks callbacks);

    /** Takes a FromApp. When it returns, what was to be kept is on the disk. RecordReply out. */
    byte[] record(byte[] fromApp);

    /** There may be a network: tries to connect now. */
    void sync();

    /** What a page wants to show. StatusRequest in, StatusReply out. */
    byte[] status(byte[] request);

    /** Ends the session and closes the folder. */
    void stop();

    /** What the agent needs of Android, and all it may call. Called from the agent's own threads. */
    interface Callbacks {
        /** ECDSA P-256 with SHA-256 by the device key, DER. May block and may throw. */
        byte[] sign(byte[] message);

        /** Something arrived from the collector: an encoded ToDevice. */
        void onMessage(byte[] toDevice);
    }
}
