//! One line of a lexicon: a word, or a phrase with gaps and alternatives.
//!
//! `{私人|个人}微信` stands for both words; `别…公司…说` for its parts in this order, each at most
//! [`MAX_GAP_CHARS`] characters after the one before and in the same sentence. Alternatives may be empty.
//!
//! Invariants: every part has at least one alternative, and none is empty once normalised; the number
//! of alternatives is bounded.

use crate::normalise::normalise;

/// Most characters between two parts of a phrase.
pub(super) const MAX_GAP_CHARS: usize = 8;
/// Most words one part can stand for.
const MAX_ALTERNATIVES: usize = 2_000;
/// Most parts of a phrase.
const MAX_PARTS: usize = 8;

/// The parts of a line, each with its alternatives in normal form. A plain word has one part.
pub(super) fn parse(line: &str) -> Result<Vec<Vec<String>>, String> {
    let parts: Vec<&str> = line.split('…').map(str::trim).collect();
    if parts.len() > MAX_PARTS {
        return Err(format!("a phrase has at most {MAX_PARTS} parts; split it"));
    }
    parts.into_iter().map(alternatives).collect()
}

fn alternatives(part: &str) -> Result<Vec<String>, String> {
    let mut words = vec![String::new()];
    let mut rest = part;
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
        let grown = words.iter().flat_map(|word| {
            choices
                .split('|')
                .map(move |choice| format!("{word}{before}{}", choice.trim()))
        });
        words = grown.take(MAX_ALTERNATIVES + 1).collect();
        if words.len() > MAX_ALTERNATIVES {
            return Err(format!(
                "more than {MAX_ALTERNATIVES} alternatives; split the line"
            ));
        }
        rest = after;
    }
    let mut normal: Vec<String> = words
        .iter()
        .map(|word| normalise(&format!("{word}{rest}")).text)
        .collect();
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
            assert_eq!(parse(line).expect("a phrase"), expected, "{line}");
        }
        for line in ["", "别……说", "{a", "a}", "{a{b}}", "{|}"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
