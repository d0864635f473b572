package io.mingjing.phone;

import static org.junit.Assert.assertTrue;

import android.app.Activity;
import android.graphics.Bitmap;
import android.graphics.Canvas;
import android.view.View;
import android.widget.ScrollView;
import io.mingjing.phone.consent.NoticeActivity;
import io.mingjing.phone.live.LiveActivity;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.util.HashSet;
import java.util.Set;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.ParameterizedRobolectricTestRunner;
import org.robolectric.Robolectric;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.android.controller.ActivityController;

/** Draws the pages, whole, for people to look at. */
@RunWith(ParameterizedRobolectricTestRunner.class)
public final class PictureTest {
    private final String language;
    private final boolean night;
    private final float font;

    public PictureTest(String language, boolean night, float font) {
        this.language = language;
        this.night = night;
        this.font = font;
    }

    @ParameterizedRobolectricTestRunner.Parameters(name = "{0} night={1} font={2}")
    public static java.util.List<Object[]> looks() {
        return java.util.Arrays.asList(new Object[] {"zh-rCN", false, 1f},
                new Object[] {"en-rUS", true, 1f}, new Object[] {"zh-rCN", true, 2f},
                new Object[] {"en-rUS", false, 2f});
    }

    @Test
    public void pages() throws IOException {
        RuntimeEnvironment.setQualifiers(language + "-w360dp-h800dp-"
                + (night ? "night" : "notnight") + "-xhdpi");
        RuntimeEnvironment.setFontScale(font);
        TestApp.get().agent.granted = true;
        TestApp.get().agent.full = true;
        TestApp.phone().refresh();
        TestApp.until("granted", () -> TestApp.phone().mayRead());
        ActivityController<NoticeActivity> notice =
                Robolectric.buildActivity(NoticeActivity.class).setup();
        TestApp.until("notice", () -> notice.get().findViewById(R.id.accept) != null);
        draw(notice.get(), "notice");
        ActivityController<LiveActivity> live =
                Robolectric.buildActivity(LiveActivity.class).setup();
        TestApp.until("live", () -> live.get().findViewById(R.id.withdraw) != null);
        draw(live.get(), "live");
    }

    private void draw(Activity activity, String name) throws IOException {
        ScrollView scroll = activity.findViewById(R.id.scroll);
        View content = scroll.getChildAt(0);
        int width = 720;
        content.measure(View.MeasureSpec.makeMeasureSpec(width, View.MeasureSpec.EXACTLY),
                View.MeasureSpec.makeMeasureSpec(0, View.MeasureSpec.UNSPECIFIED));
        content.layout(0, 0, width, content.getMeasuredHeight());
        content.jumpDrawablesToCurrentState();
        Bitmap picture = Bitmap.createBitmap(
                width, content.getHeight(), Bitmap.Config.ARGB_8888);
        Canvas canvas = new Canvas(picture);
        activity.getWindow().getDecorView().getBackground().setBounds(0, 0, width,
                content.getHeight());
        activity.getWindow().getDecorView().getBackground().draw(canvas);
        content.draw(canvas);
        Set<Integer> colors = new HashSet<>();
        for (int y = 0; y < picture.getHeight(); y += 3) {
            for (int x = 0; x < width; x += 3) {
                colors.add(picture.getPixel(x, y));
            }
        }
        assertTrue("an empty picture", colors.size() > 10);
        File dir = new File(System.getProperty("mingjing.pictures"));
        dir.mkdirs();
        try (FileOutputStream out = new FileOutputStream(new File(dir, name + "-" + language
                + (night ? "-night" : "") + (font > 1 ? "-large" : "") + ".png"))) {
            picture.compress(Bitmap.CompressFormat.PNG, 100, out);
        }
    }
}
