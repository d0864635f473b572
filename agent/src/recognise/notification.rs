//! Notifications: who wrote what in which conversation.
//!
//! Invariants:
//! - unread prefixes, sender prefixes and type tags are taken off only where the form has them, so that
//!   the same characters typed by somebody stay text;
//! - at most [`CONVERSATIONS`] conversations and [`LINES`] hashes of each are remembered, and no text.

use std::collections::VecDeque;

use mingjing_proto::pb::{self, Confidence, Direction, Kind, Source};

use super::draft::Draft;
use super::seen::Channel;
use super::{Context, money, text};
use crate::pack::{Pattern, Place};

/// Conversations remembered.
const CONVERSATIONS: usize = 512;
/// Hashes of lines remembered for one conversation.
const LINES: usize = 32;
/// A repeated post of the same words is the same message for this long, if nothing was removed in between.
pub(super) const REPOST_MS: i64 = 10 * 60 * 1000;
/// A sender's name before a separator is no longer than this many characters.
const SENDER_CHARS: usize = 64;

/// What is remembered of notifications.
#[derive(Debug, Default)]
pub(super) struct Notices {
    conversations: VecDeque<Known>,
}

/// What is remembered of one conversation.
#[derive(Debug)]
struct Known {
    key: u64,
    /// The newest post: its words, count and time.
    last: Option<(u64, i64)>,
    /// Unread messages as last told; none before the first sight, whose older ones are history.
    unread: Option<u32>,
    group: Option<bool>,
    lines: VecDeque<u64>,
}

/// One message of a notification, with what its form tells.
struct Line<'a> {
    sender: &'a str,
    body: &'a str,
    own: bool,
    confidence: Confidence,
}

/// The conversation a notification belongs to.
struct Conversation<'a> {
    title: &'a str,
    group: bool,
}

impl Notices {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What the chat page told about a conversation.
    pub(super) fn learn(&mut self, package: &str, title: &str, group: bool) {
        self.known(text::key(&[package, title])).group = Some(group);
    }

    fn known(&mut self, key: u64) -> &mut Known {
        let known = match self.conversations.iter().position(|it| it.key == key) {
            Some(index) => self.conversations.remove(index),
            None => None,
        };
        if self.conversations.len() >= CONVERSATIONS {
            self.conversations.pop_front();
        }
        self.conversations.push_back(known.unwrap_or_else(|| Known {
            key,
            last: None,
            unread: None,
            group: None,
            lines: VecDeque::new(),
        }));
        self.conversations
            .back_mut()
            .expect("one was pushed just now")
    }

    /// What a notification says.
    pub(super) fn read(&mut self, context: &mut Context<'_>, it: &pb::Notification) -> Vec<Draft> {
        let shown = if it.conversation_title.trim().is_empty() {
            &it.title
        } else {
            &it.conversation_title
        };
        let (name, counted) = text::without_count(shown);
        if context.is_private(name) || context.is_private(shown) {
            return Vec::new();
        }
        let package = context.signal.package.as_str();
        if it.event() == pb::notification::Event::Removed {
            let known = self.known(text::key(&[package, name]));
            known.unread = Some(0);
            known.last = None;
            return Vec::new();
        }
        let words = fullest(it);
        if words.is_empty() && it.messages.is_empty() && it.lines.is_empty() {
            return from_ticker(self, context, it);
        }
        if let Some(drafts) = self.whole(context, it, name, &words) {
            return drafts;
        }
        if !it.messages.is_empty() {
            return self.messaging(context, it, name, counted);
        }
        let inbox = it.lines.len() > 1 || (it.lines.len() == 1 && words.is_empty());
        if inbox {
            return self.inbox(context, it, name, counted);
        }
        self.single(context, it, name, counted, &words)
    }

