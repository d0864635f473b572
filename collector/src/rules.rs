//! What is forbidden: rules and lexicons, compiled once, asked for every event.
//!
//! Invariants: a rule set loads whole or not at all, and all problems are told at once, each with its
//! file, line and cure; every rule in a set hits its own hit examples and misses its miss examples;
//! judging is a pure function of (rule set, event, counts); a hit is ids, values and spans, never words.
//! A hit is a question: deciding is for people (requirements, decision 4).

pub mod counts;

mod condition;
mod eval;
mod examples;
mod files;
mod parse;
mod phrase;
mod shipped;
mod words;

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use mingjing_proto::pb;

use crate::normalise::Normalised;
pub use counts::{Counts, MemoryCounts, Window};
pub use examples::{ExampleResult, Expected};
use files::{Files, Problems};
pub use parse::{ConversationKind, CountBy, Level, Status};
use words::Words;

/// All rules in force together, ready to judge.
pub struct RuleSet {
    rules: Vec<Rule>,
    /// Rules that look at a kind, by the kind's number.
    by_kind: Vec<Vec<usize>>,
    words: Words,
    root: cel::Context<'static, 'static>,
    version: [u8; 32],
}

/// One rule; the fields are those of its YAML.
#[derive(Debug)]
pub struct Rule {
    /// Unique in the set, such as `s22-own-product`.
    pub id: String,
    /// SHA-256 over the rule's file and the lexicons it names.
    pub version: [u8; 32],
    /// Chinese title.
    pub title_zh: String,
    /// English title.
    pub title_en: String,
    /// The article of the company's policy that a case would cite (S107).
    pub article: String,
    /// Numbers of the requirements this rule stands for, such as `S22`.
    pub covers: Vec<String>,
    /// How urgent a hit is.
    pub level: Level,
    /// Paused rules are never judged; hits of testing rules are for the rule's owner only.
    pub status: Status,
    /// Who answers for the rule.
    pub owner: String,
    /// Kinds of activity the rule looks at.
    pub kinds: Vec<pb::Kind>,
    /// Direction asked for; `None` for any.
    pub direction: Option<pb::Direction>,
    /// What a reviewer should know about wrong hits.
    pub false_positives: String,
    body: eval::Body,
    examples: Vec<examples::Case>,
    source: parse::Place,
}

/// A rule's place in its set; stays valid as long as the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleIndex(usize);

/// One activity with what is needed to judge it.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Account id of the register.
    pub account: &'a str,
    /// The holder's department.
    pub department: &'a str,
    /// The account's class (S129).
    pub class: &'a str,
    /// Minutes since midnight in the employee's zone.
    pub local_minute_of_day: u16,
    /// Day of the week in the employee's zone: 1 Monday … 7 Sunday.
    pub weekday: u8,
    /// What happened.
    pub activity: &'a pb::Activity,
    /// `normalise(&activity.text)`.
    pub normalised: &'a Normalised,
}

/// A rule that an event fulfils.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The rule, see [`RuleSet::at`].
    pub rule: RuleIndex,
    /// Words found, in the order of the text; empty for rules without words.
    pub spans: Vec<Span>,
    /// For rules that count.
    pub count: Option<CountHit>,
}

/// A word of a lexicon in the activity's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The lexicon, or the rule's id for words written in the rule.
    pub list: Arc<str>,
    /// Bytes of `activity.text`.
    pub range: Range<usize>,
}

/// The window in which a count went over its limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountHit {
    /// What [`Counts::scope`] answered.
    pub scope: String,
    /// First bucket of the window; the finding's id is made of (rule, scope, this).
    pub first_bucket: i64,
    /// Start of that bucket, Unix milliseconds.
    pub from_ms: i64,
    /// The window's sum.
    pub value: i64,
}

/// Rules that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// Every problem of every file.
    #[error("{} in rules and lexicons, nothing was loaded:\n{}", plural(.0.len()), lines(.0))]
    Problems(Vec<Problem>),
}

