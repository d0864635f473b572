//! The words of the pages in both languages, compiled in.
//!
//! Invariants: both languages have the same keys, and every key used exists (tested); zh-CN is first.

use std::collections::HashMap;
use std::sync::LazyLock;

/// A language of the console.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Language {
    /// Simplified Chinese.
    #[default]
    Chinese,
    /// English.
    English,
}

type Texts = HashMap<String, String>;

static CHINESE: LazyLock<Texts> = LazyLock::new(|| parse(include_str!("../../locales/zh-CN.json")));
static ENGLISH: LazyLock<Texts> = LazyLock::new(|| parse(include_str!("../../locales/en.json")));

fn parse(json: &str) -> Texts {
    serde_json::from_str(json).expect("locale files are one object of texts (tested)")
}

impl Language {
    /// From its tag; anything else is nobody's language.
    pub(super) fn from_tag(tag: &str) -> Option<Self> {
        match tag {
            "zh-CN" => Some(Self::Chinese),
            "en" => Some(Self::English),
            _ => None,
        }
    }

    /// The tag, for `lang` attributes and cookies.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::Chinese => "zh-CN",
            Self::English => "en",
        }
    }

    /// The other one, for the switch.
    pub(super) fn other(self) -> Self {
        match self {
            Self::Chinese => Self::English,
            Self::English => Self::Chinese,
        }
    }

    fn texts(self) -> &'static Texts {
        match self {
            Self::Chinese => &CHINESE,
            Self::English => &ENGLISH,
        }
    }

    /// The text of a key.
    pub(super) fn t(self, key: &str) -> &'static str {
        match self.texts().get(key) {
            Some(text) => text,
            None => {
                tracing::error!(key, "a locale file lacks a key");
                "…"
            }
        }
    }

    /// The text of a key with its `{}` filled in, in order.
    pub(super) fn f(self, key: &str, values: &[&str]) -> String {
        let mut pieces = self.t(key).split("{}");
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for (piece, value) in pieces.zip(values) {
            text.push_str(value);
            text.push_str(piece);
        }
        text
    }

    /// The word for a value of a family, such as `("state", "in_review")`.
    pub(super) fn word(self, family: &str, name: &str) -> &'static str {
        self.t(&format!("{family}.{name}"))
    }

    /// The word for a value that may be newer than this console: the value itself then.
    pub(super) fn word_or_name(self, family: &str, name: &str) -> String {
        self.texts()
            .get(&format!("{family}.{name}"))
            .map_or_else(|| name.to_owned(), Clone::clone)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use mingjing_proto::pb;
    use mingjing_proto::vocabulary::{COVERAGE_CONTENTS, MESSAGE_CONTENTS, Named};
    use regex::Regex;
    use strum::VariantArray;

    use super::super::coverage;
    use super::*;
    use crate::attestation::Evidence;
    use crate::cure::Cure;
    use crate::findings::{Level, State};
    use crate::people::Role;

    #[test]
    fn both_languages_have_the_same_keys_and_places() {
        let keys = |texts: &Texts| texts.keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(keys(&CHINESE), keys(&ENGLISH));
        for (key, text) in CHINESE.iter() {
            let places = |text: &str| text.matches("{}").count();
            assert_eq!(places(text), places(&ENGLISH[key]), "{key}");
            assert!(
                !text.trim().is_empty() && !ENGLISH[key].trim().is_empty(),
                "{key}"
            );
        }
    }

    fn sources(dir: &Path, into: &mut String) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, into);
            } else if path.file_name().is_some_and(|name| name != "words.rs") {
                into.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }

    #[test]
    fn every_key_used_exists_and_every_key_is_used() {
        let mut text = String::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        sources(&root.join("templates"), &mut text);
        sources(&root.join("src/console"), &mut text);
        let used: BTreeSet<String> = Regex::new(r#"\b(?:t|f)\(\s*"([a-z_0-9.]+)""#)
            .unwrap()
            .captures_iter(&text)
            .map(|found| found[1].to_owned())
            .collect();
        assert!(used.len() > 60, "the pattern finds the uses");
        let mut expected = used;
        let mut family = |family: &str, names: &[&str]| {
            expected.extend(names.iter().map(|name| format!("{family}.{name}")));
        };
        let kinds: Vec<_> = pb::Kind::VARIANTS[1..].iter().map(|it| it.name()).collect();
        family("kind", &kinds);
        let categories: Vec<_> = pb::Category::VARIANTS[1..]
            .iter()
            .map(|it| it.name())
            .collect();
        family("category", &categories);
        family("direction", &["none", "in", "out"]);
        family("content", &MESSAGE_CONTENTS);
        family("content", &COVERAGE_CONTENTS);
        let levels: Vec<_> = Level::VARIANTS.iter().map(|it| it.name()).collect();
        family("level", &levels);
        let states: Vec<_> = State::VARIANTS.iter().map(|it| it.name()).collect();
        family("state", &states);
        let roles: Vec<_> = Role::VARIANTS.iter().map(|it| it.name()).collect();
        family("role", &roles);
        let cures: Vec<_> = Cure::VARIANTS.iter().map(|it| it.name()).collect();
        family("cure", &cures);
        family("step", &["take", "assign", "escalate", "resolve"]);
        family(
            "step",
            &[
                "compliant",
                "non_compliant",
                "questionable",
                "false_positive",
            ],
        );
        family(
            "phone",
            &["pending", "active", "revoked", "online", "offline"],
        );
        let gaps: Vec<_> = pb::GapReason::VARIANTS[1..]
            .iter()
            .map(|it| it.name())
            .collect();
        family(
            "letter",
            &["answer", "subject_request", "complaint", "done"],
        );
        family("asks", &mingjing_proto::letter::REQUEST_KINDS);
        family("letter_state", &["received", "opened"]);
        family("trust", &["hardware", "software", "none"]);
        let evidence: Vec<_> = Evidence::VARIANTS.iter().map(|it| it.name()).collect();
        family("evidence", &evidence);
        family(
            "alarm",
            &[
                "fork",
                "clone",
                "rolled_back",
                "server_lost",
                "audit_contradicted",
                "enrolled_again",
            ],
        );
        family("capture", coverage::STATES);
        family("channel", &["listener", "accessibility"]);
        family("dropped", coverage::DROPS);
        family("fit", coverage::FITS);
        family("gap", &gaps);
        family(
            "consent",
            &["granted", "waiting", "refused", "withdrawn", "none"],
        );
        family("app", &["com.tencent.mm", "com.tencent.wework"]);
        family(
            "error",
            &["400", "401", "403", "404", "409", "429", "500", "503"],
        );
        family("menu", super::super::shell::MENU_KEYS);
        family("action", super::super::audit_log::ACTIONS);
        let known: BTreeSet<String> = CHINESE.keys().cloned().collect();
        let missing: Vec<_> = expected.difference(&known).collect();
        assert!(missing.is_empty(), "missing: {missing:?}");
        let unused: Vec<_> = known.difference(&expected).collect();
        assert!(unused.is_empty(), "unused: {unused:?}");
    }
}
