package io.mingjing.phone.live;

import android.content.Context;
import io.mingjing.phone.R;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import mingjing.v1.ActivityOuterClass.Activity;
import mingjing.v1.ActivityOuterClass.Direction;
import mingjing.v1.App.StatusReply;
import mingjing.v1.Record.Events;

/** The last events exactly as they were sent: every field that holds something, newest first (N14). */
final class Sent {
    private static final int SHOWN = 50;

    private final LiveActivity activity;
    private final Page page;

    Sent(LiveActivity activity, Page page) {
        this.activity = activity;
        this.page = page;
    }

    void show(StatusReply reply) {
        page.heading(activity.getString(R.string.live_sent));
        List<Activity> all = new ArrayList<>();
        for (Events events : reply.getSentList()) {
            all.addAll(events.getActivitiesList());
        }
        if (all.isEmpty()) {
            page.text(activity.getString(R.string.live_sent_none));
        }
        // The agent keeps fifty of each category, so they come category by category.
        Collections.sort(all, new Comparator<Activity>() {
            @Override
            public int compare(Activity one, Activity other) {
                return Long.compare(other.getAtMs(), one.getAtMs());
            }
        });
        for (Activity sent : all.subList(0, Math.min(SHOWN, all.size()))) {
            page.text(line(sent)).setTextIsSelectable(true);
        }
    }

    private String line(Activity sent) {
        Context context = activity;
        StringBuilder line = new StringBuilder(activity.when(sent.getAtMs())).append(" · ")
                .append(Words.kind(context, sent));
        if (sent.getDirection() == Direction.DIRECTION_IN) {
            append(line, context.getString(R.string.direction_in));
        } else if (sent.getDirection() == Direction.DIRECTION_OUT) {
            append(line, context.getString(R.string.direction_out));
        }
        append(line, sent.getConversation().getTitle());
        append(line, sent.getSender());
        append(line, sent.getPeer());
        for (String member : sent.getMembersList()) {
            append(line, member);
        }
        append(line, sent.getTarget());
        if (!sent.getContent().isEmpty() && !sent.getContent().equals("text")) {
            append(line, Words.of(context, "content", sent.getContent()));
        }
        append(line, sent.getText());
        if (sent.getTruncated()) {
            append(line, context.getString(R.string.live_truncated));
        }
        if (sent.hasAmountFen()) {
            append(line, String.format(Locale.ROOT, "¥%d.%02d",
                    sent.getAmountFen() / 100, sent.getAmountFen() % 100));
        }
        if (sent.getCount() > 0) {
            append(line, "× " + sent.getCount());
        }
        return line.toString();
    }

    private static void append(StringBuilder line, String part) {
        if (!part.isEmpty()) {
            line.append(" · ").append(part);
        }
    }
}