/// One thing to repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file as given.
    pub file: String,
    /// Line from 1; 0 where the whole file is meant.
    pub line: u64,
    /// What is wrong and how to repair it.
    pub problem: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(out, "{}: {}", self.file, self.problem),
            line => write!(out, "{}:{line}: {}", self.file, self.problem),
        }
    }
}

fn plural(count: usize) -> String {
    match count {
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    }
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}

impl RuleSet {
    /// The shipped rules and lexicons, compiled into the program.
    pub fn builtin() -> Result<Self, RulesError> {
        Self::from_files(&Files::builtin())
    }

    /// Rules and lexicons of folders, each given as (rules, lexicons). Without `shipped` the compiled-in
    /// ones are used. A rule or lexicon of `site` replaces the shipped one of the same id.
    pub fn load(
        shipped: Option<(&Path, &Path)>,
        site: Option<(&Path, &Path)>,
    ) -> Result<Self, RulesError> {
        let mut problems = Problems::default();
        let mut files = match shipped {
            Some((rules_dir, lexicons_dir)) => Files::read(rules_dir, lexicons_dir, &mut problems),
            None => Files::builtin(),
        };
        if let Some((rules_dir, lexicons_dir)) = site {
            files.lay_over(Files::read(rules_dir, lexicons_dir, &mut problems));
        }
        problems.into_result()?;
        Self::from_files(&files)
    }

    fn from_files(files: &Files) -> Result<Self, RulesError> {
        let mut problems = Problems::default();
        let definitions = parse::definitions(files, &mut problems);
        let mut words = words::Builder::default();
        let lexicons = words.lexicons(files, &mut problems);
        let root = cel::Context::default();
        let mut rules = Vec::with_capacity(definitions.len());
        for definition in definitions {
            if let Some(rule) =
                eval::compile(definition, files, &lexicons, &mut words, &mut problems)
            {
                rules.push(rule);
            }
        }
        let words = words.build(&mut problems);
        problems.into_result()?;
        let set = Self {
            by_kind: index_by_kind(&rules),
            rules,
            words,
            root,
            version: files.version(),
        };
        let mut problems = Problems::default();
        set.check_examples(&mut problems);
        problems.into_result()?;
        Ok(set)
    }

    /// SHA-256 over all files.
    pub fn version(&self) -> [u8; 32] {
        self.version
    }

    /// The rule with this id.
    pub fn rule(&self, id: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == id)
    }

    /// The rule of a hit.
    pub fn at(&self, index: RuleIndex) -> &Rule {
        &self.rules[index.0]
    }

    /// All rules, by id.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// Whether any rule reads the words of such an activity. Where not, `normalised` may be empty.
    pub fn needs_text(&self, kind: pb::Kind, direction: pb::Direction) -> bool {
        self.rules_of(kind).iter().any(|&index| {
            let rule = &self.rules[index];
            rule.body.reads_text() && rule.direction.is_none_or(|wanted| wanted == direction)
        })
    }

    fn rules_of(&self, kind: pb::Kind) -> &[usize] {
        usize::try_from(i32::from(kind))
            .ok()
            .and_then(|kind| self.by_kind.get(kind))
            .map_or(&[], Vec::as_slice)
    }
}

impl Rule {
    /// Whether the rule is judged at all.
    pub fn is_judged(&self) -> bool {
        self.status != Status::Paused
    }
}

impl fmt::Debug for RuleSet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RuleSet")
            .field("rules", &self.rules.len())
            .field("words", &self.words)
            .finish_non_exhaustive()
    }
}

fn index_by_kind(rules: &[Rule]) -> Vec<Vec<usize>> {
    let mut by_kind: Vec<Vec<usize>> = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        if !rule.is_judged() {
            continue;
        }
        for &kind in &rule.kinds {
            let Ok(kind) = usize::try_from(i32::from(kind)) else {
                continue;
            };
            if by_kind.len() <= kind {
                by_kind.resize_with(kind + 1, Vec::new);
            }
            by_kind[kind].push(index);
        }
    }
    by_kind
}

#[cfg(test)]
mod tests;
