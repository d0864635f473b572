package io.mingjing.phone.enrol;

import android.app.Activity;
import android.os.Bundle;
import android.text.InputType;
import android.view.View;
import android.widget.Button;
import android.widget.EditText;
import android.widget.ScrollView;
import android.widget.TextView;
import io.mingjing.phone.R;
import io.mingjing.phone.agent.App;
import io.mingjing.phone.agent.Phone;
import io.mingjing.phone.live.Page;

/** Takes the code IT gave, and shows the six digits IT has to confirm. */
public final class EnrolActivity extends Activity {
    private EditText code;
    private Button go;
    private TextView result;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        setTitle(R.string.enrol_title);
        Page page = new Page(this);
        page.text(getString(R.string.enrol_about));
        code = new EditText(this);
        code.setId(R.id.token);
        code.setHint(R.string.enrol_token);
        code.setInputType(InputType.TYPE_CLASS_TEXT | InputType.TYPE_TEXT_FLAG_MULTI_LINE
                | InputType.TYPE_TEXT_FLAG_NO_SUGGESTIONS);
        Token managed = Managed.token(this);
        if (managed != null && state == null) {
            code.setText(managed.text());
        }
        page.add(code);
        go = page.button(R.string.enrol_go, new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                enrol();
            }
        });
        go.setId(R.id.enrol);
        result = page.text("");
        result.setId(R.id.result);
        result.setTextSize(20);
        result.setAccessibilityLiveRegion(View.ACCESSIBILITY_LIVE_REGION_POLITE);
        ScrollView scroll = new ScrollView(this);
        scroll.addView(page.view());
        setContentView(scroll);
    }

    private void enrol() {
        Token token = Token.read(code.getText().toString());
        if (token == null) {
            result.setText(R.string.enrol_bad);
            return;
        }
        go.setEnabled(false);
        result.setText(R.string.enrol_working);
        App.phone(this).enrol(token, new Phone.Then<String>() {
            @Override
            public void done(String confirmation) {
                Managed.forget(EnrolActivity.this);
                result.setText(confirmation.isEmpty() ? getString(R.string.enrol_done)
                        : getString(R.string.enrol_pending) + "\n" + confirmation);
            }

            @Override
            public void failed(String why) {
                go.setEnabled(true);
                result.setText(getString(R.string.enrol_failed, why));
            }
        });
    }
}
