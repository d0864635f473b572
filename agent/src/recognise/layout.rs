//! The parts of a chat page by their structure: title, bubbles with side and speaker, centred lines.
//!
//! Invariants:
//! - a role comes from side, avatar and nesting, never from what a text says;
//! - a line beside an avatar is never a centred line; what somebody is still typing is nothing;
//! - one pass over at most [`limits::SCREEN_NODES`] nodes.

mod bounds;
mod flat;
mod nested;
mod side;

use mingjing_proto::{limits, pb};

pub(super) use self::bounds::bounded;
use self::bounds::{pane, size};
use super::text;
use crate::pack::{PackSet, Place};

/// Which side of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    In,
    Out,
    /// Neither the sides nor the names tell.
    Unknown,
}

/// How sure the structure makes a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Evidence {
    /// No sides and no avatars anywhere on the page.
    None,
    /// Order and names only.
    Names,
    /// Sides or nesting.
    Sides,
}

/// One part of the page, top to bottom.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub(super) role: Role<'a>,
    pub(super) texts: Vec<&'a pb::Node>,
    pub(super) descs: Vec<&'a str>,
    pub(super) evidence: Evidence,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Role<'a> {
    Bubble { side: Side, avatar: &'a str },
    Centred,
}

#[derive(Debug)]
pub(super) struct Page<'a> {
    pub(super) title: &'a str,
    pub(super) counted: bool,
    /// A line such as `@公司` or `＠微信` under the title: somebody from outside.
    pub(super) external: bool,
    /// There is an input field or another control that only a chat page has.
    pub(super) is_chat: bool,
    pub(super) parts: Vec<Part<'a>>,
}

impl Page<'_> {
    /// How many different people speak on the left: more than one makes a group.
    pub(super) fn speakers(&self, title: &str, own_name: &str) -> usize {
        let mut names: Vec<&str> = Vec::new();
        for part in &self.parts {
            if let Role::Bubble { side, avatar } = part.role {
                let other = side != Side::Out && !avatar.is_empty() && avatar != own_name;
                if other && avatar != title && !names.contains(&avatar) {
                    names.push(avatar);
                }
            }
        }
        names.len()
    }
}

#[derive(Clone, Copy, Debug)]
struct Avatar<'a> {
    index: usize,
    name: &'a str,
}

struct Frame<'a> {
    nodes: &'a [pb::Node],
    /// Where the conversation begins: 0, or on a wide screen the pane beside the list of chats.
    left: i32,
    width: i32,
    height: i32,
    avatars: Vec<Avatar<'a>>,
    input: Option<usize>,
    /// Where bubbles begin on the left and end on the right, on a page without avatars.
    edges: (Option<i32>, Option<i32>),
}

/// Reads the structure of a chat page.
pub(super) fn read<'a>(packs: &PackSet, package: &str, screen: &'a pb::Screen) -> Page<'a> {
    let nodes = screen
        .nodes
        .get(..limits::SCREEN_NODES.min(screen.nodes.len()))
        .unwrap_or_default();
    let (width, height) = size(screen, nodes);
    let control = |node: &&pb::Node| {
        [&node.desc, &node.text]
            .iter()
            .any(|it| packs.any(package, Place::ChatControl, it.trim()))
    };
    let input = nodes.iter().position(is_input);
    let anchor = input
        .and_then(|at| nodes.get(at))
        .or_else(|| nodes.iter().find(control));
    let is_chat = anchor.is_some();
    let (left, width) = pane(nodes, anchor, width);
    let mut frame = Frame {
        nodes,
        left,
        width,
        height,
        avatars: Vec::new(),
        input,
        edges: (None, None),
    };
    frame.avatars = frame.find_avatars(packs, package);
    frame.edges = frame.find_edges();
    let list = frame.list();
    let (title_index, title) = frame.title(packs, package, list);
    let (name, counted) = text::without_count(title);
    let (name, outsider) = without_company(packs, package, name);
    let external = outsider || frame.external(packs, package, title_index);
    let parts = frame.parts(packs, package, list, title_index);
    Page {
        title: name,
        counted,
        external,
        is_chat,
        parts,
    }
}

/// The nodes inside the largest list of a page; none without one.
pub(super) fn list_rows(screen: &pb::Screen) -> &[pb::Node] {
    let nodes = screen
        .nodes
        .get(..limits::SCREEN_NODES.min(screen.nodes.len()))
        .unwrap_or_default();
    let frame = Frame {
        nodes,
        left: 0,
        width: screen.width,
        height: screen.height,
        avatars: Vec::new(),
        input: None,
        edges: (None, None),
    };
    frame
        .list()
        .and_then(|(start, end)| nodes.get(start + 1..end))
        .unwrap_or_default()
}

