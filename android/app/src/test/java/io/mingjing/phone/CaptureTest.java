package io.mingjing.phone;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import android.accessibilityservice.AccessibilityService;
import android.app.Notification;
import android.content.Intent;
import android.os.Bundle;
import android.os.Process;
import android.os.UserHandle;
import android.service.notification.NotificationListenerService;
import android.service.notification.StatusBarNotification;
import io.mingjing.phone.capture.ListenerService;
import io.mingjing.phone.capture.ScreenService;
import io.mingjing.phone.capture.SignalQueue;
import io.mingjing.phone.capture.StateReceiver;
import io.mingjing.phone.enrol.Token;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import mingjing.v1.Session.FromApp;
import mingjing.v1.Session.Signals;
import mingjing.v1.SignalOuterClass.Signal;
import org.junit.Before;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.Implementation;
import org.robolectric.annotation.Implements;
import org.robolectric.shadows.ShadowAccessibilityService;
import org.robolectric.shadows.ShadowLooper;
import org.robolectric.shadows.ShadowNotificationListenerService;
import org.robolectric.util.ReflectionHelpers;

/** P2, K: what is read of which app, and that nothing is lost silently. */
@RunWith(RobolectricTestRunner.class)
@Config(shadows = {CaptureTest.Unbinding.class, CaptureTest.Listening.class})
public final class CaptureTest {
    private FakeAgent agent;
    private ListenerService listener;

    @Before
    public void started() {
        agent = TestApp.get().agent;
        listener = Robolectric.buildService(ListenerService.class).create().get();
        TestApp.until("start", () -> TestApp.phone().state().equals("no_consent"));
    }

    private static StatusBarNotification posted(String app, UserHandle user, Bundle extras) {
        Notification notification = new Notification.Builder(TestApp.get(), "message_channel_new_id")
                .setContentTitle("王经理").setContentText("报价单已发您邮箱").setTicker("王经理: 报价单")
                .build();
        if (extras != null) {
            notification.extras = extras;
        }
        return new StatusBarNotification(app, app, 1, "tag", 10_123, 1, 0, notification, user, 0);
    }

    private List<Signal> heard() throws InterruptedException {
        TestApp.phone().queue().drain();
        List<Signal> all = new ArrayList<>();
        for (FromApp it : agent.recorded) {
            all.addAll(it.getSignals().getSignalsList());
        }
        return all;
    }

    @Test
    public void nothingIsReadWithoutConsent() throws InterruptedException {
        listener.onNotificationPosted(posted("com.tencent.mm", Process.myUserHandle(), null));
        assertEquals(0, heard().size());
    }

    @Test
    public void otherAppsAndClonesAreLeftUnread() throws InterruptedException {
        grant();
        listener.onNotificationPosted(posted("com.bank", Process.myUserHandle(), null));
        listener.onNotificationPosted(posted("com.tencent.mm", UserHandle.getUserHandleForUid(
                99_910_123), null));
        assertEquals(0, heard().size());
        listener.onNotificationPosted(posted("com.tencent.mm", Process.myUserHandle(), null));
        List<Signal> heard = heard();
        assertEquals(1, heard.size());
        assertEquals("com.tencent.mm", heard.get(0).getPackage());
        assertEquals("王经理", heard.get(0).getNotification().getTitle());
        assertEquals("报价单已发您邮箱", heard.get(0).getNotification().getText());
        assertEquals("王经理: 报价单", heard.get(0).getNotification().getTicker());
        assertEquals("message_channel_new_id", heard.get(0).getNotification().getChannel());
        assertTrue(heard.get(0).getAtMs() > 0);
    }

    /** Refused or withdrawn: the services let go of themselves; granted, the listener is asked back. */
    @Test
    public void withoutConsentTheServicesUnbindThemselves() {
        AtomicInteger unbound = new AtomicInteger();
        Unbinding.count = unbound;
        listener.onListenerConnected();
        assertTrue("at once, when there is no consent", unbound.get() > 0);
        grant();
        // Answers that were on their way before the grant may have unbound it again.
        unbound.set(0);
        listener.onListenerConnected();
        ShadowLooper.idleMainLooper();
        assertEquals("not while there is one", 0, unbound.get());
        TestApp.phone().withdraw(null);
        TestApp.until("let go", () -> unbound.get() > 0);

        ScreenService screen = Robolectric.buildService(ScreenService.class).create().get();
        TestApp.until("withdrawn", () -> TestApp.phone().state().equals("no_consent"));
        ReflectionHelpers.callInstanceMethod(screen, "onServiceConnected");
        assertTrue("disabled itself", Unbinding.disabled);
    }

