//! What a finding keeps of the event: the activity and where the words stand in its text.
//!
//! Invariants: this is the only form of content a finding has, and it is sealed before it reaches a
//! table; the seal binds it to the finding's id; only `access` calls [`open_content`].

use mingjing_proto::pb;
use prost::Message;

use super::FindingId;
use crate::error::{Error, Result};
use crate::seal::{DataKey, Purpose};

/// The activity as judged, and the words found in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FindingContent {
    /// The activity as the phone sent it.
    pub activity: pb::Activity,
    /// Byte range in the activity's text, and the lexicon the word is from.
    pub spans: Vec<(usize, usize, String)>,
}

#[derive(Clone, PartialEq, Message)]
struct Stored {
    #[prost(message, optional, tag = "1")]
    activity: Option<pb::Activity>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<StoredSpan>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredSpan {
    #[prost(uint64, tag = "1")]
    from: u64,
    #[prost(uint64, tag = "2")]
    to: u64,
    #[prost(string, tag = "3")]
    lexicon: String,
}

/// Seals the content of the finding `id`.
pub fn seal_content(key: &DataKey, id: &FindingId, content: &FindingContent) -> Vec<u8> {
    let stored = Stored {
        activity: Some(content.activity.clone()),
        spans: content
            .spans
            .iter()
            .map(|(from, to, lexicon)| StoredSpan {
                from: *from as u64,
                to: *to as u64,
                lexicon: lexicon.clone(),
            })
            .collect(),
    };
    key.seal(Purpose::Finding, &aad(id), &stored.encode_to_vec())
}

/// Opens what [`seal_content`] sealed.
pub fn open_content(key: &DataKey, id: &FindingId, sealed: &[u8]) -> Result<FindingContent> {
    let plain = key.open(Purpose::Finding, &aad(id), sealed)?;
    let stored = Stored::decode(&plain[..]).map_err(|_| Error::Sealed)?;
    let place = |it: u64| usize::try_from(it).unwrap_or(usize::MAX);
    Ok(FindingContent {
        activity: stored.activity.unwrap_or_default(),
        spans: stored
            .spans
            .into_iter()
            .map(|it| (place(it.from), place(it.to), it.lexicon))
            .collect(),
    })
}

fn aad(id: &FindingId) -> Vec<u8> {
    [b"findings|", &id[..]].concat()
}
