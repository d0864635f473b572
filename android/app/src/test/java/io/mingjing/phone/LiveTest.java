package io.mingjing.phone;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotEquals;
import static org.junit.Assert.assertTrue;

import android.app.AlertDialog;
import android.content.ClipboardManager;
import android.content.Intent;
import android.view.View;
import android.view.ViewGroup;
import android.widget.Button;
import android.widget.EditText;
import android.widget.TextView;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import io.mingjing.phone.live.LiveActivity;
import io.mingjing.phone.live.Words;
import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.List;
import mingjing.v1.ActivityOuterClass.Activity;
import mingjing.v1.ActivityOuterClass.Category;
import mingjing.v1.ActivityOuterClass.Kind;
import mingjing.v1.App.AgentStatus;
import mingjing.v1.App.StatusReply;
import mingjing.v1.Record.Decision;
import mingjing.v1.Record.Events;
import mingjing.v1.Session.FromApp;
import mingjing.v1.Session.ToDevice;
import org.junit.Before;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.Shadows;
import org.robolectric.shadows.ShadowAlertDialog;

/** N8, N14, R, P5: what the employee's page shows, and that its buttons reach the agent. */
@RunWith(RobolectricTestRunner.class)
public final class LiveTest {
    private FakeAgent agent;

    @Before
    public void started() {
        agent = TestApp.get().agent;
        agent.granted = true;
        agent.full = true;
        TestApp.phone().refresh();
        TestApp.until("granted", () -> TestApp.phone().mayRead());
    }

    private LiveActivity open(String has) {
        LiveActivity page = Robolectric.buildActivity(LiveActivity.class).setup().get();
        TestApp.until(has, () -> all(page).contains(has));
        return page;
    }

    private static List<TextView> views(LiveActivity page) {
        List<TextView> found = new ArrayList<>();
        collect(page.findViewById(R.id.scroll), found);
        return found;
    }

    private static void collect(View view, List<TextView> found) {
        if (view instanceof TextView) {
            found.add((TextView) view);
        } else if (view instanceof ViewGroup) {
            for (int i = 0; i < ((ViewGroup) view).getChildCount(); i++) {
                collect(((ViewGroup) view).getChildAt(i), found);
            }
        }
    }

    private static String all(LiveActivity page) {
        StringBuilder text = new StringBuilder();
        for (TextView view : views(page)) {
            text.append(view.getText()).append('\n');
        }
        return text.toString();
    }

    private static Button button(LiveActivity page, String words) {
        for (TextView view : views(page)) {
            if (view instanceof Button && view.getText().toString().equals(words)) {
                return (Button) view;
            }
        }
        throw new AssertionError("no button " + words + " in\n" + all(page));
    }

    private static void write(String text) {
        AlertDialog dialog = (AlertDialog) ShadowAlertDialog.getLatestDialog();
        List<EditText> fields = new ArrayList<>();
        find(dialog.getWindow().getDecorView(), fields);
        fields.get(0).setText(text);
        dialog.getButton(AlertDialog.BUTTON_POSITIVE).performClick();
        // The answer to the click arrives as a message to the dialog.
        org.robolectric.shadows.ShadowLooper.idleMainLooper();
    }

    private static void find(View view, List<EditText> fields) {
        if (view instanceof EditText) {
            fields.add((EditText) view);
        } else if (view instanceof ViewGroup) {
            for (int i = 0; i < ((ViewGroup) view).getChildCount(); i++) {
                find(((ViewGroup) view).getChildAt(i), fields);
            }
        }
    }

    private FromApp said() {
        TestApp.until("said", () -> !agent.recorded.isEmpty());
        return agent.recorded.remove(0);
    }

