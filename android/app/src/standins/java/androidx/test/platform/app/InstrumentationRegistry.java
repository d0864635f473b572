package androidx.test.platform.app;

import android.app.Instrumentation;
import android.os.Bundle;

public final class InstrumentationRegistry {
    private static Instrumentation instance;
    private static Bundle arguments;

    private InstrumentationRegistry() {
    }

    public static void registerInstance(Instrumentation registered, Bundle given) {
        instance = registered;
        arguments = given;
    }

    public static Instrumentation getInstrumentation() {
        return instance;
    }

    public static Bundle getArguments() {
        return arguments;
    }
}
