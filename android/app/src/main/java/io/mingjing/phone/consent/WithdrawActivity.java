package io.mingjing.phone.consent;

import android.app.Activity;
import android.os.Bundle;
import android.view.View;
import android.widget.ScrollView;
import io.mingjing.phone.R;
import io.mingjing.phone.agent.App;
import io.mingjing.phone.live.Page;

/**
 * The second tap of a withdrawal; the first was on the page or in the notification. It asks for no reason,
 * no password and no network.
 */
public final class WithdrawActivity extends Activity {
    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        setTitle(R.string.withdraw);
        final Page page = new Page(this);
        page.text(getString(R.string.withdraw_ask));
        page.button(R.string.withdraw_now, new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                App.phone(WithdrawActivity.this).withdraw(null);
                page.clear();
                page.text(getString(R.string.withdrawn)).setId(R.id.result);
                page.button(R.string.withdraw_back, closer());
            }
        }).setId(R.id.withdraw);
        page.button(R.string.withdraw_back, closer());
        ScrollView scroll = new ScrollView(this);
        scroll.addView(page.view());
        setContentView(scroll);
    }

    private View.OnClickListener closer() {
        return new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                finish();
            }
        };
    }
}
