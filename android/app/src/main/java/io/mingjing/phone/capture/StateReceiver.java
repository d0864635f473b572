package io.mingjing.phone.capture;

import android.content.BroadcastReceiver;
import android.content.Context;
import android.content.Intent;
import io.mingjing.phone.agent.AgentService;
import io.mingjing.phone.agent.App;
import mingjing.v1.SignalOuterClass.DeviceState;
import mingjing.v1.SignalOuterClass.Signal;

/** Hears what the phone does: starts, clock changes, flight mode, low storage. No content. */
public final class StateReceiver extends BroadcastReceiver {
    static Signal signal(Context context, String kind, String value) {
        return Place.frame(context, "")
                .setState(DeviceState.newBuilder().setKind(kind).setValue(value)).build();
    }

    @Override
    public void onReceive(Context context, Intent intent) {
        String action = intent.getAction();
        if (action == null) {
            return;
        }
        switch (action) {
            case Intent.ACTION_BOOT_COMPLETED:
                AgentService.start(context);
                add(context, "boot", "");
                break;
            case Intent.ACTION_MY_PACKAGE_REPLACED:
                AgentService.start(context);
                add(context, "app_update", "");
                break;
            case Intent.ACTION_TIME_CHANGED:
            case Intent.ACTION_TIMEZONE_CHANGED:
                add(context, "clock", "");
                break;
            case Intent.ACTION_USER_PRESENT:
            case Intent.ACTION_USER_UNLOCKED:
                add(context, "unlocked", "");
                break;
            case Intent.ACTION_SHUTDOWN:
                add(context, "shutdown", "");
                break;
            case Intent.ACTION_DEVICE_STORAGE_LOW:
                add(context, "storage", "low");
                break;
            case Intent.ACTION_DEVICE_STORAGE_OK:
                add(context, "storage", "ok");
                break;
            case Intent.ACTION_AIRPLANE_MODE_CHANGED:
                add(context, "airplane", intent.getBooleanExtra("state", false) ? "on" : "off");
                break;
            default:
                break;
        }
    }

    private static void add(Context context, String kind, String value) {
        App.phone(context).queue().add(signal(context, kind, value));
    }
}
