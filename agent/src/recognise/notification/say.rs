//! One message of a notification as an activity.
//!
//! Invariant: a body means something else than words only by a pattern of its place or a type tag.

use mingjing_proto::pb::signal::Body;
use mingjing_proto::pb::{Confidence, Direction, Kind, Source};

use super::REPOST_MS;
use crate::pack::{Pattern, Place};
use crate::recognise::draft::Draft;
use crate::recognise::layout::without_company;
use crate::recognise::seen::Channel;
use crate::recognise::{Context, money, text};

/// One message of a notification, with what its form tells.
pub(super) struct Line<'a> {
    pub(super) sender: &'a str,
    pub(super) body: &'a str,
    pub(super) own: bool,
    pub(super) confidence: Confidence,
}

/// The conversation a notification belongs to.
pub(super) struct Conversation<'a> {
    pub(super) title: &'a str,
    pub(super) group: bool,
}

/// Messages that were told by their number only.
pub(super) fn gap(context: &Context<'_>, missed: u32) -> Draft {
    let mut gap = context.draft(Kind::Coverage, Direction::None, Source::Notification);
    gap.activity.content = "gap".to_owned();
    gap.activity.count = missed;
    gap.confidence(Confidence::Certain);
    gap
}

/// One message as an activity; none for drafts.
pub(super) fn say(
    context: &mut Context<'_>,
    conversation: &Conversation<'_>,
    line: &Line<'_>,
) -> Vec<Draft> {
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
    let cleaned = text::clean(body);
    let known = context.body(&cleaned).filter(|(pattern, found)| {
        // Somebody tells of a third person's call; the app's own line is about the conversation's.
        let named = found.get("sender");
        let about = named.is_empty() || named == line.sender || named == conversation.title;
        about || conversation.group || pattern.kind != Some(Kind::Call)
    });
    let mut draft = match known {
        Some((pattern, _)) if pattern.kind.is_none() => return Vec::new(),
        Some((pattern, found)) => {
            let mut draft = known_body(context, pattern, line.own);
            draft.text(found.get("text"));
            draft.activity.amount_fen = money::fen(found.get("amount"));
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
    draft.conversation(conversation.title, conversation.group, is_outside(context));
    if draft.activity.peer.is_empty() {
        draft.activity.peer = text::name(direct_peer);
    }
    if draft.activity.direction() != Direction::Out {
        draft.activity.sender = text::name(sender);
    }
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

/// Whether the notification's title names a company beside the person.
fn is_outside(context: &Context<'_>) -> bool {
    let Some(Body::Notification(it)) = &context.signal.body else {
        return false;
    };
    without_company(context.packs, &context.signal.package, &it.title).1
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
    let package = context.signal.package.as_str();
    let tag = body.strip_prefix('[').and_then(|it| it.split_once(']'));
    let content = tag.and_then(|(word, rest)| {
        let content = context.packs.tag(package, word.trim())?;
        // Pictures, voice and stickers have no words, at most a length: with words behind, somebody
        // typed the tag. The other way round a bare tag of the rest is an emoji.
        let rest = rest.trim();
        let length = || {
            let digits = rest.starts_with(|it: char| it.is_ascii_digit());
            digits && context.packs.any(package, Place::Media, rest)
        };
        match content {
            "image" | "video" | "sticker" | "voice" => {
                (rest.is_empty() || length()).then_some((content.to_owned(), ""))
            }
            "other" => (!rest.is_empty()).then_some((content.to_owned(), rest)),
            _ => Some((content.to_owned(), rest)),
        }
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
