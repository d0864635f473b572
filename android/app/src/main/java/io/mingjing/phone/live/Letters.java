package io.mingjing.phone.live;

import android.app.AlertDialog;
import android.content.ClipData;
import android.content.ClipboardManager;
import android.content.Context;
import android.content.DialogInterface;
import android.text.Editable;
import android.text.TextWatcher;
import android.view.View;
import android.widget.EditText;
import android.widget.TextView;
import io.mingjing.phone.R;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.UUID;
import mingjing.v1.ActivityOuterClass.Activity;
import mingjing.v1.App.StatusReply;
import mingjing.v1.Record.Events;
import mingjing.v1.Session.Answer;
import mingjing.v1.Session.Coaching;
import mingjing.v1.Session.Complaint;
import mingjing.v1.Session.Directive;
import mingjing.v1.Session.Done;
import mingjing.v1.Session.FindingNotice;
import mingjing.v1.Session.FromApp;
import mingjing.v1.Session.PrivateMark;
import mingjing.v1.Session.ReadReceipt;
import mingjing.v1.Session.Script;
import mingjing.v1.Session.SubjectRequest;
import mingjing.v1.Session.ToDevice;

/** The parts of the page about what went to and fro between the employee and the company. */
final class Letters {
    private static final int SENT_SHOWN = 50;

    private final LiveActivity activity;
    private final Page page;

    Letters(LiveActivity activity, Page page) {
        this.activity = activity;
        this.page = page;
    }

    /** A category's name in the vocabulary, in the screen's language. */
    static String category(Context context, String name) {
        switch (name) {
            case "messages":
                return context.getString(R.string.category_messages);
            case "contacts":
                return context.getString(R.string.category_contacts);
            case "groups":
                return context.getString(R.string.category_groups);
            case "money":
                return context.getString(R.string.category_money);
            case "location":
                return context.getString(R.string.category_location);
            case "operations":
                return context.getString(R.string.category_operations);
            case "usage":
                return context.getString(R.string.category_usage);
            case "device":
                return context.getString(R.string.category_device);
            default:
                return name;
        }
    }

    void sent(StatusReply reply) {
        page.heading(activity.getString(R.string.live_sent));
        List<String> lines = new ArrayList<>();
        for (Events events : reply.getSentList()) {
            for (Activity sent : events.getActivitiesList()) {
                lines.add(line(sent));
            }
        }
        if (lines.isEmpty()) {
            page.text(activity.getString(R.string.live_sent_none));
        }
        int first = Math.max(0, lines.size() - SENT_SHOWN);
        for (int i = lines.size() - 1; i >= first; i--) {
            page.text(lines.get(i)).setTextIsSelectable(true);
        }
    }

    private String line(Activity sent) {
        StringBuilder line = new StringBuilder(activity.when(sent.getAtMs())).append(" · ")
                .append(sent.getKind().name().replace("KIND_", "").toLowerCase(Locale.ROOT));
        append(line, sent.getConversation().getTitle());
        append(line, sent.getSender());
        append(line, sent.getPeer());
        append(line, sent.getTarget());
        append(line, sent.getText());
        if (sent.hasAmountFen()) {
            append(line, String.format(Locale.ROOT, "¥%d.%02d",
                    sent.getAmountFen() / 100, sent.getAmountFen() % 100));
        }
        return line.toString();
    }

    private static void append(StringBuilder line, String part) {
        if (!part.isEmpty()) {
            line.append(" · ").append(part);
        }
    }

    void read(StatusReply reply) {
        page.heading(activity.getString(R.string.live_read));
        boolean any = false;
        for (ToDevice letter : reply.getLettersList()) {
            if (letter.hasReadReceipt()) {
                ReadReceipt it = letter.getReadReceipt();
                page.text(activity.when(it.getAtMs()) + " · " + it.getReaderRole()
                        + " · " + it.getReason() + " · " + it.getWhat());
                any = true;
            }
        }
        if (!any) {
            page.text(activity.getString(R.string.live_read_none));
        }
    }

