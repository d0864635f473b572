package io.mingjing.phone;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertTrue;

import android.app.Notification;
import android.app.NotificationManager;
import android.content.Context;
import android.content.Intent;
import android.view.View;
import io.mingjing.phone.agent.AgentService;
import io.mingjing.phone.agent.Phone;
import io.mingjing.phone.consent.WithdrawActivity;
import io.mingjing.phone.live.LiveActivity;
import java.util.concurrent.CountDownLatch;
import mingjing.v1.Record.CategoryDecision;
import mingjing.v1.Record.Decision;
import mingjing.v1.Session.FromApp;
import mingjing.v1.SignalOuterClass.Signal;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.Shadows;
import org.robolectric.android.controller.ActivityController;

/** W: two taps, offline, at once, whatever else is stuck. */
@RunWith(RobolectricTestRunner.class)
public final class WithdrawTest {
    private static FakeAgent granted() {
        FakeAgent agent = TestApp.get().agent;
        agent.granted = true;
        TestApp.phone().refresh();
        TestApp.until("granted", () -> TestApp.phone().mayRead());
        return agent;
    }

    private static FromApp consent(FakeAgent agent) {
        for (FromApp it : agent.recorded) {
            if (it.hasConsent()) {
                return it;
            }
        }
        return null;
    }

    @Test
    public void twoTapsFromTheApp() {
        FakeAgent agent = granted();
        ActivityController<LiveActivity> live = Robolectric.buildActivity(LiveActivity.class).setup();
        TestApp.until("button", () -> live.get().findViewById(R.id.withdraw) != null);
        live.get().findViewById(R.id.withdraw).performClick();
        Intent next = Shadows.shadowOf(live.get()).getNextStartedActivity();
        assertEquals(WithdrawActivity.class.getName(), next.getComponent().getClassName());
        withdrawBySecondTap(agent);
    }

    private static void withdrawBySecondTap(FakeAgent agent) {
        WithdrawActivity ask = Robolectric.buildActivity(WithdrawActivity.class).setup().get();
        View now = ask.findViewById(R.id.withdraw);
        now.performClick();
        assertFalse("shut before the click returns", TestApp.phone().mayRead());
        TestApp.until("signed", () -> consent(agent) != null);
        assertEquals(7, consent(agent).getConsent().getDecisionsCount());
        for (CategoryDecision it : consent(agent).getConsent().getDecisionsList()) {
            assertEquals(Decision.DECISION_WITHDRAWN, it.getDecision());
        }
    }

    @Test
    public void theNotificationAlwaysSaysTheStateAndOffersTheWithdrawal() {
        granted();
        Robolectric.buildService(AgentService.class).create();
        NotificationManager manager =
                TestApp.get().getSystemService(NotificationManager.class);
        TestApp.until("shown", () -> Shadows.shadowOf(manager).getNotification(1) != null);
        Notification shown = Shadows.shadowOf(manager).getNotification(1);
        assertTrue((shown.flags & Notification.FLAG_ONGOING_EVENT) != 0);
        assertEquals("正在采集", Shadows.shadowOf(shown).getContentText().toString());
        assertNotNull(shown.actions);
        assertEquals("撤回同意", shown.actions[0].title.toString());
    }

    @Test
    public void aStuckAgentDoesNotHoldAWithdrawalUp() {
        FakeAgent agent = granted();
        CountDownLatch stuck = new CountDownLatch(1);
        agent.blockSignals = stuck;
        Phone phone = TestApp.phone();
        phone.queue().add(Signal.getDefaultInstance());
        withdrawBySecondTap(agent);
        stuck.countDown();
    }

