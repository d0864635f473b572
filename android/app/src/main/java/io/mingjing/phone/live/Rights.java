package io.mingjing.phone.live;

import android.view.View;
import io.mingjing.phone.R;
import mingjing.v1.App.StatusReply;
import mingjing.v1.Session.Complaint;
import mingjing.v1.Session.FromApp;
import mingjing.v1.Session.PrivateMark;
import mingjing.v1.Session.SubjectRequest;

/** Every right as a button, and the chats that are nobody's business (N8, P5). */
final class Rights {
    private final LiveActivity activity;
    private final Page page;

    Rights(LiveActivity activity, Page page) {
        this.activity = activity;
        this.page = page;
    }

    void show(StatusReply reply) {
        page.heading(activity.getString(R.string.live_rights));
        right(R.string.live_right_copy, "copy");
        right(R.string.live_right_correct, "correct");
        right(R.string.live_right_delete, "delete");
        right(R.string.live_right_explain, "explain");
        page.button(R.string.live_complain, new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                Form.ask(activity, R.string.live_complain, new Form.Written() {
                    @Override
                    public void done(String text) {
                        activity.send(FromApp.newBuilder().setComplaint(Complaint.newBuilder()
                                .setId(Form.id()).setText(text)).build());
                    }
                });
            }
        });
        marks(reply);
    }

    private void right(final int words, final String kind) {
        page.button(words, new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                Form.ask(activity, words, new Form.Written() {
                    @Override
                    public void done(String text) {
                        activity.send(FromApp.newBuilder().setSubjectRequest(
                                SubjectRequest.newBuilder().setId(Form.id()).setKind(kind)
                                        .setText(text)).build());
                    }
                });
            }
        });
    }

    private void marks(StatusReply reply) {
        page.heading(activity.getString(R.string.live_private_marks));
        if (reply.getPrivateMarksCount() == 0) {
            page.text(activity.getString(R.string.live_private_none));
        }
        for (final PrivateMark mark : reply.getPrivateMarksList()) {
            page.text(mark.getConversation()
                    + (mark.getReason().isEmpty() ? "" : " · " + mark.getReason()));
            page.button(R.string.live_private_remove, new View.OnClickListener() {
                @Override
                public void onClick(View view) {
                    activity.send(FromApp.newBuilder().setPrivateMark(
                            mark.toBuilder().setRemove(true)).build());
                }
            });
        }
        page.button(R.string.live_private, new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                Form.ask(activity, R.string.live_private_name, new Form.Written() {
                    @Override
                    public void done(String name) {
                        askReason(name);
                    }
                });
            }
        });
    }

    private void askReason(final String conversation) {
        Form.ask(activity, R.string.live_reason, new Form.Written() {
            @Override
            public void done(String reason) {
                activity.send(FromApp.newBuilder().setPrivateMark(PrivateMark.newBuilder()
                        .setConversation(conversation).setReason(reason)).build());
            }
        });
    }
}
