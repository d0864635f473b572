package io.mingjing.phone.consent;

import android.app.Activity;
import android.os.Bundle;
import android.text.InputType;
import android.view.View;
import android.widget.Button;
import android.widget.EditText;
import android.widget.ScrollView;
import android.widget.Switch;
import android.widget.TextView;
import com.google.protobuf.ByteString;
import io.mingjing.phone.R;
import io.mingjing.phone.agent.App;
import io.mingjing.phone.agent.Phone;
import io.mingjing.phone.live.Page;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import mingjing.v1.ActivityOuterClass.Category;
import mingjing.v1.App.CategorySwitch;
import mingjing.v1.App.NoticeSection;
import mingjing.v1.App.RecordReply;
import mingjing.v1.App.RenderedNotice;
import mingjing.v1.App.StatusReply;
import mingjing.v1.App.StatusRequest;
import mingjing.v1.Record.CategoryDecision;
import mingjing.v1.Record.Decision;
import mingjing.v1.Session.ConsentChoice;
import mingjing.v1.Session.FromApp;
import mingjing.v1.Session.GrantProof;

/**
 * Shows the notice, section by section as the agent rendered it, and asks (requirements N1 to N16, K).
 *
 * <p>Invariants: nothing can be accepted before the end was on the screen; each category has a switch of
 * its own and none starts switched on; refusing is possible at any moment and needs nothing.
 */
public final class NoticeActivity extends Activity {
    private static final String READ = "read";
    private static final String VERSION = "version";
    private static final int[] SWITCH_IDS = {
        R.id.switch_1, R.id.switch_2, R.id.switch_3, R.id.switch_4, R.id.switch_5, R.id.switch_6,
        R.id.switch_7,
    };

