package io.mingjing.phone.agent;

/** The entry of a library built with the feature {@code jni-probe}: it panics. */
final class PanicProbe {
    private PanicProbe() {
    }

    static native void panic();
}
