//! Turns what arrived into types that can be trusted: the one place where wire limits are enforced.
//!
//! Invariants: nothing is inflated beyond its cap; a [`Record`]'s position, length and category are
//! consistent; the body's bytes are kept exactly as sent.

use std::io::Read;

use flate2::read::DeflateDecoder;
use prost::Message;
use prost::bytes::Bytes;

use crate::RECORD_VERSION;
use crate::chain::{self, Link, Place};
use crate::limits;
use crate::pb::{self, Category};

/// Why a batch can't be looked at. The session answers with `InvalidArgument` and ends.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WireError {
    /// The batch declares or holds more bytes than allowed.
    #[error("a batch inflates to at most {} bytes", limits::BATCH_BYTES)]
    TooLarge,
    /// The deflate stream is broken or does not have the declared length.
    #[error("the batch is not a deflate stream of the declared length")]
    Deflate,
    /// Not an encoded `RecordFrames`.
    #[error("the batch does not hold records")]
    Protobuf,
    /// No record, or more events than allowed.
    #[error("a batch holds 1 to {} events", limits::BATCH_EVENTS)]
    Count,
    /// A record whose header contradicts itself.
    #[error("record {first_seq} has a header that contradicts itself: {problem}")]
    Header {
        /// First seq of the record.
        first_seq: u64,
        /// What is wrong.
        problem: &'static str,
    },
}

/// One record as sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// First seq it takes, from 1.
    pub first_seq: u64,
    /// How many seqs it takes, ≥1.
    pub count: u32,
    /// Its category.
    pub category: Category,
    /// 16 random bytes.
    pub salt: [u8; 16],
    /// The hashed bytes.
    pub body: Bytes,
    /// What the body says.
    pub content: Content,
}

/// What a record's body holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Activities of one account, category and day.
    Events(pb::Events),
    /// A control record.
    Control(pb::control::Body),
    /// Written by a newer agent: held until the collector understands it.
    UnknownVersion,
    /// The chain is fine but the body isn't: refused for good.
    Malformed(&'static str),
}

impl Record {
    /// Last seq it takes.
    pub fn last_seq(&self) -> u64 {
        self.first_seq + u64::from(self.count) - 1
    }

    /// SHA-256(salt ‖ body).
    pub fn inner(&self) -> Link {
        chain::inner(&self.salt, &self.body)
    }

    /// The link of this record after `previous` in `epoch`.
    ///
    /// A gap's link is the one it carries: that of the last record it replaces.
    pub fn link(&self, previous: &Link, epoch: u64) -> Link {
        if let Some(end) = self.gap().and_then(|gap| gap.end_link.try_into().ok()) {
            return end;
        }
        let place = Place {
            epoch,
            first_seq: self.first_seq,
            count: self.count,
            category: self.category,
        };
        chain::link(previous, place, &self.inner())
    }

    /// The gap, when this record is one. Its signature is not checked here.
    pub fn gap(&self) -> Option<pb::Gap> {
        let Content::Control(pb::control::Body::Gap(signed)) = &self.content else {
            return None;
        };
        pb::Gap::decode(&*signed.payload).ok()
    }
}

/// Batches up to this length are stored as they are: deflating takes 300 kB of memory, and the one event a
/// phone mostly sends does not get shorter (measured).
const STORED: u16 = 512;

/// The frames of a batch as a deflate stream.
pub fn deflate(epoch: u64, frames: Vec<pb::RecordFrame>) -> pb::Batch {
    let bytes = pb::RecordFrames { records: frames }.encode_to_vec();
    let deflated = match u16::try_from(bytes.len()) {
        Ok(length) if length <= STORED => stored(length, &bytes),
        _ => compressed(&bytes),
    };
    pb::Batch {
        epoch,
        inflated_bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        deflated: deflated.into(),
    }
}

/// One last block, not compressed (RFC 1951 §3.2.4).
fn stored(length: u16, bytes: &[u8]) -> Vec<u8> {
    let complement = !length;
    [
        &[1],
        &length.to_le_bytes()[..],
        &complement.to_le_bytes(),
        bytes,
    ]
    .concat()
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).expect("writing to memory");
    encoder.finish().expect("writing to memory")
}

