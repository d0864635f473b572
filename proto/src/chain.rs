//! The record chain of wire.md §1: what a link covers, and how both sides compute it.
//!
//! Invariants: `inner` covers the salt and the body exactly as sent; a link fixes its predecessor,
//! epoch, position, length and category, so equal links mean equal histories.

use ring::digest::{Context, SHA256};

use crate::pb::{Category, RecordFrame};

/// A SHA-256 value in the chain.
pub type Link = [u8; 32];

fn finish(context: Context) -> Link {
    let mut link = [0; 32];
    link.copy_from_slice(context.finish().as_ref());
    link
}

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> Link {
    let mut context = Context::new(&SHA256);
    context.update(bytes);
    finish(context)
}

/// The first `previous` of a device: SHA-256 of its certificate's SubjectPublicKeyInfo (DER).
pub fn genesis(public_key_spki: &[u8]) -> Link {
    sha256(public_key_spki)
}

/// SHA-256(salt ‖ body).
pub fn inner(salt: &[u8], body: &[u8]) -> Link {
    let mut context = Context::new(&SHA256);
    context.update(salt);
    context.update(body);
    finish(context)
}

/// Where a record stands: everything a link covers besides its predecessor and its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Epoch, from 1.
    pub epoch: u64,
    /// First seq the record takes, from 1.
    pub first_seq: u64,
    /// How many seqs it takes.
    pub count: u32,
    /// Its category.
    pub category: Category,
}

/// SHA-256("mingjing-link-1" ‖ previous ‖ epoch ‖ first_seq ‖ count ‖ category ‖ inner).
pub fn link(previous: &Link, place: Place, inner: &Link) -> Link {
    let mut context = Context::new(&SHA256);
    context.update(b"mingjing-link-1");
    context.update(previous);
    context.update(&place.epoch.to_be_bytes());
    context.update(&place.first_seq.to_be_bytes());
    context.update(&place.count.to_be_bytes());
    context.update(&[u8::try_from(place.category as i32).expect("categories fit a byte")]);
    context.update(inner);
    finish(context)
}

/// The link of a frame that follows `previous` in `epoch`.
pub fn frame_link(previous: &Link, epoch: u64, frame: &RecordFrame) -> Link {
    let place = Place {
        epoch,
        first_seq: frame.first_seq,
        count: frame.count,
        category: frame.category(),
    };
    link(previous, place, &inner(&frame.salt, &frame.body))
}

/// What a checkpoint's signature covers.
pub fn checkpoint_bytes(epoch: u64, seq: u64, link: &Link) -> Vec<u8> {
    let mut bytes = b"mingjing-checkpoint-1".to_vec();
    bytes.extend_from_slice(&epoch.to_be_bytes());
    bytes.extend_from_slice(&seq.to_be_bytes());
    bytes.extend_from_slice(link);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// wire.md §1: another implementation (Java, an auditor's script) must reproduce these bytes.
    #[test]
    fn vectors_hold() {
        let file = include_str!("../fixtures/chain.json");
        let vectors: serde_json::Value = serde_json::from_str(file).expect("fixture is JSON");
        for vector in vectors.as_array().expect("a list") {
            let bytes = |name: &str| {
                hex::decode(vector[name].as_str().expect("a string")).expect("hex in fixture")
            };
            let number = |name: &str| vector[name].as_u64().expect("a number");
            let previous: Link = bytes("previous").try_into().expect("32 bytes");
            let inner = inner(&bytes("salt"), &bytes("body"));
            assert_eq!(hex::encode(inner), vector["inner"]);
            let place = Place {
                epoch: number("epoch"),
                first_seq: number("first_seq"),
                count: u32::try_from(number("count")).expect("u32"),
                category: Category::try_from(i32::try_from(number("category")).expect("i32"))
                    .expect("known category"),
            };
            assert_eq!(hex::encode(link(&previous, place, &inner)), vector["link"]);
        }
    }
}
