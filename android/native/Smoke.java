import com.google.protobuf.ByteString;
import io.mingjing.phone.agent.Agent;
import io.mingjing.phone.agent.AgentException;
import io.mingjing.phone.agent.NativeAgent;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Signature;
import java.security.spec.ECGenParameterSpec;
import java.util.Comparator;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import mingjing.v1.App.AgentStatus;
import mingjing.v1.App.RecordReply;
import mingjing.v1.App.StartReply;
import mingjing.v1.App.StartRequest;
import mingjing.v1.App.StatusReply;
import mingjing.v1.App.StatusRequest;
import mingjing.v1.EnrollmentOuterClass.EnrollmentToken;
import mingjing.v1.Record.CategoryDecision;
import mingjing.v1.Record.Decision;
import mingjing.v1.Session.ConsentChoice;
import mingjing.v1.Session.FromApp;
import mingjing.v1.Session.Signals;
import mingjing.v1.SignalOuterClass.Notification;
import mingjing.v1.SignalOuterClass.Signal;

/**
 * Drives the phone's library through its five calls.
 *
 * <p>usage: Smoke LIBRARY SHIM [CODE], with an enrolment code of a running collector
 */
public final class Smoke {
    private static final String SECRET = "a sentence nobody agreed to";

    private final Agent agent;
    private final Path folder;
    private final KeyPair pair;
    private final BlockingQueue<byte[]> messages = new LinkedBlockingQueue<>();
    private volatile int signed;
    private volatile boolean refuses;

    private final Agent.Callbacks callbacks = new Agent.Callbacks() {
        @Override
        public byte[] sign(byte[] message) {
            signed++;
            if (refuses) {
                throw new IllegalStateException("the key store refused");
            }
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
        public void onMessage(byte[] toDevice) {
            messages.add(toDevice);
        }
    };

    private Smoke(String library) throws Exception {
        agent = new NativeAgent(library);
        folder = Files.createTempDirectory("smoke");
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(new ECGenParameterSpec("secp256r1"));
        pair = generator.generateKeyPair();
    }

    /** In the shim: makes the clock fail on this thread. */
    private static native void breakClock(boolean broken);

    public static void main(String[] arguments) throws Exception {
        System.load(new File(arguments[1]).getAbsolutePath());
        Smoke smoke = new Smoke(new File(arguments[0]).getAbsolutePath());
        try {
            smoke.notEnrolled();
            smoke.refusals();
            smoke.panic();
            if (arguments.length > 2) {
                smoke.collector(arguments[2]);
            }
        } finally {
            smoke.agent.stop();
            try (Stream<Path> files = Files.walk(smoke.folder)) {
                files.sorted(Comparator.reverseOrder()).map(Path::toFile).forEach(File::delete);
            }
        }
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
        System.out.println("ok " + what);
    }

    /** An error is an AgentException that says what is wrong. */
    private static void throwsSaying(String part, Runnable call) {
        try {
            call.run();
        } catch (AgentException error) {
            check(error.getMessage().contains(part), "an exception says: " + error.getMessage());
            return;
        }
        throw new AssertionError("nothing was thrown; expected: " + part);
    }

    private StartRequest.Builder request() {
        return StartRequest.newBuilder().setDir(folder.toString()).setLanguage("zh-CN")
                .setWrappingKey(ByteString.copyFrom(new byte[32]))
                .setPublicKeySpki(ByteString.copyFrom(pair.getPublic().getEncoded()));
    }

    private StartReply start(StartRequest request) throws Exception {
        return StartReply.parseFrom(agent.start(request.toByteArray(), callbacks));
    }

    /** A code for a collector that is not there. */
    private static String deadCode() {
        byte[] bytes = EnrollmentToken.newBuilder().setServer("https://127.0.0.1:1")
                .setSecret(ByteString.copyFrom(new byte[32]))
                .setRootSpkiSha256(ByteString.copyFrom(new byte[32])).build().toByteArray();
        return "mj1." + java.util.Base64.getUrlEncoder().withoutPadding().encodeToString(bytes);
    }

    private void notEnrolled() throws Exception {
        check(!start(request().build()).getEnrolled(), "a new phone is not enrolled");
        check(signed == 0, "no signature was asked for");
    }

    private void refusals() {
        throwsSaying("not started", () -> agent.record(new byte[0]));
        throwsSaying("not started", agent::sync);
        throwsSaying("not started", () -> agent.status(new byte[0]));
        throwsSaying("can't be read", () -> agent.start(new byte[] {(byte) 0xff}, callbacks));
        byte[] shortKey = request().setWrappingKey(ByteString.copyFrom(new byte[5])).build().toByteArray();
        throwsSaying("5 bytes", () -> agent.start(shortKey, callbacks));
        byte[] notACode = request().setToken("hello").build().toByteArray();
        throwsSaying("mj1.", () -> agent.start(notACode, callbacks));
        byte[] dead = request().setToken(deadCode()).build().toByteArray();
        throwsSaying("https://127.0.0.1:1", () -> agent.start(dead, callbacks));
        check(signed > 0, "Java signed the request");
        refuses = true;
        throwsSaying("could not be signed", () -> agent.start(dead, callbacks));
        refuses = false;
    }

    /** The unwinder in the library works: what std panics on is caught at the boundary, more than once. */
    private void panic() throws Exception {
        byte[] dead = request().setToken(deadCode()).build().toByteArray();
        for (int i = 0; i < 3; i++) {
            breakClock(true);
            try {
                throwsSaying("a bug in the agent was caught", () -> agent.start(dead, callbacks));
            } finally {
                breakClock(false);
            }
        }
        notEnrolledStill();
    }

    private void notEnrolledStill() throws Exception {
        check(!start(request().build()).getEnrolled(), "the agent lives on after panics");
    }

    private AgentStatus status() throws Exception {
        return StatusReply.parseFrom(agent.status(StatusRequest.newBuilder().setLanguage("zh-CN").build()
                .toByteArray())).getStatus();
    }

    private interface Condition {
        boolean holds() throws Exception;
    }

    /** Waits for something another thread of the agent does, a minute at most. */
    private void until(String what, Condition condition) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
        while (!condition.holds()) {
            if (System.nanoTime() > end) {
                throw new AssertionError("not within a minute: " + what + "\n" + status());
            }
            messages.poll(100, TimeUnit.MILLISECONDS);
        }
        System.out.println("ok " + what);
    }

