package io.mingjing.phone.agent;

import android.content.Context;
import android.content.SharedPreferences;
import com.google.protobuf.InvalidProtocolBufferException;
import io.mingjing.phone.capture.SignalQueue;
import io.mingjing.phone.enrol.Token;
import io.mingjing.phone.identity.DeviceKey;
import java.util.Locale;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import mingjing.v1.ActivityOuterClass.Category;
import mingjing.v1.App.AgentStatus;
import mingjing.v1.App.RecordReply;
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
 * <p>Invariants: the main thread never waits for the agent or the Keystore, and for the disk only to note
 * that a withdrawal has begun; a withdrawal shuts
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

    private final Context context;
    private final DeviceKey key;
    private final SharedPreferences kept;
    private final Opening opening;
    private final Gate gate;
    private final Screens screens = new Screens();
    private final ExecutorService work = oneThread("mingjing-work");
    private final ExecutorService withdrawals = oneThread("mingjing-withdraw");
    private final SignalQueue queue;
    private volatile boolean started;
    private volatile String protection = "";

    public Phone(Context context, AgentSource source, DeviceKey key) {
        this.context = context;
        this.key = key;
        this.kept = context.getSharedPreferences("phone", Context.MODE_PRIVATE);
        this.opening = new Opening(context, source, key, kept);
        this.gate = new Gate(kept.getBoolean(WITHDRAWING, false));
        this.queue = new SignalQueue(new SignalQueue.Sink() {
            @Override
            public void take(Signals signals) {
                recordNow(FromApp.newBuilder().setSignals(signals).build());
                refreshNow();
            }
        });
    }

    /** What a closed phone is still asked to do is dropped: nobody is there to see it. */
    private static ExecutorService oneThread(final String name) {
        return new ThreadPoolExecutor(1, 1, 0, TimeUnit.SECONDS, new LinkedBlockingQueue<Runnable>(),
                new ThreadFactory() {
                    @Override
                    public Thread newThread(Runnable task) {
                        Thread thread = new Thread(task, name);
                        thread.setDaemon(true);
                        return thread;
                    }
                }, new ThreadPoolExecutor.DiscardPolicy());
    }

    /** Where signals go. */
    public SignalQueue queue() {
        return queue;
    }

    /** How the device key is protected; empty until the Keystore was asked. */
    public String keyProtection() {
        return protection;
    }

    /** Whether text may be read at all: some category is granted and no withdrawal has begun. */
    public boolean mayRead() {
        return gate.mayRead();
    }

    /** The agent's last word. */
    public AgentStatus status() {
        return gate.status();
    }

    /**
     * capturing, or why not: the agent's states, and starting, not_enrolled, key_lost, failed.
     */
    public String state() {
        return gate.state();
    }

    /** The reason of a failed state. */
    public String problemText() {
        return gate.problemText();
    }

    /** The notice's language: Chinese unless the phone speaks English. */
    public String language() {
        Locale locale = context.getResources().getConfiguration().getLocales().get(0);
        return "en".equals(locale.getLanguage()) ? "en" : "zh-CN";
    }

    public void watch(Watcher watcher) {
        screens.watch(watcher);
    }

    public void unwatch(Watcher watcher) {
        screens.unwatch(watcher);
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
                    screens.done(then, gate.status().getConfirmationCode());
                } else {
                    screens.failed(then, gate.problemText());
                }
            }
        });
    }

    private void startNow(Token token) {
        started = false;
        try {
            String state = opening.open(token, language(), callbacks);
            protection = key.exists() ? key.protection() : "";
            if (!state.isEmpty()) {
                trouble(state, "");
                return;
            }
            started = true;
            gate.well();
            try {
                finishWithdrawal();
            } catch (AgentException later) {
                // The gate stays shut; the next start tries again.
            }
            refreshNow();
        } catch (DeviceKey.KeyException error) {
            trouble(error.isLost() ? "key_lost" : "failed", error.getMessage());
        } catch (InvalidProtocolBufferException | RuntimeException | LinkageError error) {
            trouble("failed", String.valueOf(error.getMessage()));
        }
    }

    private void trouble(String state, String text) {
        gate.trouble(state, text);
        screens.changed();
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
                    screens.done(then, reply);
                } catch (RuntimeException error) {
                    screens.failed(then, error.getMessage());
                }
            }
        });
    }

    private RecordReply recordNow(FromApp message) {
        if (!started) {
            throw new AgentException(state());
        }
        try {
            return RecordReply.parseFrom(opening.agent().record(message.toByteArray()));
        } catch (InvalidProtocolBufferException impossible) {
            throw new AgentException("the agent's answer can't be read", impossible);
        }
    }

    /**
     * Withdraws everything. The gate is shut when this returns; the agent destroys the keys next, before
     * it asks for a signature.
     */
    public void withdraw(final Then<RecordReply> then) {
        gate.withdrawing(true);
        queue.clear();
        // Before the agent is asked: a process that dies now must not capture again.
        kept.edit().putBoolean(WITHDRAWING, true).commit();
        screens.changed();
        withdrawals.execute(new Runnable() {
            @Override
            public void run() {
                try {
                    RecordReply reply = finishWithdrawal();
                    refresh();
                    screens.done(then, reply);
                } catch (RuntimeException error) {
                    refresh();
                    screens.failed(then, error.getMessage());
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
        gate.withdrawing(false);
        return reply;
    }

    private boolean isAnythingGranted() {
        try {
            byte[] request = StatusRequest.getDefaultInstance().toByteArray();
            return StatusReply.parseFrom(opening.agent().status(request)).getStatus().getGrantedCount() > 0;
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
                        opening.agent().sync();
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
                    int steps = gate.steps();
                    StatusReply reply = StatusReply.parseFrom(opening.agent().status(request.toByteArray()));
                    take(reply.getStatus(), steps);
                    screens.done(then, reply);
                } catch (InvalidProtocolBufferException | RuntimeException error) {
                    screens.failed(then, error.getMessage());
                }
            }
        });
    }

    /**
     * Asks for the state and tells the screens. After a failure that may pass (the Keystore, the disk) it
     * starts again.
     */
    public void refresh() {
        work.execute(new Runnable() {
            @Override
            public void run() {
                if (gate.state().equals("failed")) {
                    startNow(null);
                } else {
                    refreshNow();
                }
            }
        });
    }

    private void refreshNow() {
        if (!started) {
            return;
        }
        try {
            int steps = gate.steps();
            byte[] request = StatusRequest.getDefaultInstance().toByteArray();
            take(StatusReply.parseFrom(opening.agent().status(request)).getStatus(), steps);
        } catch (InvalidProtocolBufferException | RuntimeException error) {
            trouble("failed", error.getMessage());
        }
    }

    private void take(AgentStatus fresh, int steps) {
        if (gate.take(fresh, steps)) {
            screens.changed();
        }
    }

    /** Ends the agent and its threads: tests, and nothing else, close a phone. */
    public void close() {
        queue.close();
        work.shutdown();
        withdrawals.shutdown();
        Agent open = opening.agent();
        if (open != null) {
            open.stop();
        }
    }
}
