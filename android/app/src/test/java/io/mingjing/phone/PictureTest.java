package io.mingjing.phone;

import android.app.Activity;
import android.util.Base64;
import android.widget.TextView;
import com.google.protobuf.ByteString;
import io.mingjing.phone.consent.NoticeActivity;
import io.mingjing.phone.consent.WithdrawActivity;
import io.mingjing.phone.enrol.EnrolActivity;
import io.mingjing.phone.live.LiveActivity;
import java.io.IOException;
import mingjing.v1.App.AgentStatus;
import mingjing.v1.App.StatusReply;
import mingjing.v1.EnrollmentOuterClass.EnrollmentToken;
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
        Picture.draw(withdrawn(), "withdraw-" + look());
        Picture.draw(pending(), "enrol-" + look());
        ActivityController<LiveActivity> waiting =
                Robolectric.buildActivity(LiveActivity.class).setup();
        TestApp.until("said", () -> waiting.get().findViewById(R.id.state) != null);
        Picture.draw(waiting.get(), "pending-" + look());
    }

    private static Activity withdrawn() {
        return Robolectric.buildActivity(WithdrawActivity.class).setup().get();
    }

    /** A code was typed and IT has to confirm. */
    private static Activity pending() {
        TestApp.get().agent.answer = StatusReply.newBuilder().setStatus(AgentStatus.newBuilder()
                .setState("no_notice").setSession("pending").setConfirmationCode("428913")).build();
        EnrolActivity page = Robolectric.buildActivity(EnrolActivity.class).setup().get();
        byte[] token = EnrollmentToken.newBuilder().setServer("https://collector.example:8443")
                .setSecret(ByteString.copyFrom(new byte[32])).build().toByteArray();
        ((TextView) page.findViewById(R.id.token)).setText("mj1." + Base64.encodeToString(token,
                Base64.URL_SAFE | Base64.NO_PADDING | Base64.NO_WRAP));
        page.findViewById(R.id.enrol).performClick();
        TestApp.until("an answer", () -> ((TextView) page.findViewById(R.id.result)).getText()
                .toString().contains("428913"));
        return page;
    }

    private String look() {
        return language + (night ? "-night" : "") + (font > 1 ? "-large" : "");
    }
}
