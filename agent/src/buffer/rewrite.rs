//! Records that change their place or their times before they are sent: a new epoch (wire.md §4),
//! and the re-timing of a boot that had no anchor (§6).
//!
//! Invariants: moving to a new epoch is done record by record in chunks and finishes after a crash from
//! where it was; no record is in both epochs; re-timing touches only records that were never sent and
//! is one batch; what it drops becomes `Gap(off_hours)`.

use mingjing_proto::chain::{self, Link};
use mingjing_proto::pb::{self, GapReason};
use prost::Message;

use super::format::{self, Header, Plain, link_of};
use super::store::Changes;
use super::{Buffer, BufferError, Change, gaps, put_record, remove_record};
use crate::keys::Keys;

/// Records moved in one batch.
const CHUNK: usize = 500;

/// What re-timing decides about one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retimed {
    /// It stays, with its times set.
    Keep,
    /// It fell off hours.
    Drop,
}

impl Buffer {
    /// Moves every record after `after_seq` to `epoch`, from seq 1 on, the first after `previous`;
    /// what lies at or before `after_seq` counts as acknowledged.
    pub fn relink(
        &mut self,
        keys: &Keys,
        epoch: u64,
        after_seq: u64,
        previous: Link,
    ) -> Result<(), BufferError> {
        self.ready(keys)?;
        if epoch <= self.meta.epoch {
            return Ok(());
        }
        let mut meta = self.meta.clone();
        meta.moving_to = epoch;
        meta.moved_seq = 0;
        meta.moved_link = previous.to_vec();
        meta.moved_from = previous.to_vec();
        meta.moved_after = after_seq;
        self.commit(meta, Changes::default())?;
        self.finish_move(keys)?;
        self.load_ring()
    }

    /// Moves what is left to move, then switches to the new epoch.
    pub(super) fn finish_move(&mut self, keys: &Keys) -> Result<(), BufferError> {
        let after = self.meta.moved_after;
        self.ack_up_to(after)?;
        loop {
            let chunk: Vec<Header> = self
                .headers(self.meta.acked_seq + 1)?
                .take(CHUNK)
                .collect::<Result<_, _>>()?;
            if chunk.is_empty() {
                break;
            }
            let mut meta = self.meta.clone();
            let mut changes = Changes::default();
            for header in chunk {
                self.move_one(keys, &mut meta, &mut changes, &header)?;
            }
            self.commit(meta, changes)?;
        }
        let mut meta = self.meta.clone();
        meta.epoch = std::mem::take(&mut meta.moving_to);
        meta.head_seq = std::mem::take(&mut meta.moved_seq);
        meta.head_link = std::mem::take(&mut meta.moved_link);
        meta.moved_after = 0;
        meta.acked_seq = 0;
        meta.acked_link = std::mem::take(&mut meta.moved_from);
        self.sent_seq = 0;
        self.commit(meta, Changes::default())?;
        self.store.flush()
    }

    fn ack_up_to(&mut self, after: u64) -> Result<(), BufferError> {
        let mut meta = self.meta.clone();
        let mut changes = Changes::default();
        for header in self.headers(meta.acked_seq + 1)? {
            let header = header?;
            if header.last_seq() > after {
                break;
            }
            meta.acked_seq = header.last_seq();
            meta.acked_link.clone_from(&header.link);
            meta.count(&header, Change::Out);
            if !header.is_content() {
                remove_record(&mut changes, &header);
            }
        }
        self.commit(meta, changes)
    }

    fn move_one(
        &self,
        keys: &Keys,
        meta: &mut super::format::Meta,
        changes: &mut Changes,
        old: &Header,
    ) -> Result<(), BufferError> {
        let previous = link_of(&meta.moved_link);
        let plain = if old.is_gap() {
            None
        } else {
            self.open_record(keys, old)?
        };
        let mut new = old.clone();
        if plain.is_none() && !old.is_gap() {
            new = gaps::in_place_of(old, keys);
        }
        // Half of a gap may lie before the seq both sides agree on.
        new.count = u32::try_from(old.last_seq() - old.first_seq.max(meta.moved_after + 1) + 1)
            .unwrap_or(u32::MAX);
        new.epoch = meta.moving_to;
        new.first_seq = meta.moved_seq + 1;
        let inner = match &plain {
            Some(plain) => plain.inner(),
            // Any value both the gap and what follows it agree on will do.
            None => chain::sha256(&old.link),
        };
        new.link = chain::link(&previous, new.place(), &inner).into();
        remove_record(changes, old);
        let sealed = match &plain {
            Some(_) => self.sealed(old)?,
            None => None,
        };
        put_record(changes, &new, &sealed.unwrap_or_default());
        let (from, to) = ((old.epoch, old.first_seq), (new.epoch, new.first_seq));
        if !old.is_content() && !old.is_gap() {
            self.move_consents(keys, changes, from, to)?;
        }
        meta.count(old, Change::Out);
        meta.count(&new, Change::In);
        meta.acked_seq = old.last_seq();
        meta.moved_seq = new.last_seq();
        meta.moved_link = new.link;
        Ok(())
    }

