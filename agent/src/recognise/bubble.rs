//! What a bubble holds: words, or a structured part such as a file, a card, money or a place.
//!
//! Invariant: a bubble with one text and nothing else is that text, whatever it says: a typed `[转账]`
//! or `微信红包` is words. Structured parts need a label and what belongs to it.

use mingjing_proto::pb::{Confidence, Direction, Kind, Source};

use super::draft::Draft;
use super::layout::{Part, Side, bounded};
use super::{Context, money, text};
use crate::pack::{Expression, Pattern, Place, Rest};

/// Reads one bubble; none when it holds nothing of meaning.
pub(super) fn read(
    context: &Context<'_>,
    part: &Part<'_>,
    side: Side,
    group: bool,
    avatar: &str,
) -> Option<Draft> {
    let package = &context.signal.package;
    let mut lines: Vec<&str> = part.texts.iter().map(|it| it.text.trim()).collect();
    // A read mark stands beside the bubble; alone it was typed.
    let is_receipt = |it: &&str| context.packs.any(package, Place::Receipt, it);
    if lines.len() > 1 && lines.iter().any(|it| !is_receipt(it)) {
        lines.retain(|it| !is_receipt(it));
    }
    let mut speaker = "";
    let described = part
        .descs
        .iter()
        .any(|it| context.packs.any(package, Place::Media, it));
    let alone = lines.len() == 1 && described && !lines.iter().all(|it| is_length(context, it));
    if group && side == Side::In && (alone || (lines.len() > 1 && is_speaker(part, avatar))) {
        speaker = lines.remove(0);
        // WeCom writes the speaker's company beside the name.
        if lines.len() > 1 && is_company(context, lines.first()) {
            lines.remove(0);
        }
    }
    let direction = if side == Side::Out {
        Direction::Out
    } else {
        Direction::In
    };
    let mut draft = structured(context, &lines, &part.descs, direction)
        .or_else(|| wordless(context, &lines, &part.descs, direction))
        .or_else(|| plain(context, &lines, package, direction))?;
    draft.activity.sender = text::name(speaker);
    Some(draft)
}

/// `@公司`, `＠微信`.
fn is_company(context: &Context<'_>, words: Option<&&str>) -> bool {
    let package = &context.signal.package;
    words.is_some_and(|it| context.packs.any(package, Place::Outside, it))
}

/// The first text of a group bubble is its speaker's name when it is the avatar's name or a flatter line above.
fn is_speaker(part: &Part<'_>, avatar: &str) -> bool {
    let (Some(first), Some(second)) = (part.texts.first(), part.texts.get(1)) else {
        return false;
    };
    let name = text::clean(&first.text);
    if !avatar.is_empty() && name == avatar {
        return true;
    }
    if !bounded(first) || !bounded(second) {
        return false;
    }
    let above = first.bottom <= second.top + 4;
    let flatter = (first.bottom - first.top) * 10 <= (second.bottom - second.top) * 9;
    above && flatter && name.chars().count() <= 32
}

/// Parts with a label: transfers, red packets, cards, files, merged history.
fn structured(
    context: &Context<'_>,
    lines: &[&str],
    descs: &[&str],
    side: Direction,
) -> Option<Draft> {
    let packs = context.packs;
    let package = &context.signal.package;
    let all: Vec<&str> = lines.iter().chain(descs).copied().collect();
    let (pattern, label) = packs.patterns(package, Place::Bubble).find_map(|pattern| {
        let single = all.len() < 2 && pattern.kind != Some(Kind::Call);
        let label = all
            .iter()
            .position(|it| it.len() <= 512 && pattern.is_match(it))?;
        let others = |rule: &Expression| {
            all.iter()
                .enumerate()
                .any(|(at, it)| at != label && rule.is_match(it))
        };
        let fits = !single && pattern.also.iter().all(&others) && !pattern.never.iter().any(others);
        fits.then_some((pattern, label))
    })?;
    let mut draft = context.draft(
        kind_of(pattern, side)?,
        money_side(pattern, side),
        Source::Screen,
    );
    draft.confidence(pattern.confidence.unwrap_or(Confidence::Certain));
    if pattern.kind == Some(Kind::Call) && all.len() < 2 {
        draft.confidence(Confidence::Weak);
    }
    draft.activity.content.clone_from(&pattern.content);
    draft.activity.amount_fen = amount(pattern, &all);
    let is_rest = |at: usize, it: &str| {
        at != label
            && !it.is_empty()
            && !packs.any(package, Place::Noise, it)
            && !packs.any(package, Place::Bubble, it)
            && !pattern.also.iter().any(|rule| rule.is_match(it))
    };
    let words = match (pattern.content.as_str(), pattern.kind) {
        // A file's label is its name; a call's is what was seen.
        ("file", _) | (_, Some(Kind::Call)) => all.get(label).copied(),
        _ => lines
            .iter()
            .enumerate()
            .find(|(at, it)| is_rest(*at, it))
            .map(|(_, it)| *it),
    };
    let words = words.unwrap_or_default();
    match pattern.rest {
        Rest::Text => draft.text(words),
        Rest::Target => draft.activity.target = text::name(words),
        Rest::Nothing => {}
    }
    Some(draft)
}

