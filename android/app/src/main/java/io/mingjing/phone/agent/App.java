package io.mingjing.phone.agent;

import android.app.Application;
import android.content.Context;
import io.mingjing.phone.identity.KeystoreKey;

/** The process: one {@link Phone}, started with it. */
public class App extends Application {
    private Phone phone;

    /** The phone of this process. */
    public static Phone phone(Context context) {
        return ((App) context.getApplicationContext()).phone;
    }

    @Override
    public void onCreate() {
        super.onCreate();
        phone = makePhone();
        phone.start();
        AgentService.start(this);
    }

    /** What tests replace: the native library and the Keystore. */
    protected Phone makePhone() {
        return new Phone(this, new Phone.AgentSource() {
            @Override
            public Agent load() {
                return new NativeAgent();
            }
        }, new KeystoreKey(this));
    }
}
