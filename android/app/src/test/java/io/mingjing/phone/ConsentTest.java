package io.mingjing.phone;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import android.app.Activity;
import android.content.Intent;
import android.net.Uri;
import android.os.Bundle;
import android.widget.Button;
import android.widget.EditText;
import android.widget.ScrollView;
import android.widget.Switch;
import android.widget.TextView;
import io.mingjing.phone.consent.NoticeActivity;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import mingjing.v1.Record.CategoryDecision;
import mingjing.v1.Record.Decision;
import mingjing.v1.Session.ConsentChoice;
import mingjing.v1.Session.FromApp;
import org.junit.Before;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.Shadows;
import org.robolectric.android.controller.ActivityController;

/** N16, K2, K3, K7: what can be accepted when, and what is handed to the agent. */
@RunWith(RobolectricTestRunner.class)
public final class ConsentTest {
    private FakeAgent agent;

    @Before
    public void started() {
        agent = TestApp.get().agent;
        TestApp.until("start", () -> TestApp.phone().state().equals("no_consent"));
    }

    private ActivityController<NoticeActivity> open(Bundle state) {
        ActivityController<NoticeActivity> it = Robolectric.buildActivity(NoticeActivity.class);
        if (state == null) {
            it.setup();
        } else {
            it.setup(state);
        }
        TestApp.until("notice", () -> it.get().findViewById(R.id.accept) != null);
        return it;
    }

    private static Button button(NoticeActivity activity, int id) {
        return activity.findViewById(id);
    }

    private static void readToEnd(NoticeActivity activity) {
        ScrollView scroll = activity.findViewById(R.id.scroll);
        TestApp.until("end", () -> {
            scroll.scrollTo(0, scroll.getChildAt(0).getHeight());
            return button(activity, R.id.accept).isEnabled();
        });
    }

    private static String result(NoticeActivity activity) {
        return ((TextView) activity.findViewById(R.id.result)).getText().toString();
    }

    @Test
    public void nothingCanBeAcceptedBeforeTheEndAndNothingIsTicked() {
        NoticeActivity activity = open(null).get();
        Switch first = activity.findViewById(R.id.switch_1);
        Switch second = activity.findViewById(R.id.switch_2);
        assertFalse(button(activity, R.id.accept).isEnabled());
        assertFalse(first.isEnabled() || first.isChecked());
        assertFalse(second.isEnabled() || second.isChecked());
        assertTrue("refusing is always possible", button(activity, R.id.refuse).isEnabled());
        readToEnd(activity);
        assertTrue(first.isEnabled() && second.isEnabled());
        assertFalse(first.isChecked() || second.isChecked());
        assertTrue(second.getText().toString().contains("敏感"));
    }

    @Test
    public void refusingNeedsNoScrollingAndNoPassword() {
        NoticeActivity activity = open(null).get();
        button(activity, R.id.refuse).performClick();
        TestApp.until("refused", () -> agent.recorded.size() == 1);
        ConsentChoice choice = agent.recorded.get(0).getConsent();
        assertEquals(2, choice.getDecisionsCount());
        for (CategoryDecision it : choice.getDecisionsList()) {
            assertEquals(Decision.DECISION_REFUSED, it.getDecision());
        }
        TestApp.until("said", () -> result(activity).equals("已拒绝。不会采集任何内容。"));
    }

    @Test
    public void agreeingNeedsAChoiceAndThePassword() {
        NoticeActivity activity = open(null).get();
        readToEnd(activity);
        button(activity, R.id.accept).performClick();
        assertTrue(result(activity).contains("没有打开任何一项"));
        ((Switch) activity.findViewById(R.id.switch_1)).setChecked(true);
        button(activity, R.id.accept).performClick();
        assertTrue(result(activity).contains("密码"));
        assertEquals("nothing left the page", 0, agent.recorded.size());

        EditText password = activity.findViewById(R.id.password);
        password.setText("opensesame");
        button(activity, R.id.accept).performClick();
        assertEquals("not kept on the screen", "", password.getText().toString());
        TestApp.until("both", () -> agent.recorded.size() == 2);
        List<FromApp> sent = agent.recorded;
        ConsentChoice choice = sent.get(0).getConsent();
        assertEquals(3, choice.getNoticeVersion());
        assertEquals(32, choice.getNoticeSha256().size());
        assertEquals("zh-CN", choice.getLanguage());
        assertEquals(Decision.DECISION_GRANTED, choice.getDecisions(0).getDecision());
        assertEquals(Decision.DECISION_REFUSED, choice.getDecisions(1).getDecision());
        assertFalse("the password is beside the consent, never in it",
                new String(choice.toByteArray()).contains("opensesame"));
        assertEquals(7, sent.get(1).getGrantProof().getConsentSeq());
        assertEquals("opensesame", sent.get(1).getGrantProof().getPassword());
        TestApp.until("said", () -> result(activity).contains("收到同意回执之后"));
    }

