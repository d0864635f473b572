//! Which side a part stands on, and how sure that is.

use mingjing_proto::pb;

use super::{Avatar, Evidence, Frame, Role, Side, bounded};

impl<'a> Frame<'a> {
    pub(super) fn side_of_avatar(&self, avatar: &Avatar<'a>) -> Side {
        let Some(node) = self.nodes.get(avatar.index) else {
            return Side::Unknown;
        };
        if !bounded(node) || self.width <= 0 {
            return Side::Unknown;
        }
        if self.off_middle(node) > 0 {
            Side::Out
        } else {
            Side::In
        }
    }

    pub(super) fn role_without_avatar(&self, texts: &[&pb::Node]) -> Role<'a> {
        let Some(node) = texts.iter().find(|it| bounded(it)) else {
            return Role::Centred;
        };
        if self.width <= 0 {
            return Role::Centred;
        }
        if self.is_centred(node) {
            // A bubble as wide as may be lies in the middle as well, but flush with the others.
            let flush = |edge: Option<i32>, at: i32| {
                edge.is_some_and(|edge| (edge - at).abs() * 100 <= self.width)
            };
            let side = match (
                flush(self.edges.0, node.left),
                flush(self.edges.1, node.right),
            ) {
                (false, false) => return Role::Centred,
                (true, false) => Side::In,
                (false, true) => Side::Out,
                (true, true) => Side::Unknown,
            };
            return Role::Bubble { side, avatar: "" };
        }
        let side = if self.off_middle(node) > 0 {
            Side::Out
        } else {
            Side::In
        };
        Role::Bubble { side, avatar: "" }
    }

    pub(super) fn is_centred(&self, node: &pb::Node) -> bool {
        self.off_middle(node).abs() * 100 <= self.width * 6
    }

    fn is_wide(&self, texts: &[&pb::Node]) -> bool {
        texts
            .iter()
            .any(|it| bounded(it) && (it.right - it.left) * 100 >= self.width * 60)
    }

    pub(super) fn evidence(&self, role: &Role<'a>, texts: &[&pb::Node]) -> Evidence {
        let placed = texts.iter().any(|it| bounded(it));
        match role {
            Role::Bubble {
                side: Side::Unknown,
                ..
            } => Evidence::Names,
            Role::Bubble { .. } => Evidence::Sides,
            // Without an avatar anywhere a wide line could be a bubble.
            Role::Centred if self.avatars.is_empty() && self.is_wide(texts) => Evidence::None,
            Role::Centred if placed => Evidence::Sides,
            Role::Centred if self.avatars.is_empty() => Evidence::None,
            Role::Centred => Evidence::Names,
        }
    }
}
