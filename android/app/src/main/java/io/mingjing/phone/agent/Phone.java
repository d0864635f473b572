package io.mingjing.phone.agent;

import android.content.Context;
import android.content.SharedPreferences;
import android.os.Build;
import android.os.Handler;
import android.os.Looper;
import android.util.Base64;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import io.mingjing.phone.capture.SignalQueue;
import io.mingjing.phone.enrol.Token;
import io.mingjing.phone.identity.DeviceKey;
import java.io.File;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ThreadFactory;
import mingjing.v1.ActivityOuterClass.Category;
import mingjing.v1.App.AgentStatus;
import mingjing.v1.App.RecordReply;
import mingjing.v1.App.StartReply;
import mingjing.v1.App.StartRequest;
import mingjing.v1.App.StatusReply;
import mingjing.v1.App.StatusRequest;
import mingjing.v1.Record.CategoryDecision;
import mingjing.v1.Record.Decision;
import mingjing.v1.Session.ConsentChoice;
import mingjing.v1.Session.FromApp;
import mingjing.v1.Session.Signals;

/**
 * The agent and everything of the app that talks to it. Decides nothing: it hands bytes over and keeps the
 * last answer for the screens.
 *
 * <p>Invariants: the main thread never waits for the agent, the Keystore or the disk; a withdrawal shuts
 * {@link #mayRead()} before anything else happens, and has a thread of its own, so that no blocked call
 * is in front of it; one that the process did not live to finish is finished at the next start.
 */
public final class Phone {
    /** Where the agent comes from; loading may fail and is done off the main thread. */
    public interface AgentSource {
        Agent load();
    }

    /** A screen, told on the main thread. */
    public interface Watcher {
        void changed();
    }

    /** The end of a call, on the main thread. */
    public interface Then<T> {
        void done(T value);

        void failed(String why);
    }

    private static final String WITHDRAWING = "withdrawing";
    private static final String ENROLLED = "enrolled";
    private static final String CHALLENGE = "challenge";

    private final Context context;
    private final AgentSource source;
    private final DeviceKey key;
    private final SharedPreferences kept;
    private final Handler main = new Handler(Looper.getMainLooper());
    private final ExecutorService work = Executors.newSingleThreadExecutor(named("mingjing-work"));
    private final ExecutorService withdrawals =
            Executors.newSingleThreadExecutor(named("mingjing-withdraw"));
    private final List<Watcher> watchers = new CopyOnWriteArrayList<>();
    private final SignalQueue queue;

    /** Guards the two below and {@link #mayRead}. */
    private final Object gate = new Object();
    private boolean withdrawing;
    /** Counts beginnings and ends of withdrawals: an answer asked for before one says nothing after it. */
    private int withdrawalSteps;

    private volatile Agent agent;
    private volatile boolean started;
    private volatile boolean mayRead;
    private volatile String problem = "starting";
    private volatile String problemText = "";
    private volatile AgentStatus status = AgentStatus.getDefaultInstance();

    public Phone(Context context, AgentSource source, DeviceKey key) {
        this.context = context;
        this.source = source;
        this.key = key;
        this.kept = context.getSharedPreferences("phone", Context.MODE_PRIVATE);
        this.withdrawing = kept.getBoolean(WITHDRAWING, false);
        this.queue = new SignalQueue(new SignalQueue.Sink() {
            @Override
            public void take(Signals signals) {
                recordNow(FromApp.newBuilder().setSignals(signals).build());
                refreshNow();
            }
        });
    }

    private static ThreadFactory named(final String name) {
        return new ThreadFactory() {
            @Override
            public Thread newThread(Runnable task) {
                Thread thread = new Thread(task, name);
                thread.setDaemon(true);
                return thread;
            }
        };
    }

    /** Where signals go. */
    public SignalQueue queue() {
        return queue;
    }

    /** How the device key is protected. */
    public String keyProtection() {
        return key.protection();
    }

    /** Whether text may be read at all: some category is granted and no withdrawal has begun. */
    public boolean mayRead() {
        return mayRead;
    }

    /** The agent's last word. */
    public AgentStatus status() {
        return status;
    }

    /**
     * capturing, or why not: the agent's states, and starting, not_enrolled, key_lost, failed.
     */
    public String state() {
        return problem.isEmpty() ? status.getState() : problem;
    }

    /** The reason of a failed state. */
    public String problemText() {
        return problemText;
    }

    /** The notice's language: Chinese unless the phone speaks English. */
    public String language() {
        Locale locale = context.getResources().getConfiguration().getLocales().get(0);
        return "en".equals(locale.getLanguage()) ? "en" : "zh-CN";
    }

    public void watch(Watcher watcher) {
        watchers.add(watcher);
    }

    public void unwatch(Watcher watcher) {
        watchers.remove(watcher);
    }

    /** Starts, or tries again. */
    public void start() {
        work.execute(new Runnable() {
            @Override
            public void run() {
                startNow(null);
            }
        });
    }

