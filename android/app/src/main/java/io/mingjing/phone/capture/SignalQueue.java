package io.mingjing.phone.capture;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import mingjing.v1.Session.Signals;
import mingjing.v1.SignalOuterClass.Signal;

/**
 * Carries signals from Android's threads to the agent: bounded, and what does not fit is counted and
 * reported. One call to the agent takes all there is while the next lot gathers; there is no timer.
 */
public final class SignalQueue {
    /** Signals that may wait. */
    public static final int CAPACITY = 512;

    /** Takes signals on the queue's own thread and may block. */
    public interface Sink {
        void take(Signals signals);
    }

    private final Sink sink;
    private final Deque<Signal> waiting = new ArrayDeque<>();
    private final Thread thread;
    private long lost;
    private long lostEver;
    private boolean busy;
    private boolean closed;

    public SignalQueue(Sink sink) {
        this.sink = sink;
        thread = new Thread(new Runnable() {
            @Override
            public void run() {
                carry();
            }
        }, "mingjing-signals");
        thread.setDaemon(true);
        thread.start();
    }

    /** Never blocks. */
    public synchronized void add(Signal signal) {
        if (waiting.size() >= CAPACITY) {
            lost++;
            lostEver++;
            return;
        }
        waiting.add(signal);
        notifyAll();
    }

    /** Forgets what waits: a withdrawal. */
    public synchronized void clear() {
        waiting.clear();
    }

    /** Signals lost since the process began. */
    public synchronized long lost() {
        return lostEver;
    }

    /** Signals that wait now. */
    public synchronized int waiting() {
        return waiting.size();
    }

    /** Waits until everything was handed over. */
    public synchronized void drain() throws InterruptedException {
        while (!waiting.isEmpty() || busy) {
            wait();
        }
    }

    public synchronized void close() {
        closed = true;
        notifyAll();
    }

    private void carry() {
        while (true) {
            Signals.Builder lot = Signals.newBuilder();
            long lostNow;
            synchronized (this) {
                busy = false;
                notifyAll();
                while (waiting.isEmpty() && !closed) {
                    try {
                        wait();
                    } catch (InterruptedException end) {
                        return;
                    }
                }
                if (closed) {
                    return;
                }
                busy = true;
                List<Signal> all = new ArrayList<>(waiting);
                waiting.clear();
                lostNow = lost;
                lost = 0;
                lot.addAllSignals(all).setLost(lostNow);
            }
            try {
                sink.take(lot.build());
            } catch (RuntimeException refused) {
                // The agent is not there, or its disk fails: these signals are gone and are counted.
                synchronized (this) {
                    lost += lostNow + lot.getSignalsCount();
                    lostEver += lot.getSignalsCount();
                }
            }
        }
    }
}
