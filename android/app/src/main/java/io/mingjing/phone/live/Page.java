package io.mingjing.phone.live;

import android.app.Activity;
import android.util.TypedValue;
import android.view.Gravity;
import android.view.View;
import android.view.ViewGroup;
import android.widget.Button;
import android.widget.LinearLayout;
import android.widget.TextView;

/** Lays a page out top to bottom: headings, text, buttons at least 48 dp high. */
public final class Page {
    private final Activity activity;
    private final LinearLayout column;

    public Page(Activity activity) {
        this.activity = activity;
        column = new LinearLayout(activity);
        column.setOrientation(LinearLayout.VERTICAL);
        int space = dp(16);
        column.setPadding(space, space, space, space);
    }

    public ViewGroup view() {
        return column;
    }

    public void clear() {
        column.removeAllViews();
    }

    public int dp(int dp) {
        return Math.round(dp * activity.getResources().getDisplayMetrics().density);
    }

    public int color(int attribute) {
        TypedValue value = new TypedValue();
        activity.getTheme().resolveAttribute(attribute, value, true);
        return value.resourceId == 0 ? value.data : activity.getColor(value.resourceId);
    }

    public TextView heading(CharSequence words) {
        TextView view = text(words);
        view.setTextSize(18);
        view.setTypeface(view.getTypeface(), android.graphics.Typeface.BOLD);
        view.setPadding(0, dp(20), 0, dp(4));
        view.setAccessibilityHeading(true);
        return view;
    }

    public TextView text(CharSequence words) {
        TextView view = new TextView(activity);
        view.setText(words);
        view.setTextSize(15);
        view.setTextColor(color(android.R.attr.textColorPrimary));
        view.setPadding(0, dp(3), 0, dp(3));
        add(view);
        return view;
    }

    /** A line on a coloured ground: the state. */
    public TextView band(CharSequence words, int ground) {
        TextView view = text(words);
        view.setTextSize(17);
        view.setBackgroundColor(activity.getColor(ground));
        view.setPadding(dp(12), dp(12), dp(12), dp(12));
        return view;
    }

    public Button button(int words, View.OnClickListener then) {
        Button button = new Button(activity);
        button.setText(words);
        button.setAllCaps(false);
        button.setMinHeight(dp(48));
        button.setGravity(Gravity.CENTER);
        button.setOnClickListener(then);
        add(button);
        return button;
    }

    public void add(View view) {
        column.addView(view, new LinearLayout.LayoutParams(
                ViewGroup.LayoutParams.MATCH_PARENT, ViewGroup.LayoutParams.WRAP_CONTENT));
    }
}
