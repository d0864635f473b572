//! The sessions of this process: who is connected, which session of a device is the newest.
//!
//! Invariants: a device has at most one session here; a newer one ends the older; what ends a session
//! from outside (revocation, a newer session on another collector) reaches it through its own signal.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use mingjing_proto::ids::DeviceId;
use tokio::sync::{Notify, watch};

/// Why a session has to end, or what it has to read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signal {
    /// Nothing.
    #[default]
    Go,
    /// The register, schedules or notices changed: read again. The number makes each distinct.
    Refresh(u64),
    /// A newer session of the device exists.
    Superseded,
    /// The device was revoked.
    Revoked,
}

impl Signal {
    fn is_end(self) -> bool {
        matches!(self, Self::Superseded | Self::Revoked)
    }
}

#[derive(Debug)]
struct Entry {
    number: i64,
    signal: watch::Sender<Signal>,
    person: String,
    news: Arc<Notify>,
}

/// The sessions of this process.
#[derive(Debug, Default)]
pub struct Live {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    sessions: HashMap<DeviceId, Entry>,
    flips: HashMap<DeviceId, VecDeque<i64>>,
    refreshes: u64,
}

/// Sessions of one device taking over from each other within this time, more often than this, mean that
/// two phones hold one key (wire.md §4).
const FLIP_WINDOW_MS: i64 = 10 * 60_000;
const FLIPS: usize = 3;

/// A session's place; leaving is explicit, so that a newer session's entry is never removed.
#[derive(Debug)]
pub struct Place {
    /// Number of the session, from the device's row.
    pub number: i64,
    /// What reaches it from outside.
    pub signal: watch::Receiver<Signal>,
    /// There is something to tell its holder.
    pub news: Arc<Notify>,
    /// Whether sessions of this device have been taking over from each other too often.
    pub clone_alarm: bool,
}

impl Inner {
    /// Counts `more` takeovers; how many there were within the window.
    fn flips(&mut self, device: DeviceId, now_ms: i64, more: usize) -> usize {
        let flips = self.flips.entry(device).or_default();
        flips.extend(std::iter::repeat_n(now_ms, more));
        while flips
            .front()
            .is_some_and(|at_ms| now_ms - at_ms > FLIP_WINDOW_MS)
        {
            flips.pop_front();
        }
        let count = flips.len();
        if count == 0 {
            self.flips.remove(&device);
        }
        count
    }
}

impl Live {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner
            .lock()
            .expect("no panic while holding the sessions")
    }

    /// Enters a session; an older one of the same device here is told that it is superseded.
    pub fn enter(&self, device: DeviceId, number: i64, person: &str, now_ms: i64) -> Place {
        let news = Arc::new(Notify::new());
        let (sender, signal) = watch::channel(Signal::Go);
        let mut inner = self.inner();
        let entry = Entry {
            number,
            signal: sender,
            person: person.to_owned(),
            news: news.clone(),
        };
        let older = inner.sessions.insert(device, entry);
        if let Some(older) = &older {
            older.signal.send_replace(Signal::Superseded);
        }
        let clone_alarm = inner.flips(device, now_ms, usize::from(older.is_some())) > FLIPS;
        Place {
            number,
            signal,
            news,
            clone_alarm,
        }
    }

    /// Removes a session that ended, unless a newer one has taken its place.
    pub fn leave(&self, device: DeviceId, number: i64) {
        let mut inner = self.inner();
        if inner
            .sessions
            .get(&device)
            .is_some_and(|entry| entry.number == number)
        {
            inner.sessions.remove(&device);
        }
    }

    /// Ends a device's session because it was revoked.
    pub fn revoke(&self, device: DeviceId) {
        if let Some(entry) = self.inner().sessions.get(&device) {
            entry.signal.send_replace(Signal::Revoked);
        }
    }

    /// Ends a device's session if another collector has a newer one.
    pub fn supersede(&self, device: DeviceId, newest: i64, now_ms: i64) {
        let mut inner = self.inner();
        let Some(entry) = inner.sessions.get(&device) else {
            return;
        };
        if entry.number < newest {
            entry.signal.send_replace(Signal::Superseded);
            inner.sessions.remove(&device);
            // Between two collectors each sees every other takeover only.
            inner.flips(device, now_ms, 2);
        }
    }

    /// Tells the sessions of a person's phones that there is something about him.
    pub fn news(&self, person: &str) {
        for entry in self.inner().sessions.values() {
            if entry.person == person {
                entry.news.notify_one();
            }
        }
    }

    /// Tells every session to read again what IT may have changed.
    pub fn refresh(&self) {
        let mut inner = self.inner();
        inner.refreshes += 1;
        let signal = Signal::Refresh(inner.refreshes);
        for entry in inner.sessions.values() {
            entry.signal.send_if_modified(|now| {
                let goes_on = !now.is_end();
                if goes_on {
                    *now = signal;
                }
                goes_on
            });
        }
    }

    /// How many sessions there are.
    pub fn count(&self) -> usize {
        self.inner().sessions.len()
    }

    /// Whether a device has a session here.
    pub fn is_connected(&self, device: DeviceId) -> bool {
        self.inner().sessions.contains_key(&device)
    }
}