    private final Map<Category, Switch> switches = new LinkedHashMap<>();
    private Page page;
    private ScrollView scroll;
    private RenderedNotice notice;
    private EditText password;
    private Button accept;
    private TextView hint;
    private TextView result;
    private boolean read;
    private int readVersion;
    private Bundle saved;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        saved = state;
        if (state != null) {
            read = state.getBoolean(READ);
            readVersion = state.getInt(VERSION);
        }
        setTitle(R.string.notice_title);
        page = new Page(this);
        scroll = new ScrollView(this);
        scroll.setId(R.id.scroll);
        scroll.setFillViewport(true);
        scroll.addView(page.view());
        setContentView(scroll);
        scroll.setOnScrollChangeListener(new View.OnScrollChangeListener() {
            @Override
            public void onScrollChange(View view, int x, int y, int oldX, int oldY) {
                lookForEnd();
            }
        });
        load();
    }

    private void load() {
        final Phone phone = App.phone(this);
        phone.ask(StatusRequest.newBuilder().setLanguage(phone.language()).setNotice(true).build(),
                new Phone.Then<StatusReply>() {
                    @Override
                    public void done(StatusReply reply) {
                        if (!isDestroyed()) {
                            show(reply);
                        }
                    }

                    @Override
                    public void failed(String why) {
                        if (!isDestroyed()) {
                            page.clear();
                            page.text(getString(R.string.notice_none));
                        }
                    }
                });
    }

    private void show(StatusReply reply) {
        page.clear();
        switches.clear();
        if (!reply.hasNotice()) {
            page.text(getString(R.string.notice_none));
            return;
        }
        notice = reply.getNotice();
        if (readVersion != notice.getVersion()) {
            read = false;
            readVersion = notice.getVersion();
        }
        for (NoticeSection section : notice.getSectionsList()) {
            page.heading(section.getTitle());
            for (String line : section.getLinesList()) {
                page.text(line).setTextIsSelectable(true);
            }
        }
        page.heading(getString(R.string.notice_choose));
        hint = page.text(getString(R.string.notice_scroll));
        int index = 0;
        for (CategorySwitch category : notice.getSwitchesList()) {
            addSwitch(category, index++);
        }
        TextView label = page.text(getString(R.string.notice_password));
        label.setLabelFor(R.id.password);
        password = new EditText(this);
        password.setId(R.id.password);
        password.setInputType(InputType.TYPE_CLASS_TEXT | InputType.TYPE_TEXT_VARIATION_PASSWORD);
        password.setImportantForAutofill(View.IMPORTANT_FOR_AUTOFILL_NO);
        password.setSaveEnabled(false);
        page.add(password);
        page.text(getString(R.string.notice_password_why));
        // The same size and weight: refusing is as easy as accepting.
        accept = page.button(R.string.notice_accept, new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                grant();
            }
        });
        accept.setId(R.id.accept);
        page.button(R.string.notice_refuse, new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                refuse();
            }
        }).setId(R.id.refuse);
        result = page.text("");
        result.setId(R.id.result);
        result.setAccessibilityLiveRegion(View.ACCESSIBILITY_LIVE_REGION_POLITE);
        if (saved != null) {
            restore(saved);
            saved = null;
        }
        open();
        // A notice shorter than the screen is read without scrolling.
        scroll.post(new Runnable() {
            @Override
            public void run() {
                lookForEnd();
            }
        });
    }

    private void addSwitch(CategorySwitch category, int index) {
        Switch view = new Switch(this);
        view.setId(SWITCH_IDS[Math.min(index, SWITCH_IDS.length - 1)]);
        view.setText(category.getSensitive()
                ? category.getTitle() + " (" + getString(R.string.notice_sensitive) + ")"
                : category.getTitle());
        view.setTextSize(16);
        view.setMinHeight(page.dp(48));
        view.setSaveEnabled(false);
        page.add(view);
        page.text(category.getExample());
        switches.put(category.getCategory(), view);
    }

    private void lookForEnd() {
        View content = scroll.getChildAt(0);
        boolean atEnd = content.getHeight() > 0
                && scroll.getScrollY() + scroll.getHeight() >= content.getHeight() - page.dp(8);
        if (notice != null && !read && atEnd) {
            read = true;
            open();
        }
    }

    private void open() {
        for (Switch view : switches.values()) {
            view.setEnabled(read);
        }
        password.setEnabled(read);
        accept.setEnabled(read);
        hint.setVisibility(read ? View.GONE : View.VISIBLE);
    }

    private void grant() {
        String typed = password.getText().toString();
        List<CategoryDecision> decisions = new ArrayList<>();
        boolean any = false;
        for (Map.Entry<Category, Switch> choice : switches.entrySet()) {
            boolean on = choice.getValue().isChecked();
            any |= on;
            decisions.add(CategoryDecision.newBuilder().setCategory(choice.getKey())
                    .setDecision(on ? Decision.DECISION_GRANTED : Decision.DECISION_REFUSED)
                    .build());
        }
        if (!any) {
            result.setText(R.string.notice_nothing_chosen);
        } else if (typed.isEmpty()) {
            result.setText(R.string.notice_password_missing);
        } else if (read) {
            password.setText("");
            send(decisions, typed);
        }
    }

    private void refuse() {
        List<CategoryDecision> decisions = new ArrayList<>();
        for (Category category : switches.keySet()) {
            decisions.add(CategoryDecision.newBuilder().setCategory(category)
                    .setDecision(Decision.DECISION_REFUSED).build());
        }
        send(decisions, null);
    }

    private void send(List<CategoryDecision> decisions, final String typed) {
        ConsentChoice choice = ConsentChoice.newBuilder()
                .addAllDecisions(decisions)
                .setLanguage(notice.getLanguage())
                .setGivenHow("screen")
                .setNoticeVersion(notice.getVersion())
                .setNoticeSha256(notice.getSha256())
                .build();
        App.phone(this).send(FromApp.newBuilder().setConsent(choice).build(),
                new Phone.Then<RecordReply>() {
                    @Override
                    public void done(RecordReply reply) {
                        if (typed == null) {
                            result.setText(R.string.notice_refused);
                        } else {
                            prove(reply.getConsentSeq(), typed);
                        }
                    }

                    @Override
                    public void failed(String why) {
                        result.setText(getString(R.string.notice_failed, why));
                    }
                });
    }

    private void prove(long seq, String typed) {
        GrantProof proof = GrantProof.newBuilder()
                .setConsentSeq(seq).setPasswordBytes(ByteString.copyFromUtf8(typed)).build();
        App.phone(this).send(FromApp.newBuilder().setGrantProof(proof).build(),
                new Phone.Then<RecordReply>() {
                    @Override
                    public void done(RecordReply reply) {
                        result.setText(R.string.notice_waiting);
                    }

                    @Override
                    public void failed(String why) {
                        result.setText(getString(R.string.notice_failed, why));
                    }
                });
    }

    @Override
    protected void onSaveInstanceState(Bundle out) {
        super.onSaveInstanceState(out);
        out.putBoolean(READ, read);
        out.putInt(VERSION, readVersion);
        for (Map.Entry<Category, Switch> choice : switches.entrySet()) {
            out.putBoolean(choice.getKey().name(), choice.getValue().isChecked());
        }
    }

    /** After a rotation or the end of the process; another version of the notice starts unticked. */
    private void restore(Bundle state) {
        if (state.getInt(VERSION) != notice.getVersion()) {
            return;
        }
        for (Map.Entry<Category, Switch> choice : switches.entrySet()) {
            choice.getValue().setChecked(state.getBoolean(choice.getKey().name()));
        }
    }
}
