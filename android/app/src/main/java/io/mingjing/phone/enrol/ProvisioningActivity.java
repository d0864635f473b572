package io.mingjing.phone.enrol;

import android.app.Activity;
import android.app.admin.DevicePolicyManager;
import android.content.Intent;
import android.os.Bundle;
import android.os.PersistableBundle;

/** Answers the system's set-up: this app fully manages the phone, and keeps the code of the QR. */
public final class ProvisioningActivity extends Activity {
    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        Intent intent = getIntent();
        PersistableBundle extras =
                intent.getParcelableExtra(DevicePolicyManager.EXTRA_PROVISIONING_ADMIN_EXTRAS_BUNDLE);
        Managed.keep(this, extras);
        Intent answer = new Intent();
        if (DevicePolicyManager.ACTION_GET_PROVISIONING_MODE.equals(intent.getAction())) {
            answer.putExtra(DevicePolicyManager.EXTRA_PROVISIONING_MODE,
                    DevicePolicyManager.PROVISIONING_MODE_FULLY_MANAGED_DEVICE);
            if (extras != null) {
                answer.putExtra(
                        DevicePolicyManager.EXTRA_PROVISIONING_ADMIN_EXTRAS_BUNDLE, extras);
            }
        }
        setResult(RESULT_OK, answer);
        finish();
    }
}