    /** Enrols with a code from the console. */
    public void enrol(final Token token, final Then<String> then) {
        work.execute(new Runnable() {
            @Override
            public void run() {
                startNow(token);
                if (started) {
                    done(then, status.getConfirmationCode());
                } else {
                    failed(then, problemText);
                }
            }
        });
    }

    private void startNow(Token token) {
        started = false;
        try {
            if (agent == null) {
                agent = source.load();
            }
            File dir = new File(context.getNoBackupFilesDir(), "agent");
            if (token != null) {
                makeKeyFor(token, dir);
            }
            if (!key.exists()) {
                // A key that was there once can't be made again: nothing it signed would hold.
                trouble(kept.getBoolean(ENROLLED, false) ? "key_lost" : "not_enrolled", "");
                return;
            }
            StartRequest.Builder request = StartRequest.newBuilder()
                    .setDir(dir.getPath())
                    .setWrappingKey(ByteString.copyFrom(key.wrappingKey()))
                    .setLanguage(language())
                    .setPublicKeySpki(ByteString.copyFrom(key.publicKeySpki()));
            if (token != null) {
                request.setToken(token.text())
                        .setManufacturer(Build.MANUFACTURER)
                        .setModel(Build.MODEL)
                        .setOsVersion(Build.VERSION.RELEASE);
                for (byte[] certificate : key.attestation()) {
                    request.addAttestationChain(ByteString.copyFrom(certificate));
                }
            }
            StartReply reply =
                    StartReply.parseFrom(agent.start(request.build().toByteArray(), callbacks));
            if (!reply.getEnrolled()) {
                trouble("not_enrolled", "");
                return;
            }
            kept.edit().putBoolean(ENROLLED, true).apply();
            started = true;
            problem = "";
            problemText = "";
            try {
                finishWithdrawal();
            } catch (AgentException later) {
                // The gate stays shut; the next start tries again.
                problemText = later.getMessage();
            }
            refreshNow();
        } catch (DeviceKey.KeyException error) {
            trouble(error.isLost() ? "key_lost" : "failed", error.getMessage());
        } catch (InvalidProtocolBufferException | RuntimeException | LinkageError error) {
            trouble("failed", String.valueOf(error.getMessage()));
        }
    }

    /**
     * A key is attested for one code, so another code needs another key; the same code may be tried again
     * with the same one. What a lost key had sealed can't be opened again and makes room.
     */
    private void makeKeyFor(Token token, File dir) throws DeviceKey.KeyException {
        String challenge = Base64.encodeToString(token.challenge(), Base64.NO_WRAP);
        boolean enrolled = kept.getBoolean(ENROLLED, false);
        boolean same = challenge.equals(kept.getString(CHALLENGE, ""));
        if (key.exists() && (enrolled || same)) {
            return;
        }
        delete(dir);
        key.make(token.challenge());
        kept.edit().putString(CHALLENGE, challenge).putBoolean(ENROLLED, false).commit();
    }

    private static void delete(File file) {
        File[] inside = file.listFiles();
        if (inside != null) {
            for (File each : inside) {
                delete(each);
            }
        }
        if (file.exists() && !file.delete()) {
            throw new IllegalStateException("can't delete " + file.getName());
        }
    }

    /** The agent, if it was started, stays reachable: a withdrawal must get through whatever is wrong. */
    private void trouble(String state, String text) {
        synchronized (gate) {
            mayRead = false;
            problem = state;
        }
        problemText = text == null ? "" : text;
        changed();
    }

    private final Agent.Callbacks callbacks = new Agent.Callbacks() {
        @Override
        public byte[] sign(byte[] message) {
            try {
                return key.sign(message);
            } catch (DeviceKey.KeyException error) {
                if (error.isLost()) {
                    trouble("key_lost", error.getMessage());
                }
                throw new AgentException(error.getMessage(), error);
            }
        }

        @Override
        public void onMessage(byte[] toDevice) {
            refresh();
        }
    };

    /** Hands the employee's own message over: a choice, a pause, an answer, a complaint. */
    public void send(final FromApp message, final Then<RecordReply> then) {
        work.execute(new Runnable() {
            @Override
            public void run() {
                try {
                    RecordReply reply = recordNow(message);
                    refreshNow();
                    done(then, reply);
                } catch (RuntimeException error) {
                    failed(then, error.getMessage());
                }
            }
        });
    }

    private RecordReply recordNow(FromApp message) {
        if (!started) {
            throw new AgentException(state());
        }
        try {
            return RecordReply.parseFrom(agent.record(message.toByteArray()));
        } catch (InvalidProtocolBufferException impossible) {
            throw new AgentException("the agent's answer can't be read", impossible);
        }
    }

