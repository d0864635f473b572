//! The written form of a pack (docs/recognition.md): YAML from its authors, JSON on a phone.
//!
//! Invariants: YAML that is read here says the same as JSON; unknown fields are errors; file size, number of patterns and length of every
//! expression are capped before anything is compiled.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::{PackError, Place, WindowRole};

const FILES: usize = 16;
const FILE_BYTES: usize = 512 * 1024;
const PATTERNS: usize = 1000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PackSource {
    /// For people.
    #[serde(rename = "pack")]
    pub(super) _name: String,
    pub(super) packages: Vec<String>,
    /// App versions the pack was tested with; none: takes part in every version.
    #[serde(default)]
    pub(super) versions: Vec<VersionRange>,
    #[serde(default)]
    pub(super) windows: BTreeMap<WindowRole, Vec<String>>,
    /// Parts of expressions by name, written in them as `{{name}}`.
    #[serde(default)]
    pub(super) words: BTreeMap<String, String>,
    /// Type tags in notifications, without brackets, by the content they stand for.
    #[serde(default)]
    pub(super) tags: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(super) patterns: Vec<PatternSource>,
}

/// App versions from `from` to `to`, both included; `to: "8.0"` includes 8.0.76.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VersionRange {
    from: String,
    to: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PatternSource {
    pub(super) id: String,
    pub(super) place: Place,
    /// Page patterns only: the windows they belong to.
    #[serde(default)]
    pub(super) windows: Vec<WindowRole>,
    /// The kind of activity; none: known and without meaning here.
    #[serde(default)]
    pub(super) kind: Option<String>,
    /// Bubbles only: the kind when the holder sent it, when different.
    #[serde(default)]
    pub(super) kind_out: Option<String>,
    #[serde(default)]
    pub(super) direction: Option<String>,
    #[serde(default)]
    pub(super) content: Option<String>,
    #[serde(default)]
    pub(super) confidence: Option<String>,
    /// Where the remaining words of a bubble or body go: text (default), target or none.
    #[serde(default)]
    pub(super) rest: Option<String>,
    /// Notifications: the title must match as well.
    #[serde(default)]
    pub(super) title: Option<String>,
    /// Notifications: the channel they are posted in must match as well.
    #[serde(default)]
    pub(super) channel: Option<String>,
    /// Must match.
    pub(super) text: String,
    /// Each must match some other line of the page or bubble.
    #[serde(default)]
    pub(super) also: Vec<String>,
    /// None may match the text, or any line of the page or bubble.
    #[serde(default)]
    pub(super) never: Vec<String>,
    /// Dialogs: what must follow.
    #[serde(default)]
    pub(super) confirmed_by: Option<super::Outcome>,
    /// Bubbles: money goes the other way than the bubble (a receipt for a transfer).
    #[serde(default)]
    pub(super) flip: bool,
    /// May match some other line of the page; its captures count then.
    #[serde(default)]
    pub(super) maybe: Vec<String>,
    pub(super) hit: Vec<String>,
    pub(super) miss: Vec<String>,
}

pub(super) fn read(files: &[(String, String)]) -> Result<Vec<PackSource>, PackError> {
    let mut patterns = 0;
    let mut sources = Vec::new();
    for (index, (file, text)) in files.iter().enumerate() {
        let too_large = |limit| PackError::TooLarge {
            file: file.clone(),
            limit,
        };
        if index >= FILES {
            return Err(too_large("16 files in a set"));
        }
        if text.len() > FILE_BYTES {
            return Err(too_large("512 kB a file"));
        }
        let source = if is_json(text) {
            json(file, text)
        } else {
            yaml(file, text)
        }?;
        patterns += source.patterns.len();
        if patterns > PATTERNS {
            return Err(too_large("1000 patterns in a set"));
        }
        sources.push(source);
    }
    Ok(sources)
}

/// A pack is a mapping, which no author begins with a brace.
fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

fn json(file: &str, text: &str) -> Result<PackSource, PackError> {
    serde_json::from_str(text).map_err(|error| PackError::Shape {
        file: file.to_owned(),
        line: u64::try_from(error.line()).unwrap_or(0),
        problem: error.to_string(),
    })
}

#[cfg(feature = "yaml")]
fn yaml(file: &str, text: &str) -> Result<PackSource, PackError> {
    // A bare number or `yes` is text here and something else in JSON: authors quote it.
    let options = serde_saphyr::options! { no_schema: true };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| PackError::Shape {
        file: file.to_owned(),
        line: error.location().map_or(0, |it| it.line()),
        problem: error.to_string().lines().next().unwrap_or("").to_owned(),
    })
}

#[cfg(not(feature = "yaml"))]
fn yaml(file: &str, _: &str) -> Result<PackSource, PackError> {
    Err(PackError::Shape {
        file: file.to_owned(),
        line: 1,
        problem: "a phone reads packs as JSON; publish this one again".to_owned(),
    })
}

/// An expression with its `{{name}}` parts put in; the error is the name nobody defined.
pub(super) fn with_words(text: &str, words: &BTreeMap<String, String>) -> Result<String, String> {
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, after)) = after.split_once("}}") else {
            break;
        };
        whole.push_str(before);
        whole.push_str(words.get(name).ok_or_else(|| name.to_owned())?);
        rest = after;
    }
    whole.push_str(rest);
    Ok(whole)
}

impl VersionRange {
    /// Where a version stands: before the range, in it, or after it.
    pub(super) fn place(&self, version: &str) -> Ordering {
        let version = numbers(version);
        let to = numbers(&self.to);
        let head = version.get(..to.len()).unwrap_or(&version);
        if version < numbers(&self.from) {
            Ordering::Less
        } else if head > to.as_slice() {
            Ordering::Greater
        } else {
            Ordering::Equal
        }
    }
}

fn numbers(version: &str) -> Vec<u32> {
    version
        .split('.')
        .map_while(|part| {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            part.get(..digits)?.parse().ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_include_their_ends_and_what_is_below_them() {
        let range = VersionRange {
            from: "7.0.0".into(),
            to: "8.0".into(),
        };
        for (version, place) in [
            ("7.0.0", Ordering::Equal),
            ("8.0.76", Ordering::Equal),
            ("8.0.50.2340", Ordering::Equal),
            ("6.7.3", Ordering::Less),
            ("8.1.0", Ordering::Greater),
            ("9", Ordering::Greater),
        ] {
            assert_eq!(range.place(version), place, "{version}");
        }
    }
}
