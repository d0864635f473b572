//! Stand-in for the recogniser.

use std::sync::Arc;

use mingjing_proto::pb;

use crate::pack::PackSet;

/// What a recogniser is told about its account.
pub struct Watch<'a> {
    /// The account's own name.
    pub own_name: &'a str,
    /// Since when it is watched.
    pub since_ms: i64,
    /// Whether a conversation is marked private.
    pub private: &'a dyn Fn(&str) -> bool,
}

/// Turns signals into activities.
#[derive(Debug)]
pub struct Recogniser {
    packs: Arc<PackSet>,
}

impl Recogniser {
    /// A recogniser with `packs`.
    pub fn new(packs: Arc<PackSet>) -> Self {
        Self { packs }
    }
    /// Takes other packs.
    pub fn set_packs(&mut self, packs: Arc<PackSet>) {
        self.packs = packs;
    }
    /// Recognises.
    pub fn recognise(&mut self, signal: &pb::Signal, watch: &Watch<'_>) -> Vec<pb::Activity> {
        let Some(pb::signal::Body::Notification(it)) = &signal.body else {
            return Vec::new();
        };
        if (watch.private)(&it.title) {
            return Vec::new();
        }
        let kind = if it.text.contains("[转账]") {
            pb::Kind::TransferReceived
        } else {
            pb::Kind::Message
        };
        vec![pb::Activity {
            at_ms: signal.at_ms,
            utc_offset_min: signal.utc_offset_min,
            kind: kind.into(),
            direction: pb::Direction::In.into(),
            peer: it.title.clone(),
            text: it.text.clone(),
            ..Default::default()
        }]
    }
    /// Forgets everything.
    pub fn forget(&mut self) {}
}