/// Parts without words of their own: pictures, voice, stickers.
fn wordless(
    context: &Context<'_>,
    lines: &[&str],
    descs: &[&str],
    side: Direction,
) -> Option<Draft> {
    let package = &context.signal.package;
    let described = descs
        .iter()
        .find_map(|it| context.packs.first(package, Place::Media, it));
    // A voice message's length is a text in some versions: digits and a second mark; what stands under
    // it is the voice turned into text.
    let length = || {
        let line = lines.first().filter(|it| is_length(context, it))?;
        let (pattern, found) = context.packs.first(package, Place::Media, line)?;
        (lines.len() == 1 || pattern.content == "voice").then_some((pattern, found))
    };
    let (pattern, _) = described.or_else(length)?;
    let kind = kind_of(pattern, side)?;
    let worded = matches!(pattern.content.as_str(), "file" | "link")
        || matches!(
            kind.category(),
            mingjing_proto::pb::Category::Money | mingjing_proto::pb::Category::Location
        )
        || kind == Kind::Call;
    let mut draft = context.draft(kind, side, Source::Screen);
    draft.activity.content.clone_from(&pattern.content);
    let words = lines
        .iter()
        .find(|it| !context.packs.any(package, Place::Noise, it));
    let spoken = |it: &&&str| {
        !is_length(context, it) && !context.packs.any(package, Place::Noise, it) && !it.is_empty()
    };
    if pattern.content == "voice" {
        draft.text(lines.iter().find(spoken).copied().unwrap_or_default());
    } else if worded {
        draft.text(words.copied().unwrap_or_default());
    } else if words.is_some_and(|it| !is_length(context, it)) {
        // Words beside a picture: a quotation of one.
        return None;
    }
    draft.confidence(if described_only(lines) {
        Confidence::Certain
    } else {
        Confidence::Likely
    });
    Some(draft)
}

/// A length of a voice message or a video: `3"`, `0:32`.
fn is_length(context: &Context<'_>, words: &str) -> bool {
    let package = &context.signal.package;
    words.starts_with(|it: char| it.is_ascii_digit())
        && (context.packs.any(package, Place::Media, words)
            || context.packs.any(package, Place::Time, words))
}

fn described_only(lines: &[&str]) -> bool {
    lines.is_empty()
}

/// Words.
fn plain(context: &Context<'_>, lines: &[&str], package: &str, side: Direction) -> Option<Draft> {
    let mut spoken = lines.iter().enumerate().filter(|(at, it)| {
        !it.is_empty() && (*at == 0 || !context.packs.any(package, Place::Noise, it))
    });
    let (_, words) = spoken.next()?;
    // Title, description and source of a card without a label of its own.
    let rest: Vec<&str> = spoken.map(|(_, it)| *it).collect();
    let quotes = |it: &str| it.contains(['：', ':']);
    let card = rest.len() >= 2 && !rest.iter().any(|it| quotes(it));
    let mut draft = context.draft(Kind::Message, side, Source::Screen);
    draft.activity.content = if card { "link" } else { "text" }.to_owned();
    draft.text(words);
    draft.confidence(match rest.first() {
        None => Confidence::Certain,
        // A second line is what was quoted, `name: words`; anything else is a card of unknown make.
        Some(second) if quotes(second) || card => Confidence::Likely,
        Some(_) => Confidence::Weak,
    });
    Some(draft)
}

fn kind_of(pattern: &Pattern, side: Direction) -> Option<Kind> {
    match (side, pattern.kind_out) {
        (Direction::Out, Some(kind)) => Some(kind),
        _ => pattern.kind,
    }
}

/// Whose money moves: a receipt in the other's bubble confirms what the holder sent.
fn money_side(pattern: &Pattern, side: Direction) -> Direction {
    match (pattern.flip, side) {
        (true, Direction::In) => Direction::Out,
        (true, Direction::Out) => Direction::In,
        (_, side) => side,
    }
}

fn amount(pattern: &Pattern, lines: &[&str]) -> Option<i64> {
    pattern.also.iter().find_map(|rule| {
        let found = lines.iter().find_map(|line| rule.captures(line))?;
        money::fen(found.name("amount")?.as_str())
    })
}
