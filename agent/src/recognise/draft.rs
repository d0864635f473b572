//! An activity in the making: every field goes through its limit here.
//!
//! Invariant: text longer than the limit is cut and says so; names never exceed theirs.

use mingjing_proto::limits;
use mingjing_proto::pb::{self, Confidence, Direction, Kind, Source};
use mingjing_proto::vocabulary::Named;

use super::text;

#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) activity: pb::Activity,
}

impl Draft {
    pub(super) fn new(
        signal: &pb::Signal,
        kind: Kind,
        direction: Direction,
        source: Source,
    ) -> Self {
        Self {
            activity: pb::Activity {
                at_ms: signal.at_ms,
                utc_offset_min: signal.utc_offset_min,
                kind: kind.into(),
                direction: direction.into(),
                source: source.into(),
                confidence: Confidence::Likely.into(),
                ..pb::Activity::default()
            },
        }
    }

    pub(super) fn confidence(&mut self, confidence: Confidence) {
        self.activity.confidence = confidence.into();
    }

    pub(super) fn conversation(&mut self, title: &str, group: bool, external: bool) {
        self.activity.conversation = Some(pb::Conversation {
            title: text::name(title),
            group,
            external,
        });
    }

    /// Keeps the words as seen, cut to the limit.
    pub(super) fn text(&mut self, words: &str) {
        let kept = text::head(words, limits::TEXT_BYTES);
        self.activity.truncated = kept.len() < words.len();
        self.activity.full_bytes = if self.activity.truncated {
            u32::try_from(words.len()).unwrap_or(u32::MAX)
        } else {
            0
        };
        self.activity.text = kept.to_owned();
    }

    /// What makes two sights the same fact, whatever the channel.
    pub(super) fn fact_key(&self, title: &str) -> u64 {
        let it = &self.activity;
        let worded = it.kind() == Kind::Message
            && !matches!(it.content.as_str(), "image" | "voice" | "video" | "sticker");
        // A notification names a card or a message as the bubble does; money and places it does not.
        let words = if worded { it.text.as_str() } else { "" };
        let out = if it.direction() == Direction::Out {
            "out"
        } else {
            "in"
        };
        let kind = it.kind().name();
        // A call has no sender of its own, and a contact event none but its peer.
        let nobody = matches!(
            it.kind(),
            Kind::Call | Kind::ContactAdded | Kind::ContactDeleted
        );
        let sender = if nobody { "" } else { it.sender.as_str() };
        text::key(&[title, kind, out, &it.content, words, &it.target, sender])
    }

    /// What makes a contact's coming or going the same on screen and in the list.
    pub(super) fn contact_key(&self) -> u64 {
        text::key(&["contact", self.activity.kind().name(), &self.activity.peer])
    }

    /// What makes a bubble and a page the same movement of money.
    pub(super) fn money_key(&self) -> u64 {
        let it = &self.activity;
        let amount = it.amount_fen.unwrap_or(-1).to_string();
        text::key(&["money", it.kind().name(), &amount])
    }
}
