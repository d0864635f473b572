#!/usr/bin/env python3
"""Reads the manifest an APK really carries and says what in it breaks a promise.

usage: manifest.py APK…        exits 1 with a line for each broken promise

Invariants: nothing is reachable from another app but what Android itself must call, and that only behind a
permission other apps cannot hold; nothing is backed up or sent in clear text; every permission is known;
the accessibility service only reads, and only two apps.
"""
import re
import subprocess
import sys

PERMISSIONS = {
    "android.permission." + name
    for name in (
        "INTERNET",
        "ACCESS_NETWORK_STATE",
        "RECEIVE_BOOT_COMPLETED",
        "POST_NOTIFICATIONS",
        "FOREGROUND_SERVICE",
        "FOREGROUND_SERVICE_SPECIAL_USE",
        "FOREGROUND_SERVICE_SYSTEM_EXEMPTED",
    )
}
PACKAGE = "io.mingjing.phone"
# Components others may start, and the permission (held by the system alone) that guards each.
EXPORTED = {
    ".live.LiveActivity": None,
    ".enrol.ProvisioningActivity": "android.permission.BIND_DEVICE_ADMIN",
    ".enrol.OwnerReceiver": "android.permission.BIND_DEVICE_ADMIN",
    ".capture.ListenerService": "android.permission.BIND_NOTIFICATION_LISTENER_SERVICE",
    ".capture.ScreenService": "android.permission.BIND_ACCESSIBILITY_SERVICE",
}
# Attributes of <application>: absent means Android's default, which is the other value.
APPLICATION = {
    "allowBackup": "false",
    "fullBackupContent": "false",
    "usesCleartextTraffic": "false",
    "directBootAware": "false",
    # The library is deflated in the APK (package.py).
    "extractNativeLibs": "true",
}
SCREEN = {
    "canPerformGestures": "false",
    "canRequestFilterKeyEvents": "false",
    "canTakeScreenshot": "false",
    "canRetrieveWindowContent": "true",
    "isAccessibilityTool": "false",
    "packageNames": "com.tencent.mm,com.tencent.wework",
    "accessibilityFlags": "0x00000010",  # flagReportViewIds
    "accessibilityEventTypes": "0x00000820",  # typeWindowStateChanged, typeWindowContentChanged
}
BACKUP_DOMAINS = {"root", "file", "database", "sharedpref"}
SPECIAL_USE, SYSTEM_EXEMPTED = 0x40000000, 0x400
MIN_SDK, TARGET_SDK = 29, 34

ELEMENT = re.compile(r"^( *)E: ([\w.-]+)")
ATTRIBUTE = re.compile(r'^ *A: (?:http\S*:)?([\w.-]+)(?:\(0x\w+\))?=(?:"(.*?)"|(\S+))')


class Element:
    """One element of a compiled XML file."""

    def __init__(self, name, depth):
        self.name, self.depth, self.attributes, self.children = name, depth, {}, []

    def get(self, attribute):
        return self.attributes.get(attribute)

    def all(self, name):
        """Every element of that name below this one."""
        for child in self.children:
            if child.name == name:
                yield child
            yield from child.all(name)

    def one(self, name):
        return next(self.all(name), Element(name, 0))


def aapt2(*arguments):
    return subprocess.run(["aapt2", "dump", *arguments], check=True, capture_output=True, text=True).stdout


def read(apk, file):
    top = Element("", -1)
    path = [top]
    for line in aapt2("xmltree", apk, "--file", file).splitlines():
        if found := ELEMENT.match(line):
            element = Element(found[2], len(found[1]))
            while path[-1].depth >= element.depth:
                path.pop()
            path[-1].children.append(element)
            path.append(element)
        elif found := ATTRIBUTE.match(line):
            path[-1].attributes[found[1]] = found[2] if found[2] is not None else found[3]
    return top


