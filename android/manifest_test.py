#!/usr/bin/env python3
"""Breaks each promise of the manifest in turn and sees manifest.py notice it.

usage: manifest_test.py        after `mvn compile` or android/build, which leave target/resources/framework.apk
"""
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import manifest

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE / "app/src/main"
FRAMEWORK = HERE / "target/resources/framework.apk"
MANIFEST, SCREEN, NETWORK, DATA = (
    "AndroidManifest.xml",
    "res/xml/screen_service.xml",
    "res/xml/network_security.xml",
    "res/xml/data_extraction.xml",
)

# File, what stands there, what a careless change would make of it, a part of the complaint.
BREACHES = [
    (MANIFEST, 'allowBackup="false"', 'allowBackup="true"', "allowBackup"),
    (MANIFEST, 'android:allowBackup="false"', "", "allowBackup"),
    (MANIFEST, 'usesCleartextTraffic="false"', 'usesCleartextTraffic="true"', "usesCleartextTraffic"),
    (MANIFEST, 'android:networkSecurityConfig="@xml/network_security"', "", "clear text"),
    (NETWORK, 'cleartextTrafficPermitted="false"', 'cleartextTrafficPermitted="true"', "clear text"),
    (NETWORK, "</network-security-config>",
     '<domain-config cleartextTrafficPermitted="true"><domain>example.com</domain></domain-config>'
     "</network-security-config>", "clear text"),
    (MANIFEST, 'android:dataExtractionRules="@xml/data_extraction"', "", "cloud-backup"),
    (DATA, '<exclude domain="file" />', "", "device-transfer"),
    (MANIFEST, 'extractNativeLibs="true"', 'extractNativeLibs="false"', "extractNativeLibs"),
    (MANIFEST, 'directBootAware="false"', 'directBootAware="true"', "directBootAware"),
    (MANIFEST, '<application', '<application android:debuggable="true"', "debuggable"),
    (MANIFEST, '"isMonitoringTool" android:value="enterprise_management"',
     '"isMonitoringTool" android:value="other"', "isMonitoringTool"),
    (MANIFEST, "isMonitoringTool", "monitors", "isMonitoringTool"),
    (MANIFEST, '".consent.NoticeActivity" android:exported="false"',
     '".consent.NoticeActivity" android:exported="true"', "exported without need"),
    (MANIFEST, '".consent.NoticeActivity" android:exported="false"', '".consent.NoticeActivity"',
     "does not say whether"),
    (MANIFEST, '".capture.StateReceiver" android:exported="false"',
     '".capture.StateReceiver" android:exported="true"', "exported without need"),
    (MANIFEST, "</application>",
     '<provider android:name=".Files" android:authorities="x" android:exported="true" /></application>',
     "exported without need"),
    (MANIFEST, 'android:permission="android.permission.BIND_NOTIFICATION_LISTENER_SERVICE"', "",
     "not guarded"),
    (MANIFEST, 'android:permission="android.permission.BIND_ACCESSIBILITY_SERVICE"', "", "not guarded"),
    (MANIFEST, 'android:permission="android.permission.BIND_DEVICE_ADMIN"', "", "not guarded"),
    (MANIFEST, "<queries>", '<uses-permission android:name="android.permission.READ_CONTACTS" /><queries>',
     "READ_CONTACTS"),
    (MANIFEST, '"specialUse|systemExempted"', '"dataSync"', "specialUse"),
    (MANIFEST, "android.app.PROPERTY_SPECIAL_USE_FGS_SUBTYPE", "other", "special use"),
    (SCREEN, 'canPerformGestures="false"', 'canPerformGestures="true"', "canPerformGestures"),
    (SCREEN, 'android:canPerformGestures="false"', "", "canPerformGestures"),
    (SCREEN, 'canRequestFilterKeyEvents="false"', 'canRequestFilterKeyEvents="true"', "canRequestFilterKeyEvents"),
    (SCREEN, 'canTakeScreenshot="false"', 'canTakeScreenshot="true"', "canTakeScreenshot"),
    (SCREEN, 'isAccessibilityTool="false"', 'isAccessibilityTool="true"', "isAccessibilityTool"),
    (SCREEN, 'android:packageNames="com.tencent.mm,com.tencent.wework"', "", "packageNames"),
    (SCREEN, "flagReportViewIds", "flagReportViewIds|flagRequestFilterKeyEvents", "accessibilityFlags"),
    (SCREEN, "typeWindowStateChanged|", "typeViewTextChanged|typeWindowStateChanged|", "accessibilityEventTypes"),
]


class ManifestTest(unittest.TestCase):
    def setUp(self):
        self.assertTrue(FRAMEWORK.exists(), f"{FRAMEWORK} is missing; run: mvn -f android/pom.xml compile")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        shutil.copytree(SOURCE / "res", self.dir / "res")
        shutil.copy(SOURCE / MANIFEST, self.dir)
        self.compile()

    def compile(self):
        subprocess.run(
            ["aapt2", "compile", "--dir", self.dir / "res", "-o", self.dir / "compiled.zip"], check=True)

    def problems(self):
        """Links the copy as android/generate does, and reads what came out."""
        apk, named = self.dir / "base.apk", self.dir / "named.xml"
        named.write_text((self.dir / MANIFEST).read_text().replace(
            "<manifest ", '<manifest package="io.mingjing.phone" '))
        subprocess.run(
            ["aapt2", "link", "-I", FRAMEWORK, "--manifest", named, "--warn-manifest-validation",
             "--min-sdk-version", "29", "--target-sdk-version", "34", "-o", apk, self.dir / "compiled.zip"],
            check=True, stderr=subprocess.DEVNULL)
        return list(manifest.problems(apk))

    def test_the_manifest_keeps_its_promises(self):
        self.assertEqual(self.problems(), [])

    def test_every_breach_is_noticed(self):
        for file, stands, becomes, complaint in BREACHES:
            with self.subTest(complaint=complaint, becomes=becomes):
                path = self.dir / file
                text = path.read_text()
                self.assertIn(stands, text, f"{file} changed; adapt this test")
                path.write_text(text.replace(stands, becomes))
                if file != MANIFEST:
                    self.compile()
                found = self.problems()
                path.write_text(text)
                if file != MANIFEST:
                    self.compile()
                self.assertTrue(any(complaint in it for it in found), found)


if __name__ == "__main__":
    unittest.main()
