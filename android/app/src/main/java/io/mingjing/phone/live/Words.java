package io.mingjing.phone.live;

import android.content.Context;
import java.util.Locale;
import mingjing.v1.ActivityOuterClass.Activity;
import mingjing.v1.ActivityOuterClass.Kind;

/**
 * The vocabulary in the screen's language. A word this app does not know, because the collector is one
 * release ahead, is shown as it came.
 */
public final class Words {
    private Words() {
    }

    /** A word of a group: category, content, decision, finding, grant, kind, role, session. */
    public static String of(Context context, String group, String name) {
        int id = context.getResources().getIdentifier(
                group + "_" + name.toLowerCase(Locale.ROOT), "string", context.getPackageName());
        return id == 0 ? name : context.getString(id);
    }

    static String kind(Context context, Activity activity) {
        return activity.getKind() == Kind.UNRECOGNIZED
                ? of(context, "kind", "unspecified")
                : of(context, "kind", name(activity.getKind(), "KIND_"));
    }

    /** The vocabulary's name of an enumerator. */
    public static String name(Enum<?> value, String prefix) {
        return value.name().substring(prefix.length()).toLowerCase(Locale.ROOT);
    }
}
