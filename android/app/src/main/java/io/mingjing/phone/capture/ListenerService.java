package io.mingjing.phone.capture;

import android.app.Notification;
import android.os.Bundle;
import android.os.Parcelable;
import android.service.notification.NotificationListenerService;
import android.service.notification.StatusBarNotification;
import io.mingjing.phone.agent.App;
import io.mingjing.phone.agent.Phone;

/** Hears notifications of the two work apps. Everything else is left unread. */
public final class ListenerService extends NotificationListenerService {
    private final Phone.Watcher watcher = new Phone.Watcher() {
        @Override
        public void changed() {
            unbindUnlessGranted();
        }
    };

    @Override
    public void onListenerConnected() {
        Phone phone = App.phone(this);
        phone.watch(watcher);
        phone.queue().add(StateReceiver.signal(this, "listener", "on"));
        unbindUnlessGranted();
    }

    @Override
    public void onListenerDisconnected() {
        Phone phone = App.phone(this);
        phone.unwatch(watcher);
        phone.queue().add(StateReceiver.signal(this, "listener", "off"));
    }

    /** Refused or withdrawn: stop being told about notifications at all. */
    private void unbindUnlessGranted() {
        String state = App.phone(this).state();
        if (!App.phone(this).mayRead() && state.equals("no_consent")) {
            try {
                requestUnbind();
            } catch (RuntimeException notBound) {
                // Already unbound.
            }
        }
    }

    @Override
    public void onNotificationPosted(StatusBarNotification posted) {
        hear(posted, mingjing.v1.SignalOuterClass.Notification.Event.POSTED, "");
    }

    @Override
    public void onNotificationRemoved(StatusBarNotification removed, RankingMap ranking,
            int reason) {
        hear(removed, mingjing.v1.SignalOuterClass.Notification.Event.REMOVED,
                String.valueOf(reason));
    }

    private void hear(StatusBarNotification heard,
            mingjing.v1.SignalOuterClass.Notification.Event event, String reason) {
        Phone phone = App.phone(this);
        if (!phone.mayRead() || !Place.isWatched(heard.getPackageName(), heard.getUser())) {
            return;
        }
        mingjing.v1.SignalOuterClass.Notification.Builder told =
                mingjing.v1.SignalOuterClass.Notification.newBuilder()
                        .setEvent(event).setKey(heard.getKey()).setReason(reason);
        if (event == mingjing.v1.SignalOuterClass.Notification.Event.POSTED) {
            read(heard.getNotification(), told);
        }
        phone.queue().add(Place.frame(this, heard.getPackageName())
                .setNotification(told).build());
    }

    private static void read(Notification posted,
            mingjing.v1.SignalOuterClass.Notification.Builder told) {
        Bundle extras = posted.extras;
        told.setChannel(text(posted.getChannelId()))
                .setGroup(text(posted.getGroup()))
                .setTitle(text(extras.getCharSequence(Notification.EXTRA_TITLE)))
                .setText(text(extras.getCharSequence(Notification.EXTRA_TEXT)))
                .setBigText(text(extras.getCharSequence(Notification.EXTRA_BIG_TEXT)))
                .setTicker(text(posted.tickerText))
                .setSubText(text(extras.getCharSequence(Notification.EXTRA_SUB_TEXT)))
                .setConversationTitle(
                        text(extras.getCharSequence(Notification.EXTRA_CONVERSATION_TITLE)))
                .setIsGroup(extras.getBoolean(Notification.EXTRA_IS_GROUP_CONVERSATION))
                .setNumber(Math.max(0, posted.number));
        CharSequence[] lines = extras.getCharSequenceArray(Notification.EXTRA_TEXT_LINES);
        if (lines != null) {
            for (CharSequence line : lines) {
                told.addLines(text(line));
            }
        }
        Parcelable[] messages = extras.getParcelableArray(Notification.EXTRA_MESSAGES);
        if (messages != null) {
            for (Notification.MessagingStyle.Message message
                    : Notification.MessagingStyle.Message.getMessagesFromBundleArray(messages)) {
                told.addMessages(mingjing.v1.SignalOuterClass.NotificationMessage.newBuilder()
                        .setSender(message.getSenderPerson() == null ? ""
                                : text(message.getSenderPerson().getName()))
                        .setText(text(message.getText()))
                        .setAtMs(message.getTimestamp()));
            }
        }
    }

    private static String text(CharSequence text) {
        return text == null ? "" : text.toString();
    }
}