/// Inflates a batch and checks every header in it.
pub fn records(batch: &pb::Batch) -> Result<Vec<Record>, WireError> {
    let declared = usize::try_from(batch.inflated_bytes).map_err(|_| WireError::TooLarge)?;
    if declared > limits::BATCH_BYTES {
        return Err(WireError::TooLarge);
    }
    let mut bytes = Vec::with_capacity(declared);
    let cap = u64::try_from(declared).map_err(|_| WireError::TooLarge)? + 1;
    DeflateDecoder::new(&*batch.deflated)
        .take(cap)
        .read_to_end(&mut bytes)
        .map_err(|_| WireError::Deflate)?;
    if bytes.len() != declared {
        return Err(WireError::Deflate);
    }
    let frames = pb::RecordFrames::decode(Bytes::from(bytes)).map_err(|_| WireError::Protobuf)?;
    let mut events: usize = 0;
    let mut records = Vec::with_capacity(frames.records.len());
    let mut expected = None;
    for frame in frames.records {
        let record = record(frame)?;
        if expected.is_some_and(|expected| expected != record.first_seq) {
            return Err(WireError::Header {
                first_seq: record.first_seq,
                problem: "records of a batch follow each other",
            });
        }
        expected = Some(record.last_seq() + 1);
        if record.category != Category::Control {
            events += record.count as usize;
        }
        records.push(record);
    }
    if records.is_empty() || events > limits::BATCH_EVENTS {
        return Err(WireError::Count);
    }
    Ok(records)
}

fn record(frame: pb::RecordFrame) -> Result<Record, WireError> {
    let first_seq = frame.first_seq;
    let header = |problem| WireError::Header { first_seq, problem };
    if first_seq == 0 {
        return Err(header("seqs begin at 1"));
    }
    if frame.count == 0
        || first_seq
            .checked_add(u64::from(frame.count))
            .is_none_or(|end| end > i64::MAX as u64)
    {
        return Err(header("count is at least 1 and seqs fit 63 bits"));
    }
    let category =
        Category::try_from(frame.category).map_err(|_| header("the category is unknown"))?;
    if category != Category::Control && frame.count as usize > limits::RECORD_EVENTS {
        return Err(header("a record holds at most 25 events"));
    }
    let salt = frame.salt[..]
        .try_into()
        .map_err(|_| header("the salt is 16 bytes"))?;
    let content = if category == Category::Control {
        control(&frame.body, first_seq, frame.count)
    } else {
        events(&frame.body, category, frame.count)
    };
    Ok(Record {
        first_seq,
        count: frame.count,
        category,
        salt,
        body: frame.body,
        content,
    })
}

fn events(body: &[u8], category: Category, count: u32) -> Content {
    // The version stands first so that it can be read even when the rest has changed.
    let Ok(events) = pb::Events::decode(body) else {
        return Content::Malformed("not encoded events");
    };
    if events.version > RECORD_VERSION {
        return Content::UnknownVersion;
    }
    if events.version == 0 || events.activities.len() != count as usize {
        return Content::Malformed("the header counts other events than the body holds");
    }
    if events.account.len() > limits::NAME_BYTES {
        return Content::Malformed("the account's id is too long");
    }
    for activity in &events.activities {
        if activity.kind().category() != category {
            return Content::Malformed("an event of another category");
        }
        if activity.at_ms.div_euclid(86_400_000) != i64::from(events.day) {
            return Content::Malformed("an event of another day");
        }
        let short = [
            &activity.peer,
            &activity.sender,
            &activity.content,
            &activity.target,
        ];
        if activity.text.len() > limits::TEXT_BYTES
            || activity.members.len() > limits::MEMBERS
            || short.iter().any(|text| text.len() > limits::NAME_BYTES)
            || activity
                .members
                .iter()
                .any(|text| text.len() > limits::NAME_BYTES)
            || activity
                .conversation
                .as_ref()
                .is_some_and(|it| it.title.len() > limits::NAME_BYTES)
        {
            return Content::Malformed("a field is too long");
        }
    }
    Content::Events(events)
}

