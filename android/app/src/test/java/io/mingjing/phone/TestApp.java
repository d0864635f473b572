package io.mingjing.phone;

import io.mingjing.phone.agent.Agent;
import io.mingjing.phone.agent.App;
import io.mingjing.phone.agent.Phone;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.shadows.ShadowLooper;

/** The app over an agent and a key that a test holds in its hands. */
public final class TestApp extends App {
    FakeAgent agent = new FakeAgent();
    FakeKey key = new FakeKey();

    @Override
    protected Phone makePhone() {
        return new Phone(this, new Phone.AgentSource() {
            @Override
            public Agent load() {
                return agent;
            }
        }, key);
    }

    static TestApp get() {
        return (TestApp) RuntimeEnvironment.getApplication();
    }

    static Phone phone() {
        return App.phone(get());
    }

    /** Waits, with the main looper turning, until {@code done}; fails after a minute. */
    static void until(String what, java.util.function.BooleanSupplier done) {
        long end = System.nanoTime() + 60_000_000_000L;
        while (true) {
            ShadowLooper.idleMainLooper();
            if (done.getAsBoolean()) {
                return;
            }
            if (System.nanoTime() > end) {
                throw new AssertionError("never happened: " + what);
            }
            Thread.onSpinWait();
        }
    }
}