    /** K7, K10: what became of the grant is said where it was given, and the password can be typed again. */
    @Test
    public void aWrongPasswordIsNotAWaitAndTheReceiptIsSaid() {
        NoticeActivity activity = open(null).get();
        readToEnd(activity);
        ((Switch) activity.findViewById(R.id.switch_1)).setChecked(true);
        EditText password = activity.findViewById(R.id.password);
        password.setText("opensesame");
        agent.grant = "password";
        button(activity, R.id.accept).performClick();
        TestApp.until("refused", () -> result(activity).contains("密码不正确"));
        assertTrue(password.isEnabled() && button(activity, R.id.accept).isEnabled());
        agent.grant = "none";
        agent.granted = true;
        password.setText("open sesame");
        button(activity, R.id.accept).performClick();
        TestApp.until("accepted", () -> result(activity).equals("同意已生效。"));
    }

    /** N16: re-readable at any time, and savable where the employee wants it. */
    @Test
    public void aCopyIsSavedWithTheChoicesAndTheReceipt() {
        agent.granted = true;
        NoticeActivity activity = open(null).get();
        button(activity, R.id.save).performClick();
        Intent asked = Shadows.shadowOf(activity).getNextStartedActivityForResult().intent;
        assertEquals(Intent.ACTION_CREATE_DOCUMENT, asked.getAction());
        assertEquals("明镜告知书-第3版.txt", asked.getStringExtra(Intent.EXTRA_TITLE));
        Uri target = Uri.parse("content://documents/notice");
        ByteArrayOutputStream file = new ByteArrayOutputStream();
        Shadows.shadowOf(activity.getContentResolver()).registerOutputStream(target, file);
        Shadows.shadowOf(activity).receiveResult(
                asked, Activity.RESULT_OK, new Intent().setData(target));
        TestApp.until("saved", () -> result(activity).equals("已保存。"));
        String copy = new String(file.toByteArray(), StandardCharsets.UTF_8);
        for (String expected : new String[] {"采集什么，从不采集什么", "消息 · 已同意",
            "收付款 · 已拒绝", "同意回执：2026"}) {
            assertTrue(expected + " is not in\n" + copy, copy.contains(expected));
        }
    }

    @Test
    public void aCopyThatCannotBeWrittenIsSaid() {
        NoticeActivity activity = open(null).get();
        button(activity, R.id.save).performClick();
        Intent asked = Shadows.shadowOf(activity).getNextStartedActivityForResult().intent;
        Uri target = Uri.parse("content://documents/full");
        Shadows.shadowOf(activity.getContentResolver()).registerOutputStream(target,
                new OutputStream() {
                    @Override
                    public void write(int b) throws IOException {
                        throw new IOException("no space");
                    }
                });
        Shadows.shadowOf(activity).receiveResult(
                asked, Activity.RESULT_OK, new Intent().setData(target));
        TestApp.until("said", () -> result(activity).startsWith("未能保存"));
    }

    @Test
    public void aFailureIsSaid() {
        agent.refusing = true;
        NoticeActivity activity = open(null).get();
        button(activity, R.id.refuse).performClick();
        TestApp.until("said", () -> result(activity).contains("the disk is full"));
    }

    @Test
    public void rotationAndProcessDeathKeepTheChoicesButNotThePassword() {
        ActivityController<NoticeActivity> first = open(null);
        readToEnd(first.get());
        ((Switch) first.get().findViewById(R.id.switch_2)).setChecked(true);
        ((EditText) first.get().findViewById(R.id.password)).setText("opensesame");
        Bundle state = new Bundle();
        first.pause().stop().saveInstanceState(state).destroy();
        NoticeActivity second = open(state).get();
        assertTrue(button(second, R.id.accept).isEnabled());
        assertFalse(((Switch) second.findViewById(R.id.switch_1)).isChecked());
        assertTrue(((Switch) second.findViewById(R.id.switch_2)).isChecked());
        assertEquals("", ((EditText) second.findViewById(R.id.password)).getText().toString());
    }

    @Test
    public void anotherVersionStartsUnreadAndUnticked() {
        ActivityController<NoticeActivity> first = open(null);
        readToEnd(first.get());
        ((Switch) first.get().findViewById(R.id.switch_1)).setChecked(true);
        Bundle state = new Bundle();
        first.pause().stop().saveInstanceState(state).destroy();
        agent.noticeVersion = 4;
        NoticeActivity second = open(state).get();
        assertFalse(button(second, R.id.accept).isEnabled());
        assertFalse(((Switch) second.findViewById(R.id.switch_1)).isChecked());
    }

    @Test
    public void theLanguageFollowsThePhone() {
        RuntimeEnvironment.setQualifiers("en-rUS-w360dp-h800dp-xhdpi");
        NoticeActivity activity = open(null).get();
        assertEquals("Refuse everything", button(activity, R.id.refuse).getText().toString());
        button(activity, R.id.refuse).performClick();
        TestApp.until("refused", () -> agent.recorded.size() == 1);
        assertEquals("en", agent.recorded.get(0).getConsent().getLanguage());
        RuntimeEnvironment.setQualifiers("fr-rFR-w360dp-h800dp-xhdpi");
        assertEquals("Chinese is the default", "zh-CN", TestApp.phone().language());
    }

    @Test
    public void atTwiceTheFontSizeEverythingStaysReachable() {
        RuntimeEnvironment.setFontScale(2.0f);
        NoticeActivity activity = open(null).get();
        readToEnd(activity);
        Button accept = button(activity, R.id.accept);
        Button refuse = button(activity, R.id.refuse);
        assertTrue(accept.getHeight() >= accept.getLayout().getHeight());
        assertEquals("refusing is as large as accepting", accept.getWidth(), refuse.getWidth());
    }
}
