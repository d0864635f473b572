package io.mingjing.phone.capture;

import android.accessibilityservice.AccessibilityService;
import android.graphics.Rect;
import android.os.Handler;
import android.os.HandlerThread;
import android.os.Process;
import android.util.DisplayMetrics;
import android.view.accessibility.AccessibilityEvent;
import android.view.accessibility.AccessibilityNodeInfo;
import io.mingjing.phone.agent.App;
import io.mingjing.phone.agent.Phone;
import java.util.concurrent.atomic.AtomicBoolean;
import mingjing.v1.SignalOuterClass.Node;
import mingjing.v1.SignalOuterClass.Screen;

/**
 * Reads pages of the two work apps. It performs no action, filters no key and takes no picture; text fields
 * (what is being typed) and passwords are left out, and so are pages that are personal by nature.
 */
public final class ScreenService extends AccessibilityService {
    /** Pages of which only the name is passed on: Moments, Channels, mini programs, log-in, switching. */
    private static final String[] NAME_ONLY = {
        ".plugin.sns.", ".plugin.finder.", ".plugin.appbrand.", ".plugin.account.",
        "SettingsSwitchAccountUI",
    };
    private static final int MAX_NODES = 2000;
    private static final int MAX_DEPTH = 60;

    private final AtomicBoolean reading = new AtomicBoolean();
    private final Phone.Watcher watcher = new Phone.Watcher() {
        @Override
        public void changed() {
            disableUnlessGranted();
        }
    };
    private HandlerThread thread;
    private Handler reader;
    private volatile String app = "";
    private volatile String window = "";

    @Override
    protected void onServiceConnected() {
        thread = new HandlerThread("mingjing-screen", Process.THREAD_PRIORITY_BACKGROUND);
        thread.start();
        reader = new Handler(thread.getLooper());
        Phone phone = App.phone(this);
        phone.watch(watcher);
        phone.queue().add(StateReceiver.signal(this, "accessibility", "on"));
        disableUnlessGranted();
    }

    /** Refused or withdrawn: stop being told about pages at all. */
    private void disableUnlessGranted() {
        Phone phone = App.phone(this);
        if (!phone.mayRead() && phone.state().equals("no_consent")) {
            disableSelf();
        }
    }

    @Override
    public void onAccessibilityEvent(AccessibilityEvent event) {
        Phone phone = App.phone(this);
        if (!phone.mayRead() || reader == null
                || !Place.isWatched(event.getPackageName(), Process.myUserHandle())) {
            return;
        }
        Screen.Event what = Screen.Event.CHANGED;
        if (event.getEventType() == AccessibilityEvent.TYPE_WINDOW_STATE_CHANGED) {
            app = event.getPackageName().toString();
            window = event.getClassName() == null ? "" : event.getClassName().toString();
            what = Screen.Event.OPENED;
        }
        final Screen.Event told = what;
        final String toldApp = app;
        final String toldWindow = window;
        if (toldApp.isEmpty() || told == Screen.Event.CHANGED && !reading.compareAndSet(false, true)) {
            return;
        }
        reader.post(new Runnable() {
            @Override
            public void run() {
                if (told == Screen.Event.CHANGED) {
                    reading.set(false);
                }
                look(told, toldApp, toldWindow);
            }
        });
    }

    private void look(Screen.Event what, String toldApp, String toldWindow) {
        Phone phone = App.phone(this);
        DisplayMetrics display = getResources().getDisplayMetrics();
        Screen.Builder screen = Screen.newBuilder().setEvent(what).setWindow(toldWindow)
                .setWidth(display.widthPixels).setHeight(display.heightPixels);
        AccessibilityNodeInfo root = isNameOnly(toldWindow) ? null : getRootInActiveWindow();
        // The window in front may be another app's by now.
        if (root != null && phone.mayRead() && root.getPackageName() != null
                && toldApp.contentEquals(root.getPackageName())) {
            read(root, 0, screen);
        }
        if (phone.mayRead()) {
            phone.queue().add(Place.frame(this, toldApp).setScreen(screen).build());
        }
    }

    static boolean isNameOnly(String window) {
        for (String part : NAME_ONLY) {
            if (window.contains(part)) {
                return true;
            }
        }
        return false;
    }

    /** Pre-order. */
    static void read(AccessibilityNodeInfo node, int depth, Screen.Builder screen) {
        if (node == null || depth > MAX_DEPTH || screen.getNodesCount() >= MAX_NODES
                || !node.isVisibleToUser()) {
            return;
        }
        Rect bounds = new Rect();
        node.getBoundsInScreen(bounds);
        Node.Builder told = Node.newBuilder()
                .setClass_(text(node.getClassName())).setId(text(node.getViewIdResourceName()))
                .setLeft(bounds.left).setTop(bounds.top)
                .setRight(bounds.right).setBottom(bounds.bottom)
                .setClickable(node.isClickable()).setDepth(depth);
        if (!node.isPassword() && !node.isEditable()) {
            told.setText(text(node.getText())).setDesc(text(node.getContentDescription()));
        }
        screen.addNodes(told);
        for (int i = 0; i < node.getChildCount(); i++) {
            read(node.getChild(i), depth + 1, screen);
        }
    }

    private static String text(CharSequence text) {
        return text == null ? "" : text.toString();
    }

    @Override
    public void onInterrupt() {
        // Nothing is under way that could be interrupted: this service gives no feedback.
    }

    @Override
    public void onDestroy() {
        Phone phone = App.phone(this);
        phone.unwatch(watcher);
        phone.queue().add(StateReceiver.signal(this, "accessibility", "off"));
        if (thread != null) {
            thread.quitSafely();
        }
        super.onDestroy();
    }
}