    /** Counts what the two services do to themselves. */
    @Implements(AccessibilityService.class)
    public static final class Unbinding extends ShadowAccessibilityService {
        static AtomicInteger count;
        static boolean disabled;

        @Implementation
        protected void disableSelf() {
            disabled = true;
        }
    }

    /** See {@link Unbinding}. */
    @Implements(NotificationListenerService.class)
    public static final class Listening extends ShadowNotificationListenerService {
        @Implementation
        protected void requestUnbind() {
            if (Unbinding.count != null) {
                Unbinding.count.incrementAndGet();
            }
        }
    }

    @Test
    public void whatThePhoneDoesIsPassedOnWithoutContent() throws InterruptedException {
        String[][] heard = {{Intent.ACTION_DEVICE_STORAGE_LOW, "storage", "low"},
            {Intent.ACTION_DEVICE_STORAGE_OK, "storage", "ok"},
            {Intent.ACTION_TIME_CHANGED, "clock", ""}, {Intent.ACTION_SHUTDOWN, "shutdown", ""},
            {Intent.ACTION_USER_UNLOCKED, "unlocked", ""},
            {Intent.ACTION_BOOT_COMPLETED, "boot", ""}};
        for (String[] it : heard) {
            new StateReceiver().onReceive(TestApp.get(), new Intent(it[0]));
        }
        List<Signal> signals = heard();
        assertEquals(heard.length, signals.size());
        for (int i = 0; i < heard.length; i++) {
            assertEquals(heard[i][1], signals.get(i).getState().getKind());
            assertEquals(heard[i][2], signals.get(i).getState().getValue());
            assertEquals("", signals.get(i).getPackage());
        }
    }

    private void grant() {
        agent.granted = true;
        TestApp.phone().refresh();
        TestApp.until("granted", () -> TestApp.phone().mayRead());
    }

    @Test
    public void aFullQueueCountsWhatItLosesAndNeverBlocks() throws InterruptedException {
        CountDownLatch stuck = new CountDownLatch(1);
        CountDownLatch taken = new CountDownLatch(1);
        List<Signals> lots = new ArrayList<>();
        SignalQueue queue = new SignalQueue(lot -> {
            taken.countDown();
            try {
                stuck.await();
            } catch (InterruptedException error) {
                throw new AssertionError(error);
            }
            lots.add(lot);
        });
        queue.add(Signal.getDefaultInstance());
        taken.await();
        for (int i = 0; i < SignalQueue.CAPACITY + 30; i++) {
            queue.add(Signal.getDefaultInstance());
        }
        assertEquals(30, queue.lost());
        stuck.countDown();
        queue.drain();
        queue.close();
        assertEquals(2, lots.size());
        assertEquals(SignalQueue.CAPACITY, lots.get(1).getSignalsCount());
        assertEquals(30, lots.get(1).getLost());
    }

    @Test
    public void aRefusedLotIsCountedInTheNext() throws InterruptedException {
        List<Signals> lots = new ArrayList<>();
        boolean[] refuse = {true};
        SignalQueue queue = new SignalQueue(lot -> {
            if (refuse[0]) {
                refuse[0] = false;
                throw new IllegalStateException("the disk is full");
            }
            lots.add(lot);
        });
        queue.add(Signal.getDefaultInstance());
        queue.drain();
        queue.add(Signal.getDefaultInstance());
        queue.drain();
        queue.close();
        assertEquals(1, lots.get(0).getLost());
    }

    @Test
    public void onlyWholeCodesAreRead() {
        for (String bad : new String[] {null, "", "mj1.", "mj2.AAAA", "mj1.!!!", "mj1.AAAA"}) {
            assertNull(bad, Token.read(bad));
        }
        byte[] bytes = mingjing.v1.EnrollmentOuterClass.EnrollmentToken.newBuilder()
                .setServer("https://127.0.0.1:1")
                .setSecret(com.google.protobuf.ByteString.copyFrom(new byte[32]))
                .setRootSpkiSha256(com.google.protobuf.ByteString.copyFrom(new byte[32]))
                .build().toByteArray();
        String code = "mj1." + java.util.Base64.getUrlEncoder().withoutPadding()
                .encodeToString(bytes);
        Token read = Token.read(" " + code.substring(0, 20) + "\n" + code.substring(20) + " ");
        assertEquals(code, read.text());
        assertEquals(32, read.challenge().length);
        assertFalse(read.toString().contains(code));
    }
}
