//! Rows of a chat page whose nesting tells what belongs together.

use mingjing_proto::pb;

use super::{Evidence, Frame, Part, Role, bounded, centred, has_words};
use crate::pack::{PackSet, Place};
use crate::recognise::text;

impl<'a> Frame<'a> {
    /// One row of a nested list: an optional time above, then one bubble or one centred line.
    pub(super) fn nested(
        &self,
        packs: &PackSet,
        package: &str,
        group: &[usize],
        title: Option<usize>,
    ) -> Vec<Part<'a>> {
        let avatar = self.avatars.iter().find(|it| group.contains(&it.index));
        let avatar_at = avatar.map(|it| it.index);
        let avatar_top = avatar
            .and_then(|it| self.nodes.get(it.index))
            .filter(|it| bounded(it))
            .map(|it| it.top);
        let mut above = Vec::new();
        let mut texts = Vec::new();
        let mut descs = Vec::new();
        let mut spoken: Vec<&pb::Node> = Vec::new();
        for index in group {
            let Some(node) = self.nodes.get(*index) else {
                continue;
            };
            if self.is_avatar(*index) || !self.may_speak(packs, package, *index, node, title) {
                continue;
            }
            // A chip floats; a bubble's first words stand beside its avatar.
            let beside = avatar
                .and_then(|it| self.nodes.get(it.index))
                .is_some_and(|it| {
                    bounded(it) && bounded(node) && node.top < it.bottom && node.bottom > it.top
                });
            if !beside && packs.any(package, Place::Chip, node.text.trim()) {
                continue;
            }
            if has_words(node) {
                let is_above = match avatar_top {
                    Some(top) if bounded(node) => node.bottom <= top && self.is_centred(node),
                    _ => {
                        let before = avatar_at.is_none_or(|avatar| *index < avatar);
                        let aside = bounded(node) && !self.is_centred(node);
                        before && !aside && texts.is_empty() && group.len() > 1
                    }
                };
                if is_above && packs.any(package, Place::Time, &text::clean(&node.text)) {
                    above.push(centred(node, Evidence::Sides));
                } else {
                    texts.push(node);
                    spoken.push(node);
                }
            } else {
                descs.push(node.desc.trim());
                spoken.push(node);
            }
        }
        if texts.is_empty() && descs.is_empty() {
            return above;
        }
        let role = match avatar {
            Some(avatar) => Role::Bubble {
                side: self.side_of_avatar(avatar),
                avatar: avatar.name,
            },
            None => self.role_without_avatar(&spoken),
        };
        let evidence = self.evidence(&role, &spoken);
        above.push(Part {
            role,
            texts,
            descs,
            evidence,
        });
        above
    }
}