    @Test
    public void everythingIsShownInTheLanguageOfTheScreen() {
        String chinese = all(open("审阅员"));
        for (String expected : new String[] {"· 消息 1204", "· 收付款 3", "等待发送：12 条", "已连接",
            "处理中", "私下收款", "投诉核实", "收到转账 · 收到 · 陈先生 · ¥500.00", "家里人 · 家人",
            "回复很及时", "投诉 · 规则太宽 · 公司已收到", "获取副本 · 全部 · 等待发送",
            "请把前员工移出", "已见证的审计检查点：5", "c1 · 第 105 条"}) {
            assertTrue(expected + " is not in\n" + chinese, chinese.contains(expected));
        }
        assertFalse("the newest three suffice", chinese.contains("第 102 条"));
        RuntimeEnvironment.setQualifiers("en-rUS-w360dp-h800dp-xhdpi");
        String english = all(open("Reviewer"));
        assertTrue(english, english.contains("In review")
                && english.contains("Transfer received") && english.contains("Messages 1204"));
        for (String word : new String[] {"in_review", "transfer_received", "reviewer ·"}) {
            assertFalse(word, english.contains(word));
        }
    }

    @Test
    public void theLastEventsAreTheNewestOfAllCategories() {
        String text = all(open("报价单"));
        int transfer = text.indexOf("收到转账");
        int newest = text.indexOf("报价单");
        int oldest = text.lastIndexOf("报价单");
        assertTrue("by time, not by category", newest < transfer && transfer < oldest);
    }

    @Test
    public void everyRightReachesTheAgent() {
        LiveActivity page = open("私下收款");
        button(page, "说明情况").performClick();
        write("客户坚持要转给我，我已经退回");
        assertEquals("F-204", said().getAnswer().getFindingId());
        String[][] rights = {{"获取副本", "copy"}, {"更正", "correct"}, {"删除", "delete"},
            {"要求解释", "explain"}};
        for (String[] right : rights) {
            button(page, right[0]).performClick();
            write("请处理");
            FromApp asked = said();
            assertEquals(right[1], asked.getSubjectRequest().getKind());
            assertEquals("请处理", asked.getSubjectRequest().getText());
            assertFalse(asked.getSubjectRequest().getId().isEmpty());
        }
        button(page, "投诉").performClick();
        write("我认为规则不合理");
        assertEquals("我认为规则不合理", said().getComplaint().getText());
        button(page, "已完成").performClick();
        assertEquals("d", said().getDone().getDirectiveId());
        button(page, "暂停 10 分钟").performClick();
        assertEquals(10, said().getPause().getMinutes());
    }

    @Test
    public void aChatIsMarkedAsPrivateAndTheMarkCanBeTakenBack() {
        LiveActivity page = open("家里人");
        button(page, "将某个聊天标为私人").performClick();
        write("医生");
        write("看病");
        FromApp marked = said();
        assertEquals("医生", marked.getPrivateMark().getConversation());
        assertEquals("看病", marked.getPrivateMark().getReason());
        assertFalse(marked.getPrivateMark().getRemove());
        button(page, "取消标记").performClick();
        FromApp removed = said();
        assertEquals("家里人", removed.getPrivateMark().getConversation());
        assertTrue(removed.getPrivateMark().getRemove());
    }

    @Test
    public void scriptsAreSearchedByTheirKeywordsAndCopied() {
        LiveActivity page = open("七天内可以退换");
        EditText search = page.findViewById(R.id.search);
        search.setText("转账");
        TextView found = null;
        for (TextView view : views(page)) {
            String text = view.getText().toString();
            if (text.startsWith("退换货")) {
                assertEquals(View.GONE, view.getVisibility());
            } else if (text.startsWith("付款\n")) {
                assertEquals(View.VISIBLE, view.getVisibility());
                found = view;
            }
        }
        found.performClick();
        ClipboardManager clipboard = page.getSystemService(ClipboardManager.class);
        assertEquals("请付款到公司账户，谢谢。",
                clipboard.getPrimaryClip().getItemAt(0).getText().toString());
        TestApp.phone().refresh();
        agent.granted = false;
        TestApp.phone().refresh();
        TestApp.until("laid out anew", () -> !TestApp.phone().mayRead()
                && page.findViewById(R.id.search) != search);
        assertEquals("what was typed stays", "转账",
                ((EditText) page.findViewById(R.id.search)).getText().toString());
    }

