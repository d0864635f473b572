package io.mingjing.phone;

import io.mingjing.phone.consent.NoticeActivity;
import io.mingjing.phone.live.LiveActivity;
import java.io.IOException;
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
        Picture.draw(notice.get(), "notice-" + look());
        ActivityController<LiveActivity> live =
                Robolectric.buildActivity(LiveActivity.class).setup();
        TestApp.until("live", () -> live.get().findViewById(R.id.withdraw) != null);
        Picture.draw(live.get(), "live-" + look());
    }

    private String look() {
        return language + (night ? "-night" : "") + (font > 1 ? "-large" : "");
    }
}
