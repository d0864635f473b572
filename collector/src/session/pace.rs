//! How fast one phone may speak: so many messages and so many inflated bytes a second, with bursts of
//! twice that.
//!
//! Invariants: nobody is refused or cut off for being fast; waiting is back-pressure on the phone's own
//! stream, so what it has to say stays in its buffer; other phones' paces are their own.

use std::time::Duration;

use mingjing_proto::pb::{self, from_device};
use tokio::time::Instant;

use crate::config::Limits;

/// What a message that is no batch costs, in batches: each is written to the database by itself, and a
/// grant proof has a password hashed.
const ALONE: f64 = 20.0;

/// One phone's allowance.
pub(super) struct Pace {
    messages: Bucket,
    bytes: Bucket,
}

impl Pace {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            messages: Bucket::new(f64::from(limits.batches_per_s)),
            bytes: Bucket::new(f64::from(limits.bytes_per_s)),
        }
    }

    /// Counts this message; when it may be heard, if that is not at once.
    pub(super) fn early(&mut self, message: &pb::FromDevice) -> Option<Instant> {
        let now = Instant::now();
        let wait = self.take(message, now);
        (!wait.is_zero()).then(|| now + wait)
    }

    /// Counts a message heard now; how long to wait with it.
    fn take(&mut self, message: &pb::FromDevice, now: Instant) -> Duration {
        let (messages, bytes) = cost(message);
        self.messages
            .take(messages, now)
            .max(self.bytes.take(bytes, now))
    }
}

fn cost(message: &pb::FromDevice) -> (f64, f64) {
    match &message.body {
        // What it declares is what it may inflate to: more is refused.
        Some(from_device::Body::Batch(batch)) => (1.0, f64::from(batch.inflated_bytes)),
        Some(_) => (ALONE, 0.0),
        None => (1.0, 0.0),
    }
}

/// A token bucket that may go into debt, so that a message larger than the burst passes as well.
struct Bucket {
    per_s: f64,
    tokens: f64,
    last: Instant,
}

impl Bucket {
    fn new(per_s: f64) -> Self {
        Self {
            per_s,
            tokens: 2.0 * per_s,
            last: Instant::now(),
        }
    }

    /// Takes `cost` tokens; how long to wait before going on.
    fn take(&mut self, cost: f64, now: Instant) -> Duration {
        let gained = now.duration_since(self.last).as_secs_f64() * self.per_s;
        self.tokens = (self.tokens + gained).min(2.0 * self.per_s) - cost;
        self.last = now;
        Duration::from_secs_f64((-self.tokens / self.per_s).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(bytes: u32) -> pb::FromDevice {
        pb::FromDevice {
            body: Some(from_device::Body::Batch(pb::Batch {
                inflated_bytes: bytes,
                ..Default::default()
            })),
        }
    }

    /// Seconds a phone that never stops takes for these messages.
    fn seconds(messages: impl IntoIterator<Item = pb::FromDevice>) -> f64 {
        let limits = Limits {
            handshakes: 1,
            sessions: 1,
            batches_per_s: 100,
            bytes_per_s: 1_000_000,
        };
        let mut pace = Pace::new(limits);
        let began = Instant::now();
        let mut now = began;
        for message in messages {
            now += pace.take(&message, now);
        }
        now.duration_since(began).as_secs_f64()
    }

    #[test]
    fn a_phone_is_slowed_to_its_allowance_by_number_by_size_and_by_cost() {
        let status = pb::FromDevice {
            body: Some(from_device::Body::Status(pb::Status::default())),
        };
        let proof = pb::FromDevice {
            body: Some(from_device::Body::GrantProof(pb::GrantProof::default())),
        };
        // The burst is free; a message over the rate waits for its own cost.
        for (what, took, expected) in [
            ("burst", seconds(vec![batch(1000); 200]), 0.0),
            ("small batches", seconds(vec![batch(1000); 700]), 5.0),
            ("large batches", seconds(vec![batch(1_000_000); 7]), 5.0),
            ("status", seconds(vec![status; 60]), 10.0),
            ("proofs", seconds(vec![proof; 60]), 10.0),
            ("larger than the burst", seconds([batch(4_000_000)]), 2.0),
        ] {
            assert!((took - expected).abs() < 0.1, "{what}: {took} s");
        }
    }
}
