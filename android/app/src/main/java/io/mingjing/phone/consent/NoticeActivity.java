package io.mingjing.phone.consent;

import android.app.Activity;
import android.content.ActivityNotFoundException;
import android.content.Context;
import android.content.Intent;
import android.net.Uri;
import android.os.Bundle;
import android.os.Handler;
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
import io.mingjing.phone.live.Words;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import mingjing.v1.ActivityOuterClass.Category;
import mingjing.v1.App.AgentStatus;
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

    private static final int SAVE = 1;

    private final Phone.Watcher watcher = new Phone.Watcher() {
        @Override
        public void changed() {
            sayGrant();
        }
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
    private StatusReply shown;
    /** A grant was sent from this page and not answered yet. */
    private boolean asked;

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

    @Override
    protected void onStart() {
        super.onStart();
        App.phone(this).watch(watcher);
    }

    @Override
    protected void onStop() {
        App.phone(this).unwatch(watcher);
        super.onStop();
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
        shown = reply;
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
        Button save = page.button(R.string.notice_save, new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                save();
            }
        });
        save.setId(R.id.save);
        page.heading(getString(R.string.notice_yours));
        page.text(NoticeCopy.choices(this, reply)).setTextIsSelectable(true);
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
                ? getString(R.string.notice_sensitive, category.getTitle())
                : category.getTitle());
        // What is asked can be read before it can be answered: only the switch itself looks shut.
        view.setTextColor(page.color(android.R.attr.textColorPrimary));
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
                        asked = true;
                        sayGrant();
                    }

                    @Override
                    public void failed(String why) {
                        result.setText(getString(R.string.notice_failed, why));
                    }
                });
    }

    /** What became of the grant: a wrong password must not look like waiting. */
    private void sayGrant() {
        AgentStatus status = App.phone(this).status();
        if (!asked || status.getGrant().equals("waiting")) {
            return;
        }
        if (!status.getGrant().equals("none")) {
            asked = false;
            result.setText(grant(this, status.getGrant()));
        } else if (status.getGrantedCount() > 0) {
            asked = false;
            result.setText(R.string.notice_accepted);
        }
    }

    /** Where a grant stands, in words. */
    public static String grant(Context context, String state) {
        if (state.equals("waiting")) {
            return context.getString(R.string.live_grant_waiting);
        }
        String words = Words.of(context, "grant", state);
        return words.equals(state) ? context.getString(R.string.grant_other, state) : words;
    }

    /** Where the copy goes is chosen by the employee; the app needs no storage permission. */
    private void save() {
        Intent create = new Intent(Intent.ACTION_CREATE_DOCUMENT)
                .addCategory(Intent.CATEGORY_OPENABLE)
                .setType("text/plain")
                .putExtra(Intent.EXTRA_TITLE,
                        getString(R.string.notice_file, notice.getVersion()));
        try {
            startActivityForResult(create, SAVE);
        } catch (ActivityNotFoundException none) {
            result.setText(R.string.notice_save_none);
        }
    }

    @Override
    protected void onActivityResult(int request, int answer, Intent chosen) {
        super.onActivityResult(request, answer, chosen);
        if (request != SAVE || answer != RESULT_OK || chosen == null || shown == null) {
            return;
        }
        final Uri target = chosen.getData();
        final byte[] copy = NoticeCopy.text(this, shown).getBytes(StandardCharsets.UTF_8);
        final Handler main = new Handler(getMainLooper());
        new Thread("mingjing-save") {
            @Override
            public void run() {
                int said = R.string.notice_save_done;
                try (OutputStream out = getContentResolver().openOutputStream(target)) {
                    out.write(copy);
                } catch (IOException | RuntimeException error) {
                    said = R.string.notice_save_failed;
                }
                final int words = said;
                main.post(new Runnable() {
                    @Override
                    public void run() {
                        result.setText(words);
                    }
                });
            }
        }.start();
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
