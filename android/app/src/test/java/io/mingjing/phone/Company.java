package io.mingjing.phone;

import io.mingjing.phone.agent.Library;
import java.io.BufferedReader;
import java.io.Closeable;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/**
 * A real collector with one employee, in a process of its own that answers questions
 * (tests/src/company.rs). Its log goes to a file.
 */
public final class Company implements Closeable {
    private static final long PATIENCE_S = 120;

    /** What the employee types when agreeing. */
    public final String password;
    /** The account id WeChat's own page shows. */
    public final String account;
    /** The collector's folder. */
    public final File data;
    /** Everything it logged. */
    public final File log;

    private final Process process;
    private final Writer questions;
    private final BlockingQueue<String> answers = new LinkedBlockingQueue<>();

    public Company(File folder) throws IOException {
        File node = Library.file("mingjing.node", "cargo build -p mingjing-tests --bin node");
        data = new File(folder, "collector");
        log = new File(folder, "collector.log");
        process = new ProcessBuilder(node.getPath(), "company", "--data", data.getPath())
                .redirectError(log).start();
        questions = new OutputStreamWriter(process.getOutputStream(), StandardCharsets.UTF_8);
        Thread reader = new Thread(this::read, "company");
        reader.setDaemon(true);
        reader.start();
        List<String> told = next();
        password = told.get(0);
        account = told.get(1);
    }

    private void read() {
        try (BufferedReader lines = new BufferedReader(
                new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                answers.add(line);
            }
        } catch (IOException ended) {
            // The end of the process: `next` says so.
        }
        answers.add("error\tthe process has ended; see " + log);
    }

    private List<String> next() {
        try {
            String answer = answers.poll(PATIENCE_S, TimeUnit.SECONDS);
            if (answer == null) {
                throw new AssertionError("no answer for " + PATIENCE_S + " s; see " + log);
            }
            List<String> words = Arrays.asList(answer.split("\t"));
            if (!words.get(0).equals("ok")) {
                throw new AssertionError(answer);
            }
            return words.subList(1, words.size());
        } catch (InterruptedException error) {
            throw new AssertionError(error);
        }
    }

    /** Asks and waits for the answer. */
    public List<String> ask(String... words) {
        try {
            questions.write(String.join("\t", words) + "\n");
            questions.flush();
        } catch (IOException error) {
            throw new AssertionError(error);
        }
        return next();
    }

    /** A number of its database. */
    public long number(String what) {
        return Long.parseLong(ask("number", what).get(0));
    }

    @Override
    public void close() throws IOException {
        questions.close();
        try {
            // A question that was never answered must not hold the end of a failed test up.
            if (!process.waitFor(10, TimeUnit.SECONDS)) {
                process.destroyForcibly();
            }
        } catch (InterruptedException error) {
            process.destroyForcibly();
        }
    }
}
