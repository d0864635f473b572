//! The phone's clocks, passed in so that tests, replays and demos can supply their own.
//!
//! Invariant: elapsed time never runs backwards within one boot; only wall time may jump.

use std::fmt::Debug;

/// What time it is on this phone.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Wall clock, Unix milliseconds.
    fn wall_ms(&self) -> i64;
    /// Milliseconds since boot, sleep included.
    fn elapsed_ms(&self) -> u64;
    /// Identity of this boot, 16 bytes.
    fn boot_id(&self) -> [u8; 16];
}
