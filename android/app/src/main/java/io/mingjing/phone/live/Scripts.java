package io.mingjing.phone.live;

import android.content.ClipData;
import android.content.ClipboardManager;
import android.text.Editable;
import android.text.TextWatcher;
import android.view.View;
import android.widget.EditText;
import android.widget.TextView;
import io.mingjing.phone.R;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import mingjing.v1.App.StatusReply;
import mingjing.v1.Session.Script;

/** The team's approved wordings: search, and copy with a tap (S13, S14). */
final class Scripts {
    private final LiveActivity activity;
    private final Page page;
    private String typed = "";

    Scripts(LiveActivity activity) {
        this.activity = activity;
        this.page = activity.page();
    }

    void show(StatusReply reply) {
        if (reply.getScripts().getScriptsCount() == 0) {
            return;
        }
        page.heading(activity.getString(R.string.live_scripts));
        EditText search = new EditText(activity);
        search.setId(R.id.search);
        search.setHint(R.string.live_scripts_search);
        search.setSingleLine();
        page.add(search);
        List<TextView> shown = new ArrayList<>();
        for (final Script script : reply.getScripts().getScriptsList()) {
            TextView view = page.text(script.getTopic() + "\n" + script.getText());
            view.setMinHeight(page.dp(48));
            view.setContentDescription(script.getTopic() + ". " + script.getText()
                    + ". " + activity.getString(R.string.live_copy));
            view.setOnClickListener(new View.OnClickListener() {
                @Override
                public void onClick(View clicked) {
                    activity.getSystemService(ClipboardManager.class).setPrimaryClip(
                            ClipData.newPlainText(script.getTopic(), script.getText()));
                    activity.say(activity.getString(R.string.live_copied));
                }
            });
            view.setTag(script);
            shown.add(view);
        }
        search.addTextChangedListener(new Search(shown));
        // The page is laid out anew when something arrives; what was typed stays.
        search.setText(typed);
    }

    /** Shows the scripts that hold what was typed. */
    private final class Search implements TextWatcher {
        private final List<TextView> views;

        Search(List<TextView> views) {
            this.views = views;
        }

        @Override
        public void beforeTextChanged(CharSequence text, int start, int count, int after) {
        }

        @Override
        public void onTextChanged(CharSequence text, int start, int before, int count) {
            typed = text.toString();
            String wanted = typed.toLowerCase(Locale.ROOT);
            for (TextView view : views) {
                Script script = (Script) view.getTag();
                String all = script.getTopic() + " " + script.getText() + " "
                        + script.getKeywordsList();
                view.setVisibility(all.toLowerCase(Locale.ROOT).contains(wanted)
                        ? View.VISIBLE : View.GONE);
            }
        }

        @Override
        public void afterTextChanged(Editable text) {
        }
    }
}
