//! The phone as a witness of the collectors' audit logs (design §9).
//!
//! Invariants: a collector's newest checkpoint never stands before one seen earlier, and no place has
//! two links; the first two checkpoints that break this are kept for good, shown and reported, since
//! together they prove that the log was changed or went back.

use mingjing_proto::pb;
use prost::Message;

use super::Core;
use super::letters::keep;
use crate::buffer::BufferError;

/// Two signed checkpoints of one collector that can't both be true.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Contradiction {
    /// When this phone saw it.
    #[prost(int64, tag = "1")]
    pub(super) since_ms: i64,
    #[prost(message, optional, tag = "2")]
    pub(super) earlier: Option<pb::Signed>,
    #[prost(message, optional, tag = "3")]
    pub(super) later: Option<pb::Signed>,
}

fn place(signed: Option<&pb::Signed>) -> pb::AuditCheckpoint {
    let payload = signed.map_or(&[][..], |it| &it.payload);
    pb::AuditCheckpoint::decode(payload).unwrap_or_default()
}

impl Core {
    /// Notes the newest checkpoint of a collector; its signature was checked.
    pub(super) fn witness(
        &mut self,
        checkpoint: pb::AuditCheckpoint,
        signed: pb::Signed,
    ) -> Result<(), BufferError> {
        let seen = self.letters.checkpoints.iter().enumerate();
        let of_it = seen.filter(|(_, it)| it.collector == checkpoint.collector);
        let newest = of_it.clone().max_by_key(|(_, it)| it.seq);
        let forked = of_it
            .clone()
            .find(|(_, it)| it.seq == checkpoint.seq && it.link != checkpoint.link);
        let back = newest.filter(|(_, it)| it.seq > checkpoint.seq);
        let against = forked.or(back).map(|(place, _)| place);
        if against.is_none() && newest.is_some_and(|(_, it)| it.seq == checkpoint.seq) {
            return Ok(());
        }
        let mut letters = self.letters.clone();
        if let Some(against) = against {
            if letters.contradiction.is_some() {
                return Ok(());
            }
            letters.contradiction = Some(Contradiction {
                since_ms: self.time.now().at_ms,
                earlier: letters.signed_checkpoints.get(against).cloned(),
                later: Some(signed.clone()),
            });
            tracing::error!(
                collector = checkpoint.collector,
                seq = checkpoint.seq,
                "the collector's audit log contradicts what it showed before"
            );
        }
        keep(&mut letters.checkpoints, checkpoint);
        keep(&mut letters.signed_checkpoints, signed);
        self.keep_letters(letters)
    }

    /// Since when checkpoints contradict each other; 0 when none do.
    pub(super) fn contradicted_ms(&self) -> i64 {
        let contradiction = self.letters.contradiction.as_ref();
        contradiction.map_or(0, |it| it.since_ms)
    }

    /// The contradiction in words; `None` when there is none.
    pub(super) fn contradiction(&self) -> Option<String> {
        let it = self.letters.contradiction.as_ref()?;
        let (earlier, later) = (place(it.earlier.as_ref()), place(it.later.as_ref()));
        Some(format!(
            "audit log of {}: entry {} was shown, then entry {} with another history",
            later.collector, earlier.seq, later.seq
        ))
    }

    /// The two checkpoints that contradict each other, as signed.
    pub(crate) fn contradicting(&self) -> Vec<pb::Signed> {
        let contradiction = self.letters.contradiction.iter();
        contradiction
            .flat_map(|it| [it.earlier.clone(), it.later.clone()])
            .flatten()
            .collect()
    }
}