fn control(body: &[u8], first_seq: u64, count: u32) -> Content {
    use pb::control::Body;
    let Ok(control) = pb::Control::decode(body) else {
        return Content::Malformed("not an encoded control record");
    };
    if control.version > RECORD_VERSION {
        return Content::UnknownVersion;
    }
    let Some(body) = control.body else {
        return Content::Malformed("an empty control record");
    };
    match &body {
        Body::Gap(signed) => {
            let Ok(gap) = pb::Gap::decode(&*signed.payload) else {
                return Content::Malformed("not an encoded gap");
            };
            if gap.first_seq != first_seq
                || gap.last_seq != first_seq + u64::from(count) - 1
                || gap.end_link.len() != 32
            {
                return Content::Malformed("a gap that contradicts its header");
            }
        }
        Body::Consent(_) | Body::PolicyAccepted(_) | Body::NoticeReceived(_) => {
            if count != 1 {
                return Content::Malformed("a control record takes one seq");
            }
        }
    }
    Content::Control(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first_seq: u64, texts: &[&str]) -> pb::RecordFrame {
        let activities: Vec<_> = texts
            .iter()
            .map(|text| pb::Activity {
                at_ms: 86_400_000,
                kind: pb::Kind::Message.into(),
                text: (*text).to_owned(),
                ..Default::default()
            })
            .collect();
        let events = pb::Events {
            version: 1,
            account: "work".into(),
            day: 1,
            activities,
        };
        pb::RecordFrame {
            first_seq,
            count: u32::try_from(texts.len()).expect("small"),
            category: Category::Messages.into(),
            salt: vec![7; 16],
            body: events.encode_to_vec().into(),
        }
    }

    #[test]
    fn a_batch_reads_back_as_sent() {
        let sent = vec![frame(1, &["你好", "在吗"]), frame(3, &["好的"])];
        let batch = deflate(1, sent.clone());
        let records = records(&batch).expect("a valid batch");
        assert_eq!(records.len(), 2);
        assert_eq!(records[1].first_seq, 3);
        assert_eq!(records[0].body, sent[0].body);
        assert!(matches!(records[0].content, Content::Events(_)));
    }

    #[test]
    fn batches_stored_and_compressed_read_back_on_both_sides_of_the_limit() {
        let mut forms = [0, 0];
        for letters in 0..400 {
            let sent = vec![frame(1, &[&"好".repeat(letters)])];
            let batch = deflate(1, sent.clone());
            let stored = batch.inflated_bytes <= u32::from(STORED);
            assert_eq!(stored, batch.deflated.len() > batch.inflated_bytes as usize);
            forms[usize::from(stored)] += 1;
            assert_eq!(
                records(&batch).expect("a valid batch")[0].body,
                sent[0].body
            );
        }
        assert!(forms.iter().all(|seen| *seen > 100), "{forms:?}");
    }

    #[test]
    fn a_deflate_bomb_stops_at_the_declared_length() {
        let mut batch = deflate(1, vec![frame(1, &[&"长".repeat(16_000)])]);
        batch.inflated_bytes = 100;
        assert_eq!(records(&batch), Err(WireError::Deflate));
        batch.inflated_bytes = u32::MAX;
        assert_eq!(records(&batch), Err(WireError::TooLarge));
    }

    #[test]
    fn headers_that_contradict_themselves_are_refused() {
        let hole = deflate(1, vec![frame(1, &["a"]), frame(3, &["b"])]);
        assert!(matches!(records(&hole), Err(WireError::Header { .. })));
        let mut zero = frame(1, &["a"]);
        zero.count = 0;
        assert!(matches!(
            records(&deflate(1, vec![zero])),
            Err(WireError::Header { .. })
        ));
        let mut many = frame(1, &["a"]);
        many.count = 26;
        assert!(matches!(
            records(&deflate(1, vec![many])),
            Err(WireError::Header { .. })
        ));
        assert_eq!(records(&deflate(1, vec![])), Err(WireError::Count));
    }

    #[test]
    fn a_body_that_contradicts_its_header_is_malformed_not_fatal() {
        let mut other_day = frame(1, &["a"]);
        other_day.body = pb::Events {
            version: 1,
            account: "work".into(),
            day: 2,
            activities: vec![pb::Activity {
                at_ms: 5,
                kind: pb::Kind::Message.into(),
                ..Default::default()
            }],
        }
        .encode_to_vec()
        .into();
        let mut garbage = frame(2, &["a"]);
        garbage.body = vec![0xff; 40].into();
        let mut newer = frame(3, &["a"]);
        newer.body = pb::Events {
            version: 9,
            ..Default::default()
        }
        .encode_to_vec()
        .into();
        let read = records(&deflate(1, vec![other_day, garbage, newer])).expect("headers are fine");
        assert!(matches!(read[0].content, Content::Malformed(_)));
        assert!(matches!(read[1].content, Content::Malformed(_)));
        assert_eq!(read[2].content, Content::UnknownVersion);
    }
}
