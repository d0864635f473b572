package androidx.test.runner.lifecycle;

public final class ActivityLifecycleMonitorRegistry {
    private static ActivityLifecycleMonitor instance;

    private ActivityLifecycleMonitorRegistry() {
    }

    public static void registerInstance(ActivityLifecycleMonitor registered) {
        instance = registered;
    }

    public static ActivityLifecycleMonitor getInstance() {
        return instance;
    }
}