    @Test
    public void lowStorageIsSaid() {
        RuntimeEnvironment.getApplication().sendStickyBroadcast(
                new Intent(Intent.ACTION_DEVICE_STORAGE_LOW));
        open("手机存储空间不足");
    }

    @Test
    public void aWrongPasswordIsSaidOnThePageToo() {
        agent.grant = "password";
        open("密码不正确");
    }

    /** The collector and its agent may be one release ahead of what this page knows. */
    @Test
    public void whatThisReleaseDoesNotKnowIsShownAndBreaksNothing()
            throws InvalidProtocolBufferException {
        // Field 99 of each message, with a text in it: what a later release may add.
        byte[] unknown = {(byte) 0x9a, 0x06, 0x03, 'n', 'e', 'w'};
        ByteString tail = ByteString.copyFrom(unknown);
        Activity known = Activity.newBuilder().setAtMs(1).setText("新种类的内容").build();
        // Kind 3000 is no kind of this release.
        Activity later = Activity.parseFrom(known.toByteString()
                .concat(ByteString.copyFrom(new byte[] {0x18, (byte) 0xb8, 0x17})).concat(tail));
        assertEquals(Kind.UNRECOGNIZED, later.getKind());
        StatusReply reply = StatusReply.newBuilder()
                .setStatus(AgentStatus.parseFrom(AgentStatus.newBuilder()
                        .setState("a_state_of_tomorrow").setSession("resting")
                        .addGranted(Category.CATEGORY_MESSAGES).putSent("dreams", 4)
                        .build().toByteString().concat(tail)))
                .addSent(Events.newBuilder().addActivities(later))
                .addLetters(ToDevice.parseFrom(tail))
                .build();
        agent.answer = StatusReply.parseFrom(reply.toByteString().concat(tail));
        String text = all(open("新种类的内容"));
        assertTrue(text, text.contains("其他（本应用不认识的种类）"));
        assertTrue("as it came", text.contains("resting") && text.contains("dreams 4"));
        assertTrue("and it goes on", TestApp.phone().mayRead());
    }

    @Test
    public void everyWordOfTheVocabularyHasBothLanguages() throws IllegalAccessException {
        for (String language : new String[] {"zh-rCN", "en-rUS"}) {
            RuntimeEnvironment.setQualifiers(language + "-w360dp-h800dp-xhdpi");
            for (Kind kind : Kind.values()) {
                if (kind != Kind.UNRECOGNIZED) {
                    known("kind", Words.name(kind, "KIND_"));
                }
            }
            for (Category category : Category.values()) {
                if (category != Category.UNRECOGNIZED && category != Category.CATEGORY_CONTROL) {
                    known("category", Words.name(category, "CATEGORY_"));
                }
            }
            for (Decision decision : Decision.values()) {
                if (decision != Decision.UNRECOGNIZED
                        && decision != Decision.DECISION_UNSPECIFIED) {
                    known("decision", Words.name(decision, "DECISION_"));
                }
            }
        }
        // A word in one language is a word in the other.
        for (Field field : R.string.class.getFields()) {
            int id = field.getInt(null);
            RuntimeEnvironment.setQualifiers("zh-rCN-w360dp-h800dp-xhdpi");
            String chinese = TestApp.get().getString(id);
            RuntimeEnvironment.setQualifiers("en-rUS-w360dp-h800dp-xhdpi");
            String english = TestApp.get().getString(id);
            if (!field.getName().equals("live_checkpoint")) {
                assertNotEquals(field.getName(), chinese, english);
            }
        }
    }

    private static void known(String group, String name) {
        assertNotEquals(group + " " + name, 0, TestApp.get().getResources().getIdentifier(
                group + "_" + name, "string", TestApp.get().getPackageName()));
    }
}
