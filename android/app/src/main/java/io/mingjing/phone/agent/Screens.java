package io.mingjing.phone.agent;

import android.os.Handler;
import android.os.Looper;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/** Tells the screens, always on the main thread and never before the caller has gone on. */
final class Screens {
    private final Handler main = new Handler(Looper.getMainLooper());
    private final List<Phone.Watcher> watchers = new CopyOnWriteArrayList<>();

    void watch(Phone.Watcher watcher) {
        watchers.add(watcher);
    }

    void unwatch(Phone.Watcher watcher) {
        watchers.remove(watcher);
    }

    void changed() {
        main.post(new Runnable() {
            @Override
            public void run() {
                for (Phone.Watcher watcher : watchers) {
                    watcher.changed();
                }
            }
        });
    }

    <T> void done(final Phone.Then<T> then, final T value) {
        if (then != null) {
            main.post(new Runnable() {
                @Override
                public void run() {
                    then.done(value);
                }
            });
        }
    }

    <T> void failed(final Phone.Then<T> then, final String why) {
        if (then != null) {
            main.post(new Runnable() {
                @Override
                public void run() {
                    then.failed(String.valueOf(why));
                }
            });
        }
    }
}