    @Test
    public void whatWaitedInTheQueueIsForgotten() throws InterruptedException {
        FakeAgent agent = granted();
        CountDownLatch stuck = new CountDownLatch(1);
        agent.blockSignals = stuck;
        Phone phone = TestApp.phone();
        phone.queue().add(Signal.newBuilder().setLocale("first").build());
        TestApp.until("taken", () -> phone.queue().waiting() == 0);
        phone.queue().add(Signal.newBuilder().setLocale("second").build());
        phone.withdraw(null);
        stuck.countDown();
        phone.queue().drain();
        for (FromApp it : agent.recorded) {
            for (Signal signal : it.getSignals().getSignalsList()) {
                assertFalse(signal.getLocale().equals("second"));
            }
        }
    }

    @Test
    public void aWithdrawalTheProcessDidNotLiveToFinishIsFinishedAtTheNextStart() {
        FakeAgent agent = granted();
        agent.refusing = true;
        TestApp.phone().withdraw(null);
        TestApp.until("kept", () -> TestApp.get().getSharedPreferences("phone",
                Context.MODE_PRIVATE).getBoolean("withdrawing", false));
        TestApp.phone().refresh();
        TestApp.until("turned", () -> !TestApp.phone().mayRead());
        agent.refusing = false;
        Phone again = TestApp.get().makePhone();
        again.start();
        TestApp.until("finished", () -> consent(agent) != null);
        assertEquals(Decision.DECISION_WITHDRAWN,
                consent(agent).getConsent().getDecisions(0).getDecision());
    }

    @Test
    public void aLostKeyIsAStateAndNotACrash() {
        TestApp app = TestApp.get();
        granted();
        app.key.lost = true;
        try {
            app.agent.callbacks.sign(new byte[8]);
        } catch (RuntimeException expected) {
            assertTrue(expected.getMessage().contains("gone"));
        }
        TestApp.until("lost", () -> TestApp.phone().state().equals("key_lost"));
        assertFalse(TestApp.phone().mayRead());
        withdrawBySecondTap(app.agent);
    }

    /** A Keystore that refuses once must not keep the phone from working for ever. */
    @Test
    public void aRefusalOfTheKeyStoreAtTheStartPassesWithoutARestart() {
        TestApp app = TestApp.get();
        app.agent.granted = true;
        app.key.refuses = true;
        Phone again = app.makePhone();
        again.start();
        TestApp.until("said", () -> again.state().equals("failed"));
        assertTrue(again.problemText().contains("refused"));
        assertFalse(again.mayRead());
        app.key.refuses = false;
        again.refresh();
        TestApp.until("well again", () -> again.mayRead());
    }

    @Test
    public void theMainThreadNeverWaitsForTheKeyStore() {
        TestApp app = TestApp.get();
        granted();
        CountDownLatch stuck = new CountDownLatch(1);
        app.key.blocked = stuck;
        Phone again = app.makePhone();
        again.start();
        again.withdraw(null);
        LiveActivity live = Robolectric.buildActivity(LiveActivity.class).setup().get();
        assertNotNull("shown while the Keystore blocks", live.findViewById(R.id.state));
        assertFalse(again.mayRead());
        stuck.countDown();
        TestApp.until("finished", () -> consent(app.agent) != null);
    }

    @Test
    public void aBlockedKeyStoreHoldsNothingUp() {
        TestApp app = TestApp.get();
        FakeAgent agent = granted();
        CountDownLatch stuck = new CountDownLatch(1);
        app.key.blocked = stuck;
        Thread session = new Thread(() -> app.agent.callbacks.sign(new byte[8]));
        session.start();
        withdrawBySecondTap(agent);
        stuck.countDown();
    }

    @Test
    public void aWithdrawalWithoutASignatureIsInForceAndALaterGrantCounts() {
        FakeAgent agent = granted();
        agent.refusing = true;
        agent.granted = false;
        TestApp.phone().withdraw(null);
        TestApp.until("done", () -> !TestApp.get().getSharedPreferences("phone",
                Context.MODE_PRIVATE).getBoolean("withdrawing", true));
        agent.refusing = false;
        agent.granted = true;
        TestApp.phone().refresh();
        TestApp.until("granted again", () -> TestApp.phone().mayRead());
    }
}
