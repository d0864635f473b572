package io.mingjing.phone;

import android.accessibilityservice.AccessibilityService;
import android.graphics.Rect;
import android.view.accessibility.AccessibilityNodeInfo;
import org.robolectric.Shadows;
import org.robolectric.annotation.Implementation;
import org.robolectric.annotation.Implements;
import org.robolectric.annotation.Resetter;
import org.robolectric.shadows.ShadowAccessibilityService;

/** The window in front, which Robolectric's service does not know. */
@Implements(AccessibilityService.class)
public final class Window extends ShadowAccessibilityService {
    private static AccessibilityNodeInfo root;

    @Implementation
    protected AccessibilityNodeInfo getRootInActiveWindow() {
        return root;
    }

    @Resetter
    public static void reset() {
        root = null;
    }

    /** Puts a window of an app in front. */
    static AccessibilityNodeInfo show(String app) {
        root = node("android.widget.FrameLayout", null, new Rect(0, 0, 1080, 2400));
        root.setPackageName(app);
        return root;
    }

    static AccessibilityNodeInfo text(String text, int left, int top, int right, int bottom) {
        AccessibilityNodeInfo node =
                node("android.widget.TextView", text, new Rect(left, top, right, bottom));
        Shadows.shadowOf(root).addChild(node);
        return node;
    }

    private static AccessibilityNodeInfo node(String kind, String text, Rect bounds) {
        AccessibilityNodeInfo node = AccessibilityNodeInfo.obtain();
        node.setClassName(kind);
        node.setText(text);
        node.setBoundsInScreen(bounds);
        node.setVisibleToUser(true);
        return node;
    }
}
