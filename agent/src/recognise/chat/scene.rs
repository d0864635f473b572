//! One view of a chat page as items with their meaning: who said what on which side.
//!
//! Invariant: centred lines are read by the patterns of lines, bubbles by those of bubbles, never crosswise.

use mingjing_proto::pb::{self, Confidence, Direction, Kind, Source};

use super::{Entry, Item};
use crate::pack::Place;
use crate::recognise::draft::Draft;
use crate::recognise::layout::{Evidence, Page, Part, Role, Side};
use crate::recognise::{Context, bubble, text, time};

pub(super) struct Scene {
    pub(super) title: String,
    pub(super) group: bool,
    pub(super) external: bool,
}

impl Scene {
    pub(super) fn items(&self, context: &Context<'_>, page: &Page<'_>) -> Vec<Item> {
        let mut shown_ms = None;
        let mut items = Vec::new();
        let several = page.speakers(&self.title, context.watch.own_name) > 1;
        let scene = Scene {
            title: self.title.clone(),
            group: self.group || several,
            external: self.external,
        };
        for part in &page.parts {
            match &part.role {
                Role::Centred => {
                    let Some(node) = part.texts.first() else {
                        continue;
                    };
                    let words = text::clean(&node.text);
                    let package = &context.signal.package;
                    if let Some((_, found)) = context.packs.first(package, Place::Time, &words) {
                        let signal = context.signal;
                        shown_ms = time::moment(&found, signal.at_ms, signal.utc_offset_min);
                        continue;
                    }
                    if let Some(draft) = scene.line(context, &words, part.evidence) {
                        items.push(Item::new(&words, draft, true, shown_ms));
                    }
                }
                Role::Bubble { side, avatar } => {
                    if let Some(draft) = scene.bubble(context, part, *side, avatar) {
                        let words = format!("{}{}", draft.activity.text, draft.activity.target);
                        items.push(Item::new(&words, draft, false, shown_ms));
                    }
                }
            }
        }
        items
    }

    /// A centred line that says something known.
    fn line(&self, context: &Context<'_>, words: &str, evidence: Evidence) -> Option<Draft> {
        let package = &context.signal.package;
        let (pattern, found) = context.packs.first(package, Place::System, words)?;
        let kind = pattern.kind?;
        let mut draft = context.draft(kind, pattern.direction, Source::Screen);
        draft.confidence(match evidence {
            Evidence::Sides => Confidence::Certain,
            Evidence::Names => Confidence::Likely,
            Evidence::None => Confidence::Weak,
        });
        let group_kind = kind.category() == pb::Category::Groups;
        draft.conversation(&self.title, self.group || group_kind, self.external);
        draft.activity.peer = text::name(found.get("peer"));
        draft.activity.sender = text::name(found.get("sender"));
        draft.activity.target = text::name(found.get("target"));
        draft.activity.members = text::names(found.get("members"))
            .chain(text::names(found.get("others")))
            .collect();
        if draft.activity.peer.is_empty() && !self.group && !group_kind {
            draft.activity.peer.clone_from(&self.title);
        }
        Some(draft)
    }

    fn bubble(
        &self,
        context: &Context<'_>,
        part: &Part<'_>,
        side: Side,
        avatar: &str,
    ) -> Option<Draft> {
        let own_name = context.watch.own_name;
        let (side, sure) = match side {
            Side::Unknown if !own_name.is_empty() && avatar == own_name => (Side::Out, true),
            Side::Unknown if avatar == self.title => (Side::In, true),
            Side::Unknown if !self.group && !self.title.is_empty() && !avatar.is_empty() => {
                (Side::Out, false)
            }
            Side::Unknown => (Side::In, !own_name.is_empty()),
            Side::In | Side::Out => (side, true),
        };
        let mut draft = bubble::read(context, part, side, self.group, avatar)?;
        if part.evidence < Evidence::Sides {
            let limit = if sure {
                Confidence::Likely
            } else {
                Confidence::Weak
            };
            if draft.activity.confidence > limit as i32 {
                draft.confidence(limit);
            }
        }
        draft.conversation(&self.title, self.group, self.external);
        if !self.group {
            draft.activity.peer.clone_from(&self.title);
        }
        if side == Side::In {
            if draft.activity.sender.is_empty() {
                draft.activity.sender = text::name(if self.group { avatar } else { &self.title });
            }
            if self.group && draft.activity.kind() != Kind::Message {
                draft.activity.peer.clone_from(&draft.activity.sender);
            }
        }
        if draft.activity.direction() == Direction::Out {
            draft.activity.sender.clear();
        }
        Some(draft)
    }
}

impl Item {
    pub(super) fn new(words: &str, draft: Draft, line: bool, shown_ms: Option<i64>) -> Self {
        let it = &draft.activity;
        let own = it.direction() == Direction::Out;
        let amount = it.amount_fen.unwrap_or(-1).to_string();
        let kind = it.kind.to_string();
        let side = if own { "out" } else { "in" };
        // The state of a transfer changes inside its bubble; the amount does not.
        // And a voice message is the same with its words and without.
        let changing = it.amount_fen.is_some() || it.content == "voice";
        let words = if changing { "" } else { words };
        let key = text::key(&[&kind, side, &it.sender, &it.content, words, &amount]);
        Self {
            entry: Entry {
                key,
                own,
                sender: it.sender.clone(),
                text: String::new(),
                line,
            },
            draft: Some(draft),
            shown_ms,
        }
    }
}
