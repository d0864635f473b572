//! Windows that mean something by being open, pages that state a fact, and dialogs answered with yes.
//!
//! Invariants:
//! - a dialog alone is nothing: only what follows it decides, and only for [`DIALOG_MS`];
//! - a page states its fact once while it stays open and once within [`SAME_PAGE_MS`] of the last sight.

use std::collections::VecDeque;

use mingjing_proto::limits;
use mingjing_proto::pb::{self, Confidence, Direction, Kind, Source};

use super::draft::Draft;
use super::seen::Channel;
use super::{Context, chat, money, text};
use crate::pack::{Captured, Expression, Outcome, Pattern, Place, WindowRole};

/// What follows a dialog counts for this long.
const DIALOG_MS: i64 = 2 * 60 * 1000;
/// A call's notification, page and bubble are one call this long.
const CALL_MS: i64 = 5 * 60 * 1000;
/// The same statement of the same kind of page is the same fact this long.
const SAME_PAGE_MS: i64 = 24 * 60 * 60 * 1000;
/// Statements remembered.
const STATED: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Pages {
    window: Option<WindowRole>,
    asked: Option<Asked>,
    /// The login page was open since the account was in use.
    logged_out: bool,
    /// What pages stated lately.
    stated: VecDeque<Stated>,
}

/// A statement of a page.
#[derive(Debug)]
struct Stated {
    kind: Kind,
    amount_fen: Option<i64>,
    peer: u64,
    at_ms: i64,
}

/// A dialog that waits for its answer.
#[derive(Debug)]
struct Asked {
    outcome: Outcome,
    draft: Draft,
    at_ms: i64,
    role: WindowRole,
    conversation: String,
    /// How many messages it asks about.
    count: usize,
}

impl Asked {
    /// What was deleted, message by message when as many are gone as the dialog asked about.
    fn gone(self, gone: &[(bool, String)]) -> Vec<Draft> {
        if gone.len() != self.count {
            return vec![self.draft];
        }
        let told = gone.iter().map(|(_, words)| {
            let mut draft = self.draft.clone();
            draft.text(words);
            draft
        });
        told.collect()
    }
}

impl Pages {
    /// That the login page was open is no text and stays.
    pub(super) fn clear(&mut self) {
        *self = Self {
            logged_out: self.logged_out,
            ..Self::default()
        };
    }

    /// A window was opened or changed: what its class alone tells.
    pub(super) fn window(&mut self, context: &Context<'_>, role: WindowRole) -> Option<Draft> {
        let before = self.window.replace(role);
        if before == Some(role) {
            return None;
        }
        let back = matches!(role, WindowRole::Main | WindowRole::AccountPage);
        if back && std::mem::take(&mut self.logged_out) {
            return Some(context.draft(Kind::AccountLogin, Direction::None, Source::Screen));
        }
        let opened = [
            (WindowRole::Scanner, Kind::ScanOpened),
            (WindowRole::DesktopLogin, Kind::DesktopLogin),
            (WindowRole::Moments, Kind::MomentsOpened),
        ];
        let (_, kind) = opened.into_iter().find(|(window, _)| *window == role)?;
        let mut draft = context.draft(kind, Direction::None, Source::Screen);
        draft.confidence(Confidence::Certain);
        if kind == Kind::MomentsOpened {
            draft.activity.count = 1;
        }
        Some(draft)
    }

    /// The login page is open: nobody is logged in, whatever led there.
    pub(super) fn login(&mut self, context: &Context<'_>) -> Option<Draft> {
        let asked = self.followed(context, WindowRole::Login, None).pop();
        if std::mem::replace(&mut self.logged_out, true) {
            return None;
        }
        let unasked = || context.draft(Kind::AccountLogout, Direction::None, Source::Screen);
        asked.or_else(|| Some(unasked()))
    }

    /// The window was left.
    pub(super) fn left(&mut self) {
        self.window = None;
    }