/// A title without the company of somebody from outside, and whether it had one.
pub(super) fn without_company<'t>(
    packs: &PackSet,
    package: &str,
    title: &'t str,
) -> (&'t str, bool) {
    match packs.first(package, Place::OutsideTitle, title) {
        Some((_, found)) => (found.get("name"), true),
        None => (title, false),
    }
}

fn is_input(node: &pb::Node) -> bool {
    node.class.ends_with("EditText")
}

fn is_list(node: &pb::Node) -> bool {
    node.class.ends_with("ListView") || node.class.ends_with("RecyclerView")
}

fn has_words(node: &pb::Node) -> bool {
    !node.text.trim().is_empty()
}

impl<'a> Frame<'a> {
    /// Whether a node stands beside the conversation's pane.
    fn is_beside(&self, node: &pb::Node) -> bool {
        let right = self.left.saturating_add(self.width);
        self.width > 0 && bounded(node) && (node.right <= self.left || node.left >= right)
    }

    /// How far a node's middle lies right of the pane's, twice.
    fn off_middle(&self, node: &pb::Node) -> i32 {
        node.left + node.right - 2 * self.left - self.width
    }

    fn find_avatars(&self, packs: &PackSet, package: &str) -> Vec<Avatar<'a>> {
        let mut avatars = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            if has_words(node) || is_input(node) || self.is_beside(node) {
                continue;
            }
            if let Some((_, found)) = packs.first(package, Place::Avatar, node.desc.trim()) {
                let name = found.get("name");
                avatars.push(Avatar { index, name });
            } else if node.desc.trim().is_empty() && self.looks_like_avatar(node) {
                avatars.push(Avatar { index, name: "" });
            }
        }
        avatars
    }

    /// The edges most bubbles share, from words that clearly lean to a side.
    fn find_edges(&self) -> (Option<i32>, Option<i32>) {
        if !self.avatars.is_empty() || self.width <= 0 {
            return (None, None);
        }
        let below = self.height * 8 / 100;
        let leaning = || {
            let spoken = self.nodes.iter().filter(|it| has_words(it) && bounded(it));
            spoken.filter(move |it| it.top > below && !self.is_centred(it) && !self.is_beside(it))
        };
        let left = leaning().filter(|it| self.off_middle(it) < 0);
        let right = leaning().filter(|it| self.off_middle(it) > 0);
        (left.map(|it| it.left).min(), right.map(|it| it.right).max())
    }

    /// A small square picture at the far left or right, below the title and above the input.
    fn looks_like_avatar(&self, node: &pb::Node) -> bool {
        if !bounded(node) || !node.class.ends_with("ImageView") || self.width <= 0 {
            return false;
        }
        let (width, height) = (node.right - node.left, node.bottom - node.top);
        let square = (width - height).abs() * 4 <= width.max(height);
        let small = width * 100 >= self.width * 6 && width * 100 <= self.width * 18;
        let (begin, end) = (node.left - self.left, node.right - self.left);
        let aside = end * 100 <= self.width * 22 || begin * 100 >= self.width * 78;
        let inside = node.top * 100 >= self.height * 6
            && self
                .input
                .and_then(|at| self.nodes.get(at))
                .is_none_or(|input| !bounded(input) || node.bottom <= input.top);
        square && small && aside && inside
    }

    /// The message list: the list whose subtree is largest, as index and end.
    fn list(&self) -> Option<(usize, usize)> {
        self.nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| is_list(node) && !self.is_beside(node))
            .map(|(index, node)| (index, self.end_of(index, node.depth)))
            .filter(|(index, end)| end - index > 1)
            .max_by_key(|(index, end)| end - index)
    }

    fn end_of(&self, index: usize, depth: u32) -> usize {
        self.nodes
            .iter()
            .enumerate()
            .skip(index + 1)
            .find(|(_, node)| node.depth <= depth)
            .map_or(self.nodes.len(), |(end, _)| end)
    }

    /// The title: words at the top, outside the list and before the first avatar.
    fn title(
        &self,
        packs: &PackSet,
        package: &str,
        list: Option<(usize, usize)>,
    ) -> (Option<usize>, &'a str) {
        let first_avatar = self.avatars.first().map_or(usize::MAX, |it| it.index);
        let above = self
            .avatars
            .iter()
            .filter_map(|it| self.nodes.get(it.index))
            .filter(|it| bounded(it))
            .map(|it| it.top)
            .min();
        let found = self.nodes.iter().enumerate().find(|(index, node)| {
            let words = node.text.trim();
            let outside = list.is_none_or(|(start, end)| *index < start || *index >= end);
            if words.is_empty() || !outside || is_input(node) || self.is_beside(node) {
                return false;
            }
            let placed = if bounded(node) && self.height > 0 {
                node.top * 100 <= self.height * 11 && above.is_none_or(|top| node.top < top)
            } else {
                *index < first_avatar && (list.is_some() || *index < 4)
            };
            let counter = words
                .chars()
                .all(|it| it.is_ascii_digit() || "()+（）".contains(it));
            placed
                && !counter
                && !packs.any(package, Place::Time, words)
                && !packs.any(package, Place::Noise, words)
                && !packs.any(package, Place::ChatControl, words)
                && (bounded(node) || !packs.any(package, Place::System, words))
        });
        found.map_or((None, ""), |(index, node)| {
            (Some(index), node.text.as_str())
        })
    }

    /// A company line right below the title.
    fn external(&self, packs: &PackSet, package: &str, title: Option<usize>) -> bool {
        let Some(title) = title else { return false };
        self.nodes
            .iter()
            .skip(title + 1)
            .take(3)
            .any(|it| packs.any(package, Place::Outside, it.text.trim()))
    }

    fn parts(
        &self,
        packs: &PackSet,
        package: &str,
        list: Option<(usize, usize)>,
        title: Option<usize>,
    ) -> Vec<Part<'a>> {
        let groups = list.and_then(|(start, end)| self.children(packs, package, start, end));
        let grouped = groups.is_some();
        let groups = groups.unwrap_or_else(|| {
            let all = |index: &usize| {
                self.nodes
                    .get(*index)
                    .is_some_and(|node| self.may_speak(packs, package, *index, node, title))
            };
            (0..self.nodes.len())
                .filter(all)
                .map(|it| vec![it])
                .collect()
        });
        if grouped {
            groups
                .iter()
                .flat_map(|group| self.nested(packs, package, group, title))
                .collect()
        } else {
            self.flat(&groups, packs, package)
        }
    }

    /// Whether a node can belong to the conversation at all.
    fn may_speak(
        &self,
        packs: &PackSet,
        package: &str,
        index: usize,
        node: &pb::Node,
        title: Option<usize>,
    ) -> bool {
        if Some(index) == title || is_input(node) || is_list(node) || self.is_beside(node) {
            return false;
        }
        if self.avatars.iter().any(|it| it.index == index) {
            return true;
        }
        let words = node.text.trim();
        let desc = node.desc.trim();
        if words.is_empty() && desc.is_empty() {
            return false;
        }
        let under_title = title.is_some_and(|title| index == title + 1);
        if under_title && packs.any(package, Place::Outside, words) {
            return false;
        }
        let input = self.input.and_then(|at| self.nodes.get(at));
        if bounded(node) && self.height > 0 {
            let below_input = input.is_some_and(|it| bounded(it) && node.top + 2 >= it.top);
            let title_bar = title
                .and_then(|at| self.nodes.get(at))
                .is_some_and(|it| bounded(it) && node.top < it.bottom);
            if below_input || title_bar {
                return false;
            }
        }
        !packs.any(package, Place::ChatControl, words)
            && !packs.any(package, Place::ChatControl, desc)
    }

    /// The rows of a nested list, when the nesting is there.
    fn children(
        &self,
        packs: &PackSet,
        package: &str,
        start: usize,
        end: usize,
    ) -> Option<Vec<Vec<usize>>> {
        let inside = self.nodes.get(start + 1..end)?;
        let depth = inside.iter().map(|it| it.depth).min()?;
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for (offset, node) in inside.iter().enumerate() {
            // A centred line below a row's own frame is not in it, whatever the nesting says.
            let below = groups
                .last()
                .and_then(|it| self.nodes.get(*it.first()?))
                .is_some_and(|row| {
                    let slack = self.height / 50;
                    bounded(row) && bounded(node) && node.top + slack >= row.bottom
                })
                && self.is_centred(node)
                && is_line(packs, package, node);
            if node.depth == depth || groups.is_empty() || below {
                groups.push(Vec::new());
            }
            groups.last_mut()?.push(start + 1 + offset);
        }
        // Avatars that are rows of their own show that the nesting does not group bubbles.
        let lone = |group: &Vec<usize>| {
            let spoken = group.iter().filter_map(|at| self.nodes.get(*at));
            let speaking = spoken.filter(|it| has_words(it) || !it.desc.trim().is_empty());
            let avatars = group.iter().filter(|at| self.is_avatar(**at)).count();
            avatars > 1 || (avatars == 1 && speaking.count() <= 1 && group.len() <= 1)
        };
        (!groups.iter().any(lone)).then_some(groups)
    }

    fn is_avatar(&self, index: usize) -> bool {
        self.avatars.iter().any(|it| it.index == index)
    }
}

fn centred(node: &pb::Node, evidence: Evidence) -> Part<'_> {
    Part {
        role: Role::Centred,
        texts: vec![node],
        descs: Vec::new(),
        evidence,
    }
}

fn is_line(packs: &PackSet, package: &str, node: &pb::Node) -> bool {
    let words = text::clean(&node.text);
    packs.any(package, Place::Time, &words) || packs.any(package, Place::System, &words)
}
