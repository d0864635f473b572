//! Event time (wire.md §6): the last server anchor plus the time elapsed since.
//!
//! Invariants: within a boot that has an anchor, a jump of the wall clock changes nothing; in a boot
//! without one, time is the wall clock but never earlier than the last time known.

use std::sync::{Arc, Mutex, PoisonError};

use mingjing_proto::limits::BUFFER_DAYS;
use mingjing_proto::pb::{Signal, TimeSource};
use rustls_pki_types::UnixTime;

use super::Clock;

/// How far ahead of now the time of a recorded signal may lie.
const AHEAD_MS: i64 = 5 * 60_000;
const DAY_MS: i64 = 86_400_000;

/// The server's time at one moment of one boot.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Anchor {
    /// The server's clock, Unix milliseconds.
    #[prost(int64, tag = "1")]
    pub server_ms: i64,
    /// The phone's elapsed time at that moment.
    #[prost(uint64, tag = "2")]
    pub elapsed_ms: u64,
    /// The boot it belongs to.
    #[prost(bytes = "vec", tag = "3")]
    pub boot_id: Vec<u8>,
}

/// A moment as this phone knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Event time, Unix milliseconds.
    pub at_ms: i64,
    /// Where that time comes from.
    pub source: TimeSource,
    /// The wall clock.
    pub wall_ms: i64,
    /// Milliseconds since boot.
    pub elapsed_ms: u64,
    /// The boot.
    pub boot_id: [u8; 16],
}

#[derive(Debug, Default)]
struct Known {
    anchor: Option<Anchor>,
    last_ms: i64,
}

/// Keeps the anchor and answers what time it is. Shared by the gate, the session and TLS.
#[derive(Debug)]
pub struct Timekeeper {
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
}

impl Timekeeper {
    /// A timekeeper that knows `anchor` and that it is not earlier than `last_ms`.
    pub fn new(clock: Arc<dyn Clock>, anchor: Option<Anchor>, last_ms: i64) -> Self {
        let last_ms = anchor
            .as_ref()
            .map_or(last_ms, |it| last_ms.max(it.server_ms));
        let known = Mutex::new(Known { anchor, last_ms });
        Self { clock, known }
    }

    /// The time now.
    pub fn now(&self) -> Moment {
        let wall_ms = self.clock.wall_ms();
        let elapsed_ms = self.clock.elapsed_ms();
        let boot_id = self.clock.boot_id();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let anchored = known
            .anchor
            .as_ref()
            .filter(|anchor| anchor.boot_id == boot_id && anchor.elapsed_ms <= elapsed_ms)
            .map(|anchor| anchor.server_ms + signed(elapsed_ms - anchor.elapsed_ms));
        let (at_ms, source) = match anchored {
            Some(at_ms) => (at_ms, TimeSource::Anchored),
            None => (wall_ms.max(known.last_ms), TimeSource::Wall),
        };
        // An unanchored wall clock that is a year ahead must not poison what is known.
        if source == TimeSource::Anchored {
            known.last_ms = known.last_ms.max(at_ms);
        }
        Moment {
            at_ms,
            source,
            wall_ms,
            elapsed_ms,
            boot_id,
        }
    }

    /// Takes the server's time as it is now; the caller stores the anchor it gets back.
    pub fn anchor(&self, server_ms: i64) -> Anchor {
        let anchor = Anchor {
            server_ms,
            elapsed_ms: self.clock.elapsed_ms(),
            boot_id: self.clock.boot_id().to_vec(),
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.last_ms = known.last_ms.max(server_ms);
        known.anchor = Some(anchor.clone());
        anchor
    }

    /// The last time known for certain.
    pub fn last_known_ms(&self) -> i64 {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.last_ms
    }

    /// When `signal` happened, and whether it is live.
    ///
    /// A live signal carries its elapsed time. A recorded one (a replay) does not: it keeps its own
    /// time as long as that is credible, not older than the buffer keeps records and not ahead of now
    /// by more than five minutes (the collector refuses the rest), else it counts as happening now.
    pub fn of_signal(&self, signal: &Signal) -> (Moment, bool) {
        let now = self.now();
        let live = signal.elapsed_ms != 0;
        let at_ms = if live {
            now.at_ms - signed(now.elapsed_ms.saturating_sub(signal.elapsed_ms))
        } else if credible(signal.at_ms, now.at_ms) {
            signal.at_ms
        } else {
            now.at_ms
        };
        (Moment { at_ms, ..now }, live)
    }
}

fn credible(at_ms: i64, now_ms: i64) -> bool {
    let oldest = now_ms - i64::try_from(BUFFER_DAYS).unwrap_or(7) * DAY_MS;
    (oldest..=now_ms + AHEAD_MS).contains(&at_ms)
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

impl rustls::time_provider::TimeProvider for Timekeeper {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.now().at_ms.div_euclid(1000)).ok()?;
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(
            seconds,
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestClock;

    #[test]
    fn a_wall_clock_that_jumps_changes_nothing_once_anchored() {
        let clock = TestClock::at(1_000_000);
        let keeper = Timekeeper::new(clock.clone(), None, 0);
        keeper.anchor(5_000_000);
        clock.advance(10);
        clock.set_wall(90_000_000_000);
        let now = keeper.now();
        assert_eq!((now.at_ms, now.source), (5_000_010, TimeSource::Anchored));
    }

    #[test]
    fn without_an_anchor_time_is_never_before_the_last_known() {
        let clock = TestClock::at(1_000_000);
        let keeper = Timekeeper::new(clock.clone(), None, 4_000_000);
        assert_eq!(keeper.now().at_ms, 4_000_000);
        clock.set_wall(6_000_000);
        assert_eq!(keeper.now().at_ms, 6_000_000);
        assert_eq!(keeper.now().source, TimeSource::Wall);
        clock.reboot();
        keeper.anchor(7_000_000);
        clock.reboot();
        assert_eq!(
            keeper.now().source,
            TimeSource::Wall,
            "another boot's anchor"
        );
    }

    #[test]
    fn a_recorded_signal_keeps_a_credible_time() {
        let clock = TestClock::at(10 * DAY_MS);
        let keeper = Timekeeper::new(clock, None, 0);
        let at = |at_ms, elapsed_ms| {
            let signal = Signal {
                at_ms,
                elapsed_ms,
                ..Default::default()
            };
            keeper.of_signal(&signal).0.at_ms
        };
        assert_eq!(at(9 * DAY_MS, 0), 9 * DAY_MS);
        assert_eq!(at(2 * DAY_MS, 0), 10 * DAY_MS, "too old to be believed");
        assert_eq!(at(11 * DAY_MS, 0), 10 * DAY_MS, "from the future");
        assert_eq!(at(5, TestClock::BOOTED_MS - 7), 10 * DAY_MS - 7, "live");
    }
}
