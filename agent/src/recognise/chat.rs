//! Chat pages: messages, money, cards, places and system lines, once each across scrolls and re-renders.
//!
//! Invariants:
//! - a system line counts only in its role: centred, without an avatar;
//! - bubbles that were there before the watch began are history and give nothing;
//! - at most [`CHATS`] chats of [`ENTRIES`] entries are remembered, and [`ENTRIES`] notifications; texts only
//!   of what was captured, cut to [`TEXT_KEPT`] bytes, so that a recalled message keeps its words.

mod scene;

use std::collections::VecDeque;

use mingjing_proto::pb::{self, Direction, Kind};

use super::draft::Draft;
use super::layout::Page;
use super::seen::Channel;
use super::{Context, align, text};
use scene::Scene;

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
    heard: VecDeque<Heard>,
    current: String,
    current_group: bool,
}

/// A message known from a notification only, so that a recall keeps its words.
#[derive(Debug)]
struct Heard {
    fact: u64,
    chat: u64,
    sender: String,
    text: String,
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

    /// The chat on screen last, and whether it is a group.
    pub(super) fn current(&self) -> (&str, bool) {
        (&self.current, self.current_group)
    }

    /// No chat is on screen any more.
    pub(super) fn leave(&mut self) {
        self.current.clear();
        self.current_group = false;
    }

    /// What a notification told.
    pub(super) fn hear(&mut self, package: &str, told: &Draft) {
        let it = &told.activity;
        let title = it.conversation.as_ref().map_or("", |it| it.title.as_str());
        if it.kind() != Kind::Message || it.direction() == Direction::Out || it.text.is_empty() {
            return;
        }
        if self.heard.len() >= ENTRIES {
            self.heard.pop_front();
        }
        self.heard.push_back(Heard {
            fact: told.fact_key(title),
            chat: text::key(&[package, title]),
            sender: it.sender.clone(),
            text: text::head(&it.text, TEXT_KEPT).to_owned(),
        });
    }

    /// The words of a recalled message that was never on screen, when there is one such only.
    fn unseen(
        &mut self,
        context: &Context<'_>,
        chat: u64,
        recall: &pb::Activity,
    ) -> Option<String> {
        let at_ms = context.signal.at_ms;
        self.heard.retain(|it| context.seen.holds(it.fact, at_ms));
        let fits = |it: &&Heard| it.chat == chat && it.sender == recall.sender;
        let mut candidates = self.heard.iter().filter(fits);
        let found = candidates.next()?.text.clone();
        candidates.next().is_none().then_some(found)
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
        self.current_group = chat.group || (before == chat.title && self.current_group);
        let package = context.signal.package.clone();
        self.follow_renaming(&package, &before, &chat.title, &items);
        let key = text::key(&[&package, &chat.title]);
        let unseen: Vec<(usize, String)> = items
            .iter()
            .enumerate()
            .filter_map(|(at, it)| Some((at, &it.draft.as_ref()?.activity)))
            .filter(|(_, it)| it.kind() == Kind::MessageRecalled)
            .filter(|(_, it)| it.direction() == Direction::In)
            .filter_map(|(at, it)| Some((at, self.unseen(context, key, it)?)))
            .collect();
        let known = self.known(key);
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
                let words = vanished.recalled.iter().chain(&unseen);
                if let Some((_, words)) = words.into_iter().find(|(at, _)| *at == index) {
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
        let unknown = self.chats.iter().all(|it| it.key != new);
        if let Some(chat) = self.chats.iter_mut().find(|it| it.key == old && unknown) {
            chat.key = new;
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
