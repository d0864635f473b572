//! One activity for one fact: what was recognised lately, so that a second sight of it is not a second fact.
//!
//! Invariants: at most [`ENTRIES`] hashes of at most [`WINDOW_MS`] age; a credit is taken once, so two
//! equal messages stay two.

use std::collections::VecDeque;

/// Hashes remembered.
const ENTRIES: usize = 4096;
/// How long a sight in one channel answers for the other.
const WINDOW_MS: i64 = 24 * 60 * 60 * 1000;

/// Where a fact was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    Notification,
    Bubble,
    Page,
}

#[derive(Debug, Default)]
pub(super) struct Seen {
    entries: VecDeque<(u64, Channel, i64)>,
}

impl Seen {
    /// Remembers a fact.
    pub(super) fn note(&mut self, key: u64, channel: Channel, at_ms: i64) {
        if self.entries.len() >= ENTRIES {
            self.entries.pop_front();
        }
        self.entries.push_back((key, channel, at_ms));
    }

    /// Takes back one sight of the fact in another channel, if there was one within `window_ms`.
    pub(super) fn take(&mut self, key: u64, not: Channel, at_ms: i64, window_ms: i64) -> bool {
        let window_ms = window_ms.min(WINDOW_MS);
        let found = self.entries.iter().position(|(known, channel, seen_ms)| {
            *known == key && *channel != not && at_ms.saturating_sub(*seen_ms).abs() <= window_ms
        });
        match found {
            Some(index) => self.entries.remove(index).is_some(),
            None => false,
        }
    }

    /// Whether a fact told by a notification has not been seen elsewhere yet.
    pub(super) fn holds(&self, key: u64, at_ms: i64) -> bool {
        self.entries.iter().any(|(known, channel, seen_ms)| {
            let recent = at_ms.saturating_sub(*seen_ms).abs() <= WINDOW_MS;
            *known == key && *channel == Channel::Notification && recent
        })
    }

    pub(super) fn clear(&mut self) {
        self.entries = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credit_is_taken_once_and_from_the_other_channel_only() {
        let mut seen = Seen::default();
        seen.note(1, Channel::Notification, 0);
        assert!(!seen.take(1, Channel::Notification, 1, WINDOW_MS));
        assert!(seen.take(1, Channel::Bubble, 1, WINDOW_MS));
        assert!(!seen.take(1, Channel::Bubble, 1, WINDOW_MS));
        seen.note(1, Channel::Notification, 0);
        assert!(!seen.take(1, Channel::Bubble, WINDOW_MS + 1, WINDOW_MS));
    }

    #[test]
    fn memory_is_bounded() {
        let mut seen = Seen::default();
        for key in 0..10_000 {
            seen.note(key, Channel::Page, 0);
        }
        assert_eq!(seen.entries.len(), ENTRIES);
    }
}
