package io.mingjing.phone.agent;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Signature;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.function.Predicate;
import mingjing.v1.ActivityOuterClass.Category;
import mingjing.v1.App.AgentStatus;
import mingjing.v1.App.RecordReply;
import mingjing.v1.App.StartRequest;
import mingjing.v1.App.StatusReply;
import mingjing.v1.App.StatusRequest;
import mingjing.v1.Record.CategoryDecision;
import mingjing.v1.Record.Decision;
import mingjing.v1.Session.ConsentChoice;
import mingjing.v1.Session.FromApp;
import mingjing.v1.Session.GrantProof;
import mingjing.v1.Session.Signals;
import mingjing.v1.SignalOuterClass.Node;
import mingjing.v1.SignalOuterClass.Notification;
import mingjing.v1.SignalOuterClass.Screen;
import mingjing.v1.SignalOuterClass.Signal;

/**
 * The least that can stand round the library: a folder, a key in a file, the five calls. For what has to be
 * measured without Android's classes in the same process.
 */
final class Host implements Agent.Callbacks {
    private static final String WECHAT = "com.tencent.mm";
    private static final long PATIENCE_MS = 120_000;

    private final Agent agent;
    private final File dir;
    private final KeyPair pair;
    private int messages;

    Host(Agent agent, File dir) throws GeneralSecurityException, IOException {
        this.agent = agent;
        this.dir = dir;
        this.pair = key(dir);
    }

    private static KeyPair key(File dir) throws GeneralSecurityException, IOException {
        Path secret = dir.toPath().resolve("host.key");
        Path open = dir.toPath().resolve("host.pub");
        if (!Files.exists(secret)) {
            KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
            generator.initialize(new ECGenParameterSpec("secp256r1"));
            KeyPair made = generator.generateKeyPair();
            Files.write(secret, made.getPrivate().getEncoded());
            Files.write(open, made.getPublic().getEncoded());
        }
        KeyFactory factory = KeyFactory.getInstance("EC");
        return new KeyPair(
                factory.generatePublic(new X509EncodedKeySpec(Files.readAllBytes(open))),
                factory.generatePrivate(new PKCS8EncodedKeySpec(Files.readAllBytes(secret))));
    }

    @Override
    public byte[] sign(byte[] message) {
        try {
            Signature signature = Signature.getInstance("SHA256withECDSA");
            signature.initSign(pair.getPrivate());
            signature.update(message);
            return signature.sign();
        } catch (GeneralSecurityException error) {
            throw new AssertionError(error);
        }
    }

    @Override
    public synchronized void onMessage(byte[] toDevice) {
        messages++;
        notifyAll();
    }

    byte[] startRequest(String code) {
        return StartRequest.newBuilder().setDir(dir.getPath() + "/agent").setLanguage("zh-CN")
                .setWrappingKey(ByteString.copyFrom(new byte[32])).setToken(code)
                .setPublicKeySpki(ByteString.copyFrom(pair.getPublic().getEncoded()))
                .build().toByteArray();
    }

    void start(String code) {
        agent.start(startRequest(code), this);
    }

    AgentStatus status() {
        try {
            return StatusReply.parseFrom(agent.status(new byte[0])).getStatus();
        } catch (InvalidProtocolBufferException error) {
            throw new AssertionError(error);
        }
    }

    /** Waits for a message of the collector after which the status is as wanted. */
    void until(String what, Predicate<AgentStatus> wanted) throws InterruptedException {
        long end = System.currentTimeMillis() + PATIENCE_MS;
        while (!wanted.test(status())) {
            synchronized (this) {
                int seen = messages;
                // Acknowledgements are no messages, so no wait is longer than this.
                wait(50);
                if (seen == messages && System.currentTimeMillis() > end) {
                    throw new AssertionError("never happened: " + what + "\n" + status());
                }
            }
        }
    }

    /** Grants every category with the password. */
    void grant(String password) throws InterruptedException, InvalidProtocolBufferException {
        until("a notice", it -> it.getNoticeVersion() > 0
                && it.getPolicyVersion() + it.getPolicyOffered() > 0);
        StatusReply shown = StatusReply.parseFrom(agent.status(StatusRequest.newBuilder()
                .setLanguage("zh-CN").setNotice(true).build().toByteArray()));
        ConsentChoice.Builder choice = ConsentChoice.newBuilder().setLanguage("zh-CN")
                .setGivenHow("screen").setNoticeVersion(shown.getNotice().getVersion())
                .setNoticeSha256(shown.getNotice().getSha256());
        for (Category category : Category.values()) {
            if (category != Category.UNRECOGNIZED && category != Category.CATEGORY_CONTROL
                    && category != Category.CATEGORY_DEVICE) {
                choice.addDecisions(CategoryDecision.newBuilder().setCategory(category)
                        .setDecision(Decision.DECISION_GRANTED));
            }
        }
        RecordReply reply = RecordReply.parseFrom(agent.record(
                FromApp.newBuilder().setConsent(choice).build().toByteArray()));
        agent.record(FromApp.newBuilder().setGrantProof(GrantProof.newBuilder()
                .setConsentSeq(reply.getConsentSeq()).setPassword(password))
                .build().toByteArray());
        until("the receipt", it -> it.getGrantedCount() > 0);
    }

    private static Signal.Builder signal() {
        return Signal.newBuilder().setAtMs(System.currentTimeMillis()).setPackage(WECHAT)
                .setUtcOffsetMin(480).setLocale("zh-CN").setAppVersion("8.0.50");
    }

    private static Node text(String text, int left, int top, int right, int bottom) {
        return Node.newBuilder().setClass_("android.widget.TextView").setText(text).setLeft(left)
                .setTop(top).setRight(right).setBottom(bottom).setDepth(5).build();
    }

    static byte[] encoded(Signal signal) {
        return FromApp.newBuilder().setSignals(Signals.newBuilder().addSignals(signal))
                .build().toByteArray();
    }

    /** WeChat's own page that shows the account. */
    static byte[] accountPage(String account) {
        return encoded(signal().setScreen(Screen.newBuilder().setEvent(Screen.Event.OPENED)
                .setWindow("com.tencent.mm.plugin.setting.ui.setting.SettingsPersonalInfoUI")
                .setWidth(1080).setHeight(2400)
                .addNodes(text("个人信息", 420, 110, 660, 190))
                .addNodes(text("微信号", 40, 600, 240, 660))
                .addNodes(text(account, 600, 600, 1000, 660))).build());
    }

    /** A message of some contact. */
    static byte[] message(int number) {
        String from = "客户" + number % 7;
        String text = "第" + number + "号报价单已发您邮箱，请查收";
        return encoded(signal().setNotification(Notification.newBuilder()
                .setKey("0|" + WECHAT + "|" + number).setChannel("message_channel_new_id")
                .setTitle(from).setText(text).setTicker(from + ": " + text)).build());
    }
}