    private RecordReply record(FromApp.Builder message) throws Exception {
        return RecordReply.parseFrom(agent.record(message.build().toByteArray()));
    }

    private static FromApp.Builder choice(Decision decision, StatusReply page) {
        ConsentChoice.Builder choice = ConsentChoice.newBuilder().setLanguage("zh-CN").setGivenHow("screen")
                .setNoticeVersion(page.getNotice().getVersion())
                .setNoticeSha256(page.getNotice().getSha256());
        page.getNotice().getSwitchesList().forEach(it -> choice.addDecisions(
                CategoryDecision.newBuilder().setCategory(it.getCategory()).setDecision(decision)));
        return FromApp.newBuilder().setConsent(choice);
    }

    private static FromApp.Builder notification() {
        return FromApp.newBuilder().setSignals(Signals.newBuilder().addSignals(Signal.newBuilder()
                .setAtMs(System.currentTimeMillis()).setPackage("com.tencent.mm").setLocale("zh-CN")
                .setNotification(Notification.newBuilder().setKey("0").setTitle("someone").setText(SECRET))));
    }

    private boolean onDisk(String text) throws Exception {
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : (Iterable<Path>) files.filter(Files::isRegularFile)::iterator) {
                if (new String(Files.readAllBytes(file), java.nio.charset.StandardCharsets.UTF_8).contains(text)) {
                    return true;
                }
            }
        }
        return false;
    }

    /** Against a real collector: enrol, notice, refusal kept, consent and withdrawal signed and acknowledged. */
    private void collector(String code) throws Exception {
        StartReply reply = start(request().setToken(code).setModel("smoke").build());
        check(reply.getEnrolled(), "enrolled with " + reply.getCompany());
        byte[] page = StatusRequest.newBuilder().setLanguage("zh-CN").setNotice(true).build().toByteArray();
        until("the notice arrived", () -> StatusReply.parseFrom(agent.status(page)).hasNotice());
        StatusReply shown = StatusReply.parseFrom(agent.status(page));
        check(shown.getNotice().getSwitchesCount() > 0 && shown.getNotice().getSectionsCount() > 0,
                "the notice has sections and switches");
        check(record(notification()).getEvents() == 0, "nothing is kept before consent");
        check(record(choice(Decision.DECISION_GRANTED, shown)).getConsentSeq() > 0, "consent is recorded");
        until("the collector acknowledged it", () -> status().getAckedSeq() == status().getHeadSeq());
        check(record(choice(Decision.DECISION_WITHDRAWN, shown)).getConsentSeq() > 0, "withdrawal is recorded");
        until("the collector acknowledged that", () -> status().getAckedSeq() == status().getHeadSeq());
        check(status().getGrantedCount() == 0, "nothing is granted any more");
        long head = status().getHeadSeq();
        agent.stop();
        throwsSaying("not started", () -> agent.status(new byte[0]));
        check(start(request().build()).getEnrolled(), "the folder opens again");
        check(status().getHeadSeq() >= head, "and nothing is lost");
        check(!onDisk(SECRET), "what was not agreed to is in no file");
        byte[] other = request().setPublicKeySpki(ByteString.copyFrom(new byte[91])).build().toByteArray();
        throwsSaying("key", () -> agent.start(other, callbacks));
    }
}
