//! One expression of a pack: linear in its input, small, and asked only about texts that may fit.
//!
//! Invariants:
//! - a text that [`Expression::may_match`] refuses is never matched: it lacks a character that every
//!   match holds;
//! - an expression is checked when its pack is read, and kept compiled from the first text that may fit;
//! - length, compiled size and nesting are capped.

use std::sync::OnceLock;

use regex_lite::{Captures, Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

const EXPRESSION_BYTES: usize = 2000;
const COMPILED_BYTES: usize = 128 * 1024;
const NESTING: u32 = 20;
/// Alternatives of what a match holds, before they are narrowed to what they share.
const NEEDS: usize = 32;
/// A class of more characters than this asks for nothing.
const CLASS: usize = 16;

#[derive(Debug)]
pub(crate) struct Expression {
    text: Box<str>,
    groups: bool,
    /// A match holds every character of at least one of these.
    needs: Box<[Letters]>,
    compiled: OnceLock<Regex>,
}

/// Characters of a text as bits: a character always sets the same bit, and different ones may share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Letters(u128);

impl Expression {
    /// Checks an expression as written in a pack; the error is for its author.
    pub(super) fn new(written: &str) -> Result<Self, String> {
        if written.len() > EXPRESSION_BYTES {
            return Err("the expression is longer than 2000 bytes".into());
        }
        let text = plain_classes(written);
        let last_line = |error: &dyn std::fmt::Display| {
            let text = error.to_string();
            text.lines().last().unwrap_or_default().trim().to_owned()
        };
        let hir = ParserBuilder::new()
            .dot_matches_new_line(true)
            .nest_limit(NESTING)
            .build()
            .parse(&text)
            .map_err(|error| last_line(&error))?;
        let regex = compile(&text).map_err(|error| last_line(&error))?;
        Ok(Self {
            groups: regex.captures_len() > 1,
            needs: needs(&hir).into(),
            text: text.into(),
            compiled: OnceLock::new(),
        })
    }

    /// False only when no text of these characters can match.
    pub(crate) fn may_match(&self, letters: Letters) -> bool {
        self.needs.iter().any(|it| it.0 & !letters.0 == 0)
    }

    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.may_match(Letters::of(text)) && self.regex().is_match(text)
    }

    /// The groups, when the text matches.
    pub(crate) fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        // Most texts match nothing, and telling so costs less without captures.
        if !self.is_match(text) {
            return None;
        }
        self.regex().captures(text)
    }

    pub(crate) fn has_groups(&self) -> bool {
        self.groups
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Frees what was compiled; the next text that may fit compiles it again.
    pub(super) fn release(&mut self) {
        self.compiled = OnceLock::new();
    }

    /// A copy shares the program and has its own scratch memory, which is freed with it: kept, it would be
    /// several times the program's size.
    fn regex(&self) -> Regex {
        self.compiled
            .get_or_init(|| compile(&self.text).expect("compiled when the pack was read"))
            .clone()
    }
}

impl Letters {
    pub(crate) fn of(text: &str) -> Self {
        Self(text.chars().fold(0, |bits, it| bits | bit(it)))
    }
}

/// Digits share a bit, and so do the cases of a letter, as classes of them are common.
fn bit(letter: char) -> u128 {
    let code = match letter {
        '0'..='9' => '0',
        'ſ' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    1 << (u32::from(code).wrapping_mul(0x9e37_79b1) >> 25)
}

fn compile(text: &str) -> Result<Regex, regex_lite::Error> {
    RegexBuilder::new(text)
        .size_limit(COMPILED_BYTES)
        .nest_limit(NESTING)
        .dot_matches_new_line(true)
        .build()
}

/// What a match holds: all characters of one of these.
fn needs(hir: &Hir) -> Vec<Letters> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => vec![Letters(0)],
        HirKind::Literal(it) => match std::str::from_utf8(&it.0) {
            Ok(text) => vec![Letters::of(text)],
            Err(_) => vec![Letters(0)],
        },
        HirKind::Class(it) => class_needs(it),
        HirKind::Repetition(it) if it.min == 0 => vec![Letters(0)],
        HirKind::Repetition(it) => needs(&it.sub),
        HirKind::Capture(it) => needs(&it.sub),
        HirKind::Concat(parts) => parts.iter().fold(vec![Letters(0)], |so_far, part| {
            let mut next = needs(part);
            if so_far.len() * next.len() > NEEDS {
                next = shared(&next);
            }
            let both = |one: &Letters| next.iter().map(|it| Letters(it.0 | one.0)).collect();
            distinct(so_far.iter().flat_map::<Vec<_>, _>(both).collect())
        }),
        HirKind::Alternation(parts) => distinct(parts.iter().flat_map(needs).collect()),
    }
}

