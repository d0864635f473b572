//! A rule's own examples, run before the rule is used.
//!
//! Invariant: a set is returned to callers only after every hit example hit and every miss missed.

use mingjing_proto::pb;
use mingjing_proto::vocabulary::Named;

use super::eval::minute_of_day;
use super::files::Problems;
use super::parse::{ExampleYaml, ExamplesYaml};
use super::{Event, MemoryCounts, Rule, RuleSet};
use crate::normalise::normalise;

/// Most repetitions of an example.
const MAX_TIMES: u32 = 1_000;
/// 2026-03-03 10:00 in UTC, a Tuesday.
const AT_MS: i64 = 1_772_532_000_000;

/// What an example is there to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The rule hits.
    Hit,
    /// The rule stays silent.
    Miss,
}

/// How an example went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExampleResult {
    /// Line in the rule's file.
    pub line: u64,
    /// What it should do.
    pub expected: Expected,
    /// Whether it did.
    pub passed: bool,
}

/// An example, ready to run.
#[derive(Debug)]
pub(super) struct Case {
    line: u64,
    expected: Expected,
    activity: pb::Activity,
    account: String,
    department: String,
    class: String,
    local_minute_of_day: u16,
    weekday: u8,
    times: u32,
}

impl Case {
    pub(super) fn all(
        examples: ExamplesYaml,
        kind: Option<pb::Kind>,
        direction: Option<pb::Direction>,
        note: &mut impl FnMut(u64, String),
    ) -> Vec<Self> {
        let hit = examples.hit.into_iter().map(|it| (Expected::Hit, it));
        let miss = examples.miss.into_iter().map(|it| (Expected::Miss, it));
        hit.chain(miss)
            .filter_map(|(expected, example)| {
                let line = example.referenced.line();
                Self::new(line, expected, example.value, kind, direction)
                    .map_err(|problem| note(line, problem))
                    .ok()
            })
            .collect()
    }

    fn new(
        line: u64,
        expected: Expected,
        ExampleYaml(fields): ExampleYaml,
        kind: Option<pb::Kind>,
        direction: Option<pb::Direction>,
    ) -> Result<Self, String> {
        let kind = match &fields.kind {
            Some(name) => pb::Kind::from_name(name)
                .ok_or_else(|| format!("`{name}` is not a kind of activity"))?,
            None => kind.unwrap_or(pb::Kind::Message),
        };
        let direction = match &fields.direction {
            Some(name) => pb::Direction::from_name(name)
                .ok_or_else(|| format!("`{name}` is not a direction; write in, out or none"))?,
            None => direction.unwrap_or(pb::Direction::Out),
        };
        let local_minute_of_day = match &fields.time {
            Some(time) => minute_of_day(time)
                .ok_or_else(|| format!("`{time}` is not a time of day; write it as \"09:00\""))?,
            None => 600,
        };
        let content = match (&fields.content, kind) {
            (Some(content), _) => content.clone(),
            (None, pb::Kind::Message) => "text".to_owned(),
            (None, _) => String::new(),
        };
        Ok(Self {
            line,
            expected,
            activity: pb::Activity {
                at_ms: AT_MS,
                kind: kind.into(),
                direction: direction.into(),
                conversation: Some(pb::Conversation {
                    title: fields.conversation.title,
                    group: fields.conversation.group,
                    external: fields.conversation.external,
                }),
                peer: fields.peer,
                sender: fields.sender,
                content,
                text: fields.text,
                amount_fen: fields.amount_fen,
                members: fields.members,
                target: fields.target,
                count: fields.count,
                ..pb::Activity::default()
            },
            account: fields.account,
            department: fields.department,
            class: fields.class,
            local_minute_of_day,
            weekday: fields.weekday.unwrap_or(2),
            times: fields.times.unwrap_or(1).min(MAX_TIMES),
        })
    }
}

impl RuleSet {
    /// Runs the rule's examples; the set's other rules see them too but do not matter here.
    pub fn run_examples(&self, rule: &Rule) -> Vec<ExampleResult> {
        rule.examples
            .iter()
            .map(|case| self.run(rule, case))
            .collect()
    }

    fn run(&self, rule: &Rule, case: &Case) -> ExampleResult {
        let counts = MemoryCounts::default();
        let mut activity = case.activity.clone();
        let normalised = normalise(&activity.text);
        let mut hits = Vec::new();
        for second in 0..case.times {
            activity.at_ms = AT_MS + i64::from(second) * 1_000;
            hits.clear();
            let event = Event {
                account: &case.account,
                department: &case.department,
                class: &case.class,
                local_minute_of_day: case.local_minute_of_day,
                weekday: case.weekday,
                activity: &activity,
                normalised: &normalised,
            };
            self.judge(&event, &counts, &mut hits);
        }
        let hit = hits.iter().any(|hit| self.at(hit.rule).id == rule.id);
        ExampleResult {
            line: case.line,
            expected: case.expected,
            passed: hit == (case.expected == Expected::Hit),
        }
    }

    /// Paused rules are not judged, so their examples wait until they are switched on.
    pub(super) fn check_examples(&self, problems: &mut Problems) {
        for rule in self.rules.iter().filter(|rule| rule.is_judged()) {
            for result in self.run_examples(rule).iter().filter(|it| !it.passed) {
                let problem = match result.expected {
                    Expected::Hit => {
                        "should hit but does not; add words or move it to examples.miss"
                    }
                    Expected::Miss => {
                        "should miss but hits; add an exception or move it to examples.hit"
                    }
                };
                let problem = format!("this example of `{}` {problem}", rule.id);
                problems.add(&rule.source.file, result.line, problem);
            }
        }
    }
}
