package io.mingjing.phone.agent;

/** The agent in libmingjing_agent.so. There is one a process, and no handle to it leaves Rust. */
public final class NativeAgent implements Agent {
    private static boolean loaded;

    /** Loads the library the APK brings. */
    public NativeAgent() {
        this(null);
    }

    /** Loads the library in a file, or the one of the APK when {@code file} is null. */
    public NativeAgent(String file) {
        load(file);
    }

    private static synchronized void load(String file) {
        if (loaded) {
            return;
        }
        if (file == null) {
            System.loadLibrary("mingjing_agent");
        } else {
            System.load(file);
        }
        loaded = true;
    }

    @Override
    public byte[] start(byte[] request, Callbacks callbacks) {
        return nativeStart(request, callbacks);
    }

    @Override
    public byte[] record(byte[] fromApp) {
        return nativeRecord(fromApp);
    }

    @Override
    public void sync() {
        nativeSync();
    }

    @Override
    public byte[] status(byte[] request) {
        return nativeStatus(request);
    }

    @Override
    public void stop() {
        nativeStop();
    }

    private static native byte[] nativeStart(byte[] request, Callbacks callbacks);

    private static native byte[] nativeRecord(byte[] fromApp);

    private static native void nativeSync();

    private static native byte[] nativeStatus(byte[] request);

    private static native void nativeStop();
}
