package io.mingjing.phone.agent;

import java.nio.charset.StandardCharsets;

/** The entries of a library built with the feature {@code jni-probe}. */
public final class Probe {
    private Probe() {
    }

    static native void panic();

    /** Sends what the agent logs into a file, once a loaded library. */
    public static void logTo(String file) {
        log(file.getBytes(StandardCharsets.UTF_8));
    }

    private static native void log(byte[] file);
}
