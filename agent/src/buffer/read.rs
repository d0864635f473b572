//! Reading what waits: whole records, in order, as they go out.
//!
//! Invariant: reading changes nothing, but for a record that can't be opened any more: it becomes a gap
//! the moment it is met, so that what is sent and what is stored agree.

use mingjing_proto::chain::Link;
use mingjing_proto::pb;
use prost::Message;

use super::format::{self, Header, Plain, Stored, link_of, record_key};
use super::store::part_key;
use super::{Buffer, BufferError, Outgoing, gaps};
use crate::keys::Keys;

impl Buffer {
    /// Whole records from the one that holds `from_seq` on, up to about `max_events` and `max_bytes`
    /// (at least one record). A record that can't be opened any more becomes a gap on the way.
    pub fn peek(
        &mut self,
        keys: &Keys,
        from_seq: u64,
        max_events: usize,
        max_bytes: usize,
    ) -> Result<Vec<Outgoing>, BufferError> {
        self.ready(keys)?;
        let mut out = Vec::new();
        let (mut events, mut bytes) = (0, 0);
        let mut damaged = Vec::new();
        let mut sent_gaps = Vec::new();
        for header in self.headers(from_seq)? {
            let header = header?;
            let size = header.sealed_bytes as usize + 64;
            if !out.is_empty()
                && (events + header.count as usize > max_events || bytes + size > max_bytes)
            {
                break;
            }
            let outgoing = if header.is_gap() {
                sent_gaps.push(header.first_seq);
                Outgoing::Gap(gap_of(&header))
            } else if let Some(plain) = self.open_record(keys, &header)? {
                events += header.count as usize;
                Outgoing::Frame(frame(&header, plain))
            } else {
                let gap = gaps::in_place_of(&header, keys);
                let outgoing = Outgoing::Gap(gap_of(&gap));
                damaged.push((header, gap));
                outgoing
            };
            bytes += size;
            out.push(outgoing);
        }
        for (header, gap) in damaged {
            self.replace_with_gap(&[header], gap)?;
        }
        self.growing = self.growing.filter(|seq| !sent_gaps.contains(seq));
        if let Some(last) = out.last() {
            self.sent_seq = self.sent_seq.max(last.last_seq());
        }
        Ok(out)
    }

    /// The link at `seq` when a record of the current epoch ends there.
    pub fn link_at(&self, seq: u64) -> Result<Option<Link>, BufferError> {
        if seq == self.meta.acked_seq {
            return Ok(Some(link_of(&self.meta.acked_link)));
        }
        let header = self.headers(seq)?.next().transpose()?;
        Ok(header
            .filter(|header| header.last_seq() == seq)
            .map(|header| header.link()))
    }

    /// Headers of the records not yet acknowledged, from the one that holds `seq`.
    pub(super) fn headers(
        &self,
        seq: u64,
    ) -> Result<impl Iterator<Item = Result<Header, BufferError>> + '_, BufferError> {
        let seq = seq.max(self.meta.acked_seq + 1);
        let epoch = self.meta.epoch;
        let mut from = record_key(epoch, seq);
        // A gap that grew may have begun before `seq`.
        if let Some(key) = self.record_before(epoch, seq)? {
            let header = self.store.get(&part_key(&key[..17], 0))?;
            let header = header.and_then(|bytes| format::header_of(&bytes));
            if header.is_some_and(|header| {
                header.last_seq() >= seq && header.first_seq > self.meta.acked_seq
            }) {
                from = key[..17].to_vec();
            }
        }
        let prefix = [&[format::RECORDS][..], &epoch.to_be_bytes()].concat();
        Ok(self
            .store
            .range(&prefix, &from)?
            .filter(|entry| {
                entry
                    .as_ref()
                    .map_or(true, |(key, _)| key.ends_with(&[0, 0]) && key.len() == 19)
            })
            .map(|entry| {
                let (_, value) = entry?;
                format::header_of(&value).ok_or_else(|| self.damaged())
            }))
    }

    /// Key of the last record of the epoch that begins before `seq`, among those not acknowledged.
    ///
    /// Looks forward from ever further back: reading backwards would bring a constant of a megabyte with
    /// it out of sled, an eighth of the phone's library.
    fn record_before(&self, epoch: u64, seq: u64) -> Result<Option<Vec<u8>>, BufferError> {
        let end = record_key(epoch, seq);
        let first = self.meta.acked_seq + 1;
        let (mut from, mut step) = (seq, 1);
        while from > first {
            from = seq.saturating_sub(step).max(first);
            let mut last = None;
            for entry in self
                .store
                .range(&[format::RECORDS], &record_key(epoch, from))?
            {
                let (key, _) = entry?;
                if key >= end {
                    break;
                }
                last = Some(key);
            }
            if last.is_some() {
                return Ok(last);
            }
            step *= 2;
        }
        Ok(None)
    }

    pub(super) fn open_record(
        &self,
        keys: &Keys,
        header: &Header,
    ) -> Result<Option<Plain>, BufferError> {
        let Some(key) = keys.get(header.category()) else {
            return Ok(None);
        };
        let sealed = self.sealed(header)?;
        Ok(sealed.and_then(|sealed| format::open(key, header, sealed)))
    }

    /// What is sealed of a record; `None` when some of it is gone.
    pub(super) fn sealed(&self, header: &Header) -> Result<Option<Vec<u8>>, BufferError> {
        let record = record_key(header.epoch, header.first_seq);
        let first = self.store.get(&part_key(&record, 0))?;
        let Some(first) = first.and_then(|bytes| Stored::decode(&*bytes).ok()) else {
            return Ok(None);
        };
        let mut sealed = first.sealed;
        for part in 1..=header.parts() {
            match self.store.get(&part_key(&record, part))? {
                Some(bytes) => sealed.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
        Ok(Some(sealed))
    }
}

fn frame(header: &Header, plain: Plain) -> pb::RecordFrame {
    pb::RecordFrame {
        first_seq: header.first_seq,
        count: header.count,
        category: header.category,
        salt: plain.salt.to_vec(),
        body: plain.body.into(),
    }
}

fn gap_of(header: &Header) -> pb::Gap {
    pb::Gap {
        epoch: header.epoch,
        first_seq: header.first_seq,
        last_seq: header.last_seq(),
        reason: header.gap,
        counts: header.counts.clone(),
        end_link: header.link.clone(),
    }
}
