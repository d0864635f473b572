package io.mingjing.phone.agent;

import java.io.File;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.stream.Stream;
import mingjing.v1.App.AgentStatus;
import mingjing.v1.App.RecordReply;
import mingjing.v1.App.StartReply;
import mingjing.v1.App.StatusReply;

/**
 * Measures the agent in a virtual machine that does nothing else, and prints one line of JSON. The folder
 * holds an enrolled, consented phone; {@link NumbersTest} makes it and starts this.
 *
 * <p>Memory is what the process grew by, nothing subtracted. Java's share of it is kept out beforehand: its
 * heap is touched whole at the start, nothing is compiled, and the same thousand calls were made to a
 * stand-in before, so that every class is loaded. What Java's own book-keeping (native memory tracking) shows
 * of growth during the measured part is a quarter of a megabyte.
 */
public final class Numbers {
    private static final int MESSAGES = 1000;

    private Numbers() {
    }

    /** library, folder, account, idle seconds. */
    public static void main(String[] args) throws Exception {
        File dir = new File(args[1]);
        int idleSeconds = Integer.parseInt(args[3]);
        byte[][] messages = new byte[MESSAGES][];
        for (int i = 0; i < MESSAGES; i++) {
            messages[i] = Host.message(i);
        }
        byte[] page = Host.accountPage(args[2]);
        warm(dir, messages);
        long before = kilobytes("VmRSS:");
        long ownBefore = kilobytes("RssAnon:");

        long began = System.nanoTime();
        Agent agent = new NativeAgent(args[0]);
        Host host = new Host(agent, dir);
        host.start("");
        agent.record(page);
        String state = host.status().getState();
        double coldMs = (System.nanoTime() - began) / 1e6;
        if (!state.equals("capturing")) {
            throw new AssertionError("the state is " + state);
        }

        ThreadMXBean threads = ManagementFactory.getThreadMXBean();
        long cpu = threads.getCurrentThreadCpuTime();
        for (byte[] message : messages) {
            agent.record(message);
        }
        double recordMs = (threads.getCurrentThreadCpuTime() - cpu) / 1e6 / MESSAGES;
        host.until("everything sent", it -> it.getHeadSeq() > MESSAGES
                && it.getQueuedEvents() == 0);
        System.gc();
        double rssMb = (kilobytes("VmRSS:") - before) / 1024.0;
        double ownMb = (kilobytes("RssAnon:") - ownBefore) / 1024.0;

        long woken = switches("mingjing");
        long sled = switches("sled");
        Thread.sleep(idleSeconds * 1000L);
        woken = switches("mingjing") - woken;
        sled = switches("sled") - sled;
        agent.stop();
        System.out.println(String.format(Locale.ROOT, "{\"agent_rss_mb\": %.1f, "
                + "\"agent_own_mb\": %.1f, \"record_cpu_ms\": %.3f, \"cold_start_ms\": %.0f, "
                + "\"idle_seconds\": %d, \"idle_wakeups\": %d, \"sled_wakeups\": %d, "
                + "\"library_bytes\": %d}", rssMb, ownMb, recordMs, coldMs, idleSeconds, woken,
                sled, new File(args[0]).length()));
    }

    /** Everything of Java's that the measured part uses, so that it is not counted as the agent's. */
    private static void warm(File dir, byte[][] messages) throws Exception {
        Agent agent = new StandIn();
        Host host = new Host(agent, dir);
        host.start("");
        for (byte[] message : messages) {
            agent.record(message);
        }
        host.until("everything sent", it -> it.getHeadSeq() > MESSAGES
                && it.getQueuedEvents() == 0);
        host.sign(new byte[100]);
        host.onMessage(new byte[0]);
        ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
        switches("mingjing");
        kilobytes("RssAnon:");
        System.gc();
    }

    /** Answers as an agent that has sent everything. */
    private static final class StandIn implements Agent {
        @Override
        public byte[] start(byte[] startRequest, Callbacks callbacks) {
            return StartReply.newBuilder().setEnrolled(true).build().toByteArray();
        }

        @Override
        public byte[] record(byte[] fromApp) {
            return RecordReply.newBuilder().setEvents(1).build().toByteArray();
        }

        @Override
        public void sync() {
        }

        @Override
        public byte[] status(byte[] statusRequest) {
            return StatusReply.newBuilder().setStatus(AgentStatus.newBuilder()
                    .setState("capturing").setHeadSeq(MESSAGES + 1).putSent("messages", 1)
                    .putQueued("messages", 0)).build().toByteArray();
        }

        @Override
        public void stop() {
        }
    }

    /** Of resident memory; RssAnon leaves out pages of files, the library's own among them. */
    private static long kilobytes(String name) throws IOException {
        return field(Path.of("/proc/self/status"), name);
    }

    /**
     * How often threads of this name have woken from waiting. sled keeps seven threads with a timeout of a
     * second on Linux and none on Android, where its tasks run inline.
     */
    private static long switches(String prefix) throws IOException {
        long all = 0;
        try (Stream<Path> tasks = Files.list(Path.of("/proc/self/task"))) {
            for (Path task : (Iterable<Path>) tasks::iterator) {
                String name = Files.readString(task.resolve("comm")).trim();
                if (name.startsWith(prefix)) {
                    all += field(task.resolve("status"), "voluntary_ctxt_switches:");
                }
            }
        }
        return all;
    }

    private static long field(Path file, String name) throws IOException {
        for (String line : Files.readAllLines(file)) {
            if (line.startsWith(name)) {
                return Long.parseLong(line.substring(name.length()).trim().split(" ")[0]);
            }
        }
        throw new IOException("no " + name + " in " + file);
    }
}
