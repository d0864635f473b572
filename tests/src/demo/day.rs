//! The recorded day: one file of signals a phone, and what has to come of it.
//!
//! Invariants: the files are in order of time; `expect.json` names every planted event with its rule
//! and every phrase that must be nowhere. The recording's date is moved to the demo's; the times of
//! day and the phrases stay.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::civil::{Date, Time};
use jiff::tz::{Offset, TimeZone};
use mingjing_proto::json::signal_from_line;
use mingjing_proto::pb;
use serde::Deserialize;

/// Where the recording lies.
pub fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/day")
}

/// The zone of the company and of the recording.
pub fn zone() -> TimeZone {
    TimeZone::fixed(Offset::constant(8))
}

/// `expect.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Date of the recording.
    pub date: Date,
    /// Everybody with a phone.
    pub people: Vec<Person>,
}

/// One employee and what the recording of the phone holds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Login; also the name of the file.
    pub login: String,
    /// Name.
    pub name: String,
    /// Department.
    pub department: String,
    /// Work accounts.
    pub accounts: Vec<WorkAccount>,
    /// What becomes of the phone during the day.
    pub fate: Fate,
    /// Lines of the file.
    pub signals: usize,
    /// Events a rule must see.
    pub planted: Vec<Planted>,
    /// Phrases that must not be kept by anybody, in any form.
    pub absent: Vec<String>,
    /// Phrases that are kept, sealed: never readable in a file.
    pub sealed: Vec<String>,
}

/// A work account of the register.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkAccount {
    /// Package.
    pub app: String,
    /// What the app's own page shows.
    pub shown_id: String,
    /// The account's nickname.
    pub nickname: String,
}

/// What becomes of a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fate {
    /// Nothing special.
    Works,
    /// The employee refuses every category.
    Refuses,
    /// The employee withdraws every category.
    Withdraws {
        /// When.
        at: Clock,
    },
    /// The network is away for a while.
    Offline {
        /// From when.
        at: Clock,
        /// Until when.
        until: Clock,
    },
    /// IT revokes the phone's certificate.
    Revoked {
        /// When.
        at: Clock,
    },
}

/// A time of day such as `09:24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Clock(Time);

impl TryFrom<String> for Clock {
    type Error = jiff::Error;
    fn try_from(text: String) -> Result<Self, jiff::Error> {
        Ok(Self(Time::strptime("%H:%M", &text)?))
    }
}

impl Clock {
    /// The moment on a date, Unix milliseconds.
    pub fn on(self, date: Date) -> i64 {
        at(date, self.0)
    }
}

/// Something a rule must see.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planted {
    /// When it happens.
    pub at: Clock,
    /// Requirement, such as S22.
    pub harm: String,
    /// The rule's id.
    pub rule: String,
    /// The words or the sign of it.
    pub text: String,
}

impl Person {
    /// Planted events by rule that reach the collector, given what becomes of the phone.
    pub fn expected(&self) -> BTreeMap<&str, usize> {
        let until = match self.fate {
            Fate::Refuses => return BTreeMap::new(),
            Fate::Withdraws { at } | Fate::Revoked { at } => Some(at),
            Fate::Works | Fate::Offline { .. } => None,
        };
        let mut counts = BTreeMap::new();
        for planted in &self.planted {
            if until.is_none_or(|until| planted.at < until) {
                *counts.entry(planted.rule.as_str()).or_default() += 1;
            }
        }
        counts
    }
}

/// A moment of a date in the company's zone, Unix milliseconds.
pub fn at(date: Date, time: Time) -> i64 {
    date.to_datetime(time)
        .to_zoned_datetime(zone())
        .expect("a fixed offset has every moment")
        .timestamp()
        .as_millisecond()
}

impl Expect {
    /// Reads `expect.json`.
    pub fn load() -> anyhow::Result<Self> {
        let path = dir().join("expect.json");
        let text = std::fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{}", path.display()))
    }

