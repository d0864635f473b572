package io.mingjing.phone;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import io.mingjing.phone.agent.Agent;
import io.mingjing.phone.agent.AgentException;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import mingjing.v1.ActivityOuterClass.Activity;
import mingjing.v1.ActivityOuterClass.Category;
import mingjing.v1.ActivityOuterClass.Conversation;
import mingjing.v1.ActivityOuterClass.Direction;
import mingjing.v1.ActivityOuterClass.Kind;
import mingjing.v1.App.AgentStatus;
import mingjing.v1.App.CategorySwitch;
import mingjing.v1.App.NoticeSection;
import mingjing.v1.App.OwnLetter;
import mingjing.v1.App.RecordReply;
import mingjing.v1.App.RenderedNotice;
import mingjing.v1.App.StartReply;
import mingjing.v1.App.StatusReply;
import mingjing.v1.App.StatusRequest;
import mingjing.v1.NoticeOuterClass.ConsentReceipt;
import mingjing.v1.Record.CategoryDecision;
import mingjing.v1.Record.Decision;
import mingjing.v1.Record.Events;
import mingjing.v1.Session.AuditCheckpoint;
import mingjing.v1.Session.Coaching;
import mingjing.v1.Session.Complaint;
import mingjing.v1.Session.Directive;
import mingjing.v1.Session.FindingNotice;
import mingjing.v1.Session.FromApp;
import mingjing.v1.Session.FromDevice;
import mingjing.v1.Session.PrivateMark;
import mingjing.v1.Session.ReadReceipt;
import mingjing.v1.Session.Script;
import mingjing.v1.Session.Scripts;
import mingjing.v1.Session.Signed;
import mingjing.v1.Session.SubjectRequest;
import mingjing.v1.Session.ToDevice;

/** Remembers what it was handed and answers as told. */
final class FakeAgent implements Agent {
    private static final long AT = 1_795_000_000_000L;

    final List<FromApp> recorded = new CopyOnWriteArrayList<>();
    volatile boolean enrolled = true;
    volatile boolean granted;
    volatile boolean full;
    volatile int noticeVersion = 3;
    volatile CountDownLatch blockSignals;
    volatile boolean refusing;
    /** Where the newest grant stands. */
    volatile String grant = "none";
    /** Sent to the page instead of what {@link #full} makes. */
    volatile StatusReply answer;
    volatile Callbacks callbacks;

    @Override
    public byte[] start(byte[] request, Callbacks given) {
        callbacks = given;
        return StartReply.newBuilder().setEnrolled(enrolled).build().toByteArray();
    }

    @Override
    public byte[] record(byte[] fromApp) {
        try {
            FromApp message = FromApp.parseFrom(fromApp);
            CountDownLatch latch = blockSignals;
            if (message.hasSignals() && latch != null) {
                latch.await();
            }
            if (refusing) {
                throw new AgentException("the disk is full");
            }
            if (message.getConsent().getDecisionsCount() > 0 && message.getConsent()
                    .getDecisions(0).getDecision() == Decision.DECISION_WITHDRAWN) {
                granted = false;
            }
            recorded.add(message);
            return RecordReply.newBuilder().setConsentSeq(message.hasConsent() ? 7 : 0)
                    .build().toByteArray();
        } catch (InvalidProtocolBufferException | InterruptedException error) {
            throw new AssertionError(error);
        }
    }

    @Override
    public void sync() {
    }

    @Override
    public byte[] status(byte[] bytes) {
        try {
            return reply(StatusRequest.parseFrom(bytes)).toByteArray();
        } catch (InvalidProtocolBufferException error) {
            throw new AssertionError(error);
        }
    }

    private StatusReply reply(StatusRequest request) {
        if (answer != null) {
            return answer;
        }
        AgentStatus.Builder status = AgentStatus.newBuilder()
                .setState(granted ? "capturing" : "no_consent").setQueuedEvents(12)
                .setQueuedBytes(4096).putQueued("messages", 9).putQueued("money", 3)
                .setGrant(grant).setSession("connected");
        if (granted) {
            status.addGranted(Category.CATEGORY_MESSAGES)
                    .addDecisions(decision(Category.CATEGORY_MESSAGES, Decision.DECISION_GRANTED))
                    .addDecisions(decision(Category.CATEGORY_MONEY, Decision.DECISION_REFUSED));
        }
        StatusReply.Builder reply = StatusReply.newBuilder().setStatus(status);
        boolean english = request.getLanguage().equals("en");
        if (request.getNotice()) {
            reply.setNotice(notice(english));
            if (granted) {
                reply.setReceipt(ConsentReceipt.newBuilder().setAccepted(true)
                        .setAtMs(AT));
            }
        }
        if (full) {
            fill(reply, english);
        }
        return reply.build();
    }

