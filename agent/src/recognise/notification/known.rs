//! What is remembered of notifications: hashes and counts of the newest conversations.
//!
//! Invariant: at most [`CONVERSATIONS`] conversations and [`LINES`] hashes of each, and no text.

use std::collections::VecDeque;

use crate::recognise::text;

/// Conversations remembered.
const CONVERSATIONS: usize = 512;
/// Hashes of lines remembered for one conversation.
const LINES: usize = 32;
/// A repeated post of the same words is the same message for this long, if nothing was removed in between.
pub(in crate::recognise) const REPOST_MS: i64 = 10 * 60 * 1000;
/// Apps remove a post and put it up again at once; later the same words are said again.
const AGAIN_MS: i64 = 10 * 1000;

/// What is remembered of notifications.
#[derive(Debug, Default)]
pub(in crate::recognise) struct Notices {
    conversations: VecDeque<Known>,
}

/// What is remembered of one conversation.
#[derive(Debug)]
pub(super) struct Known {
    key: u64,
    /// The newest post: its words, count and time.
    last: Option<(u64, i64)>,
    /// When that post was removed.
    pub(super) removed_ms: Option<i64>,
    /// Unread messages as last told; none before the first sight, whose older ones are history.
    pub(super) unread: Option<u32>,
    pub(super) group: Option<bool>,
    pub(super) lines: VecDeque<u64>,
}

impl Notices {
    pub(in crate::recognise) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What the chat page told about a conversation.
    pub(in crate::recognise) fn learn(&mut self, package: &str, title: &str, group: bool) {
        self.known(text::key(&[package, title])).group = Some(group);
    }

    pub(super) fn known(&mut self, key: u64) -> &mut Known {
        let known = match self.conversations.iter().position(|it| it.key == key) {
            Some(index) => self.conversations.remove(index),
            None => None,
        };
        if self.conversations.len() >= CONVERSATIONS {
            self.conversations.pop_front();
        }
        self.conversations.push_back(known.unwrap_or_else(|| Known {
            key,
            last: None,
            removed_ms: None,
            unread: None,
            group: None,
            lines: VecDeque::new(),
        }));
        self.conversations
            .back_mut()
            .expect("one was pushed just now")
    }
}

impl Known {
    /// Whether this is the newest post again; remembers it otherwise.
    pub(super) fn is_repost(&mut self, post: u64, at_ms: i64) -> bool {
        let same = self.last.is_some_and(|(known, seen_ms)| {
            known == post && at_ms.saturating_sub(seen_ms).abs() <= REPOST_MS
        }) && self
            .removed_ms
            .is_none_or(|it| at_ms.saturating_sub(it).abs() <= AGAIN_MS);
        if !same {
            self.last = Some((post, at_ms));
            self.removed_ms = None;
        }
        same
    }

    /// Messages the unread count names and nobody saw; remembers the count.
    pub(super) fn missed(&mut self, count: Option<u32>) -> u32 {
        let missed = match (count, self.unread) {
            (Some(count), Some(unread)) => count.saturating_sub(unread.saturating_add(1)),
            _ => 0,
        };
        self.unread = Some(count.unwrap_or(1));
        missed
    }

    /// How many of these lines were there before: the longest tail of the old ones the new ones begin with.
    pub(super) fn new_lines(&mut self, keys: &[u64]) -> usize {
        let old: Vec<u64> = self.lines.iter().copied().collect();
        let overlap = (0..=old.len().min(keys.len()))
            .rev()
            .find(|many| old.get(old.len() - many..) == keys.get(..*many))
            .unwrap_or(0);
        self.lines.extend(keys.iter().skip(overlap));
        while self.lines.len() > LINES {
            self.lines.pop_front();
        }
        overlap
    }
}
