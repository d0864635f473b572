package io.mingjing.phone;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import android.content.Context;
import io.mingjing.phone.agent.App;
import io.mingjing.phone.agent.Library;
import io.mingjing.phone.agent.Probe;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.stream.Stream;
import org.junit.After;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.junit.runner.RunWith;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.annotation.Config;
import org.robolectric.shadows.ShadowLog;

/**
 * The whole way: a posted notification, through the listener, the real library, sled, mutual TLS and a real
 * collector, to an alert; and that its text and its key are nowhere they must not be.
 */
@RunWith(RobolectricTestRunner.class)
@Config(application = LibraryApp.class, shadows = Window.class)
public final class EndToEndTest {
    private static final String BEFORE = "未经同意的内容，暗号石榴七号";
    private static final String FORBIDDEN = "昨天已经转到你个人账户了，暗号海棠九号";
    private static final String OFFLINE = "离线时收到的内容，暗号芙蓉三号";
    private static final String AFTER = "撤回之后的内容，暗号木槿五号";
    private static final String WRAPPING = "00".repeat(32);

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private Company company;
    private File agentLog;

    @Before
    public void hired() throws IOException {
        Library.load();
        agentLog = folder.newFile("agent.log");
        Probe.logTo(agentLog.getPath());
        company = new Company(folder.getRoot());
    }

    @After
    public void left() throws IOException {
        App.phone(RuntimeEnvironment.getApplication()).close();
        if (company != null) {
            company.close();
        }
    }

    private static Context context() {
        return RuntimeEnvironment.getApplication();
    }

    /** Where the agent keeps everything. */
    private static File agentFolder() {
        return new File(context().getNoBackupFilesDir(), "agent");
    }

    /** Files of either side that hold the text in UTF-8, UTF-16 or base64. */
    private List<String> findEverywhere(String text) throws IOException {
        assertTrue("a log to search", agentLog.length() > 0 && company.log.length() > 0);
        List<String> found = new ArrayList<>(company.ask("find", text,
                context().getDataDir().getPath(), folder.getRoot().getPath()));
        for (ShadowLog.LogItem line : ShadowLog.getLogs()) {
            if (String.valueOf(line.msg).contains(text)) {
                found.add("logcat: " + line.tag);
            }
        }
        return found;
    }

    private static File copyOf(File from, File to) throws IOException {
        try (Stream<Path> files = Files.walk(from.toPath())) {
            for (Path file : (Iterable<Path>) files::iterator) {
                Path target = to.toPath().resolve(from.toPath().relativize(file));
                if (Files.isDirectory(file)) {
                    Files.createDirectories(target);
                } else {
                    Files.copy(file, target);
                }
            }
        }
        return to;
    }

    @Test
    public void aNotificationBecomesAnAlertAndAWithdrawalLeavesNothing() throws Exception {
        Employee employee = new Employee();
        TestApp.until("not enrolled", () -> employee.phone().state().equals("not_enrolled"));
        employee.enrol(company.ask("code").get(0));
        employee.hears("陈先生", BEFORE);
        employee.seesNotice();
        employee.agree(company.password);
        employee.hears("陈先生", BEFORE);
        employee.showAccount(company.account);
        assertEquals("nothing before consent and proof", 0, company.number("events"));
        assertEquals(Collections.emptyList(), findEverywhere(BEFORE));

        employee.hears("陈先生", FORBIDDEN);
        List<String> alert = company.ask("alert");
        assertEquals("s25-customer-says-paid-privately", alert.get(0));
        assertEquals(company.account, alert.get(1));
        assertEquals("new", alert.get(2));
        assertEquals(1, company.number("events"));
        TestApp.until("acknowledged", () -> {
            employee.phone().refresh();
            return employee.phone().status().getQueuedEvents() == 0;
        });
        assertEquals("sealed on both sides", Collections.emptyList(), findEverywhere(FORBIDDEN));
        // The search has to be able to find: the account is a plain column.
        assertFalse(company.ask("find", company.account, company.data.getPath()).isEmpty());

        withdrawOffline(employee);
    }

    private void withdrawOffline(Employee employee) throws Exception {
        company.ask("offline");
        employee.hears("陈先生", OFFLINE);
        TestApp.until("waiting", () -> {
            employee.phone().refresh();
            return employee.phone().status().getQueuedEvents() == 1;
        });
        List<String> key =
                company.ask("key", agentFolder().getPath(), WRAPPING, "messages");
        assertEquals("plain and wrapped", 2, key.size());
        File before = copyOf(agentFolder(), folder.newFolder());
        assertEquals("the key opens what waits", "1",
                company.ask("opens", before.getPath(), WRAPPING, OFFLINE).get(0));
        assertEquals("and what was sent", "1",
                company.ask("opens", before.getPath(), WRAPPING, FORBIDDEN).get(0));

        employee.withdraw();
        assertFalse("shut before the tap returns", employee.phone().mayRead());
        TestApp.until("withdrawn", () -> employee.phone().state().equals("no_consent"));
        employee.hears("陈先生", AFTER);
        assertEquals("an empty slot", Collections.emptyList(),
                company.ask("key", agentFolder().getPath(), WRAPPING, "messages"));
        // The copy is a burglar's: its sled with the records, and every key that is left.
        Files.copy(new File(agentFolder(), "keys").toPath(), new File(before, "keys").toPath(),
                java.nio.file.StandardCopyOption.REPLACE_EXISTING);
        for (String text : Arrays.asList(OFFLINE, FORBIDDEN)) {
            assertEquals("nothing left opens it", "0",
                    company.ask("opens", before.getPath(), WRAPPING, text).get(0));
        }
        for (String bytes : key) {
            assertEquals("no key, plain or wrapped", Collections.emptyList(), company.ask(
                    "holds", bytes, context().getDataDir().getPath(), folder.getRoot().getPath()));
        }

        company.ask("online");
        employee.phone().sync();
        TestApp.until("the withdrawal arrived", () -> company.number("withdrawn") == 7);
        TestApp.until("and the gap", () -> company.number("gaps") == 1);
        assertEquals("nothing more was stored", 1, company.number("events"));
        for (String text : Arrays.asList(BEFORE, FORBIDDEN, OFFLINE, AFTER)) {
            assertEquals(text, Collections.emptyList(), findEverywhere(text));
        }
        String log = new String(Files.readAllBytes(agentLog.toPath()), StandardCharsets.UTF_8);
        assertFalse("no password in a log", log.contains(company.password));
        assertEquals("nor anywhere", Collections.emptyList(), company.ask("find",
                company.password, context().getDataDir().getPath(), folder.getRoot().getPath()));
    }
}