def resource(apk, reference):
    """The compiled file a reference like @0x7f070002 stands for; none when there is none."""
    if reference is None:
        return Element("", 0)
    table = aapt2("resources", apk)
    found = re.search(rf"resource {reference.lstrip('@')} .*\n\s*\(\) \(file\) (\S+)", table)
    return read(apk, found[1]) if found else Element("", 0)


def problems(apk):
    """One line for each promise the APK's manifest breaks."""
    manifest = read(apk, "AndroidManifest.xml")
    application = manifest.one("application")

    asked = {it.get("name") for it in manifest.all("uses-permission")}
    for name in sorted(asked - PERMISSIONS):
        yield f"asks for {name}, which nothing needs"
    for name in sorted(PERMISSIONS - asked):
        yield f"does not ask for {name}"
    sdk = manifest.one("uses-sdk")
    for name, value in (("minSdkVersion", MIN_SDK), ("targetSdkVersion", TARGET_SDK)):
        if sdk.get(name) != str(value):
            yield f"{name} is {sdk.get(name)} instead of {value}"

    for name, value in APPLICATION.items():
        if application.get(name) != value:
            yield f"application: {name} is not {value}"
    for name in ("debuggable", "testOnly"):
        if application.get(name) == "true":
            yield f"application: {name}"
    if manifest.one("manifest").get("sharedUserId"):
        yield "shares its user with other apps"
    network = resource(apk, application.get("networkSecurityConfig"))
    configs = [*network.all("base-config"), *network.all("domain-config")]
    if not configs or any(it.get("cleartextTrafficPermitted") != "false" for it in configs):
        yield "the network settings permit clear text"
    rules = resource(apk, application.get("dataExtractionRules"))
    for way in ("cloud-backup", "device-transfer"):
        excluded = {it.get("domain") for it in rules.one(way).all("exclude")}
        if not BACKUP_DOMAINS <= excluded or any(rules.one(way).all("include")):
            yield f"data leave the phone by {way}"
    data = {it.get("name"): it.get("value") for it in application.children if it.name == "meta-data"}
    if data.get("isMonitoringTool") != "enterprise_management":
        yield "isMonitoringTool does not say enterprise_management"

    yield from components(application)
    yield from services(apk, application)


def short(component):
    """`.live.LiveActivity`, also where a build wrote the whole name."""
    return (component.get("name") or "").removeprefix(PACKAGE)


def components(application):
    for kind in ("activity", "activity-alias", "service", "receiver", "provider"):
        for it in application.all(kind):
            name, exported = short(it), it.get("exported")
            if exported not in ("true", "false"):
                yield f"{name} does not say whether it is exported"
            elif exported == "true" and name not in EXPORTED:
                yield f"{name} is exported without need"
            elif exported == "true" and it.get("permission") != EXPORTED[name]:
                yield f"{name} is not guarded by {EXPORTED[name]}"
            if it.get("directBootAware") == "true":
                yield f"{name} runs before the phone is unlocked"


def services(apk, application):
    named = {short(it): it for it in application.all("service")}
    agent = named.get(".agent.AgentService", Element("", 0))
    if int(agent.get("foregroundServiceType") or "0", 16) != SPECIAL_USE | SYSTEM_EXEMPTED:
        yield ".agent.AgentService is not specialUse|systemExempted"
    properties = {it.get("name"): it.get("value") for it in agent.all("property")}
    if not properties.get("android.app.PROPERTY_SPECIAL_USE_FGS_SUBTYPE"):
        yield ".agent.AgentService does not say what the special use is"
    screen = named.get(".capture.ScreenService", Element("", 0))
    settings = next(
        (it.get("resource") for it in screen.all("meta-data") if it.get("name") == "android.accessibilityservice"),
        None,
    )
    config = resource(apk, settings).one("accessibility-service")
    for name, value in SCREEN.items():
        if config.get(name) != value:
            yield f"the accessibility service: {name} is {config.get(name)} instead of {value}"


if __name__ == "__main__":
    broken = [f"{apk}: {it}" for apk in sys.argv[1:] for it in problems(apk)]
    sys.exit("\n".join(broken) if broken else 0)