    /**
     * Withdraws everything. The gate is shut when this returns; the agent destroys the keys next, before
     * it asks for a signature.
     */
    public void withdraw(final Then<RecordReply> then) {
        setWithdrawing(true);
        queue.clear();
        // Before the agent is asked: a process that dies now must not capture again.
        kept.edit().putBoolean(WITHDRAWING, true).commit();
        changed();
        withdrawals.execute(new Runnable() {
            @Override
            public void run() {
                try {
                    RecordReply reply = finishWithdrawal();
                    refresh();
                    done(then, reply);
                } catch (RuntimeException error) {
                    refresh();
                    failed(then, error.getMessage());
                }
            }
        });
    }

    private synchronized RecordReply finishWithdrawal() {
        if (!kept.getBoolean(WITHDRAWING, false)) {
            return RecordReply.getDefaultInstance();
        }
        ConsentChoice.Builder choice = ConsentChoice.newBuilder()
                .setLanguage(language()).setGivenHow("screen");
        for (Category category : Category.values()) {
            if (category != Category.UNRECOGNIZED && category != Category.CATEGORY_CONTROL
                    && category != Category.CATEGORY_DEVICE) {
                choice.addDecisions(CategoryDecision.newBuilder()
                        .setCategory(category).setDecision(Decision.DECISION_WITHDRAWN));
            }
        }
        RecordReply reply;
        try {
            reply = recordNow(FromApp.newBuilder().setConsent(choice).build());
        } catch (AgentException error) {
            if (!started || isAnythingGranted()) {
                throw error;
            }
            // In force all the same: only the signature is missing, and the agent asks for it again.
            reply = RecordReply.getDefaultInstance();
        }
        kept.edit().putBoolean(WITHDRAWING, false).commit();
        setWithdrawing(false);
        return reply;
    }

    private void setWithdrawing(boolean now) {
        synchronized (gate) {
            withdrawing = now;
            withdrawalSteps++;
            mayRead = false;
        }
    }

    private int withdrawalSteps() {
        synchronized (gate) {
            return withdrawalSteps;
        }
    }

    private boolean isAnythingGranted() {
        try {
            byte[] request = StatusRequest.getDefaultInstance().toByteArray();
            return StatusReply.parseFrom(agent.status(request)).getStatus().getGrantedCount() > 0;
        } catch (InvalidProtocolBufferException impossible) {
            return true;
        }
    }

    /** There may be a network. */
    public void sync() {
        work.execute(new Runnable() {
            @Override
            public void run() {
                if (started) {
                    try {
                        agent.sync();
                    } catch (RuntimeException stopped) {
                        trouble("failed", stopped.getMessage());
                    }
                }
            }
        });
    }

    /** Asks for what a page shows. */
    public void ask(final StatusRequest request, final Then<StatusReply> then) {
        work.execute(new Runnable() {
            @Override
            public void run() {
                try {
                    if (!started) {
                        throw new AgentException(state());
                    }
                    int steps = withdrawalSteps();
                    StatusReply reply = StatusReply.parseFrom(agent.status(request.toByteArray()));
                    take(reply.getStatus(), steps);
                    done(then, reply);
                } catch (InvalidProtocolBufferException | RuntimeException error) {
                    failed(then, error.getMessage());
                }
            }
        });
    }

    /** Asks for the state, and tells the screens when it changed. */
    public void refresh() {
        work.execute(new Runnable() {
            @Override
            public void run() {
                refreshNow();
            }
        });
    }

    private void refreshNow() {
        if (!started) {
            return;
        }
        try {
            int steps = withdrawalSteps();
            byte[] request = StatusRequest.getDefaultInstance().toByteArray();
            take(StatusReply.parseFrom(agent.status(request)).getStatus(), steps);
        } catch (InvalidProtocolBufferException | RuntimeException error) {
            trouble("failed", error.getMessage());
        }
    }

    private void take(AgentStatus fresh, int steps) {
        synchronized (gate) {
            if (steps != withdrawalSteps) {
                return;
            }
            mayRead = problem.isEmpty() && fresh.getGrantedCount() > 0 && !withdrawing;
            status = fresh;
        }
        changed();
    }

    private void changed() {
        main.post(new Runnable() {
            @Override
            public void run() {
                for (Watcher watcher : new ArrayList<>(watchers)) {
                    watcher.changed();
                }
            }
        });
    }

    private <T> void done(final Then<T> then, final T value) {
        if (then != null) {
            main.post(new Runnable() {
                @Override
                public void run() {
                    then.done(value);
                }
            });
        }
    }

    private <T> void failed(final Then<T> then, final String why) {
        if (then != null) {
            main.post(new Runnable() {
                @Override
                public void run() {
                    then.failed(String.valueOf(why));
                }
            });
        }
    }

    /** Ends the agent and its threads: tests, and nothing else, close a phone. */
    public void close() {
        queue.close();
        work.shutdown();
        withdrawals.shutdown();
        Agent open = agent;
        if (open != null) {
            open.stop();
        }
    }
}
