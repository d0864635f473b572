//! A clock for tests and the demo: starts anywhere, runs at any speed, jumps.
//!
//! Invariant: one clock is handed to collector, agents and TLS alike, so they never disagree.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

/// A clock that can run faster than the wall and jump.
#[derive(Debug)]
pub struct SimClock {
    state: Mutex<State>,
    jump_ms: AtomicI64,
    boot_id: [u8; 16],
}

#[derive(Debug)]
struct State {
    started: Instant,
    base_ms: i64,
    base_elapsed_ms: f64,
    speed: f64,
}

impl SimClock {
    /// Shows `start_ms` (Unix milliseconds) now and runs `speed` times as fast as the wall.
    #[allow(
        clippy::disallowed_methods,
        reason = "simulated time is derived from the monotonic clock here only"
    )]
    pub fn new(start_ms: i64, speed: f64) -> Self {
        Self {
            state: Mutex::new(State {
                started: Instant::now(),
                base_ms: start_ms,
                base_elapsed_ms: 3_600_000.0,
                speed,
            }),
            jump_ms: AtomicI64::new(0),
            boot_id: [7; 16],
        }
    }

    /// The real time, at the real speed.
    pub fn real() -> Self {
        let now = jiff::Timestamp::now().as_millisecond();
        Self::new(now, 1.0)
    }

    fn passed(state: &State) -> f64 {
        state.started.elapsed().as_secs_f64() * 1000.0 * state.speed
    }

    /// Goes on at another speed from this moment.
    #[allow(
        clippy::disallowed_methods,
        reason = "simulated time is derived from the monotonic clock here only"
    )]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "milliseconds of a simulation fit"
    )]
    pub fn set_speed(&self, speed: f64) {
        let mut state = self.state.lock().expect("no panic while holding the clock");
        let passed = Self::passed(&state);
        state.base_ms += passed as i64;
        state.base_elapsed_ms += passed;
        state.started = Instant::now();
        state.speed = speed;
    }

    /// Moves the wall clock; elapsed time does not move.
    pub fn jump(&self, by_ms: i64) {
        self.jump_ms.fetch_add(by_ms, Ordering::SeqCst);
    }

    /// Lets time pass at once: wall clock and elapsed time move together.
    #[allow(
        clippy::cast_precision_loss,
        reason = "milliseconds of a simulation are exact in a double"
    )]
    pub fn advance(&self, by_ms: i64) {
        let mut state = self.state.lock().expect("no panic while holding the clock");
        state.base_ms += by_ms;
        state.base_elapsed_ms += by_ms as f64;
    }

    /// Unix milliseconds.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "milliseconds of a simulation fit"
    )]
    pub fn now(&self) -> i64 {
        let state = self.state.lock().expect("no panic while holding the clock");
        state.base_ms + Self::passed(&state) as i64 + self.jump_ms.load(Ordering::SeqCst)
    }
}

impl mingjing_collector::clock::Clock for SimClock {
    fn now_ms(&self) -> i64 {
        self.now()
    }
}

impl mingjing_agent::clock::Clock for SimClock {
    fn wall_ms(&self) -> i64 {
        self.now()
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "milliseconds of a simulation fit"
    )]
    fn elapsed_ms(&self) -> u64 {
        let state = self.state.lock().expect("no panic while holding the clock");
        (state.base_elapsed_ms + Self::passed(&state)) as u64
    }

    fn boot_id(&self) -> [u8; 16] {
        self.boot_id
    }
}