    /// Notifications that mean something as a whole: previews off, requests, payments.
    fn whole(
        &mut self,
        context: &mut Context<'_>,
        it: &pb::Notification,
        title: &str,
        words: &str,
    ) -> Option<Vec<Draft>> {
        let packs = context.packs;
        let package = context.signal.package.as_str();
        let cleaned = text::clean(words);
        let (pattern, found) = packs
            .patterns(package, Place::Notice)
            .filter(|pattern| pattern.title.as_ref().is_none_or(|it| it.is_match(title)))
            .filter(|pattern| !pattern.never.iter().any(|never| never.is_match(&cleaned)))
            .find_map(|pattern| Some((pattern, pattern.captures(&cleaned)?)))?;
        let kind = pattern.kind?;
        let known = self.known(text::key(&[package, title]));
        let post = text::key(&[title, words]);
        if known.is_repost(post, context.signal.at_ms) {
            return Some(Vec::new());
        }
        let mut draft = context.draft(kind, pattern.direction, Source::Notification);
        draft.activity.content.clone_from(&pattern.content);
        draft.confidence(pattern.confidence.unwrap_or(Confidence::Likely));
        let app = packs.any(package, Place::AppTitle, title)
            || packs.any(package, Place::ServiceTitle, title);
        if kind == Kind::Coverage {
            draft.activity.count = found.number("count").unwrap_or(1);
            draft.confidence(Confidence::Certain);
            return Some(vec![draft]);
        }
        if kind == Kind::PaymentReceived {
            draft.activity.amount_fen = money::last_amount(words);
            draft.conversation(title, false, false);
            draft.text(body_of_service(words, title));
            return Some(vec![draft]);
        }
        let peer = found.get("peer");
        let peer = match (peer.is_empty(), app) {
            (true, false) => title,
            (true, true) => it.sub_text.as_str(),
            (false, _) => peer,
        };
        if context.is_private(peer) {
            return Some(Vec::new());
        }
        draft.activity.peer = text::name(peer);
        Some(vec![draft])
    }

    /// MessagingStyle: every message has its sender; earlier ones come again with each post.
    fn messaging(
        &mut self,
        context: &mut Context<'_>,
        it: &pb::Notification,
        title: &str,
        counted: bool,
    ) -> Vec<Draft> {
        let named_group = !it.conversation_title.is_empty() && it.title != it.conversation_title;
        let foreign = it
            .messages
            .iter()
            .any(|message| !message.sender.is_empty() && message.sender != title);
        let group = it.is_group || counted || (named_group && foreign);
        let conversation = Conversation { title, group };
        let package = context.signal.package.clone();
        let keys: Vec<u64> = it
            .messages
            .iter()
            .map(|message| {
                let at = message.at_ms.to_string();
                text::key(&[&message.sender, &message.text, &at])
            })
            .collect();
        let known = self.known(text::key(&[&package, title]));
        let new = known.new_lines(&keys);
        known.group = Some(group);
        let lines = it.messages.iter().skip(new).map(|message| {
            let sender = message.sender.as_str();
            let own = sender.is_empty()
                || (!context.watch.own_name.is_empty() && sender == context.watch.own_name);
            (message, own)
        });
        let lines: Vec<_> = lines.collect();
        let mut drafts = Vec::new();
        for (message, own) in lines {
            let line = Line {
                sender: &message.sender,
                body: &message.text,
                own,
                confidence: Confidence::Certain,
            };
            drafts.extend(say(context, &conversation, &line));
        }
        drafts
    }

    /// Inbox style: one line a message, oldest first.
    fn inbox(
        &mut self,
        context: &mut Context<'_>,
        it: &pb::Notification,
        title: &str,
        counted: bool,
    ) -> Vec<Draft> {
        let package = context.signal.package.clone();
        let uncounted = |line: &String| {
            text::key(&[unread_prefix(line).map_or(line.as_str(), |(_, rest)| rest)])
        };
        let keys: Vec<u64> = it.lines.iter().map(uncounted).collect();
        let known = self.known(text::key(&[&package, title]));
        let new = known.new_lines(&keys);
        let mut drafts = Vec::new();
        for line in it.lines.iter().skip(new) {
            drafts.extend(self.one(context, it, title, counted, line).1);
        }
        drafts
    }

    /// The plain form: one text, perhaps with an unread count.
    fn single(
        &mut self,
        context: &mut Context<'_>,
        it: &pb::Notification,
        title: &str,
        counted: bool,
        words: &str,
    ) -> Vec<Draft> {
        let at_ms = context.signal.at_ms;
        let post = text::key(&[title, words]);
        let key = text::key(&[&context.signal.package, title]);
        if self.known(key).is_repost(post, at_ms) {
            return Vec::new();
        }
        let (count, mut drafts) = self.one(context, it, title, counted, words);
        let line_key = text::key(&[unread_prefix(words).map_or(words, |(_, rest)| rest)]);
        let known = self.known(key);
        let missed = match (count, known.unread) {
            (Some(count), Some(unread)) => count.saturating_sub(unread.saturating_add(1)),
            _ => 0,
        };
        known.unread = Some(count.unwrap_or(1));
        known.lines.push_back(line_key);
        if missed > 0 {
            let mut gap = context.draft(Kind::Coverage, Direction::None, Source::Notification);
            gap.activity.content = "gap".to_owned();
            gap.activity.count = missed;
            gap.confidence(Confidence::Certain);
            drafts.insert(0, gap);
        }
        drafts
    }

