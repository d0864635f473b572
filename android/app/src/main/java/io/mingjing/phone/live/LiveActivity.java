package io.mingjing.phone.live;

import android.Manifest;
import android.app.Activity;
import android.app.NotificationManager;
import android.content.ComponentName;
import android.content.Intent;
import android.content.IntentFilter;
import android.os.Build;
import android.os.Bundle;
import android.provider.Settings;
import android.text.format.Formatter;
import android.view.View;
import android.widget.ScrollView;
import io.mingjing.phone.R;
import io.mingjing.phone.agent.App;
import io.mingjing.phone.agent.Phone;
import io.mingjing.phone.agent.StateText;
import io.mingjing.phone.capture.ListenerService;
import io.mingjing.phone.capture.ScreenService;
import io.mingjing.phone.consent.NoticeActivity;
import io.mingjing.phone.consent.WithdrawActivity;
import io.mingjing.phone.enrol.EnrolActivity;
import java.text.DateFormat;
import java.util.Date;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import mingjing.v1.App.AgentStatus;
import mingjing.v1.App.RecordReply;
import mingjing.v1.App.StatusReply;
import mingjing.v1.App.StatusRequest;
import mingjing.v1.Session.FromApp;
import mingjing.v1.Session.Pause;

/** The employee's page: what is collected now, what was sent, who read it, and every right as a button. */
public final class LiveActivity extends Activity {
    private static final int PAUSE_MINUTES = 10;

