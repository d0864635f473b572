package io.mingjing.phone.enrol;

import android.content.Context;
import android.content.RestrictionsManager;
import android.os.Bundle;
import android.os.PersistableBundle;

/** Codes that come without anybody typing: from another EMM, or from the set-up's QR code. */
public final class Managed {
    private static final String KEY = "enrolment_token";

    private Managed() {
    }

    /** The code in the managed configuration, or the one kept from set-up; null when there is none. */
    public static Token token(Context context) {
        Bundle restrictions = context.getSystemService(RestrictionsManager.class)
                .getApplicationRestrictions();
        Token managed = restrictions == null ? null : Token.read(restrictions.getString(KEY));
        if (managed != null) {
            return managed;
        }
        return Token.read(context.getSharedPreferences("setup", Context.MODE_PRIVATE)
                .getString(KEY, null));
    }

    /** Keeps the code of a provisioning QR until the phone is enrolled. */
    static void keep(Context context, PersistableBundle extras) {
        if (extras != null && extras.getString(KEY) != null) {
            context.getSharedPreferences("setup", Context.MODE_PRIVATE).edit()
                    .putString(KEY, extras.getString(KEY)).commit();
        }
    }

    static void forget(Context context) {
        context.getSharedPreferences("setup", Context.MODE_PRIVATE).edit().clear().apply();
    }
}
