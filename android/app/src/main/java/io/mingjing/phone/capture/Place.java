package io.mingjing.phone.capture;

import android.content.Context;
import android.content.pm.PackageManager;
import android.os.Process;
import android.os.SystemClock;
import android.os.UserHandle;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Locale;
import java.util.Set;
import java.util.TimeZone;
import mingjing.v1.SignalOuterClass.Signal;

/** Where a signal comes from, judged before any text is read; and the frame every signal has. */
public final class Place {
    private static final Set<String> APPS =
            new HashSet<>(Arrays.asList("com.tencent.mm", "com.tencent.wework"));
    private static final int UIDS_PER_USER = 100_000;

    private Place() {
    }

    /** One of the two apps, in this Android user: a clone lives in another. */
    public static boolean isWatched(CharSequence app, UserHandle user) {
        return app != null && APPS.contains(app.toString())
                && Process.myUserHandle().equals(user);
    }

    static Signal.Builder frame(Context context, String app) {
        long now = System.currentTimeMillis();
        return Signal.newBuilder()
                .setAtMs(now)
                .setUtcOffsetMin(TimeZone.getDefault().getOffset(now) / 60_000)
                .setPackage(app)
                .setUser(Process.myUid() / UIDS_PER_USER)
                .setAppVersion(version(context, app))
                .setLocale(Locale.getDefault().toLanguageTag())
                .setElapsedMs(SystemClock.elapsedRealtime());
    }

    private static String version(Context context, String app) {
        if (app.isEmpty()) {
            return "";
        }
        try {
            String name = context.getPackageManager().getPackageInfo(app, 0).versionName;
            return name == null ? "" : name;
        } catch (PackageManager.NameNotFoundException gone) {
            return "";
        }
    }
}
