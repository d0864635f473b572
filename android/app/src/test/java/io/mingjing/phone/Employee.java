package io.mingjing.phone;

import static org.junit.Assert.assertEquals;

import android.app.Notification;
import android.os.Process;
import android.os.SystemClock;
import android.service.notification.StatusBarNotification;
import android.view.accessibility.AccessibilityEvent;
import android.widget.Button;
import android.widget.EditText;
import android.widget.ScrollView;
import android.widget.Switch;
import android.widget.TextView;
import io.mingjing.phone.agent.App;
import io.mingjing.phone.agent.Phone;
import io.mingjing.phone.capture.ListenerService;
import io.mingjing.phone.capture.ScreenService;
import io.mingjing.phone.consent.NoticeActivity;
import io.mingjing.phone.consent.WithdrawActivity;
import io.mingjing.phone.enrol.EnrolActivity;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.robolectric.Robolectric;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.shadows.ShadowSystemClock;
import org.robolectric.util.ReflectionHelpers;

/** What the person with the phone does, through the app's own screens and services. */
final class Employee {
    private static final String WECHAT = "com.tencent.mm";
    private static final int[] SWITCHES = {
        R.id.switch_1, R.id.switch_2, R.id.switch_3, R.id.switch_4, R.id.switch_5, R.id.switch_6,
        R.id.switch_7,
    };

    private final ListenerService listener =
            Robolectric.buildService(ListenerService.class).create().get();
    private ScreenService screen;
    private int posted;

    Phone phone() {
        return App.phone(RuntimeEnvironment.getApplication());
    }

    /** Types a code and confirms. */
    void enrol(String code) {
        EnrolActivity page = Robolectric.buildActivity(EnrolActivity.class).setup().get();
        ((EditText) page.findViewById(R.id.token)).setText(code);
        page.findViewById(R.id.enrol).performClick();
        TextView result = page.findViewById(R.id.result);
        TestApp.until("an answer", () -> !result.getText().toString().startsWith("正在连接"));
        assertEquals("这部手机已登记。", result.getText().toString());
    }

    /** Draws the notice as the company's collector sent it and the agent renders it, in both languages. */
    void seesNotice() throws IOException {
        TestApp.until("a notice", () -> phone().status().getNoticeVersion() > 0);
        for (String look : new String[] {"en-rUS-w360dp-h800dp-night-xhdpi",
                "zh-rCN-w360dp-h800dp-notnight-xhdpi"}) {
            RuntimeEnvironment.setQualifiers(look);
            NoticeActivity page = Robolectric.buildActivity(NoticeActivity.class).setup().get();
            TestApp.until("the notice's page", () -> page.findViewById(R.id.accept) != null);
            Picture.draw(page, "company-notice-" + look.substring(0, 6));
        }
    }

    /** Reads the notice to its end, switches everything on, types the password and agrees. */
    void agree(String password) {
        TestApp.until("a notice", () -> phone().status().getNoticeVersion() > 0);
        NoticeActivity page = Robolectric.buildActivity(NoticeActivity.class).setup().get();
        TestApp.until("the notice's page", () -> page.findViewById(R.id.accept) != null);
        ScrollView scroll = page.findViewById(R.id.scroll);
        Button accept = page.findViewById(R.id.accept);
        TestApp.until("its end", () -> {
            scroll.scrollTo(0, scroll.getChildAt(0).getHeight());
            return accept.isEnabled();
        });
        for (int id : SWITCHES) {
            ((Switch) page.findViewById(id)).setChecked(true);
        }
        ((EditText) page.findViewById(R.id.password)).setText(password);
        accept.performClick();
        TestApp.until("the receipt", () -> phone().mayRead());
    }

    /** Opens WeChat's own page that shows the account. */
    void showAccount(String account) throws InterruptedException {
        if (screen == null) {
            screen = Robolectric.buildService(ScreenService.class).create().get();
            ReflectionHelpers.callInstanceMethod(screen, "onServiceConnected");
        }
        tick();
        Window.show(WECHAT);
        Window.text("个人信息", 420, 110, 660, 190);
        Window.text("微信号", 40, 600, 240, 660);
        Window.text(account, 600, 600, 1000, 660);
        AccessibilityEvent opened =
                AccessibilityEvent.obtain(AccessibilityEvent.TYPE_WINDOW_STATE_CHANGED);
        opened.setPackageName(WECHAT);
        opened.setClassName("com.tencent.mm.plugin.setting.ui.setting.SettingsPersonalInfoUI");
        screen.onAccessibilityEvent(opened);
        TestApp.until("capturing", () -> {
            phone().refresh();
            return phone().state().equals("capturing");
        });
    }

    /** A message arrives; when this returns the agent has had it. */
    void hears(String from, String text) throws InterruptedException {
        tick();
        Notification notification = new Notification.Builder(
                RuntimeEnvironment.getApplication(), "message_channel_new_id")
                .setContentTitle(from).setContentText(text).setTicker(from + ": " + text).build();
        posted++;
        listener.onNotificationPosted(new StatusBarNotification(WECHAT, WECHAT, posted,
                "tag", 10_123, 1, 0, notification, Process.myUserHandle(), 0));
        phone().queue().drain();
    }

    /** The second tap of a withdrawal. */
    void withdraw() {
        WithdrawActivity page = Robolectric.buildActivity(WithdrawActivity.class).setup().get();
        page.findViewById(R.id.withdraw).performClick();
    }

    /** Sets Android's clock, which stands still here, to the kernel's, which the agent reads. */
    private static void tick() {
        try {
            String uptime = new String(Files.readAllBytes(Path.of("/proc/uptime")));
            long now = (long) (Double.parseDouble(uptime.split(" ")[0]) * 1000);
            long behind = now - SystemClock.elapsedRealtime();
            if (behind > 0) {
                ShadowSystemClock.advanceBy(Duration.ofMillis(behind));
            }
        } catch (IOException error) {
            throw new AssertionError(error);
        }
    }
}