    /// The signals of one phone as if they happened on `date`.
    pub fn signals(&self, person: &Person, date: Date) -> anyhow::Result<Vec<pb::Signal>> {
        let path = dir().join(format!("{}.jsonl", person.login));
        let text = std::fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
        let shift_ms = at(date, Time::midnight()) - at(self.date, Time::midnight());
        text.lines()
            .enumerate()
            .map(|(index, line)| {
                let mut signal = signal_from_line(line)
                    .with_context(|| format!("{}:{}", path.display(), index + 1))?;
                signal.at_ms += shift_ms;
                Ok(signal)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(signal: &pb::Signal) -> Vec<&str> {
        match &signal.body {
            Some(pb::signal::Body::Notification(it)) => vec![&it.title, &it.text],
            Some(pb::signal::Body::Screen(it)) => it
                .nodes
                .iter()
                .flat_map(|node| [node.text.as_str(), node.desc.as_str()])
                .collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn the_recording_is_twelve_ordered_phones_of_one_day() {
        let expect = Expect::load().unwrap();
        assert_eq!(expect.people.len(), 12);
        let mut all = 0;
        for person in &expect.people {
            let signals = expect.signals(person, expect.date).unwrap();
            assert_eq!(signals.len(), person.signals, "{}", person.login);
            assert!(signals.is_sorted_by_key(|it| it.at_ms), "{}", person.login);
            for signal in &signals {
                let local = jiff::Timestamp::from_millisecond(signal.at_ms).unwrap();
                assert_eq!(local.to_zoned_datetime(zone()).date(), expect.date);
                assert_eq!(signal.utc_offset_min, 480);
            }
            all += signals.len();
        }
        assert!((2_900..3_300).contains(&all), "{all}");
        let departments: std::collections::BTreeSet<_> =
            expect.people.iter().map(|it| &it.department).collect();
        assert_eq!(departments.len(), 3);
    }

    #[test]
    fn every_phrase_of_the_expectations_is_in_its_file() {
        let expect = Expect::load().unwrap();
        for person in &expect.people {
            let signals = expect.signals(person, expect.date).unwrap();
            let said = |phrase: &str| {
                signals
                    .iter()
                    .flat_map(words)
                    .any(|text| text.contains(phrase))
            };
            for phrase in person.absent.iter().chain(&person.sealed) {
                assert!(
                    phrase.chars().count() >= 5,
                    "{phrase} is too short to be searched for"
                );
                assert!(said(phrase), "{}: {phrase}", person.login);
            }
        }
    }

    #[test]
    fn every_harm_is_planted_twice_and_reaches_the_collector() {
        let expect = Expect::load().unwrap();
        let mut harms: BTreeMap<&str, usize> = BTreeMap::new();
        let mut rules: BTreeMap<&str, usize> = BTreeMap::new();
        for person in &expect.people {
            assert!(
                person.planted.is_sorted_by_key(|it| it.at),
                "{}",
                person.login
            );
            for planted in &person.planted {
                *harms.entry(&planted.harm).or_default() += 1;
            }
            for (rule, count) in person.expected() {
                *rules.entry(rule).or_default() += count;
            }
        }
        for harm in [
            "S22", "S23", "S24", "S25", "S26", "S27", "S28", "S29", "S30", "S31",
        ] {
            assert!(harms.get(harm).is_some_and(|count| *count >= 2), "{harm}");
        }
        for rule in [
            "red-packet-sent",
            "red-packet-received",
            "transfer-sent",
            "transfer-received",
            "scan-opened",
        ] {
            assert!(rules.get(rule).is_some_and(|count| *count >= 2), "{rule}");
        }
    }

    #[test]
    fn each_fate_falls_on_one_phone() {
        let expect = Expect::load().unwrap();
        let count =
            |fits: fn(Fate) -> bool| expect.people.iter().filter(|it| fits(it.fate)).count();
        assert_eq!(count(|it| it == Fate::Refuses), 1);
        assert_eq!(count(|it| matches!(it, Fate::Withdraws { .. })), 1);
        assert_eq!(count(|it| matches!(it, Fate::Offline { .. })), 1);
        assert_eq!(count(|it| matches!(it, Fate::Revoked { .. })), 1);
    }
}
