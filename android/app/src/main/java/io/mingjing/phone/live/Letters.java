package io.mingjing.phone.live;

import android.view.View;
import com.google.protobuf.InvalidProtocolBufferException;
import io.mingjing.phone.R;
import java.util.ArrayList;
import java.util.List;
import mingjing.v1.App.OwnLetter;
import mingjing.v1.App.StatusReply;
import mingjing.v1.Session.Answer;
import mingjing.v1.Session.AuditCheckpoint;
import mingjing.v1.Session.Coaching;
import mingjing.v1.Session.Directive;
import mingjing.v1.Session.Done;
import mingjing.v1.Session.FindingNotice;
import mingjing.v1.Session.FromApp;
import mingjing.v1.Session.FromDevice;
import mingjing.v1.Session.ReadReceipt;
import mingjing.v1.Session.ToDevice;

/** The parts of the page about what came from the company: who read, findings, notes, tasks. */
final class Letters {
    private static final int CHECKPOINTS_SHOWN = 3;

    private final LiveActivity activity;
    private final Page page;

    Letters(LiveActivity activity, Page page) {
        this.activity = activity;
        this.page = page;
    }

    void read(StatusReply reply) {
        page.heading(activity.getString(R.string.live_read));
        boolean any = false;
        for (ToDevice letter : reply.getLettersList()) {
            if (letter.hasReadReceipt()) {
                ReadReceipt it = letter.getReadReceipt();
                page.text(activity.when(it.getAtMs()) + " · "
                        + Words.of(activity, "role", it.getReaderRole())
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
                        + " · " + Words.of(activity, "finding", it.getState()));
                page.button(R.string.live_answer, new View.OnClickListener() {
                    @Override
                    public void onClick(View view) {
                        Form.ask(activity, R.string.live_answer, new Form.Written() {
                            @Override
                            public void done(String text) {
                                activity.send(FromApp.newBuilder().setAnswer(Answer.newBuilder()
                                        .setId(Form.id()).setFindingId(it.getFindingId())
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

    /** What the employee wrote, newest first, and what became of it. */
    void own(StatusReply reply) {
        if (reply.getOwnLettersCount() == 0) {
            return;
        }
        page.heading(activity.getString(R.string.live_own));
        for (int i = reply.getOwnLettersCount() - 1; i >= 0; i--) {
            OwnLetter it = reply.getOwnLetters(i);
            String what = what(it.getLetter());
            page.text((it.getAtMs() == 0 ? "" : activity.when(it.getAtMs()) + " · ") + what + " · "
                    + Words.of(activity, "letter", it.getState())).setTextIsSelectable(true);
        }
    }

    private String what(FromDevice letter) {
        if (letter.hasAnswer()) {
            return activity.getString(R.string.live_answer) + " · " + letter.getAnswer().getText();
        }
        if (letter.hasComplaint()) {
            return activity.getString(R.string.live_complain) + " · "
                    + letter.getComplaint().getText();
        }
        if (letter.hasSubjectRequest()) {
            return Words.of(activity, "live_right", letter.getSubjectRequest().getKind()) + " · "
                    + letter.getSubjectRequest().getText();
        }
        return activity.getString(R.string.live_done);
    }

    /** The newest audit checkpoints this phone has witnessed. */
    void checkpoints(StatusReply reply) {
        int count = reply.getCheckpointsCount();
        if (reply.getStatus().getAuditContradicted()) {
            page.heading(activity.getString(R.string.live_problems));
            page.text(activity.getString(R.string.live_audit_contradicted));
        }
        page.heading(activity.getString(R.string.live_checkpoints, count));
        for (int i = count - 1; i >= Math.max(0, count - CHECKPOINTS_SHOWN); i--) {
            try {
                AuditCheckpoint seen =
                        AuditCheckpoint.parseFrom(reply.getCheckpoints(i).getPayload());
                page.text(activity.getString(R.string.live_checkpoint, seen.getCollector(),
                        seen.getSeq(), activity.when(seen.getAtMs())));
            } catch (InvalidProtocolBufferException newer) {
                // Of a release this app does not know; the agent has kept it all the same.
            }
        }
    }
}
