//! Chat pages: messages, money, cards, places and system lines, once each across scrolls and re-renders.
//!
//! Invariants:
//! - a system line counts only in its role: centred, without an avatar;
//! - bubbles that were there before the watch began are history and give nothing;
//! - at most [`CHATS`] chats of [`ENTRIES`] entries are remembered; texts only of what was captured, cut to
//!   [`TEXT_KEPT`] bytes, so that a recalled message keeps its words.

use std::collections::VecDeque;

use mingjing_proto::pb::{self, Confidence, Direction, Kind, Source};

use super::draft::Draft;
use super::layout::{Evidence, Page, Part, Role, Side};
use super::seen::Channel;
use super::{Context, align, bubble, text, time};
use crate::pack::Place;

/// Chats remembered.
const CHATS: usize = 24;
/// Bubbles and lines remembered of one chat.
const ENTRIES: usize = 120;
/// Bytes of a captured text kept for the case that it is recalled.
const TEXT_KEPT: usize = 600;
/// A bubble answers for a notification, and the other way round, this long.
const SAME_FACT_MS: i64 = 24 * 60 * 60 * 1000;
/// A page about money answers for its bubble this long.
pub(super) const SAME_MONEY_MS: i64 = 10 * 60 * 1000;

#[derive(Debug, Default)]
pub(super) struct Chats {
    chats: VecDeque<Chat>,
    current: String,
}

#[derive(Debug)]
struct Chat {
    key: u64,
    entries: Vec<Entry>,
    /// What of the entries the last view showed.
    view: std::ops::Range<usize>,
    /// When it was on screen last.
    seen_ms: Option<i64>,
}

/// What is no more on a page that was there a moment ago.
#[derive(Debug, Default)]
struct Vanished {
    /// Own or not, and the words.
    gone: Vec<(bool, String)>,
    /// By position in the new view: the words a recall line stands for.
    recalled: Vec<(usize, String)>,
}

/// One bubble or line that was on screen.
#[derive(Clone, Debug)]
struct Entry {
    key: u64,
    own: bool,
    sender: String,
    /// Empty for what was not captured.
    text: String,
    line: bool,
}

/// A part of the page with its meaning.
struct Item {
    entry: Entry,
    draft: Option<Draft>,
    /// The moment the separator above it names.
    shown_ms: Option<i64>,
}

/// What became of the page, for dialogs that wait for it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) title: String,
    pub(super) bubbles: usize,
    /// Texts of bubbles that were between others and are no more.
    pub(super) gone: Vec<(bool, String)>,
}

impl Chats {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The chat on screen last.
    pub(super) fn current(&self) -> &str {
        &self.current
    }

    /// Reads one view of a chat page.
    pub(super) fn read(
        &mut self,
        context: &mut Context<'_>,
        page: &Page<'_>,
        external_window: bool,
        group_window: bool,
    ) -> (Vec<Draft>, Outcome) {
        let title = if page.title.is_empty() {
            self.current.clone()
        } else {
            text::name(page.title)
        };
        let before = std::mem::replace(&mut self.current, title.clone());
        let chat = Scene {
            group: page.counted || group_window,
            external: page.external || external_window,
            title,
        };
        let items = chat.items(context, page);
        let package = context.signal.package.clone();
        self.follow_renaming(&package, &before, &chat.title, &items);
        let known = self.known(text::key(&[&package, &chat.title]));
        let watched = known
            .seen_ms
            .is_some_and(|seen| seen >= context.watch.since_ms);
        let old: Vec<u64> = known.entries.iter().map(|it| it.key).collect();
        let new: Vec<u64> = items.iter().map(|it| it.entry.key).collect();
        let matches = align::longest_common(&old, &new);
        let vanished = known.vanished(&matches, &items);
        let newest_known = match matches.last() {
            Some((_, new)) => Some(*new),
            // Nothing was there before: everything now shown came while it was watched.
            None if known.entries.is_empty() => None,
            None => Some(usize::MAX),
        };
        let mut drafts = Vec::new();
        let mut merged = Vec::with_capacity(items.len());
        let outcome = Outcome {
            title: chat.title.clone(),
            bubbles: items.iter().filter(|it| !it.entry.line).count(),
            gone: vanished.gone,
        };
        for (index, mut item) in items.into_iter().enumerate() {
            if let Some((old, _)) = matches.iter().find(|(_, new)| *new == index) {
                merged.extend(known.entries.get(*old).cloned());
                continue;
            }
            let fresh = watched && newest_known.is_none_or(|known| index > known);
            let since_ms = context.watch.since_ms;
            let in_watch = fresh || since_ms == 0 || item.shown_ms.is_some_and(|it| it >= since_ms);
            if let Some(mut draft) = item.draft.take().filter(|_| in_watch) {
                if let Some((_, words)) = vanished.recalled.iter().find(|(at, _)| *at == index) {
                    draft.text(words);
                }
                item.entry.text = text::head(&draft.activity.text, TEXT_KEPT).to_owned();
                if !context.is_known(&draft, &chat.title) {
                    drafts.push(draft);
                }
            }
            merged.push(item.entry);
        }
        known.replace(merged, &matches);
        known.seen_ms = Some(context.signal.at_ms);
        (drafts, outcome)
    }

