package io.mingjing.phone;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import android.accessibilityservice.AccessibilityServiceInfo;
import android.content.pm.ActivityInfo;
import android.content.pm.ApplicationInfo;
import android.content.pm.ComponentInfo;
import android.content.pm.PackageInfo;
import android.content.pm.PackageManager;
import android.content.pm.ServiceInfo;
import android.content.res.XmlResourceParser;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.junit.Before;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.xmlpull.v1.XmlPullParser;

/** What a stranger app can reach: nothing that binds, feeds or reads. And what the app may ask for. */
@RunWith(RobolectricTestRunner.class)
public final class ManifestTest {
    private static final String NS = "http://schemas.android.com/apk/res/android";
    private PackageInfo installed;

    @Before
    public void installed() throws PackageManager.NameNotFoundException {
        installed = RuntimeEnvironment.getApplication().getPackageManager().getPackageInfo(
                "io.mingjing.phone", PackageManager.GET_ACTIVITIES | PackageManager.GET_SERVICES
                        | PackageManager.GET_RECEIVERS | PackageManager.GET_PROVIDERS
                        | PackageManager.GET_PERMISSIONS | PackageManager.GET_META_DATA);
    }

    private static void put(Map<String, String> open, ComponentInfo it, String permission) {
        if (it.exported) {
            open.put(it.name.substring(it.name.lastIndexOf('.') + 1), permission);
        }
    }

    @Test
    public void everyOpenDoorHasALockOnlyTheSystemHasTheKeyOf() {
        Map<String, String> open = new HashMap<>();
        for (ActivityInfo it : installed.activities) {
            put(open, it, it.permission);
        }
        for (ServiceInfo it : installed.services) {
            put(open, it, it.permission);
        }
        for (ActivityInfo it : installed.receivers) {
            put(open, it, it.permission);
        }
        assertNull("the page of the launcher icon, which takes nothing from its caller",
                open.remove("LiveActivity"));
        Map<String, String> expected = new HashMap<>();
        expected.put("ListenerService", "android.permission.BIND_NOTIFICATION_LISTENER_SERVICE");
        expected.put("ScreenService", "android.permission.BIND_ACCESSIBILITY_SERVICE");
        expected.put("OwnerReceiver", "android.permission.BIND_DEVICE_ADMIN");
        expected.put("ProvisioningActivity", "android.permission.BIND_DEVICE_ADMIN");
        assertEquals(expected, open);
        assertTrue("no content provider to read from", installed.providers == null);
        assertTrue("no permission of its own to be granted to others",
                installed.permissions == null || installed.permissions.length == 0);
    }

    @Test
    public void onlyTheNamedPermissionsAreAskedFor() {
        Set<String> expected = new HashSet<>(Arrays.asList(
                "android.permission.INTERNET", "android.permission.ACCESS_NETWORK_STATE",
                "android.permission.RECEIVE_BOOT_COMPLETED",
                "android.permission.POST_NOTIFICATIONS", "android.permission.FOREGROUND_SERVICE",
                "android.permission.FOREGROUND_SERVICE_SPECIAL_USE",
                "android.permission.FOREGROUND_SERVICE_SYSTEM_EXEMPTED"));
        assertEquals(expected, new HashSet<>(Arrays.asList(installed.requestedPermissions)));
    }

    @Test
    public void nothingIsBackedUpAndNothingGoesInClear() {
        int flags = installed.applicationInfo.flags;
        assertEquals(0, flags & ApplicationInfo.FLAG_ALLOW_BACKUP);
        assertEquals(0, flags & ApplicationInfo.FLAG_USES_CLEARTEXT_TRAFFIC);
        assertEquals(0, flags & ApplicationInfo.FLAG_DEBUGGABLE);
        assertEquals("enterprise_management",
                installed.applicationInfo.metaData.getString("isMonitoringTool"));
    }

    /** Read-only, and of two apps: what Android itself enforces whatever our code does. */
    @Test
    public void theAccessibilityServiceCanOnlyReadTwoApps() throws Exception {
        XmlResourceParser xml = RuntimeEnvironment.getApplication().getResources()
                .getXml(R.xml.screen_service);
        while (xml.getEventType() != XmlPullParser.START_TAG) {
            xml.next();
        }
        String[] apps = xml.getAttributeValue(NS, "packageNames").split(",");
        Arrays.sort(apps);
        assertArrayEquals(new String[] {"com.tencent.mm", "com.tencent.wework"}, apps);
        for (String power : new String[] {"canPerformGestures", "canRequestFilterKeyEvents",
            "canTakeScreenshot", "canRequestTouchExplorationMode", "canControlMagnification",
            "isAccessibilityTool"}) {
            assertFalse(power, xml.getAttributeBooleanValue(NS, power, false));
        }
        int flags = xml.getAttributeIntValue(NS, "accessibilityFlags", 0);
        assertEquals(0, flags & (AccessibilityServiceInfo.FLAG_REQUEST_FILTER_KEY_EVENTS
                | AccessibilityServiceInfo.FLAG_REQUEST_TOUCH_EXPLORATION_MODE));
    }
}
