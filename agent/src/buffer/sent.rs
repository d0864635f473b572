//! The last 50 sent events of each category, readable for the employee (requirements N14).
//!
//! Invariant: entries are records that stay where they were when they were acknowledged; they leave
//! when newer ones make 50, or with their category's key.

use std::collections::VecDeque;

use mingjing_proto::pb::{self, Category};
use prost::Message;

use super::format::{self, Header, record_key};
use super::store::{Changes, part_key};
use super::{Buffer, BufferError, index, remove_parts};
use crate::keys::Keys;

const EVENTS: u32 = 50;

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) epoch: u64,
    pub(super) first_seq: u64,
    pub(super) parts: u16,
    count: u32,
}

/// Where the sent records lie, oldest first, by category.
#[derive(Debug, Default)]
pub(super) struct Ring {
    entries: [VecDeque<Entry>; 9],
}

impl Ring {
    /// Adds sent records; returns those that make room.
    pub(super) fn push(&mut self, sent: Vec<Header>) -> Vec<Entry> {
        let mut outdated = Vec::new();
        for header in sent {
            let entries = &mut self.entries[index(header.category())];
            entries.push_back(Entry {
                epoch: header.epoch,
                first_seq: header.first_seq,
                parts: header.parts(),
                count: header.count,
            });
            let mut events: u32 = entries.iter().map(|entry| entry.count).sum();
            while let Some(oldest) = entries.front().copied()
                && events - oldest.count >= EVENTS
            {
                events -= oldest.count;
                entries.pop_front();
                outdated.push(oldest);
            }
        }
        outdated
    }

    pub(super) fn is_empty(&self, category: Category) -> bool {
        self.entries[index(category)].is_empty()
    }
}

impl Buffer {
    /// Finds the sent records: those before the first unacknowledged one.
    pub(super) fn load_ring(&mut self) -> Result<(), BufferError> {
        let mut sent = Vec::new();
        for entry in self.store.range(&[format::RECORDS], &[format::RECORDS])? {
            let (key, value) = entry?;
            if !key.ends_with(&[0, 0]) {
                continue;
            }
            let header = format::header_of(&value).ok_or_else(|| self.damaged())?;
            if header.epoch == self.meta.epoch && header.last_seq() > self.meta.acked_seq {
                break;
            }
            sent.push(header);
        }
        self.ring = Ring::default();
        // What no longer fits is removed with the next acknowledgement's successors; losing track of
        // it here would leave it for good, so it goes now.
        let outdated = self.ring.push(sent);
        let mut changes = Changes::default();
        for entry in &outdated {
            remove_parts(&mut changes, entry.epoch, entry.first_seq, entry.parts);
        }
        if outdated.is_empty() {
            return Ok(());
        }
        self.store.apply(changes)
    }

    pub(super) fn clear_ring(&mut self, category: Category) -> Result<(), BufferError> {
        let mut changes = Changes::default();
        for entry in self.ring.entries[index(category)].drain(..) {
            remove_parts(&mut changes, entry.epoch, entry.first_seq, entry.parts);
        }
        self.commit(self.meta.clone(), changes)
    }

    /// The last sent records of `category`, oldest first, exactly as sent.
    pub fn sent(&self, keys: &Keys, category: Category) -> Result<Vec<pb::Events>, BufferError> {
        let mut records = Vec::new();
        for entry in &self.ring.entries[index(category)] {
            let key = part_key(&record_key(entry.epoch, entry.first_seq), 0);
            let Some(header) = self.store.get(&key)? else {
                continue;
            };
            let header = format::header_of(&header).ok_or_else(|| self.damaged())?;
            if let Some(plain) = self.open_record(keys, &header)?
                && let Ok(events) = pb::Events::decode(&*plain.body)
            {
                records.push(events);
            }
        }
        Ok(records)
    }
}
