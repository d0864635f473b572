package io.mingjing.phone;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import io.mingjing.phone.agent.Phone;
import java.io.File;
import java.io.IOException;
import java.util.concurrent.CountDownLatch;
import org.junit.After;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.junit.runner.RunWith;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.annotation.Config;

/**
 * A Keystore that refuses, blocks or loses its key, under the real library and a real collector: a clear
 * state, nothing lost, and a withdrawal as instant as ever.
 */
@RunWith(RobolectricTestRunner.class)
@Config(application = LibraryApp.class, shadows = Window.class)
public final class KeystoreTest {
    private static final String WRAPPING = "00".repeat(32);

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private Company company;
    private Employee employee;
    private FakeKey key;
    private Phone phone;

    @Before
    public void consented() throws Exception {
        company = new Company(folder.getRoot());
        employee = new Employee();
        phone = employee.phone();
        key = ((LibraryApp) RuntimeEnvironment.getApplication()).key;
        TestApp.until("not enrolled", () -> phone.state().equals("not_enrolled"));
        employee.enrol(company.ask("code").get(0));
        employee.agree(company.password);
        employee.showAccount(company.account);
    }

    @After
    public void closed() throws IOException {
        phone.close();
        company.close();
    }

    /** The collector goes away and comes back: the next handshake needs a signature. */
    private void reconnect() {
        company.ask("offline");
        company.ask("online");
        phone.sync();
    }

    private boolean queued(long events) {
        phone.refresh();
        return phone.status().getQueuedEvents() == events;
    }

    private static File agentFolder() {
        return new File(RuntimeEnvironment.getApplication().getNoBackupFilesDir(), "agent");
    }

    private boolean keyIsGone() {
        return company.ask("key", agentFolder().getPath(), WRAPPING, "messages").isEmpty();
    }

    @Test
    public void oneThatRefusesLosesNothing() throws InterruptedException {
        key.refuses = true;
        reconnect();
        int asked = key.asked.get();
        TestApp.until("a signature was refused", () -> key.asked.get() > asked);
        employee.hears("陈先生", "第一条");
        employee.hears("陈先生", "第二条");
        TestApp.until("kept", () -> queued(2));
        assertEquals("capturing", phone.state());
        key.refuses = false;
        phone.sync();
        TestApp.until("sent", () -> queued(0));
        assertEquals(2, company.number("events"));
        assertEquals(0, company.number("gaps"));
    }

    @Test
    public void oneThatBlocksHoldsNeitherCaptureNorWithdrawalUp() throws InterruptedException {
        CountDownLatch stuck = new CountDownLatch(1);
        int asked = key.asked.get();
        key.blocked = stuck;
        reconnect();
        TestApp.until("the handshake waits for a signature", () -> key.asked.get() > asked);
        employee.hears("陈先生", "阻塞时的内容");
        TestApp.until("kept", () -> queued(1));
        employee.withdraw();
        assertFalse(phone.mayRead());
        TestApp.until("the key is gone though nothing is signed", this::keyIsGone);
        assertEquals("still blocked", 1, stuck.getCount());
        key.blocked = null;
        stuck.countDown();
        phone.sync();
        TestApp.until("signed and sent", () -> company.number("withdrawn") == 7);
        assertEquals(0, company.number("events"));
    }

    @Test
    public void oneThatLostItsKeyIsAStateAndTheBufferStays() throws InterruptedException {
        company.ask("offline");
        employee.hears("陈先生", "密钥丢失前的内容");
        TestApp.until("kept", () -> queued(1));
        key.lost = true;
        company.ask("online");
        phone.sync();
        TestApp.until("said", () -> phone.state().equals("key_lost"));
        assertFalse(phone.mayRead());
        assertFalse("what was kept stays until the employee or IT decides", keyIsGone());
        assertTrue(new File(agentFolder(), "buffer").isDirectory());
        employee.withdraw();
        TestApp.until("destroyed without a signature", this::keyIsGone);
        assertEquals(0, company.number("events"));
    }
}
