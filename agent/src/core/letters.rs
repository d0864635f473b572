//! What passes between the employee and the collector beside the records: answers, complaints and
//! requests up; findings, read receipts, coaching, directives, scripts and audit checkpoints down.
//!
//! Invariants: letters lie sealed under the control key; one that goes up stays until the collector says
//! that it has it, or refuses it for good, and is readable here afterwards; lists are bounded: what came
//! down gives way oldest first, what waits to go up never does.

use mingjing_proto::limits::LETTER_BYTES;
use mingjing_proto::{letter, pb};

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
    /// What the collector answered, newest last.
    #[prost(message, repeated, tag = "9")]
    pub(super) answered: Vec<pb::OwnLetter>,
    /// The first two checkpoints that contradict each other, kept as evidence.
    #[prost(message, optional, tag = "10")]
    pub(super) contradiction: Option<super::witness::Contradiction>,
    /// The newest read receipt had, one a collector.
    #[prost(message, repeated, tag = "11")]
    pub(super) reads_through: Vec<pb::AuditPosition>,
    /// Every change of a finding about the employee up to here has come.
    #[prost(int64, tag = "12")]
    pub(super) findings_through_ms: i64,
}

/// Why a letter is not taken.
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    /// The text is longer than the wire carries.
    #[error("a letter has {LETTER_BYTES} bytes or less; shorten it, or send it in parts")]
    TooLong,
    /// As many wait as are kept.
    #[error("{KEPT} letters wait to be sent; connect before writing another")]
    Full,
    /// The id would not be taken.
    #[error("a letter's id is 1 to 64 of: a-z A-Z 0-9 . _ -")]
    Id,
    /// The request asks for something else.
    #[error("a request asks for one of: copy, correct, delete, explain")]
    Kind,
    /// The answer names no finding.
    #[error("an answer names its finding by 64 hexadecimal digits")]
    Finding,
    /// The buffer.
    #[error(transparent)]
    Buffer(#[from] BufferError),
}

pub(super) fn keep<T>(list: &mut Vec<T>, item: T) {
    if list.len() >= KEPT {
        list.remove(0);
    }
    list.push(item);
}

impl Core {
    /// Keeps a letter until the collector has it. The same one again changes nothing.
    pub(crate) fn post(&mut self, body: pb::from_device::Body) -> Result<(), LetterError> {
        if let Some(letter) = letter::of(&body)
            && let Some(problem) = letter::problem(&letter)
        {
            return Err(match problem {
                "too_long" => LetterError::TooLong,
                "kind" => LetterError::Kind,
                "finding" => LetterError::Finding,
                _ => LetterError::Id,
            });
        }
        let new = pb::FromDevice { body: Some(body) };
        let mut letters = self.letters.clone();
        let answered = letters.answered.iter().filter_map(|it| it.letter.as_ref());
        if letters
            .up
            .iter()
            .chain(answered)
            .any(|it| letter::name(it) == letter::name(&new))
        {
            return Ok(());
        }
        if letters.up.len() >= KEPT {
            return Err(LetterError::Full);
        }
        letters.up.push(new);
        Ok(self.keep_letters(letters)?)
    }

    pub(super) fn keep_letters(&mut self, letters: Letters) -> Result<(), BufferError> {
        self.store(name::LETTERS, &letters)?;
        self.letters = letters;
        Ok(())
    }

    /// Letters that wait for the collector's word.
    pub(crate) fn outgoing(&self) -> Vec<pb::FromDevice> {
        self.letters.up.clone()
    }

    /// What the employee wrote, the answered first, then what waits.
    pub(crate) fn own_letters(&self) -> Vec<pb::OwnLetter> {
        let waiting = self.letters.up.iter().map(|it| pb::OwnLetter {
            letter: Some(it.clone()),
            state: "waiting".to_owned(),
            at_ms: 0,
        });
        let answered = self.letters.answered.iter().cloned();
        answered.chain(waiting).collect()
    }

    /// The collector has a letter, or will never take it. One that does not wait changes nothing.
    pub(super) fn letter_received(
        &mut self,
        received: &pb::LetterReceived,
    ) -> Result<bool, BufferError> {
        let mut letters = self.letters.clone();
        let called = Some((received.kind.as_str(), received.id.as_str()));
        let Some(place) = letters.up.iter().position(|it| letter::name(it) == called) else {
            return Ok(false);
        };
        let state = match received.refusal.as_str() {
            "" => "received",
            refusal => refusal,
        };
        let answered = pb::OwnLetter {
            letter: Some(letters.up.remove(place)),
            state: state.to_owned(),
            at_ms: self.time.now().at_ms,
        };
        keep(&mut letters.answered, answered);
        self.keep_letters(letters)?;
        Ok(true)
    }
}
