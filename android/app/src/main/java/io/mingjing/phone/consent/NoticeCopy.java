package io.mingjing.phone.consent;

import android.content.Context;
import io.mingjing.phone.R;
import io.mingjing.phone.live.Words;
import java.text.DateFormat;
import java.util.Date;
import java.util.Locale;
import mingjing.v1.App.CategorySwitch;
import mingjing.v1.App.NoticeSection;
import mingjing.v1.App.StatusReply;
import mingjing.v1.Record.CategoryDecision;
import mingjing.v1.Record.Decision;

/** The notice as text, to be kept by the employee; and what he decided on it (N16, K10). */
final class NoticeCopy {
    private NoticeCopy() {
    }

    /** Everything the page shows: the sections, the choices and the receipt. */
    static String text(Context context, StatusReply reply) {
        StringBuilder text = new StringBuilder();
        for (NoticeSection section : reply.getNotice().getSectionsList()) {
            text.append("# ").append(section.getTitle()).append('\n');
            for (String line : section.getLinesList()) {
                text.append(line).append('\n');
            }
            text.append('\n');
        }
        text.append("# ").append(context.getString(R.string.notice_yours)).append('\n');
        return text.append(choices(context, reply)).append('\n').toString();
    }

    /** The decision of each category, and when the consent was countersigned. */
    static String choices(Context context, StatusReply reply) {
        StringBuilder text = new StringBuilder();
        for (CategoryDecision it : reply.getStatus().getDecisionsList()) {
            if (it.getDecision() == Decision.UNRECOGNIZED
                    || it.getDecision() == Decision.DECISION_UNSPECIFIED) {
                continue;
            }
            text.append(title(context, reply, it)).append(" · ").append(Words.of(context,
                    "decision", Words.name(it.getDecision(), "DECISION_"))).append('\n');
        }
        if (text.length() == 0) {
            text.append(context.getString(R.string.notice_yours_none)).append('\n');
        }
        if (reply.hasReceipt() && reply.getReceipt().getAccepted()) {
            Locale locale = context.getResources().getConfiguration().getLocales().get(0);
            String when = DateFormat.getDateTimeInstance(
                    DateFormat.MEDIUM, DateFormat.SHORT, locale)
                    .format(new Date(reply.getReceipt().getAtMs()));
            text.append(context.getString(R.string.notice_receipt, when)).append('\n');
        }
        text.setLength(text.length() - 1);
        return text.toString();
    }

    private static String title(Context context, StatusReply reply, CategoryDecision decision) {
        for (CategorySwitch it : reply.getNotice().getSwitchesList()) {
            if (it.getCategory() == decision.getCategory()) {
                return it.getTitle();
            }
        }
        return Words.of(context, "category", Words.name(decision.getCategory(), "CATEGORY_"));
    }
}