    /// A chat renamed while it is on screen goes on under its new name.
    fn follow_renaming(&mut self, package: &str, before: &str, title: &str, items: &[Item]) {
        let renamed = items.iter().any(|it| {
            let draft = it.draft.as_ref().map(|it| &it.activity);
            draft.is_some_and(|it| it.kind() == Kind::GroupRenamed && it.target == title)
        });
        if !renamed || before == title {
            return;
        }
        let (old, new) = (text::key(&[package, before]), text::key(&[package, title]));
        if self.chats.iter().all(|it| it.key != new) {
            if let Some(chat) = self.chats.iter_mut().find(|it| it.key == old) {
                chat.key = new;
            }
        }
    }

    fn known(&mut self, key: u64) -> &mut Chat {
        let chat = match self.chats.iter().position(|it| it.key == key) {
            Some(index) => self.chats.remove(index),
            None => None,
        };
        if self.chats.len() >= CHATS {
            self.chats.pop_front();
        }
        self.chats.push_back(chat.unwrap_or_else(|| Chat {
            key,
            entries: Vec::new(),
            view: 0..0,
            seen_ms: None,
        }));
        self.chats.back_mut().expect("one was pushed just now")
    }
}

impl Chat {
    /// The view as now shown, between what is remembered above and below it.
    fn replace(&mut self, view: Vec<Entry>, matches: &[(usize, usize)]) {
        let mut entries = std::mem::take(&mut self.entries);
        let shown = view.len();
        let start = match (matches.first(), matches.last()) {
            (Some((first, _)), Some((last, _))) => {
                let below = entries.split_off((*last + 1).min(entries.len()));
                entries.truncate(*first);
                let start = entries.len();
                entries.extend(view);
                entries.extend(below);
                start
            }
            _ => {
                let start = entries.len();
                entries.extend(view);
                start
            }
        };
        let excess = entries.len().saturating_sub(ENTRIES);
        entries.drain(..excess);
        self.view = start.saturating_sub(excess)..(start + shown).saturating_sub(excess);
        self.entries = entries;
    }

