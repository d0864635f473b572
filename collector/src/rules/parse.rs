//! The YAML of rules, as written (design §8).
//!
//! Invariants: unknown fields are problems; what leaves here has the right shape, an id used once and at
//! least one hit and one miss example; meaning (words, conditions) is checked by `eval::compile`.

use std::collections::BTreeMap;
use std::fmt;

use mingjing_proto::pb;
use mingjing_proto::vocabulary::Named;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use super::files::{Files, Problems};

/// How urgent a hit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For the record.
    Low,
    /// Should be looked at.
    Medium,
    /// Should be looked at soon.
    High,
    /// Should be looked at now.
    Critical,
}

/// Whether a rule's hits become findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Judged, for its owner only.
    Testing,
    /// Judged.
    Active,
    /// Not judged.
    Paused,
}

/// A property of a conversation; a rule may ask for several at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConversationKind {
    /// More than two people.
    Group,
    /// Not a group.
    Direct,
    /// WeCom: somebody outside the company takes part.
    External,
    /// Not external.
    Internal,
}

/// What a count is kept for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CountBy {
    /// Each account.
    Account,
    /// Each conversation of an account.
    Conversation,
    /// Each other person of an account.
    Peer,
    /// Each department.
    Department,
}

/// Where a rule is written.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) file: String,
    pub(super) line: u64,
}

/// One rule as written, with its place.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) place: Place,
    /// The text of its file.
    pub(super) text: String,
    pub(super) yaml: RuleYaml,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleYaml {
    pub(super) id: Spanned<String>,
    pub(super) title: TitleYaml,
    pub(super) article: String,
    #[serde(default)]
    pub(super) covers: Vec<String>,
    pub(super) level: Level,
    #[serde(default = "active")]
    pub(super) status: Status,
    #[serde(default)]
    pub(super) owner: String,
    pub(super) kinds: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) direction: DirectionYaml,
    #[serde(default)]
    pub(super) conversation: OneOrMany<ConversationKind>,
    #[serde(default)]
    pub(super) scope: ScopeYaml,
    #[serde(default)]
    pub(super) words: Option<WordsYaml>,
    #[serde(default)]
    pub(super) amount: Option<AmountYaml>,
    #[serde(default)]
    pub(super) hours: Option<HoursYaml>,
    #[serde(default)]
    pub(super) count: Option<CountYaml>,
    #[serde(default, rename = "where")]
    pub(super) condition: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) false_positives: String,
    pub(super) examples: ExamplesYaml,
}

fn active() -> Status {
    Status::Active
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TitleYaml {
    pub(super) zh: String,
    pub(super) en: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum DirectionYaml {
    In,
    Out,
    None,
    #[default]
    Any,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScopeYaml {
    #[serde(default)]
    pub(super) departments: Vec<String>,
    #[serde(default)]
    pub(super) classes: Vec<String>,
    #[serde(default)]
    pub(super) accounts: Vec<String>,
}

/// `lexicons` and `any` are looked for; `except` cancels words it covers; `unless` and the words of
/// `unless_lexicons` cancel the rule wherever they stand.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WordsYaml {
    #[serde(default)]
    pub(super) lexicons: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) any: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) except: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) unless: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) unless_lexicons: Vec<Spanned<String>>,
}

/// Fen, both ends included.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AmountYaml {
    pub(super) min: Option<i64>,
    pub(super) max: Option<i64>,
}

/// From `from` until before `to` (over midnight when `to` is earlier) on `days`; `outside` turns it round.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HoursYaml {
    pub(super) from: Spanned<String>,
    pub(super) to: Spanned<String>,
    #[serde(default = "every_day")]
    pub(super) days: Vec<u8>,
    #[serde(default)]
    pub(super) outside: bool,
}

