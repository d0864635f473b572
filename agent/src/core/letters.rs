//! What passes between the employee and the collector beside the records: answers, complaints and
//! requests up; findings, read receipts, coaching, directives, scripts and audit checkpoints down.
//!
//! Invariants: letters lie sealed under the control key; one that goes up stays until the collector has
//! spoken after it was sent; lists are bounded, the oldest go first.

use mingjing_proto::limits::LETTER_BYTES;
use mingjing_proto::pb;

use super::{Core, name};
use crate::buffer::BufferError;

/// Entries kept of each list.
const KEPT: usize = 64;

/// All letters, as they are stored.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Letters {
    #[prost(message, repeated, tag = "1")]
    pub(super) up: Vec<pb::FromDevice>,
    #[prost(message, repeated, tag = "2")]
    pub(super) findings: Vec<pb::FindingNotice>,
    #[prost(message, repeated, tag = "3")]
    pub(super) read: Vec<pb::ReadReceipt>,
    #[prost(message, repeated, tag = "4")]
    pub(super) coaching: Vec<pb::Coaching>,
    #[prost(message, repeated, tag = "5")]
    pub(super) directives: Vec<pb::Directive>,
    #[prost(message, optional, tag = "6")]
    pub(super) scripts: Option<pb::Scripts>,
    /// Newest audit checkpoints seen: what an auditor compares the collector's chain with.
    #[prost(message, repeated, tag = "7")]
    pub(super) checkpoints: Vec<pb::AuditCheckpoint>,
    #[prost(message, repeated, tag = "8")]
    pub(super) signed_checkpoints: Vec<pb::Signed>,
}

pub(super) fn keep<T>(list: &mut Vec<T>, item: T) {
    if list.len() >= KEPT {
        list.remove(0);
    }
    list.push(item);
}

impl Core {
    /// Keeps a letter until it was sent. Its text is cut to what the wire carries.
    pub(crate) fn post(&mut self, body: pb::from_device::Body) -> Result<(), BufferError> {
        use pb::from_device::Body;
        let mut body = body;
        if let Body::Answer(pb::Answer { text, .. })
        | Body::SubjectRequest(pb::SubjectRequest { text, .. })
        | Body::Complaint(pb::Complaint { text, .. }) = &mut body
        {
            text.truncate(text.floor_char_boundary(LETTER_BYTES));
        }
        let letter = pb::FromDevice { body: Some(body) };
        let mut letters = self.letters.clone();
        keep(&mut letters.up, letter);
        self.keep_letters(letters)
    }

    pub(super) fn keep_letters(&mut self, letters: Letters) -> Result<(), BufferError> {
        self.store(name::LETTERS, &letters)?;
        self.letters = letters;
        Ok(())
    }

    /// Letters that wait to be sent.
    pub(crate) fn outgoing(&self) -> Vec<pb::FromDevice> {
        self.letters.up.clone()
    }

    /// The collector has spoken after the first `count` letters were sent.
    pub(crate) fn delivered(&mut self, count: usize) -> Result<(), BufferError> {
        let mut letters = self.letters.clone();
        letters.up.drain(..count.min(letters.up.len()));
        self.keep_letters(letters)
    }

    /// Notes an audit checkpoint; a collector that contradicts itself is reported.
    pub(super) fn witness(
        &mut self,
        checkpoint: pb::AuditCheckpoint,
        signed: pb::Signed,
    ) -> Result<(), BufferError> {
        let mut regression = None;
        for seen in &self.letters.checkpoints {
            if seen.collector != checkpoint.collector {
                continue;
            }
            let forked = seen.seq == checkpoint.seq && seen.link != checkpoint.link;
            let backwards = seen.seq > checkpoint.seq && seen.at_ms < checkpoint.at_ms;
            if forked || backwards {
                regression = Some(checkpoint.seq);
            }
            if seen == &checkpoint {
                return Ok(());
            }
        }
        if let Some(seq) = regression {
            self.problem(format!("audit checkpoint {seq} contradicts an earlier one"));
        }
        let mut letters = self.letters.clone();
        keep(&mut letters.checkpoints, checkpoint);
        keep(&mut letters.signed_checkpoints, signed);
        self.keep_letters(letters)
    }
}
