//! The forms of a notification's text: unread counts, senders, and what is left.
//!
//! Invariant: nothing is taken off that the form does not have; a count or a name somebody typed stays.

use mingjing_proto::pb;

use crate::recognise::text;

/// What stands behind the number of an unread prefix.
const UNITS: [&str; 20] = [
    "",
    "t",
    "T",
    "+",
    "条",
    "條",
    "則",
    "则",
    "条消息",
    "條訊息",
    "則訊息",
    "则消息",
    "条新消息",
    "條新訊息",
    "則新訊息",
    "message",
    "messages",
    "new message",
    "new messages",
    "unread",
];
/// A sender's name before a separator is no longer than this many characters.
const SENDER_CHARS: usize = 64;

/// The longest form of the text.
pub(super) fn fullest(it: &pb::Notification) -> String {
    let short = it.text.trim_end_matches(['…', '.']);
    let words = if it.big_text.len() > it.text.len() && it.big_text.contains(short) {
        &it.big_text
    } else {
        &it.text
    };
    text::head(words.trim(), mingjing_proto::limits::TEXT_BYTES * 2).to_owned()
}

/// `[2]`, `[2条]`, `[2則]`, `[999t]` at the start of a text.
pub(super) fn unread_prefix(words: &str) -> Option<(u32, &str)> {
    let inner = words.strip_prefix(['[', '［'])?;
    let digits = inner.bytes().take_while(u8::is_ascii_digit).count();
    if !(1..=4).contains(&digits) {
        return None;
    }
    let (number, after) = inner.split_at(digits);
    let close = after.find([']', '］'])?;
    let (unit, after) = after.split_at(close);
    if !UNITS.contains(&unit.trim()) {
        return None;
    }
    let after = after.trim_start_matches([']', '］']).trim_start();
    Some((number.parse().ok()?, after))
}

/// What a named person said: `Oasis: Hello`, `朝夕。 : [图片]`.
pub(super) fn said_by<'t>(words: &'t str, name: &str) -> Option<&'t str> {
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
pub(super) fn split_sender(words: &str, sure: bool) -> Option<(&str, &str)> {
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

pub(super) fn body_of_service<'t>(words: &'t str, title: &str) -> &'t str {
    let rest = unread_prefix(words).map_or(words, |(_, rest)| rest);
    said_by(rest, title).unwrap_or(rest)
}
