//! What the caller of an [`Agent`](crate::Agent) may choose.
//!
//! Invariant: nothing here widens what is captured; the policy, the notice and the consent decide that.

use std::path::PathBuf;
use std::time::Duration;

use mingjing_proto::limits;

/// Settings of one agent.
#[derive(Clone, Debug)]
pub struct Config {
    /// The agent's own folder.
    pub dir: PathBuf,
    /// Language of the notice and of `Hello`: `zh-CN` or `en`.
    pub language: String,
    /// Sealed bytes kept before the oldest unsent records go (wire.md §3).
    pub buffer_bytes: u64,
    /// Age of records before the oldest unsent go.
    pub buffer_age: Duration,
    /// Memory sled may use for its cache, 1–4 MB.
    pub cache_bytes: u64,
    /// Events a batch aims at.
    pub batch_events: usize,
    /// First and longest wait between attempts to connect; both are spread by full jitter.
    pub backoff: (Duration, Duration),
    /// Wait after a newer session of the same device took over; `sync` ends it.
    pub superseded_wait: Duration,
    /// Least time between two `Status` messages.
    pub status_interval: Duration,
    /// Least time between two checkpoints.
    pub checkpoint_interval: Duration,
    /// How long a letter waits for the collector's word before it is sent again in one session.
    pub letter_interval: Duration,
    /// How long a held record waits before it is tried again by itself.
    pub held_wait: Duration,
    /// HTTP/2 ping interval; it is the only timer of an idle session.
    pub keep_alive: Duration,
}

impl Config {
    /// The defaults, with data in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            language: "zh-CN".to_owned(),
            buffer_bytes: limits::BUFFER_BYTES,
            buffer_age: Duration::from_hours(24 * limits::BUFFER_DAYS),
            cache_bytes: 1024 * 1024,
            batch_events: 100,
            backoff: (Duration::from_secs(1), Duration::from_mins(5)),
            superseded_wait: Duration::from_mins(10),
            status_interval: Duration::from_secs(30),
            checkpoint_interval: Duration::from_mins(1),
            letter_interval: Duration::from_mins(15),
            held_wait: Duration::from_mins(5),
            keep_alive: Duration::from_mins(2),
        }
    }
}