    /// A page that states a fact.
    pub(super) fn page(
        &mut self,
        context: &mut Context<'_>,
        role: WindowRole,
        lines: &[String],
        chat: (&str, bool),
    ) -> Option<Draft> {
        let packs = context.packs;
        let package = context.signal.package.as_str();
        let (pattern, found, line) = packs
            .patterns(package, Place::Page)
            .filter(|it| it.windows.contains(&role))
            .find_map(|it| fits(it, lines))?;
        let mut draft = context.draft(pattern.kind?, pattern.direction, Source::Screen);
        draft.confidence(pattern.confidence.unwrap_or(Confidence::Certain));
        let captured = |names: &[&str]| {
            let own = names
                .iter()
                .map(|name| found.get(name))
                .find(|it| !it.is_empty());
            own.or_else(|| other_capture(pattern, lines, line, names))
                .unwrap_or_default()
        };
        draft.activity.peer = text::name(captured(&["peer", "peer_en", "peer_from", "peer_by"]));
        draft.activity.amount_fen = money::fen(captured(&["amount"]));
        draft.text(captured(&["text"]));
        // Opened from a direct chat, a page about money is about that chat's other side.
        if draft.activity.peer.is_empty() && role == WindowRole::Transfer && !chat.1 {
            draft.activity.peer = text::name(chat.0);
        }
        if context.is_private(&draft.activity.peer) {
            return None;
        }
        let at_ms = context.signal.at_ms;
        if draft.activity.kind() == Kind::Call {
            if draft.activity.peer.is_empty() {
                draft.activity.peer = text::name(caller(context, lines, line));
            }
            let key = draft.fact_key(&draft.activity.peer);
            let known = context.seen.take(key, Channel::Page, at_ms, CALL_MS);
            context.seen.note(key, Channel::Page, at_ms);
            if known || context.is_private(&draft.activity.peer) {
                return None;
            }
        }
        if self.stated_before(&draft, at_ms) {
            return None;
        }
        let money = draft.money_key();
        if draft.activity.amount_fen.is_some()
            && context
                .seen
                .take(money, Channel::Page, at_ms, chat::SAME_MONEY_MS)
        {
            return None;
        }
        let told = draft.fact_key(&draft.activity.peer);
        if context.seen.take(told, Channel::Page, at_ms, SAME_PAGE_MS) {
            return None;
        }
        if draft.activity.amount_fen.is_some() {
            context.seen.note(money, Channel::Page, at_ms);
        }
        Some(draft)
    }

    /// Whether a page said the same lately: of the same amount, and not of somebody else.
    fn stated_before(&mut self, draft: &Draft, at_ms: i64) -> bool {
        let nobody = text::key(&[""]);
        let it = &draft.activity;
        let stated = Stated {
            kind: it.kind(),
            amount_fen: it.amount_fen,
            peer: text::key(&[&it.peer]),
            at_ms,
        };
        let known = self.stated.iter_mut().find(|known| {
            known.kind == stated.kind
                && known.amount_fen == stated.amount_fen
                && (known.peer == stated.peer || known.peer == nobody || stated.peer == nobody)
                && at_ms.saturating_sub(known.at_ms).abs() <= SAME_PAGE_MS
        });
        if let Some(known) = known {
            known.at_ms = at_ms;
            return true;
        }
        if self.stated.len() >= STATED {
            self.stated.pop_front();
        }
        self.stated.push_back(stated);
        false
    }

    /// A dialog on screen; what it asks waits for its answer.
    pub(super) fn dialog(
        &mut self,
        context: &Context<'_>,
        role: WindowRole,
        lines: &[String],
        conversation: (&str, bool),
    ) -> bool {
        let (conversation, in_group) = conversation;
        let packs = context.packs;
        let package = context.signal.package.as_str();
        let refusable = lines.iter().any(|it| packs.any(package, Place::Cancel, it));
        if !refusable {
            return false;
        }
        let asked = lines
            .iter()
            .find_map(|line| packs.first(package, Place::Dialog, line));
        let Some((pattern, found)) = asked else {
            return false;
        };
        let (Some(kind), Some(outcome)) = (pattern.kind, pattern.outcome) else {
            return false;
        };
        let same = |it: &Asked| {
            let about = &it.draft.activity.peer;
            it.draft.activity.kind() == kind && (about.is_empty() || found.get("peer") == about)
        };
        if self.asked.as_ref().is_some_and(same) {
            return true;
        }
        let mut draft = context.draft(kind, pattern.direction, Source::Screen);
        draft.confidence(Confidence::Certain);
        let peer = found.get("peer");
        draft.activity.peer = text::name(peer);
        let group = kind == Kind::GroupLeft || (in_group && kind != Kind::ContactDeleted);
        if outcome != Outcome::Login && (group || kind != Kind::ContactDeleted) {
            let title = if peer.is_empty() { conversation } else { peer };
            if !title.is_empty() {
                draft.conversation(title, group, false);
            }
            if !group {
                draft.activity.peer = text::name(title);
            } else {
                draft.activity.peer.clear();
            }
        }
        let concerned = draft
            .activity
            .conversation
            .as_ref()
            .map_or("", |it| it.title.as_str());
        if context.is_private(&draft.activity.peer) || context.is_private(concerned) {
            self.asked = None;
            return true;
        }
        self.asked = Some(Asked {
            outcome,
            draft,
            at_ms: context.signal.at_ms,
            role,
            conversation: conversation.to_owned(),
            count: found
                .number("count")
                .and_then(|it| usize::try_from(it).ok())
                .unwrap_or(1),
        });
        true
    }

