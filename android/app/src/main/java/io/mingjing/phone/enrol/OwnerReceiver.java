package io.mingjing.phone.enrol;

import android.app.admin.DeviceAdminReceiver;

/** Makes the app the owner of a company phone when it is set up by QR code. It uses no owner power. */
public final class OwnerReceiver extends DeviceAdminReceiver {
}
