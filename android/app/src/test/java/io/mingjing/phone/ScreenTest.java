package io.mingjing.phone;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import android.view.accessibility.AccessibilityEvent;
import android.view.accessibility.AccessibilityNodeInfo;
import io.mingjing.phone.capture.ScreenService;
import java.util.ArrayList;
import java.util.List;
import mingjing.v1.Session.FromApp;
import mingjing.v1.SignalOuterClass.Node;
import mingjing.v1.SignalOuterClass.Screen;
import mingjing.v1.SignalOuterClass.Signal;
import org.junit.Before;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.annotation.Config;
import org.robolectric.util.ReflectionHelpers;

/** P2, P6, P7: which windows are read, and what of them. */
@RunWith(RobolectricTestRunner.class)
@Config(shadows = Window.class)
public final class ScreenTest {
    private static final String CHAT = "com.tencent.mm.ui.chatting.ChattingUI";
    private FakeAgent agent;
    private ScreenService service;

    @Before
    public void granted() {
        agent = TestApp.get().agent;
        agent.granted = true;
        TestApp.phone().refresh();
        TestApp.until("granted", () -> TestApp.phone().mayRead());
        service = Robolectric.buildService(ScreenService.class).create().get();
        ReflectionHelpers.callInstanceMethod(service, "onServiceConnected");
    }

    private List<Screen> screens() throws InterruptedException {
        TestApp.phone().queue().drain();
        List<Screen> all = new ArrayList<>();
        for (FromApp it : agent.recorded) {
            for (Signal signal : it.getSignals().getSignalsList()) {
                if (signal.hasScreen()) {
                    all.add(signal.getScreen());
                }
            }
        }
        return all;
    }

    private void opened(String app, String window) {
        AccessibilityEvent event =
                AccessibilityEvent.obtain(AccessibilityEvent.TYPE_WINDOW_STATE_CHANGED);
        event.setPackageName(app);
        event.setClassName(window);
        service.onAccessibilityEvent(event);
    }

    private Screen only() {
        List<Screen> seen = new ArrayList<>();
        TestApp.until("a screen", () -> {
            try {
                seen.clear();
                seen.addAll(screens());
                return !seen.isEmpty();
            } catch (InterruptedException error) {
                throw new AssertionError(error);
            }
        });
        assertEquals(1, seen.size());
        return seen.get(0);
    }

    private static String texts(Screen screen) {
        StringBuilder all = new StringBuilder();
        for (Node node : screen.getNodesList()) {
            all.append(node.getText()).append('|');
        }
        return all.toString();
    }

    @Test
    public void aPageIsReadWithoutWhatIsBeingTyped() {
        Window.show("com.tencent.mm");
        Window.text("合同看过了", 100, 400, 700, 480);
        AccessibilityNodeInfo typed = Window.text("还没有发出的草稿", 100, 2200, 900, 2300);
        typed.setEditable(true);
        AccessibilityNodeInfo secret = Window.text("hunter2", 100, 2000, 900, 2100);
        secret.setPassword(true);
        AccessibilityNodeInfo hidden = Window.text("看不见的", 100, 1000, 900, 1100);
        hidden.setVisibleToUser(false);
        opened("com.tencent.mm", CHAT);
        Screen screen = only();
        assertEquals(CHAT, screen.getWindow());
        assertTrue(texts(screen), texts(screen).contains("合同看过了"));
        for (String not : new String[] {"草稿", "hunter2", "看不见的"}) {
            assertFalse(not, texts(screen).contains(not));
        }
        assertEquals("the field is there, its text is not", 4, screen.getNodesCount());
    }

    @Test
    public void ofPersonalPagesOnlyTheNameIsPassedOn() {
        Window.show("com.tencent.mm");
        Window.text("朋友的照片", 100, 400, 700, 480);
        opened("com.tencent.mm", "com.tencent.mm.plugin.sns.ui.SnsTimeLineUI");
        assertEquals(0, only().getNodesCount());
    }

    @Test
    public void theWindowOfAnotherAppInFrontIsLeftUnread() {
        Window.show("com.bank");
        Window.text("余额 12,000", 100, 400, 700, 480);
        opened("com.tencent.mm", CHAT);
        assertEquals("the event came first, the other app was faster", 0, only().getNodesCount());
    }

    @Test
    public void otherAppsAndNoConsentGiveNothing() throws InterruptedException {
        Window.show("com.bank");
        Window.text("余额 12,000", 100, 400, 700, 480);
        opened("com.bank", "com.bank.Main");
        TestApp.phone().withdraw(null);
        Window.show("com.tencent.mm");
        Window.text("撤回之后", 100, 400, 700, 480);
        opened("com.tencent.mm", CHAT);
        assertEquals(0, screens().size());
    }
}
