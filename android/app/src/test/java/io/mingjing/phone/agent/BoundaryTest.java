package io.mingjing.phone.agent;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import java.io.IOException;
import java.nio.file.Files;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Signature;
import java.security.spec.ECGenParameterSpec;
import mingjing.v1.App.StartReply;
import mingjing.v1.App.StartRequest;
import mingjing.v1.EnrollmentOuterClass.EnrollmentToken;
import org.junit.Before;
import org.junit.BeforeClass;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** The real library in a real virtual machine: what crosses, and that nothing else does. */
public final class BoundaryTest {
    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private static Agent agent;
    private KeyPair pair;
    private int signed;
    private volatile RuntimeException refuses;

    @BeforeClass
    public static void load() {
        agent = Library.load();
    }

    @Before
    public void key() throws GeneralSecurityException {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(new ECGenParameterSpec("secp256r1"));
        pair = generator.generateKeyPair();
        agent.stop();
    }

    private final Agent.Callbacks callbacks = new Agent.Callbacks() {
        @Override
        public byte[] sign(byte[] message) {
            signed++;
            if (refuses != null) {
                throw refuses;
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
        }
    };

    private StartRequest.Builder request() throws IOException {
        return StartRequest.newBuilder().setDir(folder.getRoot().getPath()).setLanguage("zh-CN")
                .setWrappingKey(ByteString.copyFrom(new byte[32]))
                .setPublicKeySpki(ByteString.copyFrom(pair.getPublic().getEncoded()));
    }

    /** A code for a collector that is not there. */
    private static String code() {
        byte[] bytes = EnrollmentToken.newBuilder().setServer("https://127.0.0.1:1")
                .setSecret(ByteString.copyFrom(new byte[32]))
                .setRootSpkiSha256(ByteString.copyFrom(new byte[32])).build().toByteArray();
        return "mj1." + java.util.Base64.getUrlEncoder().withoutPadding().encodeToString(bytes);
    }

    @Test
    public void aPhoneThatIsNotEnrolledSaysSo() throws IOException {
        byte[] reply = agent.start(request().build().toByteArray(), callbacks);
        assertFalse(StartReply.parseFrom(reply).getEnrolled());
        assertEquals("no signature was asked for", 0, signed);
    }

    @Test
    public void errorsAreExceptionsWithTheirCauseAndTheAgentLivesOn() throws IOException {
        assertTrue(assertThrows(AgentException.class, () -> agent.record(new byte[0]))
                .getMessage().contains("not started"));
        assertThrows(AgentException.class, () -> agent.sync());
        assertThrows(AgentException.class, () -> agent.status(new byte[0]));
        assertTrue(assertThrows(AgentException.class,
                () -> agent.start(new byte[] {(byte) 0xff}, callbacks))
                .getMessage().contains("can't be read"));
        byte[] shortKey = request().setWrappingKey(ByteString.copyFrom(new byte[5])).build()
                .toByteArray();
        assertTrue(assertThrows(AgentException.class, () -> agent.start(shortKey, callbacks))
                .getMessage().contains("5 bytes"));
        byte[] notACode = request().setToken("hello").build().toByteArray();
        assertTrue(assertThrows(AgentException.class, () -> agent.start(notACode, callbacks))
                .getMessage().contains("mj1."));
        assertThrows(RuntimeException.class, () -> agent.record(null));
        aPhoneThatIsNotEnrolledSaysSo();
    }

    @Test
    public void aCollectorThatIsNotThereIsNamed() throws IOException {
        byte[] request = request().setToken(code()).build().toByteArray();
        String why = assertThrows(AgentException.class, () -> agent.start(request, callbacks))
                .getMessage();
        assertTrue(why, why.contains("https://127.0.0.1:1"));
        assertTrue("the request was signed in Java", signed > 0);
    }

    @Test
    public void aKeyStoreThatThrowsEndsInAnException() throws IOException {
        refuses = new IllegalStateException("the Keystore refused");
        byte[] request = request().setToken(code()).build().toByteArray();
        String why = assertThrows(AgentException.class, () -> agent.start(request, callbacks))
                .getMessage();
        assertTrue(why, why.contains("could not be signed"));
        refuses = null;
        aCollectorThatIsNotThereIsNamed();
    }

    @Test
    public void aPanicIsAnExceptionThatQuotesNothing() throws IOException {
        try {
            Probe.panic();
        } catch (UnsatisfiedLinkError without) {
            throw new AssertionError("build the library with --features jni-probe", without);
        } catch (AgentException caught) {
            assertEquals("a bug in the agent was caught", caught.getMessage());
            aPhoneThatIsNotEnrolledSaysSo();
            return;
        }
        throw new AssertionError("the panic vanished");
    }

    /** A leaked reference keeps its object: the callbacks of 10 000 calls must all be collectable. */
    @Test
    public void tenThousandCallsLeakNoReference() throws Exception {
        byte[] request = request().build().toByteArray();
        java.lang.ref.ReferenceQueue<Object> gone = new java.lang.ref.ReferenceQueue<>();
        java.util.List<java.lang.ref.Reference<?>> held = new java.util.ArrayList<>();
        for (int i = 0; i < 10_000; i++) {
            Agent.Callbacks each = new Agent.Callbacks() {
                @Override
                public byte[] sign(byte[] message) {
                    return callbacks.sign(message);
                }

                @Override
                public void onMessage(byte[] toDevice) {
                }
            };
            agent.start(request, each);
            held.add(new java.lang.ref.WeakReference<>(each, gone));
        }
        assertLetGo(held, gone);
        assertFalse(Files.exists(folder.getRoot().toPath().resolve("identity")));
    }

    /** What goes in and what comes out, reply or exception, of 10 000 calls of each kind. */
    @Test
    public void recordAndStatusHoldNothingOfWhatCrossed() throws Exception {
        agent.start(request().build().toByteArray(), callbacks);
        java.lang.ref.ReferenceQueue<Object> gone = new java.lang.ref.ReferenceQueue<>();
        java.util.List<java.lang.ref.Reference<?>> held = new java.util.ArrayList<>();
        for (int i = 0; i < 10_000; i++) {
            for (boolean record : new boolean[] {true, false}) {
                byte[] sent = new byte[0];
                Object came;
                try {
                    came = record ? agent.record(sent) : agent.status(sent);
                } catch (AgentException refused) {
                    came = refused;
                }
                held.add(new java.lang.ref.WeakReference<>(sent, gone));
                held.add(new java.lang.ref.WeakReference<>(came, gone));
            }
        }
        assertLetGo(held, gone);
    }

    /** All but what the last call may still hold on this stack. */
    private static void assertLetGo(java.util.List<java.lang.ref.Reference<?>> held,
            java.lang.ref.ReferenceQueue<Object> gone) throws InterruptedException {
        int collected = 0;
        long end = System.nanoTime() + 20_000_000_000L;
        while (collected < held.size() - 2 && System.nanoTime() < end) {
            System.gc();
            while (gone.remove(50) != null) {
                collected++;
            }
        }
        assertTrue(collected + " of " + held.size() + " were let go", collected >= held.size() - 2);
    }
}