    /// One text: unread count, sender, body.
    fn one(
        &mut self,
        context: &mut Context<'_>,
        it: &pb::Notification,
        title: &str,
        counted: bool,
        words: &str,
    ) -> (Option<u32>, Vec<Draft>) {
        let package = context.signal.package.clone();
        let app = context.packs.any(&package, Place::AppTitle, title);
        let service = context.packs.any(&package, Place::ServiceTitle, title);
        let mut rest = words.trim_start();
        // A direct message whose ticker repeats it after the name is nothing but that message.
        let direct_ticker = said_by(&it.ticker, title) == Some(words);
        let mut count = None;
        if !direct_ticker && said_by(rest, title).is_none() {
            if let Some((number, after)) = unread_prefix(rest) {
                let wecom_form = it.number >= 2 && it.number == number;
                if split_sender(without_mention(context, after), true).is_some()
                    || said_by(after, title).is_some()
                    || wecom_form
                {
                    count = Some(number);
                    rest = after;
                }
            }
        }
        if !direct_ticker {
            rest = without_mention(context, rest);
        }
        let known_group = self.known(text::key(&[&package, title])).group;
        let group_told = it.is_group || counted || known_group == Some(true);
        let mut conversation = Conversation {
            title,
            group: group_told,
        };
        let line = if direct_ticker && !group_told {
            Line {
                sender: title,
                body: rest,
                own: false,
                confidence: Confidence::Certain,
            }
        } else if let Some(body) = said_by(rest, title) {
            // In a group the group's own name stands where a member's would: the holder wrote it.
            Line {
                sender: title,
                body,
                own: group_told,
                confidence: Confidence::Certain,
            }
        } else if app || service || title.trim().is_empty() {
            match split_sender(rest, count.is_some()) {
                Some((sender, body)) if app || title.trim().is_empty() => {
                    conversation = Conversation {
                        title: sender,
                        group: false,
                    };
                    Line {
                        sender,
                        body,
                        own: false,
                        confidence: Confidence::Likely,
                    }
                }
                Some((_, body)) if count.is_some() => Line {
                    sender: title,
                    body,
                    own: false,
                    confidence: Confidence::Likely,
                },
                _ => Line {
                    sender: title,
                    body: rest,
                    own: false,
                    confidence: Confidence::Likely,
                },
            }
        } else {
            self.member_or_peer(
                context,
                it,
                &mut conversation,
                rest,
                count.is_some(),
                known_group,
            )
        };
        if count.is_some() || group_told || line.own {
            self.known(text::key(&[&package, title])).group = Some(conversation.group);
        }
        let drafts = say(context, &conversation, &line);
        (count, drafts)
    }

    /// Whether the words before a colon are a group member's name or the beginning of a message.
    fn member_or_peer<'t>(
        &self,
        context: &Context<'_>,
        it: &pb::Notification,
        conversation: &mut Conversation<'t>,
        rest: &'t str,
        counted: bool,
        known_group: Option<bool>,
    ) -> Line<'t> {
        let direct = |confidence| Line {
            sender: conversation.title,
            body: rest,
            own: false,
            confidence,
        };
        let sure = counted
            || conversation.group
            || it.ticker.trim() == it.text.trim() && !it.ticker.is_empty();
        let split = split_sender(rest, sure);
        let Some((sender, body)) = split else {
            return direct(Confidence::Certain);
        };
        if known_group == Some(false) && !counted {
            return direct(Confidence::Certain);
        }
        let label = context
            .packs
            .any(&context.signal.package, Place::Label, sender);
        if label && !sure {
            return direct(Confidence::Likely);
        }
        let own = !context.watch.own_name.is_empty() && sender == context.watch.own_name;
        conversation.group = true;
        Line {
            sender,
            body,
            own,
            confidence: if sure {
                Confidence::Certain
            } else {
                Confidence::Likely
            },
        }
    }
}

impl Known {
    /// Whether this is the newest post again; remembers it otherwise.
    fn is_repost(&mut self, post: u64, at_ms: i64) -> bool {
        let same = self
            .last
            .is_some_and(|(known, seen_ms)| known == post && (at_ms - seen_ms).abs() <= REPOST_MS);
        if !same {
            self.last = Some((post, at_ms));
        }
        same
    }