    /// What follows a dialog.
    pub(super) fn followed(
        &mut self,
        context: &Context<'_>,
        role: WindowRole,
        chat: Option<&chat::Outcome>,
    ) -> Vec<Draft> {
        let fresh = |it: &Asked| context.signal.at_ms.saturating_sub(it.at_ms) <= DIALOG_MS;
        let Some(asked) = self.asked.take().filter(fresh) else {
            return Vec::new();
        };
        let yes = match (asked.outcome, chat) {
            (Outcome::MainWindow, None) => role == WindowRole::Main,
            (Outcome::Login, None) => role == WindowRole::Login,
            (Outcome::EmptyChat, Some(chat)) => chat.bubbles == 0,
            (Outcome::BubbleGone, Some(chat)) => !chat.gone.is_empty(),
            _ => false,
        };
        if let (true, Outcome::BubbleGone, Some(chat)) = (yes, asked.outcome, chat) {
            return asked.gone(&chat.gone);
        }
        if yes {
            return vec![asked.draft];
        }
        // Windows on the way neither confirm nor refuse: the page behind the dialog, or a window closing.
        let undecided = match asked.outcome {
            Outcome::EmptyChat | Outcome::BubbleGone => chat.is_none() && role != WindowRole::Main,
            Outcome::MainWindow | Outcome::Login => {
                role == WindowRole::Dialog && asked.role != role
            }
        };
        if undecided {
            self.asked = Some(asked);
        }
        Vec::new()
    }

    /// The app came back to its main window. What a dialog wanted gone must not be listed there.
    pub(super) fn home(&mut self, context: &Context<'_>, lines: &[String]) -> Option<Draft> {
        let draft = self.followed(context, WindowRole::Main, None).pop()?;
        let it = &draft.activity;
        let title = it.conversation.as_ref().map_or("", |it| it.title.as_str());
        let listed = lines
            .iter()
            .any(|line| !line.is_empty() && (*line == it.peer || line == title));
        (!listed).then_some(draft)
    }

    /// The conversation the waiting dialog is about.
    pub(super) fn asked_about(&self) -> &str {
        self.asked
            .as_ref()
            .map_or("", |it| it.conversation.as_str())
    }
}

/// Who is on the other end: the line nearest above the statement that is no control and no statement.
fn caller<'t>(context: &Context<'_>, lines: &'t [String], statement: usize) -> &'t str {
    let package = context.signal.package.as_str();
    let is_name = |line: &&String| {
        ![Place::PageControl, Place::Page, Place::Avatar]
            .iter()
            .any(|place| context.packs.any(package, *place, line))
    };
    let (above, below) = lines.split_at(statement.min(lines.len()));
    above
        .iter()
        .rev()
        .find(is_name)
        .or_else(|| below.iter().find(is_name))
        .map_or("", String::as_str)
}

/// The first line a page pattern takes, when everything it also needs is there.
fn fits<'p, 't>(
    pattern: &'p Pattern,
    lines: &'t [String],
) -> Option<(&'p Pattern, Captured<'t>, usize)> {
    let (line, found) = lines.iter().enumerate().find_map(|(at, line)| {
        let short = line.len() <= Place::Page.longest();
        let found = short.then(|| pattern.captures(line)).flatten()?;
        Some((at, found))
    })?;
    let others = |rule: &Expression| {
        lines
            .iter()
            .enumerate()
            .any(|(at, it)| at != line && rule.is_match(it))
    };
    let refused = pattern
        .never
        .iter()
        .any(|rule| lines.iter().any(|it| rule.is_match(it)));
    (pattern.also.iter().all(others) && !refused).then_some((pattern, found, line))
}

fn other_capture<'t>(
    pattern: &Pattern,
    lines: &'t [String],
    line: usize,
    names: &[&str],
) -> Option<&'t str> {
    pattern.also.iter().chain(&pattern.maybe).find_map(|rule| {
        lines
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != line)
            .find_map(|(_, it)| {
                let found = rule.captures(it)?;
                names
                    .iter()
                    .find_map(|name| found.name(name))
                    .map(|it| it.as_str())
            })
    })
}

/// The lines of a page: texts and descriptions, with split amounts put together (`8.88`, `元`).
pub(super) fn lines(screen: &pb::Screen) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let seen = screen.nodes.iter().take(limits::SCREEN_NODES.min(LINES));
    for node in seen.filter(|it| !it.class.ends_with("EditText")) {
        for words in [&node.text, &node.desc] {
            let words = text::clean(words);
            if words.is_empty() || words.len() > Place::Dialog.longest() {
                continue;
            }
            let last = lines.last_mut();
            match last {
                Some(last)
                    if is_number(last) && matches!(&*words, "元" | "圆" | "圓" | "CNY" | "RMB") =>
                {
                    last.push_str(&words);
                }
                Some(last) if matches!(last.as_str(), "¥" | "￥") && is_number(&words) => {
                    last.push_str(&words);
                }
                _ => lines.push(words.into_owned()),
            }
        }
    }
    lines
}

/// Pages that state facts are small.
const LINES: usize = 400;

fn is_number(words: &str) -> bool {
    !words.is_empty()
        && words
            .bytes()
            .all(|it| it.is_ascii_digit() || it == b'.' || it == b',')
}
