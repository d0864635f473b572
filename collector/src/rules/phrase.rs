//! One line of a lexicon: a word, or a phrase with gaps and alternatives.
//!
//! `{私人|个人}微信` stands for both words; `别…公司…说` for its parts in this order, each at most
//! [`Gap::WIDE`] characters after the one before and in the same sentence; `不能…(3)私下` for parts at most
//! three characters apart. Up to [`Gap::NEAR`] characters are also in the same clause. Alternatives may
//! be empty.
//!
//! Invariants: every part has at least one alternative, and none is empty once normalised; the number
//! of alternatives is bounded.

use crate::normalise::normalise;

/// What may stand between a part of a phrase and the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// Most characters.
    pub(super) chars: usize,
    /// Whether both are in one clause; otherwise one sentence is enough.
    pub(super) one_clause: bool,
}

impl Gap {
    const WIDE: usize = 8;
    const NEAR: usize = 4;
    const MAX: usize = 30;
    /// Nothing between: the parts are one word.
    pub(super) const NONE: Self = Self {
        chars: 0,
        one_clause: false,
    };
}

/// A part of a phrase: its alternatives in normal form, and the gap before it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) gap: Gap,
    pub(super) words: Vec<String>,
}

/// Words of a part beyond which it is cut.
const MAX_ALTERNATIVES: usize = 200;
/// Most parts of a phrase; `words` keeps a bit for each in a `u16`.
const MAX_PARTS: usize = 16;

/// The parts of a line. A plain word has one part. Where alternatives multiply beyond measure, a part is
/// cut into several that follow each other directly.
pub(super) fn parse(line: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    for text in line.split('…').map(str::trim) {
        let (gap, text) = gap(text)?;
        let mut gap = Some(gap);
        for words in multiply(groups(text)?)? {
            let gap = gap.take().unwrap_or(Gap::NONE);
            parts.push(Part { gap, words });
        }
    }
    if parts.len() > MAX_PARTS {
        return Err(format!("a phrase has at most {MAX_PARTS} parts; split it"));
    }
    Ok(parts)
}

fn gap(part: &str) -> Result<(Gap, &str), String> {
    let number = part
        .strip_prefix('(')
        .and_then(|rest| rest.split_once(')'))
        .and_then(|(number, rest)| Some((number.parse::<usize>().ok()?, rest)));
    match number {
        None => Ok((
            Gap {
                chars: Gap::WIDE,
                one_clause: false,
            },
            part,
        )),
        Some((chars, rest)) if chars <= Gap::MAX => Ok((
            Gap {
                chars,
                one_clause: chars <= Gap::NEAR,
            },
            rest,
        )),
        Some(_) => Err(format!("a gap has at most {} characters", Gap::MAX)),
    }
}

/// What is written one after the other: each text outside braces, each choice within.
fn groups(text: &str) -> Result<Vec<Vec<&str>>, String> {
    let mut groups = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find(['{', '}']) {
        let (before, from_open) = rest.split_at(open);
        let inside = from_open
            .strip_prefix('{')
            .and_then(|inside| inside.split_once('}'));
        let Some((choices, after)) = inside else {
            return Err("a brace is not closed; write {one|other}".to_owned());
        };
        if choices.contains('{') {
            return Err("braces within braces; write the alternatives out".to_owned());
        }
        groups.push(vec![before]);
        groups.push(choices.split('|').map(str::trim).collect());
        rest = after;
    }
    groups.push(vec![rest]);
    groups.retain(|group| group.iter().any(|choice| !choice.is_empty()));
    Ok(groups)
}

/// Words made of one choice of each group, cut where they would be too many. What may be left out at
/// the end is dropped when it would be a part of its own.
fn multiply(groups: Vec<Vec<&str>>) -> Result<Vec<Vec<String>>, String> {
    let mut parts: Vec<Vec<String>> = Vec::new();
    let mut words = vec![String::new()];
    for group in groups {
        let is_whole = words.iter().all(|word| !word.is_empty());
        if is_whole && words.len() * group.len() > MAX_ALTERNATIVES {
            parts.push(std::mem::replace(&mut words, vec![String::new()]));
        }
        words = words
            .iter()
            .flat_map(|word| group.iter().map(move |choice| format!("{word}{choice}")))
            .collect();
        if words.len() > MAX_ALTERNATIVES * 10 {
            return Err("too much may be left out in a row; split the line".to_owned());
        }
    }
    let may_be_left_out = words.iter().any(String::is_empty);
    if parts.is_empty() || !may_be_left_out {
        parts.push(words);
    }
    parts.into_iter().map(normal_form).collect()
}

fn normal_form(words: Vec<String>) -> Result<Vec<String>, String> {
    let mut normal: Vec<String> = words.iter().map(|word| normalise(word).text).collect();
    normal.sort();
    normal.dedup();
    if normal.iter().any(|word| word.trim().is_empty()) {
        return Err("a part is empty; remove the gap or give the part words".to_owned());
    }
    Ok(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_as_parts_of_alternatives() {
        for (line, expected) in [
            ("返点", vec![vec!["返点"]]),
            ("{私人|个人}微信", vec![vec!["个人微信", "私人微信"]]),
            ("别…{公司|老板}", vec![vec!["别"], vec!["公司", "老板"]]),
            ("{我|}另外", vec![vec!["另外", "我另外"]]),
            ("➕V", vec![vec!["加v"]]),
        ] {
            let parts = parse(line).expect("a phrase");
            let words: Vec<Vec<String>> = parts.into_iter().map(|part| part.words).collect();
            assert_eq!(words, expected, "{line}");
        }
        let near = parse("不能…(3)私下").expect("a phrase");
        assert_eq!((near[1].gap.chars, near[1].gap.one_clause), (3, true));
        for line in ["", "不能…(99)私下", "别……说", "{a", "a}", "{a{b}}", "{|}"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