    /// How many of these lines were there before: the longest tail of the old ones the new ones begin with.
    fn new_lines(&mut self, keys: &[u64]) -> usize {
        let old: Vec<u64> = self.lines.iter().copied().collect();
        let overlap = (0..=old.len().min(keys.len()))
            .rev()
            .find(|many| old.get(old.len() - many..) == keys.get(..*many))
            .unwrap_or(0);
        self.lines.extend(keys.iter().skip(overlap));
        while self.lines.len() > LINES {
            self.lines.pop_front();
        }
        overlap
    }
}

/// The longest form of the text.
fn fullest(it: &pb::Notification) -> String {
    let short = it.text.trim_end_matches(['…', '.']);
    let words = if it.big_text.len() > it.text.len() && it.big_text.contains(short) {
        &it.big_text
    } else {
        &it.text
    };
    text::head(words.trim(), mingjing_proto::limits::TEXT_BYTES * 2).to_owned()
}

/// Old phones hand over the ticker only.
fn from_ticker(
    notices: &mut Notices,
    context: &mut Context<'_>,
    it: &pb::Notification,
) -> Vec<Draft> {
    let ticker = it.ticker.trim();
    let title = it.title.clone();
    if ticker.is_empty() {
        return Vec::new();
    }
    if !title.is_empty() {
        let body = said_by(ticker, &title).unwrap_or(ticker).to_owned();
        return notices.single(context, it, &title, false, &body);
    }
    match split_sender(ticker, false) {
        Some((sender, body)) if !context.is_private(sender) => {
            let (sender, body) = (sender.to_owned(), body.to_owned());
            notices.single(context, it, &sender, false, &body)
        }
        _ => Vec::new(),
    }
}

/// `[2]`, `[2条]`, `[2則]`, `[999t]` at the start of a text.
fn unread_prefix(words: &str) -> Option<(u32, &str)> {
    let inner = words.strip_prefix(['[', '［'])?;
    let digits = inner.bytes().take_while(u8::is_ascii_digit).count();
    if !(1..=4).contains(&digits) {
        return None;
    }
    let (number, after) = inner.split_at(digits);
    let close = after.find([']', '］'])?;
    let (unit, after) = after.split_at(close);
    let units = [
        "",
        "t",
        "T",
        "+",
        "条",
        "條",
        "則",
        "则",
        "条消息",
        "則訊息",
        "条新消息",
        "messages",
        " messages",
        "message",
    ];
    if !units.contains(&unit) {
        return None;
    }
    let after = after.trim_start_matches([']', '］']).trim_start();
    Some((number.parse().ok()?, after))
}

/// What a named person said: `Oasis: Hello`, `朝夕。 : [图片]`.
fn said_by<'t>(words: &'t str, name: &str) -> Option<&'t str> {
    if name.trim().is_empty() {
        return None;
    }
    let words = words.trim_start();
    let after = words
        .strip_prefix(name)
        .or_else(|| words.strip_prefix(name.trim()))?
        .trim_start();
    let body = after.strip_prefix([':', '：'])?;
    Some(body.trim_start())
}

/// A sender before a separator. `sure`: the form has a sender, so a full-width colon counts as well.
fn split_sender(words: &str, sure: bool) -> Option<(&str, &str)> {
    let narrow = words.find(": ");
    let wide = words.find('：').filter(|at| {
        let tagged = words
            .get(at + '：'.len_utf8()..)
            .is_some_and(|it| it.trim_start().starts_with('['));
        sure || tagged
    });
    let at = match (narrow, wide) {
        (Some(narrow), Some(wide)) => narrow.min(wide),
        (Some(at), None) | (None, Some(at)) => at,
        (None, None) => {
            // `张三:[图片]` and, where a sender is certain, `张三:你好`.
            let at = words.find(':')?;
            let after = words.get(at + 1..)?;
            if after.starts_with('[') || (sure && !after.starts_with("//")) {
                at
            } else {
                return None;
            }
        }
    };
    let (sender, rest) = words.split_at(at);
    let sender = sender.trim();
    let body = rest.trim_start_matches([':', '：']).trim_start();
    let named = !sender.is_empty()
        && sender.chars().count() <= SENDER_CHARS
        && !sender.contains('\n')
        && !sender.ends_with("http")
        && !sender.ends_with("https");
    (named && !body.is_empty()).then_some((sender, body))
}