    /// Compares the last view with this one: which bubbles gave way, and to which recall lines.
    fn vanished(&self, matches: &[(usize, usize)], items: &[Item]) -> Vanished {
        let in_view: Vec<(usize, usize)> = matches
            .iter()
            .filter(|(old, _)| self.view.contains(old))
            .copied()
            .collect();
        let mut vanished = Vanished::default();
        let mut bounds = vec![(None, None)];
        for (old, new) in &in_view {
            if let Some(last) = bounds.last_mut() {
                last.1 = Some((*old, *new));
            }
            bounds.push((Some((*old, *new)), None));
        }
        let last = bounds.len() - 1;
        for (position, (from, to)) in bounds.into_iter().enumerate() {
            let old_from = from.map_or(self.view.start, |(old, _)| old + 1);
            let old_to = to.map_or(self.view.end, |(old, _)| old);
            let new_from = from.map_or(0, |(_, new)| new + 1);
            let new_to = to.map_or(items.len(), |(_, new)| new);
            let lost: Vec<&Entry> = self
                .entries
                .get(old_from..old_to)
                .unwrap_or_default()
                .iter()
                .filter(|it| !it.line)
                .collect();
            let arrived = new_to.saturating_sub(new_from);
            // At the ends of a view bubbles also scroll off; only as many as gave way to something count,
            // or all of them when the other end stands still.
            let lost: Vec<&Entry> = if position == 0 && last > 0 {
                let stays = in_view
                    .last()
                    .is_some_and(|(old, new)| old + 1 == self.view.end && new + 1 == items.len());
                let many = if stays { lost.len() } else { arrived };
                lost.iter().rev().take(many).rev().copied().collect()
            } else if position == last && last > 0 {
                let stays = in_view
                    .first()
                    .is_some_and(|(old, new)| *old == self.view.start && *new == 0);
                let many = if stays { lost.len() } else { arrived };
                lost.iter().take(many).copied().collect()
            } else {
                lost
            };
            vanished.pair(
                &lost,
                items.get(new_from..new_to).unwrap_or_default(),
                new_from,
            );
            vanished
                .gone
                .extend(lost.iter().map(|it| (it.own, it.text.clone())));
        }
        vanished
    }
}

impl Vanished {
    /// Recall lines and the bubbles they stand for, when there are as many of one as of the other.
    fn pair(&mut self, lost: &[&Entry], arrived: &[Item], from: usize) {
        let recalls: Vec<(usize, &pb::Activity)> = arrived
            .iter()
            .enumerate()
            .filter_map(|(at, it)| Some((from + at, &it.draft.as_ref()?.activity)))
            .filter(|(_, it)| it.kind() == Kind::MessageRecalled)
            .collect();
        for (at, recall) in &recalls {
            let own = recall.direction() == Direction::Out;
            let fits = |it: &Entry| {
                it.own == own && (own || it.sender.is_empty() || it.sender == recall.sender)
            };
            let alike: Vec<usize> = recalls
                .iter()
                .filter(|(_, it)| {
                    it.direction() == recall.direction() && it.sender == recall.sender
                })
                .map(|(at, _)| *at)
                .collect();
            let candidates: Vec<&&Entry> = lost.iter().filter(|it| fits(it)).collect();
            if candidates.len() == alike.len() {
                let nth = alike.iter().position(|it| it == at).unwrap_or(0);
                if let Some(entry) = candidates.get(nth) {
                    self.recalled.push((*at, entry.text.clone()));
                }
            }
        }
    }
}

struct Scene {
    title: String,
    group: bool,
    external: bool,
}

impl Scene {
    fn items(&self, context: &Context<'_>, page: &Page<'_>) -> Vec<Item> {
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
            side => (side, true),
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
        } else {
            draft.activity.sender.clear();
        }
        Some(draft)
    }
}

impl Item {
    fn new(words: &str, draft: Draft, line: bool, shown_ms: Option<i64>) -> Self {
        let it = &draft.activity;
        let own = it.direction() == Direction::Out;
        let amount = it.amount_fen.unwrap_or(-1).to_string();
        let kind = it.kind.to_string();
        let side = if own { "out" } else { "in" };
        // The state of a transfer changes inside its bubble; the amount does not.
        let words = if it.amount_fen.is_some() { "" } else { words };
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

impl Context<'_> {
    /// Whether a fact on screen was already told by a notification or a page; remembers it otherwise.
    pub(super) fn is_known(&mut self, draft: &Draft, title: &str) -> bool {
        let at_ms = self.signal.at_ms;
        let key = draft.fact_key(title);
        let both_ways = draft.activity.kind() == Kind::Call;
        if (both_ways || draft.activity.direction() != Direction::Out)
            && self.seen.take(key, Channel::Bubble, at_ms, SAME_FACT_MS)
        {
            return true;
        }
        if draft.activity.amount_fen.is_some() {
            let money = draft.money_key();
            if self.seen.take(money, Channel::Bubble, at_ms, SAME_MONEY_MS) {
                return true;
            }
            self.seen.note(money, Channel::Bubble, at_ms);
        }
        self.seen.note(key, Channel::Bubble, at_ms);
        false
    }
}
