//! What had to go, as gaps (wire.md §3): withdrawal, the cap, damage.
//!
//! Invariants: a gap takes exactly the seqs of the records it replaces, and its link is that of the
//! last of them, so nothing after it changes; control records and gaps never go; an overflow gap grows
//! only while it has not been sent.

use mingjing_proto::pb::{self, Category, GapReason};

use super::format::Header;
use super::store::Changes;
use super::{Buffer, BufferError, Change, put_record, remove_record};
use crate::keys::Keys;

/// Records whose removal is one batch.
const CHUNK: usize = 1000;

/// The gap that stands in for one record that can't be opened any more.
pub(super) fn in_place_of(header: &Header, keys: &Keys) -> Header {
    let reason = if keys.get(header.category()).is_none() {
        GapReason::Withdrawn
    } else {
        tracing::error!(seq = header.first_seq, "a buffered record was damaged");
        GapReason::Corrupt
    };
    over(std::slice::from_ref(header), reason)
}

/// The gap over a run of records that follow each other.
pub(super) fn over(run: &[Header], reason: GapReason) -> Header {
    let (first, last) = (&run[0], &run[run.len() - 1]);
    let mut counts: Vec<pb::CategoryCount> = Vec::new();
    for header in run {
        let parts = if header.is_gap() {
            header.counts.clone()
        } else {
            vec![pb::CategoryCount {
                category: header.category,
                count: header.count.into(),
            }]
        };
        for part in parts {
            match counts.iter_mut().find(|it| it.category == part.category) {
                Some(count) => count.count += part.count,
                None => counts.push(part),
            }
        }
    }
    let count = last.last_seq() - first.first_seq + 1;
    Header {
        epoch: first.epoch,
        first_seq: first.first_seq,
        count: u32::try_from(count).unwrap_or(u32::MAX),
        category: Category::Control.into(),
        link: last.link.clone(),
        at_ms: last.at_ms,
        gap: reason.into(),
        counts,
        ..Header::default()
    }
}

impl Buffer {
    /// Puts `gap` where `run` was. One batch, not flushed.
    pub(super) fn replace_with_gap(
        &mut self,
        run: &[Header],
        gap: Header,
    ) -> Result<(), BufferError> {
        let mut meta = self.meta.clone();
        let mut changes = Changes::default();
        for header in run {
            remove_record(&mut changes, header);
            meta.count(header, Change::Out);
        }
        put_record(&mut changes, &gap, &[]);
        meta.count(&gap, Change::In);
        self.commit(meta, changes)
    }

    /// Drops everything of `category`, sent and unsent, leaving `Gap(withdrawn)` for what was not
    /// acknowledged. May be repeated: an interrupted withdrawal is finished by doing it again.
    pub fn withdraw(&mut self, keys: &Keys, category: Category) -> Result<u64, BufferError> {
        self.ready(keys)?;
        let mut dropped = 0;
        loop {
            let (run, more) = self.next_run(category)?;
            let Some(first) = run.first() else { break };
            tracing::debug!(first = first.first_seq, records = run.len(), "withdrawn");
            dropped += run.iter().map(|it| u64::from(it.count)).sum::<u64>();
            let gap = over(&run, GapReason::Withdrawn);
            self.replace_with_gap(&run, gap)?;
            if !more {
                break;
            }
        }
        self.clear_ring(category)?;
        self.store.flush()?;
        Ok(dropped)
    }

    /// Whether any record of `category` lies here, sent or not.
    pub fn holds(&self, category: Category) -> bool {
        self.meta.events[super::index(category)] > 0 || !self.ring.is_empty(category)
    }

    /// The first unsent run of records of `category`, at most [`CHUNK`], and whether more may follow.
    fn next_run(&self, category: Category) -> Result<(Vec<Header>, bool), BufferError> {
        let mut run = Vec::new();
        for header in self.headers(self.meta.acked_seq + 1)? {
            let header = header?;
            if header.is_content() && header.category() == category {
                run.push(header);
                if run.len() == CHUNK {
                    return Ok((run, true));
                }
            } else if !run.is_empty() {
                return Ok((run, true));
            }
        }
        Ok((run, false))
    }

    /// Lets the oldest unacknowledged content go while there is too much of it or it is too old.
    pub(super) fn enforce_cap(&mut self, now_ms: i64) -> Result<(), BufferError> {
        loop {
            let oldest_ms = now_ms - self.cap.age_ms;
            let mut excess = self.meta.bytes.saturating_sub(self.cap.bytes);
            let mut run: Vec<Header> = Vec::new();
            for header in self.headers(self.meta.acked_seq + 1)? {
                let header = header?;
                let grows = header.gap() == GapReason::Overflow
                    && (header.first_seq > self.sent_seq || self.growing == Some(header.first_seq))
                    && run.iter().all(Header::is_gap);
                if grows {
                    run.push(header);
                    continue;
                }
                if !header.is_content() {
                    if run.iter().any(Header::is_content) {
                        break;
                    }
                    run.clear();
                    continue;
                }
                if (excess == 0 && header.at_ms >= oldest_ms) || run.len() == CHUNK {
                    break;
                }
                excess = excess.saturating_sub(header.cost());
                run.push(header);
            }
            if !run.iter().any(Header::is_content) {
                return Ok(());
            }
            tracing::warn!(
                records = run.len(),
                bytes = self.meta.bytes,
                "the buffer is full: the oldest records go"
            );
            let gap = over(&run, GapReason::Overflow);
            self.growing = Some(gap.first_seq);
            self.replace_with_gap(&run, gap)?;
        }
    }
}
