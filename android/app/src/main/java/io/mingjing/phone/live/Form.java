package io.mingjing.phone.live;

import android.app.Activity;
import android.app.AlertDialog;
import android.content.DialogInterface;
import android.widget.EditText;
import io.mingjing.phone.R;
import java.util.UUID;

/** Asks for a text. */
final class Form {
    /** It was written. */
    interface Written {
        void done(String text);
    }

    private Form() {
    }

    static void ask(Activity activity, int title, final Written then) {
        final EditText text = new EditText(activity);
        text.setHint(R.string.live_text);
        new AlertDialog.Builder(activity)
                .setTitle(title)
                .setView(text)
                .setNegativeButton(R.string.live_cancel, null)
                .setPositiveButton(R.string.live_send, new DialogInterface.OnClickListener() {
                    @Override
                    public void onClick(DialogInterface dialog, int which) {
                        then.done(text.getText().toString());
                    }
                })
                .show();
    }

    /** A name for what was written, made here so that sending it twice stores it once. */
    static String id() {
        return UUID.randomUUID().toString();
    }
}