    /// Lets `retime` set the times of every event that has no anchor yet; it gets the record's
    /// [`super::Unanchored`] and the event. Records after the first such one are linked anew.
    pub fn retime(
        &mut self,
        keys: &Keys,
        mut retime: impl FnMut(&super::Unanchored, &mut pb::Activity) -> Retimed,
    ) -> Result<(), BufferError> {
        self.ready(keys)?;
        if self.meta.unanchored == 0 {
            return Ok(());
        }
        let mut meta = self.meta.clone();
        let mut changes = Changes::default();
        let mut previous = link_of(&meta.acked_link);
        let mut touched = false;
        let headers: Vec<Header> = self
            .headers(meta.acked_seq + 1)?
            .collect::<Result<_, _>>()?;
        for old in headers {
            touched |= old.unanchored.is_some();
            if !touched {
                previous = old.link();
                continue;
            }
            let plain = if old.is_gap() {
                None
            } else {
                self.open_record(keys, &old)?
            };
            remove_record(&mut changes, &old);
            meta.count(&old, Change::Out);
            for (mut new, body) in self.pieces(keys, &old, plain, &mut retime) {
                let inner = match &body {
                    Some(plain) => plain.inner(),
                    None => chain::sha256(&old.link),
                };
                new.link = chain::link(&previous, new.place(), &inner).into();
                previous = new.link();
                let sealed = match (&body, keys.get(new.category())) {
                    (Some(plain), Some(key)) => format::seal(key, &mut new, plain)?,
                    _ => Vec::new(),
                };
                put_record(&mut changes, &new, &sealed);
                meta.count(&new, Change::In);
            }
        }
        if !touched {
            return Ok(());
        }
        meta.head_link = previous.to_vec();
        self.commit(meta, changes)?;
        self.store.flush()
    }

    /// What becomes of one record: itself, or pieces by UTC day, or gaps.
    fn pieces(
        &self,
        keys: &Keys,
        old: &Header,
        plain: Option<Plain>,
        retime: &mut impl FnMut(&super::Unanchored, &mut pb::Activity) -> Retimed,
    ) -> Vec<(Header, Option<Plain>)> {
        let Some(plain) = plain else {
            let gap = if old.is_gap() {
                old.clone()
            } else {
                gaps::in_place_of(old, keys)
            };
            return vec![(gap, None)];
        };
        let (Some(unanchored), Ok(events)) = (&old.unanchored, pb::Events::decode(&*plain.body))
        else {
            return vec![(old.clone(), Some(plain))];
        };
        let mut runs: Vec<(Option<i32>, Vec<pb::Activity>)> = Vec::new();
        for mut activity in events.activities {
            let day = match retime(unanchored, &mut activity) {
                Retimed::Keep => Some(crate::utc_day(activity.at_ms)),
                Retimed::Drop => None,
            };
            match runs.last_mut() {
                Some((last, run)) if *last == day => run.push(activity),
                _ => runs.push((day, vec![activity])),
            }
        }
        let mut first_seq = old.first_seq;
        let mut pieces = Vec::new();
        for (day, activities) in runs {
            let mut header = old.clone();
            header.unanchored = None;
            header.first_seq = first_seq;
            header.count = u32::try_from(activities.len()).unwrap_or(u32::MAX);
            first_seq += u64::from(header.count);
            match day {
                None => {
                    let gap = gaps::over(&[header], GapReason::OffHours);
                    pieces.push((gap, None));
                }
                Some(day) => {
                    let body = pb::Events {
                        version: events.version,
                        account: events.account.clone(),
                        day,
                        activities,
                    };
                    pieces.push((header, Some(Plain::new(body.encode_to_vec()))));
                }
            }
        }
        pieces
    }
}
