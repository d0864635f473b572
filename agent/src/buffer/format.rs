//! What lies in sled: the stored forms, their keys, and how a record is sealed.
//!
//! Invariants: tags and key prefixes are never reused; numbers in keys are big-endian, so order of keys
//! is order of records; the newest records lie last, with nothing larger beside them; what a record's
//! seal is bound to does not name its epoch or seq, so a record that moves to a new epoch is not sealed
//! again.

use mingjing_proto::chain::{self, Link, Place};
use mingjing_proto::pb::{self, Category};
use prost::Message as _;

use crate::keys::{Key, KeyError, random};

/// Records; then epoch, first seq, part (0: [`Stored`]).
pub(super) const RECORDS: u8 = b'r';
/// Named values; then name, a zero byte, part.
pub(super) const STATE: u8 = b'c';
/// The one [`Meta`].
pub(super) const META: &[u8] = b"m";

/// Sealed bytes that lie beside their header; the rest lies in parts.
const BESIDE_BYTES: usize = super::store::PART_BYTES - 256;

/// A record's first value.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Stored {
    #[prost(message, optional, tag = "1")]
    pub(super) header: Option<Header>,
    /// The first [`BESIDE_BYTES`] of what is sealed: with a short record, all of it.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) sealed: Vec<u8>,
}

/// The header that begins a record's first value.
pub(super) fn header_of(stored: &[u8]) -> Option<Header> {
    Stored::decode(stored).ok()?.header
}

/// `sealed` as what lies beside the header and what lies in parts.
pub(super) fn beside(sealed: &[u8]) -> (&[u8], &[u8]) {
    sealed.split_at(sealed.len().min(BESIDE_BYTES))
}

/// Where the buffer stands. Written in the same batch as whatever moves it, but for records that follow
/// the last one written here, which say it themselves, and for acknowledgements, which may wait.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Meta {
    #[prost(uint64, tag = "1")]
    pub(super) epoch: u64,
    #[prost(uint64, tag = "2")]
    pub(super) head_seq: u64,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) head_link: Vec<u8>,
    #[prost(uint64, tag = "4")]
    pub(super) acked_seq: u64,
    #[prost(bytes = "vec", tag = "5")]
    pub(super) acked_link: Vec<u8>,
    /// Bytes of the records not yet acknowledged.
    #[prost(uint64, tag = "6")]
    pub(super) bytes: u64,
    /// Events not yet acknowledged, by category; index 0 is not used.
    #[prost(uint64, repeated, tag = "7")]
    pub(super) events: Vec<u64>,
    /// Highest input line of a replay.
    #[prost(uint64, tag = "8")]
    pub(super) input_line: u64,
    /// The new epoch while records are moved to it, else 0.
    #[prost(uint64, tag = "9")]
    pub(super) moving_to: u64,
    #[prost(uint64, tag = "10")]
    pub(super) moved_seq: u64,
    #[prost(bytes = "vec", tag = "11")]
    pub(super) moved_link: Vec<u8>,
    #[prost(uint64, tag = "12")]
    pub(super) moved_after: u64,
    /// The link before the new epoch's first record.
    #[prost(bytes = "vec", tag = "13")]
    pub(super) moved_from: Vec<u8>,
    /// Records not yet acknowledged whose times have no anchor.
    #[prost(uint64, tag = "14")]
    pub(super) unanchored: u64,
    /// The last time known for certain.
    #[prost(int64, tag = "15")]
    pub(super) known_ms: i64,
    /// Events acknowledged since the buffer was made, by category; index 0 is not used.
    #[prost(uint64, repeated, tag = "16")]
    pub(super) sent: Vec<u64>,
}

/// The plain part of a stored record.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Header {
    #[prost(uint64, tag = "1")]
    pub(super) epoch: u64,
    #[prost(uint64, tag = "2")]
    pub(super) first_seq: u64,
    #[prost(uint32, tag = "3")]
    pub(super) count: u32,
    #[prost(enumeration = "Category", tag = "4")]
    pub(super) category: i32,
    /// Its link; of a gap: the link of the last record it replaces.
    #[prost(bytes = "vec", tag = "5")]
    pub(super) link: Vec<u8>,
    #[prost(uint64, tag = "6")]
    pub(super) key_id: u64,
    #[prost(bytes = "vec", tag = "7")]
    pub(super) nonce: Vec<u8>,
    #[prost(uint32, tag = "8")]
    pub(super) sealed_bytes: u32,
    /// When it was appended: what the cap on age counts from.
    #[prost(int64, tag = "9")]
    pub(super) at_ms: i64,
    /// Set when this is a gap; a gap has no sealed body, it is built and signed when it is sent.
    #[prost(enumeration = "pb::GapReason", tag = "10")]
    pub(super) gap: i32,
    #[prost(message, repeated, tag = "11")]
    pub(super) counts: Vec<pb::CategoryCount>,
    /// Present while its times are those of a wall clock without an anchor.
    #[prost(message, optional, tag = "12")]
    pub(super) unanchored: Option<Unanchored>,
    /// The last time known for certain when it was appended.
    #[prost(int64, tag = "13")]
    pub(super) known_ms: i64,
}