/// `[有人@我]` before the sender.
fn without_mention<'t>(context: &Context<'_>, words: &'t str) -> &'t str {
    let Some((tag, rest)) = words.strip_prefix('[').and_then(|it| it.split_once(']')) else {
        return words;
    };
    let package = &context.signal.package;
    let mention = context
        .packs
        .patterns(package, Place::Label)
        .any(|it| it.id == "mention_prefix" && it.is_match(tag));
    if mention { rest.trim_start() } else { words }
}

fn body_of_service<'t>(words: &'t str, title: &str) -> &'t str {
    let rest = unread_prefix(words).map_or(words, |(_, rest)| rest);
    said_by(rest, title).unwrap_or(rest)
}

/// One message as an activity; none for drafts.
fn say(context: &mut Context<'_>, conversation: &Conversation<'_>, line: &Line<'_>) -> Vec<Draft> {
    let packs = context.packs;
    let package = context.signal.package.as_str();
    let body = line.body.trim();
    let direct_peer = if conversation.group {
        ""
    } else {
        conversation.title
    };
    let direction = if line.own {
        Direction::Out
    } else {
        Direction::In
    };
    let sender = if line.own { "" } else { line.sender };
    if context.is_private(sender) && !conversation.group {
        return Vec::new();
    }
    let mut draft = match packs.first(package, Place::Body, &text::clean(body)) {
        Some((pattern, _)) if pattern.kind.is_none() => return Vec::new(),
        Some((pattern, found)) => {
            let mut draft = known_body(context, pattern, line.own);
            draft.text(found.get("text"));
            draft.activity.target = text::name(found.get("target"));
            if conversation.group && draft.activity.kind() != Kind::Message {
                draft.activity.peer = text::name(sender);
            }
            draft
        }
        None => message(context, body, direction, line.confidence),
    };
    if let Some(added) = contact_added(context, conversation, body) {
        draft = added;
    }
    draft.conversation(conversation.title, conversation.group, false);
    if draft.activity.peer.is_empty() {
        draft.activity.peer = text::name(direct_peer);
    }
    draft.activity.sender = text::name(sender);
    let key = draft.fact_key(conversation.title);
    let at_ms = context.signal.at_ms;
    if context
        .seen
        .take(key, Channel::Notification, at_ms, REPOST_MS)
    {
        return Vec::new();
    }
    context.seen.note(key, Channel::Notification, at_ms);
    vec![draft]
}

fn known_body(context: &Context<'_>, pattern: &Pattern, own: bool) -> Draft {
    let kind = match (own, pattern.kind) {
        (true, Some(Kind::TransferReceived)) => Kind::TransferSent,
        (true, Some(Kind::RedPacketReceived)) => Kind::RedPacketSent,
        (true, Some(Kind::CardReceived)) => Kind::CardSent,
        (_, kind) => kind.unwrap_or(Kind::Message),
    };
    let direction = if own {
        Direction::Out
    } else {
        pattern.direction
    };
    let mut draft = context.draft(kind, direction, Source::Notification);
    draft.confidence(pattern.confidence.unwrap_or(Confidence::Likely));
    draft
}

/// `X刚刚把你添加到通讯录…` about the very contact the notification is from.
fn contact_added(
    context: &Context<'_>,
    conversation: &Conversation<'_>,
    body: &str,
) -> Option<Draft> {
    if conversation.group {
        return None;
    }
    let package = context.signal.package.as_str();
    let (pattern, found) = context.packs.first(package, Place::System, body)?;
    let about = found.get("peer");
    if pattern.kind != Some(Kind::ContactAdded) || about != conversation.title {
        return None;
    }
    let mut draft = context.draft(Kind::ContactAdded, pattern.direction, Source::Notification);
    draft.confidence(Confidence::Weak);
    Some(draft)
}

/// A message with its content by its tag.
fn message(context: &Context<'_>, body: &str, direction: Direction, sure: Confidence) -> Draft {
    let mut draft = context.draft(Kind::Message, direction, Source::Notification);
    let tag = body.strip_prefix('[').and_then(|it| it.split_once(']'));
    let content = tag.and_then(|(word, rest)| {
        let content = context.packs.tag(&context.signal.package, word.trim())?;
        // Pictures, voice and stickers have no words: with words behind, somebody typed the tag.
        let wordless = matches!(content, "image" | "video" | "sticker" | "voice");
        (!wordless || rest.trim().is_empty()).then_some((content.to_owned(), rest.trim()))
    });
    match content {
        Some((content, rest)) => {
            draft.activity.content = content;
            draft.text(rest);
            draft.confidence(Confidence::Likely);
        }
        None => {
            draft.activity.content = "text".to_owned();
            draft.text(body);
            draft.confidence(sure);
        }
    }
    draft
}
