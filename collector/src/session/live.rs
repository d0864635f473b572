//! The sessions of this process: who is connected, which session of a device is the newest.
//!
//! Invariants: a device has at most one session here; a newer one ends the older; what ends a session
//! from outside (revocation, a newer session on another collector) reaches it through its own signal.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
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
    held: Arc<AtomicBool>,
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
    /// Set by the session while it holds a record: anything entered anywhere may be the cure.
    pub held: Arc<AtomicBool>,
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

    /// Enters a session; the older of two of the same device here is told that it is superseded.
    pub fn enter(&self, device: DeviceId, number: i64, person: &str, now_ms: i64) -> Place {
        let news = Arc::new(Notify::new());
        let held = Arc::new(AtomicBool::new(false));
        let (sender, signal) = watch::channel(Signal::Go);
        let mut inner = self.inner();
        let entry = Entry {
            number,
            signal: sender,
            person: person.to_owned(),
            news: news.clone(),
            held: held.clone(),
        };
        let known = inner.sessions.get(&device);
        let takeover = usize::from(known.is_some());
        if known.is_some_and(|known| known.number > number) {
            // A newer one was numbered after this one and came here before it.
            entry.signal.send_replace(Signal::Superseded);
        } else if let Some(older) = inner.sessions.insert(device, entry) {
            older.signal.send_replace(Signal::Superseded);
        }
        let clone_alarm = inner.flips(device, now_ms, takeover) > FLIPS;
        Place {
            number,
            signal,
            news,
            held,
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
        self.refresh_those(|_| true);
    }

    /// Tells those sessions that a change of what this person is, holds or held may concern.
    pub fn refresh_holder(&self, person: &str) {
        self.refresh_those(|entry| entry.person == person || entry.held.load(Ordering::SeqCst));
    }

    fn refresh_those(&self, concerned: impl Fn(&Entry) -> bool) {
        let mut inner = self.inner();
        inner.refreshes += 1;
        let signal = Signal::Refresh(inner.refreshes);
        for entry in inner.sessions.values().filter(|entry| concerned(entry)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: DeviceId = DeviceId([7; 16]);

    fn heard(place: &mut Place) -> Signal {
        *place.signal.borrow_and_update()
    }

    #[test]
    fn the_newest_number_wins_in_whatever_order_two_sessions_enter() {
        let live = Live::default();
        let mut newer = live.enter(DEVICE, 6, "p-1", 0);
        let mut older = live.enter(DEVICE, 5, "p-1", 0);
        assert_eq!(heard(&mut older), Signal::Superseded);
        live.leave(DEVICE, older.number);
        assert_eq!(heard(&mut newer), Signal::Go);
        let mut newest = live.enter(DEVICE, 7, "p-1", 0);
        assert_eq!(heard(&mut newer), Signal::Superseded);
        assert_eq!((heard(&mut newest), live.count()), (Signal::Go, 1));
    }

    #[test]
    fn a_change_of_the_register_reaches_its_holder_and_who_holds_a_record() {
        let live = Live::default();
        let mut places: Vec<_> = ["p-1", "p-2", "p-3"]
            .into_iter()
            .zip(1..)
            .map(|(person, n)| live.enter(DeviceId([n; 16]), 1, person, 0))
            .collect();
        places[2].held.store(true, Ordering::SeqCst);
        live.refresh_holder("p-1");
        let told: Vec<_> = places.iter_mut().map(heard).collect();
        assert_eq!(told, [Signal::Refresh(1), Signal::Go, Signal::Refresh(1)]);
    }
}
