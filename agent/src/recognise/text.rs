//! Small operations on what was seen: cutting to the limits, names, lists of names, comparison keys.
//!
//! Invariant: nothing here changes the words of a message; only matching and comparing use cleaned forms.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use mingjing_proto::limits;

/// Invisible characters that only steer layout; joiners inside emoji stay.
fn is_steering(it: char) -> bool {
    matches!(it, '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2064}'
        | '\u{2066}'..='\u{2069}' | '\u{FEFF}' | '\u{061C}' | '\u{00AD}')
}

/// The text without layout characters and outer spaces, for matching and for names.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    if text.chars().any(is_steering) {
        let kept: String = text.chars().filter(|it| !is_steering(*it)).collect();
        return Cow::Owned(kept.trim().to_owned());
    }
    Cow::Borrowed(text)
}

/// The longest head of the text within `limit` bytes that ends between characters.
pub(super) fn head(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let end = (0..=limit)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

/// A name, title or other short field as seen, within the limits.
pub(super) fn name(text: &str) -> String {
    head(text, limits::NAME_BYTES).to_owned()
}

/// The names of a list as system lines show it: `王芳、李四`, `Mary, Bob`.
pub(super) fn names(list: &str) -> impl Iterator<Item = String> + '_ {
    list.split(['、', ',', '，'])
        .flat_map(|part| part.split(" and "))
        .map(|part| name(part.trim().trim_matches(['"', '“', '”', '「', '」', ' '])))
        .filter(|part| !part.is_empty())
        .take(limits::MEMBERS)
}

/// A title without its member count, and whether it had one: `项目群(12)`.
pub(super) fn without_count(title: &str) -> (&str, bool) {
    let Some(inner) = title.trim_end().strip_suffix([')', '）']) else {
        return (title, false);
    };
    let Some(open) = inner.rfind(['(', '（']) else {
        return (title, false);
    };
    let (name, count) = inner.split_at(open);
    let digits = count.trim_start_matches(['(', '（']);
    let counted =
        !digits.is_empty() && digits.len() <= 4 && digits.bytes().all(|it| it.is_ascii_digit());
    if counted && !name.trim().is_empty() {
        (name.trim_end(), true)
    } else {
        (title, false)
    }
}

/// A comparison key; never leaves memory.
pub(super) fn key(parts: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for part in parts {
        // Spaces and layout characters differ between a notification and the screen.
        for it in part
            .chars()
            .filter(|it| !it.is_whitespace() && !is_steering(*it))
        {
            it.hash(&mut hasher);
        }
        0xFF_u8.hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_taken_off_titles_only_when_they_are_counts() {
        for (title, expected) in [
            ("项目群(12)", ("项目群", true)),
            ("项目群（3）", ("项目群", true)),
            ("王芳(销售)", ("王芳(销售)", false)),
            ("(12)", ("(12)", false)),
            ("王芳", ("王芳", false)),
        ] {
            assert_eq!(without_count(title), expected, "{title}");
        }
    }

    #[test]
    fn heads_end_between_characters() {
        assert_eq!(head("明镜", 4), "明");
        assert_eq!(head("ab", 4), "ab");
    }
}
