package io.mingjing.phone.agent;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import io.mingjing.phone.Company;
import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/**
 * What the agent costs its host, against issue gates with room for a busy machine and an unoptimised
 * library; the figures themselves are printed, and stand in docs/performance.md.
 */
public final class NumbersTest {
    /** No library of another profile than the app's is as small. */
    private static final double SMALL_LIBRARY = 12e6;

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    @Test
    public void theAgentIsASmallAndQuietGuest() throws Exception {
        File dir = folder.newFolder("phone");
        try (Company company = new Company(folder.getRoot())) {
            Agent agent = Library.load();
            Host host = new Host(agent, dir);
            host.start(company.ask("code").get(0));
            host.grant(company.password);
            agent.stop();
            String line = measure(dir, company.account);
            System.out.println(line);
            // Pages of the library's file are the profile's; the agent's own memory hardly is.
            assertTrue(line, number(line, "agent_own_mb") <= 6);
            if (number(line, "library_bytes") < SMALL_LIBRARY) {
                assertTrue(line, number(line, "agent_rss_mb") <= 10);
            }
            assertTrue(line, number(line, "record_cpu_ms") <= 3);
            assertTrue(line, number(line, "cold_start_ms") <= 5000);
            // Twice in the first minute what changed is told (docs/performance.md); then only keep-alives,
            // two minutes apart from either end. A timer would show as one a second.
            assertTrue(line, number(line, "idle_wakeups")
                    <= 2 + number(line, "idle_seconds") / 10);
        }
    }

    private static String measure(File dir, String account) throws Exception {
        ProcessBuilder start = new ProcessBuilder(
                System.getProperty("java.home") + "/bin/java", "-XX:+UseSerialGC", "-Xint",
                "-Xms48m", "-Xmx48m", "-XX:+AlwaysPreTouch", "-cp",
                System.getProperty("java.class.path"), Numbers.class.getName(),
                Library.built().getPath(), dir.getPath(), account,
                System.getProperty("mingjing.idle", "10"));
        // An arena for each of sled's threads, which Android has not, would be counted as the agent's.
        start.environment().put("MALLOC_ARENA_MAX", "1");
        Process child = start.redirectError(ProcessBuilder.Redirect.INHERIT).start();
        String last = "";
        try (BufferedReader lines = new BufferedReader(
                new InputStreamReader(child.getInputStream(), StandardCharsets.UTF_8))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                last = line;
            }
        }
        assertEquals(last, 0, child.waitFor());
        return last;
    }

    private static double number(String json, String name) {
        Matcher found = Pattern.compile("\"" + name + "\": ([0-9.]+)").matcher(json);
        assertTrue(json, found.find());
        return Double.parseDouble(found.group(1));
    }
}