fn class_needs(class: &Class) -> Vec<Letters> {
    let Class::Unicode(class) = class else {
        return vec![Letters(0)];
    };
    let letters = || class.iter().flat_map(|range| range.start()..=range.end());
    if letters().take(CLASS + 1).count() > CLASS {
        return vec![Letters(0)];
    }
    distinct(letters().map(|it| Letters(bit(it))).collect())
}

fn distinct(mut needs: Vec<Letters>) -> Vec<Letters> {
    needs.sort_unstable();
    needs.dedup();
    if needs.len() > NEEDS {
        return shared(&needs);
    }
    needs
}

/// What all alternatives hold.
fn shared(needs: &[Letters]) -> Vec<Letters> {
    vec![Letters(
        needs.iter().fold(u128::MAX, |bits, it| bits & it.0),
    )]
}

/// `\d`, `\s` and `\w` as what the apps write: the engine knows ASCII's only, and they write wider spaces too.
fn plain_classes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut in_class = false;
    let mut chars = text.chars();
    while let Some(it) = chars.next() {
        match it {
            '\\' => {
                let class = match chars.next() {
                    Some('d') => "0-9",
                    Some('w') => "0-9A-Za-z_",
                    Some('s') => " \\t\\n\\x{a0}\\x{3000}",
                    Some(other) => {
                        plain.push('\\');
                        plain.push(other);
                        continue;
                    }
                    None => {
                        plain.push('\\');
                        continue;
                    }
                };
                if in_class {
                    plain.push_str(class);
                } else {
                    plain.push('[');
                    plain.push_str(class);
                    plain.push(']');
                }
            }
            other => {
                in_class = match other {
                    '[' => true,
                    ']' => false,
                    _ => in_class,
                };
                plain.push(other);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_text_that_lacks_a_needed_character_is_refused() {
        for (expression, text, may) in [
            ("^(?:你|您)撤回了.*$", "你撤回了一条消息", true),
            ("^(?:你|您)撤回了.*$", "撤回了", false),
            ("(?i)packet", "RED PACKET", true),
            ("(?i)kiss", "\u{212a}iſſ", true),
            ("^\\d{1,2}:\\d{2}$", "12:34", true),
            ("^\\d{1,2}:\\d{2}$", "王芳", false),
            ("^.{0,40}$", "", true),
            ("(?:a|b|)c", "c", true),
            ("(?:ab|cd)+e", "cde", true),
            ("(?:ab|cd)+e", "ade", false),
        ] {
            let expression = Expression::new(expression).expect("is one");
            assert_eq!(expression.may_match(Letters::of(text)), may, "{text}");
        }
    }

    #[test]
    fn sizes_are_capped() {
        let long = "a".repeat(EXPRESSION_BYTES + 1);
        let nested = format!("{}a{}", "(".repeat(30), ")".repeat(30));
        for refused in [long.as_str(), "(?:[a-z]{100}){100}", &nested, "("] {
            assert!(Expression::new(refused).is_err(), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_matches_is_refused(
            expression in "([abK1王]|\\[ab王\\]|\\(a\\|[b芳]*\\)|\\(\\?i:k[s1]\\)|\\.|a\\?|b\\*|芳\\+|\\(\\?:[ab]{0,2}\\|王\\)\\{2\\}){1,6}",
            text in "[abkKsS019王芳]{0,12}",
        ) {
            let expression = Expression::new(&expression).expect("is one");
            let matches = compile(expression.as_str()).expect("is one").is_match(&text);
            prop_assert_eq!(expression.is_match(&text), matches);
        }
    }
}
