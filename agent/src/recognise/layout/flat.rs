//! Rows of a chat page whose nesting does not tell what belongs together: by place, else by order.
//!
//! Invariant: without places, only the first words after an avatar are its bubble's for certain; a known
//! line after them is a line.

use mingjing_proto::pb;

use super::{Avatar, Frame, Part, Role, Side, bounded, has_words};
use crate::pack::{PackSet, Place};
use crate::recognise::text;

impl<'a> Frame<'a> {
    /// Rows without nesting: parts belong to the avatar they stand beside.
    pub(super) fn flat(
        &self,
        groups: &[Vec<usize>],
        packs: &PackSet,
        package: &str,
    ) -> Vec<Part<'a>> {
        let mut parts: Vec<Part<'a>> = Vec::new();
        let mut owners: Vec<Option<usize>> = Vec::new();
        for index in groups.iter().flatten() {
            let Some(node) = self.nodes.get(*index) else {
                continue;
            };
            let floats =
                !self.avatars.is_empty() && packs.any(package, Place::Chip, node.text.trim());
            if self.is_avatar(*index) || floats {
                continue;
            }
            let owner = self.owner(packs, package, *index, node, &parts, &owners);
            let same = owner.is_some() && owners.last() == Some(&owner);
            if !same {
                let role = match owner.and_then(|at| self.avatars.get(at)) {
                    Some(avatar) => Role::Bubble {
                        side: self.side_of_avatar(avatar),
                        avatar: avatar.name,
                    },
                    None => self.role_without_avatar(&[node]),
                };
                let evidence = self.evidence(&role, &[node]);
                parts.push(Part {
                    role,
                    texts: Vec::new(),
                    descs: Vec::new(),
                    evidence,
                });
                owners.push(owner);
            }
            if let Some(part) = parts.last_mut() {
                if has_words(node) {
                    part.texts.push(node);
                } else {
                    part.descs.push(node.desc.trim());
                }
            }
        }
        self.joined(parts, packs, package)
    }

    /// The avatar a node without nesting stands beside.
    fn owner(
        &self,
        packs: &PackSet,
        package: &str,
        index: usize,
        node: &pb::Node,
        parts: &[Part<'a>],
        owners: &[Option<usize>],
    ) -> Option<usize> {
        let placed = |it: &Avatar<'a>| self.nodes.get(it.index).is_some_and(bounded);
        if bounded(node) && self.avatars.iter().any(placed) {
            let tolerance = self.height / 50;
            let (at, avatar) = self
                .avatars
                .iter()
                .enumerate()
                .filter_map(|(at, it)| Some((at, self.nodes.get(it.index)?)))
                .filter(|(_, it)| bounded(it) && it.top <= node.top + tolerance)
                .max_by_key(|(_, it)| it.top)?;
            let beside = node.top < avatar.bottom;
            return (beside || !self.is_centred(node)).then_some(at);
        }
        // By order only: the words right after an avatar are its bubble's.
        let at = self.avatars.iter().rposition(|it| it.index < index)?;
        let words = text::clean(&node.text);
        // A time right after the avatar was typed; with something in between that something is the bubble.
        let next = self.avatars.get(at).is_some_and(|it| it.index + 1 == index);
        if !next && packs.any(package, Place::Time, &words) {
            return None;
        }
        let begun = owners.contains(&Some(at));
        let told = begun && packs.any(package, Place::System, &words);
        let interrupted = begun && owners.last() != Some(&Some(at)) && !parts.is_empty();
        (!told && !interrupted).then_some(at)
    }

    /// Without any avatar: neighbours of one side that touch are one bubble when its parts need each other.
    fn joined(&self, parts: Vec<Part<'a>>, packs: &PackSet, package: &str) -> Vec<Part<'a>> {
        if !self.avatars.is_empty() {
            return parts;
        }
        let mut joined: Vec<Part<'a>> = Vec::new();
        for part in parts {
            let label = |part: &Part<'a>| {
                part.texts.iter().any(|it| {
                    let words = it.text.trim();
                    packs.any(package, Place::Bubble, words)
                        || packs.any(package, Place::Noise, words)
                })
            };
            let touches = joined.last().is_some_and(|last| {
                last.role == part.role
                    && part.role != Role::Centred
                    && (((label(last) || label(&part)) && self.touching(last, &part))
                        || self.names(last, &part))
            });
            match joined.last_mut() {
                Some(last) if touches => {
                    last.texts.extend(part.texts);
                    last.descs.extend(part.descs);
                }
                _ => joined.push(part),
            }
        }
        joined
    }

    /// A flat line close above a bubble and flush with it: its speaker's name.
    fn names(&self, above: &Part<'a>, below: &Part<'a>) -> bool {
        let ([name], [words]) = (above.texts.as_slice(), below.texts.as_slice()) else {
            return false;
        };
        let incoming = matches!(above.role, Role::Bubble { side: Side::In, .. });
        incoming
            && bounded(name)
            && bounded(words)
            && (words.top - name.bottom) * 100 <= self.height
            && (words.left - name.left).abs() * 50 <= self.width
            && (name.bottom - name.top) * 10 <= (words.bottom - words.top) * 9
    }

    fn touching(&self, above: &Part<'a>, below: &Part<'a>) -> bool {
        match (above.texts.last(), below.texts.first()) {
            (Some(above), Some(below)) if bounded(above) && bounded(below) => {
                (below.top - above.bottom) * 60 <= self.height
            }
            _ => true,
        }
    }
}