fn every_day() -> Vec<u8> {
    (1..=7).collect()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CountYaml {
    pub(super) over: i64,
    pub(super) within: Spanned<String>,
    pub(super) by: CountBy,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExamplesYaml {
    #[serde(default)]
    pub(super) hit: Vec<Spanned<ExampleYaml>>,
    #[serde(default)]
    pub(super) miss: Vec<Spanned<ExampleYaml>>,
}

/// A part of an activity; a plain string is its text. What is left out comes from the rule.
#[derive(Clone, Debug, Default)]
pub(super) struct ExampleYaml(pub(super) ExampleFields);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ExampleFields {
    pub(super) kind: Option<String>,
    pub(super) direction: Option<String>,
    pub(super) conversation: ConversationYaml,
    pub(super) peer: String,
    pub(super) sender: String,
    pub(super) content: Option<String>,
    pub(super) text: String,
    pub(super) amount_fen: Option<i64>,
    pub(super) members: Vec<String>,
    pub(super) target: String,
    pub(super) count: u32,
    pub(super) account: String,
    pub(super) department: String,
    pub(super) class: String,
    /// Local time, `HH:MM`.
    pub(super) time: Option<String>,
    /// 1 Monday … 7 Sunday.
    pub(super) weekday: Option<u8>,
    /// How often it happens, a second apart; the last one is judged.
    pub(super) times: Option<u32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ConversationYaml {
    pub(super) title: String,
    pub(super) group: bool,
    pub(super) external: bool,
}

impl<'de> Deserialize<'de> for ExampleYaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExampleVisitor)
    }
}

struct ExampleVisitor;

impl<'de> Visitor<'de> for ExampleVisitor {
    type Value = ExampleYaml;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a text or the fields of an activity")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ExampleYaml, E> {
        Ok(ExampleYaml(ExampleFields {
            text: text.to_owned(),
            ..ExampleFields::default()
        }))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<ExampleYaml, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<ExampleYaml, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ExampleYaml, A::Error> {
        ExampleFields::deserialize(MapAccessDeserializer::new(map)).map(ExampleYaml)
    }
}

/// One value or a list of values.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany<T> {
    #[default]
    None,
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    pub(super) fn into_vec(self) -> Vec<T> {
        match self {
            Self::None => Vec::new(),
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// Reads all files; an id of a site file replaces the shipped rule, otherwise ids are used once.
pub(super) fn definitions(files: &Files, problems: &mut Problems) -> Vec<Definition> {
    let mut by_id: BTreeMap<String, (bool, Definition)> = BTreeMap::new();
    for file in &files.rules {
        let (path, text) = (&file.text.path, &file.text.text);
        let yaml = match read(text) {
            Ok(yaml) => yaml,
            Err(error) => {
                let line = error.location().map_or(0, |place| place.line());
                let problem = error.without_snippet().to_string();
                problems.add(
                    path,
                    line,
                    format!("{problem}; `mingjing-collector rules check --help` lists the fields"),
                );
                continue;
            }
        };
        for yaml in yaml {
            let line = yaml.id.referenced.line();
            let id = yaml.id.value.clone();
            let place = Place {
                file: path.clone(),
                line,
            };
            check_shape(&yaml, &place, problems);
            let replaced = by_id.get(&id).is_none_or(|(site, _)| file.site && !site);
            if !replaced {
                problems.add(
                    path,
                    line,
                    format!("the id `{id}` is used twice; give each rule its own"),
                );
                continue;
            }
            let text = text.clone();
            by_id.insert(id, (file.site, Definition { place, text, yaml }));
        }
    }
    by_id
        .into_values()
        .map(|(_, definition)| definition)
        .collect()
}

fn read(text: &str) -> Result<Vec<RuleYaml>, serde_saphyr::Error> {
    let first = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#') && *line != "---");
    match first {
        None => Ok(Vec::new()),
        Some(line) if line.starts_with('-') => serde_saphyr::from_str(text),
        Some(_) => Ok(vec![serde_saphyr::from_str(text)?]),
    }
}

fn check_shape(yaml: &RuleYaml, place: &Place, problems: &mut Problems) {
    let id = &yaml.id.value;
    let plain = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
    if id.is_empty() || id.len() > 64 || !id.chars().all(plain) {
        let problem = "an id is 1 to 64 small letters, digits and hyphens, such as `card-sent`";
        problems.add(&place.file, place.line, problem);
    }
    if yaml.kinds.is_empty() {
        let problem =
            format!("`{id}` looks at no kind; name at least one, such as `kinds: [message]`");
        problems.add(&place.file, place.line, problem);
    }
    for kind in &yaml.kinds {
        if pb::Kind::from_name(&kind.value).is_none() {
            let problem = format!(
                "`{}` is not a kind of activity; design §5 lists them",
                kind.value
            );
            problems.add(&place.file, kind.referenced.line(), problem);
        }
    }
    for (name, count) in [
        ("hit", yaml.examples.hit.len()),
        ("miss", yaml.examples.miss.len()),
    ] {
        if count == 0 {
            let problem = format!("`{id}` has no {name} example; add one under examples.{name}");
            problems.add(&place.file, place.line, problem);
        }
    }
}