    private final Phone.Watcher watcher = new Phone.Watcher() {
        @Override
        public void changed() {
            load();
        }
    };
    private Page page;
    private Scripts scripts;
    private boolean loading;
    private boolean again;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        setTitle(R.string.live_title);
        page = new Page(this);
        scripts = new Scripts(this);
        ScrollView scroll = new ScrollView(this);
        scroll.setId(R.id.scroll);
        scroll.addView(page.view());
        setContentView(scroll);
        show(StatusReply.getDefaultInstance());
    }

    @Override
    protected void onStart() {
        super.onStart();
        App.phone(this).watch(watcher);
        load();
    }

    @Override
    protected void onStop() {
        App.phone(this).unwatch(watcher);
        super.onStop();
    }

    /** One question at a time; what changes meanwhile is asked for once more. */
    private void load() {
        if (loading) {
            again = true;
            return;
        }
        loading = true;
        again = false;
        Phone phone = App.phone(this);
        StatusRequest request = StatusRequest.newBuilder()
                .setLanguage(phone.language()).setSent(true).setLetters(true).build();
        // `show` stays the same for an unchanged answer, so that reading is not disturbed.
        phone.ask(request, new Phone.Then<StatusReply>() {
            @Override
            public void done(StatusReply reply) {
                loaded(reply);
            }

            @Override
            public void failed(String why) {
                loaded(StatusReply.getDefaultInstance());
            }
        });
    }

    private StatusReply last;
    private String lastState = "";

    private void loaded(StatusReply reply) {
        loading = false;
        if (isDestroyed()) {
            return;
        }
        String state = StateText.of(this, App.phone(this));
        if (!reply.equals(last) || !state.equals(lastState)) {
            last = reply;
            lastState = state;
            show(reply);
            if (again) {
                load();
            }
        }
    }

    private void show(StatusReply reply) {
        Phone phone = App.phone(this);
        AgentStatus status = reply.getStatus();
        page.clear();
        boolean capturing = phone.state().equals("capturing");
        page.band(StateText.of(this, phone), capturing ? R.color.band_capturing : R.color.band)
                .setId(R.id.state);
        if (phone.state().equals("paused") && status.getPausedUntilMs() > 0) {
            page.text(getString(R.string.live_paused_until, when(status.getPausedUntilMs())));
        }
        if (!status.getConfirmationCode().isEmpty()) {
            page.text(getString(R.string.enrol_pending)
                    + "\n" + status.getConfirmationCode()).setTextSize(20);
        }
        if (phone.state().equals("not_enrolled") || phone.state().equals("key_lost")) {
            opens(R.string.enrol_title, EnrolActivity.class);
        }
        if (phone.mayRead()) {
            opens(R.string.withdraw, WithdrawActivity.class).setId(R.id.withdraw);
            pause(status);
        }
        opens(R.string.live_read_notice, NoticeActivity.class);
        if (!status.getGrant().isEmpty() && !status.getGrant().equals("none")) {
            page.text(NoticeActivity.grant(this, status.getGrant()));
        }
        problems(status);
        permissions(phone);
        counts(status);
        new Sent(this, page).show(reply);
        Letters letters = new Letters(this, page);
        letters.read(reply);
        letters.findings(reply);
        letters.notes(reply);
        scripts.show(reply);
        new Rights(this, page).show(reply);
        letters.own(reply);
        if (status.getLettersWaiting() > 0) {
            page.text(getString(R.string.live_letters_waiting, status.getLettersWaiting()));
        }
        letters.checkpoints(reply);
    }

    private void problems(AgentStatus status) {
        boolean full = registerReceiver(null,
                new IntentFilter(Intent.ACTION_DEVICE_STORAGE_LOW)) != null;
        if (full || status.getProblemsCount() > 0) {
            page.heading(getString(R.string.live_problems));
        }
        if (full) {
            page.text(getString(R.string.storage_low));
        }
        for (String problem : status.getProblemsList()) {
            page.text(problem);
        }
    }

    private View opens(int words, final Class<?> activity) {
        return page.button(words, new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                startActivity(new Intent(LiveActivity.this, activity));
            }
        });
    }

    private void pause(AgentStatus status) {
        final boolean paused = status.getPausedUntilMs() > 0;
        page.button(paused ? R.string.live_pause_end : R.string.live_pause,
                new View.OnClickListener() {
                    @Override
                    public void onClick(View view) {
                        Pause pause = Pause.newBuilder()
                                .setMinutes(paused ? 0 : PAUSE_MINUTES).build();
                        send(FromApp.newBuilder().setPause(pause).build());
                    }
                });
    }

    private void counts(AgentStatus status) {
        page.heading(getString(R.string.live_counts));
        page.text(getString(R.string.live_queue, status.getQueuedEvents(),
                Formatter.formatShortFileSize(this, status.getQueuedBytes()))
                + byCategory(status.getQueuedMap()));
        page.text(getString(R.string.live_sent_counts) + (status.getSentCount() == 0
                ? " 0" : byCategory(status.getSentMap())));
        String upload = status.getLastUploadMs() == 0 ? getString(R.string.live_never)
                : when(status.getLastUploadMs());
        page.text(getString(R.string.live_last_upload, upload));
        if (!status.getSession().isEmpty()) {
            page.text(getString(R.string.live_session,
                    Words.of(this, "session", status.getSession())));
        }
        if (status.getRefusedEvents() > 0) {
            page.text(getString(R.string.live_refused, status.getRefusedEvents()));
        }
        long lost = App.phone(this).queue().lost();
        if (lost > 0) {
            page.text(getString(R.string.live_lost, lost));
        }
    }

    private String byCategory(Map<String, Long> counts) {
        StringBuilder line = new StringBuilder();
        for (Map.Entry<String, Long> count : new TreeMap<>(counts).entrySet()) {
            line.append(" · ").append(Words.of(this, "category", count.getKey()))
                    .append(' ').append(count.getValue());
        }
        return line.toString();
    }

    String when(long atMs) {
        Locale locale = getResources().getConfiguration().getLocales().get(0);
        return DateFormat.getDateTimeInstance(DateFormat.MEDIUM, DateFormat.SHORT, locale)
                .format(new Date(atMs));
    }

    private void permissions(Phone phone) {
        page.heading(getString(R.string.live_permissions));
        NotificationManager notifications = getSystemService(NotificationManager.class);
        boolean listener = notifications.isNotificationListenerAccessGranted(
                new ComponentName(this, ListenerService.class));
        page.text(getString(listener ? R.string.live_listener_on : R.string.live_listener_off));
        if (!listener) {
            settings(Settings.ACTION_NOTIFICATION_LISTENER_SETTINGS);
        }
        String enabled = Settings.Secure.getString(
                getContentResolver(), Settings.Secure.ENABLED_ACCESSIBILITY_SERVICES);
        boolean screen = enabled != null && enabled.contains(
                new ComponentName(this, ScreenService.class).flattenToString());
        page.text(getString(screen ? R.string.live_screen_on : R.string.live_screen_off));
        if (!screen) {
            settings(Settings.ACTION_ACCESSIBILITY_SETTINGS);
        }
        boolean posting = notifications.areNotificationsEnabled();
        page.text(getString(posting ? R.string.live_posting_on : R.string.live_posting_off));
        if (!posting && Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) {
            page.button(R.string.live_open, new View.OnClickListener() {
                @Override
                public void onClick(View view) {
                    requestPermissions(new String[] {Manifest.permission.POST_NOTIFICATIONS}, 0);
                }
            });
        }
        if (!phone.keyProtection().isEmpty()) {
            page.text(getString(R.string.live_key,
                    Words.of(this, "live_key", phone.keyProtection())));
        }
    }

    private void settings(final String action) {
        page.button(R.string.live_open, new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                startActivity(new Intent(action));
            }
        });
    }

    Page page() {
        return page;
    }

    /** Hands something of the employee's to the agent and says so. */
    void send(FromApp message) {
        App.phone(this).send(message, new Phone.Then<RecordReply>() {
            @Override
            public void done(RecordReply reply) {
                say(getString(R.string.live_sent_ok));
            }

            @Override
            public void failed(String why) {
                say(getString(R.string.notice_failed, why));
            }
        });
    }

    void say(String words) {
        android.widget.Toast.makeText(this, words, android.widget.Toast.LENGTH_LONG).show();
    }
}
