package io.mingjing.phone.agent;

import android.app.Notification;
import android.app.NotificationChannel;
import android.app.NotificationManager;
import android.app.PendingIntent;
import android.app.Service;
import android.app.admin.DevicePolicyManager;
import android.content.BroadcastReceiver;
import android.content.ComponentName;
import android.content.Context;
import android.content.Intent;
import android.content.IntentFilter;
import android.content.pm.ServiceInfo;
import android.net.ConnectivityManager;
import android.net.Network;
import android.os.Build;
import android.os.IBinder;
import android.service.notification.NotificationListenerService;
import io.mingjing.phone.R;
import io.mingjing.phone.capture.ListenerService;
import io.mingjing.phone.capture.StateReceiver;
import io.mingjing.phone.consent.WithdrawActivity;
import io.mingjing.phone.live.LiveActivity;

/**
 * Keeps the process, and a line in the notification shade that always says whether something is
 * collected. No timers: it looks again when the phone itself ticks, which it does while it is used.
 */
public final class AgentService extends Service {
    private static final String CHANNEL = "state";
    private static final int ID = 1;

    private final Phone.Watcher watcher = new Phone.Watcher() {
        @Override
        public void changed() {
            show();
        }
    };
    private final ConnectivityManager.NetworkCallback network =
            new ConnectivityManager.NetworkCallback() {
                @Override
                public void onAvailable(Network network) {
                    App.phone(AgentService.this).sync();
                }
            };
    private final BroadcastReceiver tick = new BroadcastReceiver() {
        @Override
        public void onReceive(Context context, Intent intent) {
            App.phone(context).refresh();
        }
    };
    private final StateReceiver states = new StateReceiver();
    private String shown = "";
    private boolean heard;

    public static void start(Context context) {
        try {
            context.startForegroundService(new Intent(context, AgentService.class));
        } catch (IllegalStateException notNow) {
            // In the background Android may refuse; the next unlock or launch tries again.
            App.phone(context).refresh();
        }
    }

    @Override
    public void onCreate() {
        super.onCreate();
        Phone phone = App.phone(this);
        phone.watch(watcher);
        foreground(notification(StateText.of(this, phone)));
        getSystemService(ConnectivityManager.class).registerDefaultNetworkCallback(network);
        registerReceiver(tick, new IntentFilter(Intent.ACTION_TIME_TICK));
        IntentFilter filter = new IntentFilter();
        filter.addAction(Intent.ACTION_USER_PRESENT);
        filter.addAction(Intent.ACTION_USER_UNLOCKED);
        filter.addAction(Intent.ACTION_SHUTDOWN);
        filter.addAction(Intent.ACTION_AIRPLANE_MODE_CHANGED);
        filter.addAction(Intent.ACTION_DEVICE_STORAGE_LOW);
        filter.addAction(Intent.ACTION_DEVICE_STORAGE_OK);
        registerReceiver(states, filter);
    }

    @Override
    public int onStartCommand(Intent intent, int flags, int startId) {
        return START_STICKY;
    }

    private void foreground(Notification notification) {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.UPSIDE_DOWN_CAKE) {
            startForeground(ID, notification);
            return;
        }
        DevicePolicyManager policy = getSystemService(DevicePolicyManager.class);
        if (policy != null && policy.isDeviceOwnerApp(getPackageName())) {
            try {
                startForeground(ID, notification,
                        ServiceInfo.FOREGROUND_SERVICE_TYPE_SYSTEM_EXEMPTED);
                return;
            } catch (SecurityException notExempted) {
                // Fall back: some ROMs exempt nobody.
            }
        }
        startForeground(ID, notification, ServiceInfo.FOREGROUND_SERVICE_TYPE_SPECIAL_USE);
    }

    private void show() {
        boolean hears = App.phone(this).mayRead();
        if (hears && !heard) {
            // It unbound itself when there was no consent; Android ignores this without the permission.
            NotificationListenerService.requestRebind(
                    new ComponentName(this, ListenerService.class));
        }
        heard = hears;
        String text = StateText.of(this, App.phone(this));
        if (!text.equals(shown)) {
            shown = text;
            getSystemService(NotificationManager.class).notify(ID, notification(text));
        }
    }

    private Notification notification(String text) {
        NotificationManager manager = getSystemService(NotificationManager.class);
        NotificationChannel channel = new NotificationChannel(CHANNEL,
                getString(R.string.channel_name), NotificationManager.IMPORTANCE_LOW);
        channel.setDescription(getString(R.string.channel_about));
        manager.createNotificationChannel(channel);
        PendingIntent open = PendingIntent.getActivity(this, 0,
                new Intent(this, LiveActivity.class), PendingIntent.FLAG_IMMUTABLE);
        PendingIntent withdraw = PendingIntent.getActivity(this, 1,
                new Intent(this, WithdrawActivity.class), PendingIntent.FLAG_IMMUTABLE);
        Notification.Builder builder = new Notification.Builder(this, CHANNEL)
                .setSmallIcon(R.drawable.mirror)
                .setContentTitle(getString(R.string.app_name))
                .setContentText(text)
                .setContentIntent(open)
                .setOngoing(true)
                .setOnlyAlertOnce(true)
                .setShowWhen(false)
                .setCategory(Notification.CATEGORY_SERVICE);
        if (App.phone(this).mayRead()) {
            builder.addAction(new Notification.Action.Builder(
                    null, getString(R.string.withdraw), withdraw).build());
        }
        return builder.build();
    }

    @Override
    public void onDestroy() {
        App.phone(this).unwatch(watcher);
        getSystemService(ConnectivityManager.class).unregisterNetworkCallback(network);
        unregisterReceiver(tick);
        unregisterReceiver(states);
        super.onDestroy();
    }

    @Override
    public IBinder onBind(Intent intent) {
        return null;
    }
}
