//! The phone's clocks, passed in so that tests, replays and demos can supply their own.
//!
//! Invariants: elapsed time never runs backwards within one boot, only wall time may jump; this is the
//! one module that asks the system for the time.

mod timekeeper;

use std::fmt::Debug;

use rustix::time::{ClockId, clock_gettime};

pub use timekeeper::{Anchor, Moment, Timekeeper};

/// What time it is on this phone.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Wall clock, Unix milliseconds.
    fn wall_ms(&self) -> i64;
    /// Milliseconds since boot, sleep included.
    fn elapsed_ms(&self) -> u64;
    /// Identity of this boot, 16 bytes.
    fn boot_id(&self) -> [u8; 16];
}

/// The clocks of the Linux kernel the process runs on.
#[derive(Debug)]
pub struct SystemClock {
    boot_id: [u8; 16],
}

impl SystemClock {
    /// Reads the kernel's boot id; where it can't be read every process counts as a boot of its own,
    /// which costs an anchor and nothing else.
    pub fn new() -> Self {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .ok()
            .and_then(|text| hex::decode(text.trim().replace('-', "")).ok())
            .and_then(|bytes| bytes.try_into().ok())
            .unwrap_or_else(crate::keys::random);
        Self { boot_id }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

fn millis(clock: ClockId) -> i64 {
    let now = clock_gettime(clock);
    now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}

impl Clock for SystemClock {
    fn wall_ms(&self) -> i64 {
        millis(ClockId::Realtime)
    }
    fn elapsed_ms(&self) -> u64 {
        u64::try_from(millis(ClockId::Boottime)).unwrap_or(0)
    }
    fn boot_id(&self) -> [u8; 16] {
        self.boot_id
    }
}
