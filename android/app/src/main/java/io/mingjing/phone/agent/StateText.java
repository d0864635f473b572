package io.mingjing.phone.agent;

import android.content.Context;
import io.mingjing.phone.R;

/** The state in words. */
public final class StateText {
    private StateText() {
    }

    public static String of(Context context, Phone phone) {
        String state = phone.state();
        if (state.equals("failed")) {
            return context.getString(R.string.state_failed, phone.problemText());
        }
        return context.getString(resource(state));
    }

    private static int resource(String state) {
        switch (state) {
            case "capturing":
                return R.string.state_capturing;
            case "no_notice":
                return R.string.state_no_notice;
            case "no_consent":
                return R.string.state_no_consent;
            case "notice_superseded":
                return R.string.state_notice_superseded;
            case "no_schedule":
                return R.string.state_no_schedule;
            case "off_hours":
                return R.string.state_off_hours;
            case "paused":
                return R.string.state_paused;
            case "permission_missing":
                return R.string.state_permission_missing;
            case "off_account":
                return R.string.state_off_account;
            case "not_enrolled":
                return R.string.state_not_enrolled;
            case "key_lost":
                return R.string.state_key_lost;
            default:
                return R.string.state_starting;
        }
    }
}