    private static CategoryDecision decision(Category category, Decision decision) {
        return CategoryDecision.newBuilder().setCategory(category).setDecision(decision).build();
    }

    private static void fill(StatusReply.Builder reply, boolean english) {
        long at = AT;
        reply.setStatus(reply.getStatus().toBuilder().setLastUploadMs(at)
                .putSent("messages", 1204).putSent("operations", 17).putSent("money", 3));
        for (int i = 0; i < 6; i++) {
            reply.addSent(Events.newBuilder().addActivities(Activity.newBuilder()
                    .setAtMs(at + i * 60_000).setKind(Kind.KIND_MESSAGE).setSender("王经理")
                    .setConversation(Conversation.newBuilder().setTitle("华东客户群"))
                    .setText(english ? "The quotation is in your mail" : "报价单已发您邮箱")));
        }
        reply.addLetters(ToDevice.newBuilder().setReadReceipt(ReadReceipt.newBuilder()
                .setAtMs(at).setReaderRole("reviewer").setReason("投诉核实").setWhat("F-204")));
        reply.addLetters(ToDevice.newBuilder().setFindingNotice(FindingNotice.newBuilder()
                .setAtMs(at).setFindingId("F-204").setRuleTitle(english
                        ? "Payment outside the company" : "私下收款").setState("in_review")));
        reply.addSent(Events.newBuilder().addActivities(Activity.newBuilder()
                .setAtMs(at + 90_000).setKind(Kind.KIND_TRANSFER_RECEIVED).setPeer("陈先生")
                .setDirection(Direction.DIRECTION_IN).setAmountFen(50_000)));
        reply.addLetters(ToDevice.newBuilder().setCoaching(Coaching.newBuilder().setId("c")
                .setAtMs(at).setText("回复很及时，谢谢。")));
        reply.addLetters(ToDevice.newBuilder().setDirective(Directive.newBuilder().setId("d")
                .setDueMs(at).setText("请把前员工移出华东客户群")));
        reply.addOwnLetters(OwnLetter.newBuilder().setState("received").setAtMs(at).setLetter(
                FromDevice.newBuilder().setComplaint(Complaint.newBuilder().setText("规则太宽"))));
        reply.addOwnLetters(OwnLetter.newBuilder().setState("waiting").setLetter(
                FromDevice.newBuilder().setSubjectRequest(SubjectRequest.newBuilder()
                        .setKind("copy").setText("全部"))));
        reply.addPrivateMarks(PrivateMark.newBuilder().setConversation("家里人")
                .setReason("家人"));
        for (int i = 1; i <= 5; i++) {
            reply.addCheckpoints(Signed.newBuilder().setPayload(AuditCheckpoint.newBuilder()
                    .setCollector("c1").setSeq(100 + i).setAtMs(at + i * 60_000)
                    .build().toByteString()));
        }
        reply.setScripts(Scripts.newBuilder().addScripts(Script.newBuilder()
                .setId("p").setTopic("付款").setText("请付款到公司账户，谢谢。").addKeywords("转账")).addScripts(Script.newBuilder()
                .setId("s").setTopic("退换货").setText("您好，七天内可以退换，请保留小票。")));
    }

    private RenderedNotice notice(boolean english) {
        RenderedNotice.Builder notice = RenderedNotice.newBuilder().setVersion(noticeVersion)
                .setSha256(ByteString.copyFrom(new byte[32])).setLanguage(english ? "en" : "zh-CN");
        for (int i = 1; i <= 14; i++) {
            notice.addSections(NoticeSection.newBuilder().setId("N" + i)
                    .setTitle(english ? "What is collected, and what never is" : "采集什么，从不采集什么")
                    .addLines(english
                            ? "This app only reads. It clicks, types, sends and hides nothing."
                            : "本应用只读取，不点击、不输入、不发送、不隐藏任何内容。")
                    .addLines(english
                            ? "Refusing or withdrawing does not restrict the phone."
                            : "拒绝或撤回不影响手机的正常使用，也不会因此受到处罚。"));
        }
        Category[] categories = {Category.CATEGORY_MESSAGES, Category.CATEGORY_MONEY};
        String[] titles = english ? new String[] {"Messages", "Money"}
                : new String[] {"消息", "收付款"};
        String[] examples = english
                ? new String[] {"such as \"the quotation is in your mail\"",
                        "such as \"transfer of 500.00 yuan\""}
                : new String[] {"例如“报价单已发您邮箱”", "例如“转账 500.00 元”"};
        for (int i = 0; i < categories.length; i++) {
            notice.addSwitches(CategorySwitch.newBuilder().setCategory(categories[i])
                    .setTitle(titles[i]).setSensitive(i == 1).setExample(examples[i]));
        }
        return notice.build();
    }

    @Override
    public void stop() {
    }
}