    void findings(StatusReply reply) {
        page.heading(activity.getString(R.string.live_findings));
        boolean any = false;
        for (ToDevice letter : reply.getLettersList()) {
            if (letter.hasFindingNotice()) {
                final FindingNotice it = letter.getFindingNotice();
                page.text(activity.when(it.getAtMs()) + " · " + it.getRuleTitle()
                        + " · " + it.getState());
                page.button(R.string.live_answer, new View.OnClickListener() {
                    @Override
                    public void onClick(View view) {
                        write(R.string.live_answer, new Written() {
                            @Override
                            public void done(String text) {
                                activity.send(FromApp.newBuilder().setAnswer(Answer.newBuilder()
                                        .setId(id()).setFindingId(it.getFindingId())
                                        .setText(text)).build());
                            }
                        });
                    }
                });
                any = true;
            }
        }
        if (!any) {
            page.text(activity.getString(R.string.live_findings_none));
        }
    }

    void notes(StatusReply reply) {
        List<Coaching> notes = new ArrayList<>();
        List<Directive> tasks = new ArrayList<>();
        for (ToDevice letter : reply.getLettersList()) {
            if (letter.hasCoaching()) {
                notes.add(letter.getCoaching());
            } else if (letter.hasDirective()) {
                tasks.add(letter.getDirective());
            }
        }
        if (!notes.isEmpty()) {
            page.heading(activity.getString(R.string.live_coaching));
            for (Coaching note : notes) {
                page.text(activity.when(note.getAtMs()) + " · " + note.getText());
            }
        }
        if (!tasks.isEmpty()) {
            page.heading(activity.getString(R.string.live_directives));
        }
        for (final Directive task : tasks) {
            page.text(activity.when(task.getDueMs()) + " · " + task.getText());
            page.button(R.string.live_done, new View.OnClickListener() {
                @Override
                public void onClick(View view) {
                    activity.send(FromApp.newBuilder().setDone(
                            Done.newBuilder().setDirectiveId(task.getId())).build());
                }
            });
        }
    }

    void scripts(StatusReply reply) {
        if (reply.getScripts().getScriptsCount() == 0) {
            return;
        }
        page.heading(activity.getString(R.string.live_scripts));
        EditText search = new EditText(activity);
        search.setHint(R.string.live_scripts_search);
        search.setSingleLine();
        page.add(search);
        final List<TextView> shown = new ArrayList<>();
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
    }

    /** Shows the scripts that hold what was typed. */
    private static final class Search implements TextWatcher {
        private final List<TextView> views;

        Search(List<TextView> views) {
            this.views = views;
        }

        @Override
        public void beforeTextChanged(CharSequence text, int start, int count, int after) {
        }

        @Override
        public void onTextChanged(CharSequence text, int start, int before, int count) {
            String typed = text.toString().toLowerCase(Locale.ROOT);
            for (TextView view : views) {
                Script script = (Script) view.getTag();
                String all = script.getTopic() + " " + script.getText() + " "
                        + script.getKeywordsList();
                view.setVisibility(all.toLowerCase(Locale.ROOT).contains(typed)
                        ? View.VISIBLE : View.GONE);
            }
        }

        @Override
        public void afterTextChanged(Editable text) {
        }
    }

    void rights() {
        page.heading(activity.getString(R.string.live_rights));
        right(R.string.live_right_copy, "copy");
        right(R.string.live_right_correct, "correct");
        right(R.string.live_right_delete, "delete");
        right(R.string.live_right_explain, "explain");
        page.button(R.string.live_complain, new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                write(R.string.live_complain, new Written() {
                    @Override
                    public void done(String text) {
                        activity.send(FromApp.newBuilder().setComplaint(Complaint.newBuilder()
                                .setId(id()).setText(text)).build());
                    }
                });
            }
        });
        page.button(R.string.live_private, new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                write(R.string.live_private_name, new Written() {
                    @Override
                    public void done(String name) {
                        askReason(name);
                    }
                });
            }
        });
    }

    private void askReason(final String conversation) {
        write(R.string.live_reason, new Written() {
            @Override
            public void done(String reason) {
                activity.send(FromApp.newBuilder().setPrivateMark(PrivateMark.newBuilder()
                        .setConversation(conversation).setReason(reason)).build());
            }
        });
    }

    private void right(final int words, final String kind) {
        page.button(words, new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                write(words, new Written() {
                    @Override
                    public void done(String text) {
                        activity.send(FromApp.newBuilder().setSubjectRequest(
                                SubjectRequest.newBuilder().setId(id()).setKind(kind)
                                        .setText(text)).build());
                    }
                });
            }
        });
    }

    private static String id() {
        return UUID.randomUUID().toString();
    }

    /** A text was written. */
    private interface Written {
        void done(String text);
    }

    private void write(int title, final Written then) {
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
}