/// What it takes to re-time a record once its boot has an anchor.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Unanchored {
    /// The boot it was captured in.
    #[prost(bytes = "vec", tag = "1")]
    pub boot_id: Vec<u8>,
    /// Event time as written minus elapsed time.
    #[prost(int64, tag = "2")]
    pub offset_ms: i64,
}

impl Header {
    pub(super) fn last_seq(&self) -> u64 {
        self.first_seq + u64::from(self.count) - 1
    }

    pub(super) fn is_gap(&self) -> bool {
        self.gap() != pb::GapReason::Unspecified
    }

    /// Content can be withdrawn or overflow; control records and gaps can't.
    pub(super) fn is_content(&self) -> bool {
        self.category() != Category::Control && !self.is_gap()
    }

    /// Parts beside the first value.
    pub(super) fn parts(&self) -> u16 {
        let apart = (self.sealed_bytes as usize).saturating_sub(BESIDE_BYTES);
        let parts = apart.div_ceil(super::store::PART_BYTES);
        u16::try_from(parts).unwrap_or(u16::MAX)
    }

    /// What it costs on disk, roughly: the sealed body and the header.
    pub(super) fn cost(&self) -> u64 {
        u64::from(self.sealed_bytes) + 128
    }

    pub(super) fn place(&self) -> Place {
        Place {
            epoch: self.epoch,
            first_seq: self.first_seq,
            count: self.count,
            category: self.category(),
        }
    }

    pub(super) fn link(&self) -> Link {
        link_of(&self.link)
    }
}

/// A stored link; anything of another length counts as zeros.
pub(super) fn link_of(bytes: &[u8]) -> Link {
    bytes.try_into().unwrap_or_default()
}

/// The key of a record, without a part.
pub(super) fn record_key(epoch: u64, first_seq: u64) -> Vec<u8> {
    [
        &[RECORDS][..],
        &epoch.to_be_bytes(),
        &first_seq.to_be_bytes(),
    ]
    .concat()
}

/// The key of a named value, without a part.
pub(super) fn state_key(name: &str) -> Vec<u8> {
    [&[STATE][..], name.as_bytes(), &[0]].concat()
}

/// A record's content in the clear.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) salt: [u8; 16],
    pub(super) body: Vec<u8>,
}

impl Plain {
    pub(super) fn new(body: Vec<u8>) -> Self {
        Self {
            salt: random(),
            body,
        }
    }

    pub(super) fn inner(&self) -> Link {
        chain::inner(&self.salt, &self.body)
    }
}

fn aad(category: Category, key_id: u64, count: u32) -> Vec<u8> {
    let category = u8::try_from(category as i32).expect("categories fit a byte");
    [
        b"mingjing-record-1",
        &[category][..],
        &key_id.to_be_bytes(),
        &count.to_be_bytes(),
    ]
    .concat()
}

/// Seals `plain` and fills in the header's fields that say how.
pub(super) fn seal(key: &Key, header: &mut Header, plain: &Plain) -> Result<Vec<u8>, KeyError> {
    let bytes = [&plain.salt[..], &plain.body].concat();
    let (nonce, sealed) = key.seal(&aad(header.category(), key.id, header.count), bytes)?;
    header.key_id = key.id;
    header.nonce = nonce.to_vec();
    header.sealed_bytes = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
    Ok(sealed)
}

/// Opens a record's body; `None` when it was changed or its key is another.
pub(super) fn open(key: &Key, header: &Header, sealed: Vec<u8>) -> Option<Plain> {
    if key.id != header.key_id || sealed.len() != header.sealed_bytes as usize {
        return None;
    }
    let nonce = header.nonce[..].try_into().ok()?;
    let mut bytes = key.open(&aad(header.category(), key.id, header.count), nonce, sealed)?;
    let salt = bytes.get(..16)?.try_into().ok()?;
    bytes.drain(..16);
    Some(Plain { salt, body: bytes })
}
