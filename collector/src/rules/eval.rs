//! Judging: which rules an event fulfils.
//!
//! Invariants: a pure function of (rule set, event, counts); words are matched at most once an event,
//! and only when some rule that admits the event has words; a rule counts only events that fulfil
//! everything else it asks.

use std::collections::BTreeMap;

use mingjing_proto::pb;
use mingjing_proto::vocabulary::Named;

use super::condition::Condition;
use super::counts::{BUCKETS, Counts};
use super::examples::Case;
use super::files::{Files, Problems, hash};
use super::parse::{
    AmountYaml, ConversationKind, CountBy, CountYaml, Definition, DirectionYaml, HoursYaml, Place,
    ScopeYaml, WordsYaml,
};
use super::words::{Builder, Found, Lexicon, ListId};
use super::{CountHit, Event, Hit, Rule, RuleIndex, RuleSet, Span};

/// Most spans of a hit.
const MAX_SPANS: usize = 32;

/// What a rule asks of an event, beyond kind and direction.
#[derive(Debug)]
pub(super) struct Body {
    conversation: Vec<ConversationKind>,
    scope: ScopeYaml,
    amount: Option<AmountYaml>,
    hours: Option<Hours>,
    words: Option<RuleWords>,
    condition: Option<Condition>,
    count: Option<CountRule>,
}

#[derive(Debug)]
struct Hours {
    from_minute: u16,
    to_minute: u16,
    days: Vec<u8>,
    outside: bool,
}

#[derive(Debug)]
struct RuleWords {
    lexicons: Vec<Lexicon>,
    except: Option<ListId>,
    unless: Vec<ListId>,
}

#[derive(Debug)]
struct CountRule {
    over: i64,
    bucket_ms: i64,
    by: CountBy,
}

impl Rule {
    /// For rules that count: how much a window may hold without a hit.
    pub fn count_over(&self) -> Option<i64> {
        self.body.count.as_ref().map(|count| count.over)
    }
}

impl RuleSet {
    /// Adds a hit to `out` for every rule the event fulfils, by rule id; rules in testing included.
    pub fn judge(&self, event: &Event<'_>, counts: &dyn Counts, out: &mut Vec<Hit>) {
        let mut found: Option<Vec<Found>> = None;
        for &index in self.rules_of(event.activity.kind()) {
            let rule = &self.rules[index];
            if rule
                .direction
                .is_some_and(|wanted| wanted != event.activity.direction())
                || !rule.body.admits(event)
            {
                continue;
            }
            let mut spans = Vec::new();
            if let Some(words) = &rule.body.words {
                let found = found
                    .get_or_insert_with(|| self.words.find(&event.activity.text, event.normalised));
                spans = self.spans(words, found, event);
                if spans.is_empty() {
                    continue;
                }
            }
            let condition = rule.body.condition.as_ref();
            if condition.is_some_and(|condition| !condition.holds(&self.root, event)) {
                continue;
            }
            let count = match &rule.body.count {
                Some(count) => match count.add(&rule.id, event, counts) {
                    Some(hit) => Some(hit),
                    None => continue,
                },
                None => None,
            };
            out.push(Hit {
                rule: RuleIndex(index),
                spans,
                count,
            });
        }
    }

    fn spans(&self, words: &RuleWords, found: &[Found], event: &Event<'_>) -> Vec<Span> {
        let is_of = |list: Option<ListId>| move |other: &Found| Some(other.list) == list;
        if found.iter().any(|other| words.unless.contains(&other.list)) {
            return Vec::new();
        }
        let mut hits: Vec<&Found> = found
            .iter()
            .filter(|hit| {
                words.lexicons.iter().any(|lexicon| {
                    let is_exception = |other: &&Found| {
                        is_of(lexicon.exceptions)(other) || is_of(words.except)(other)
                    };
                    hit.list == lexicon.words
                        && !found
                            .iter()
                            .filter(is_exception)
                            .any(|other| other.covers(hit))
                })
            })
            .collect();
        // The longest of those that begin together first, so that what lies within another is dropped.
        hits.sort_by_key(|hit| (hit.start, usize::MAX - hit.end));
        let mut end = 0;
        hits.retain(|hit| {
            let is_new = hit.end > end;
            end = end.max(hit.end);
            is_new
        });
        hits.truncate(MAX_SPANS);
        hits.into_iter()
            .map(|hit| Span {
                list: self.words.name(hit.list).clone(),
                range: event.normalised.original(hit.start..hit.end),
            })
            .collect()
    }
}

impl Body {
    pub(super) fn reads_text(&self) -> bool {
        self.words.is_some() || self.condition.is_some()
    }

    fn admits(&self, event: &Event<'_>) -> bool {
        let talk = event.activity.conversation.as_ref();
        let group = talk.is_some_and(|talk| talk.group);
        let external = talk.is_some_and(|talk| talk.external);
        let fits =
            |list: &[String], value: &str| list.is_empty() || list.iter().any(|it| it == value);
        self.conversation.iter().all(|asked| match asked {
            ConversationKind::Group => group,
            ConversationKind::Direct => !group,
            ConversationKind::External => external,
            ConversationKind::Internal => !external,
        }) && fits(&self.scope.departments, event.department)
            && fits(&self.scope.classes, event.class)
            && fits(&self.scope.accounts, event.account)
            && self
                .amount
                .is_none_or(|asked| asked.admits(event.activity.amount_fen))
            && self.hours.as_ref().is_none_or(|asked| asked.admits(event))
    }
}

impl AmountYaml {
    fn admits(self, amount_fen: Option<i64>) -> bool {
        amount_fen.is_some_and(|fen| {
            self.min.is_none_or(|min| min <= fen) && self.max.is_none_or(|max| fen <= max)
        })
    }
}

impl Hours {
    /// After midnight a span that began the day before belongs to that day.
    fn admits(&self, event: &Event<'_>) -> bool {
        let minute = event.local_minute_of_day;
        let day_before = if event.weekday <= 1 {
            7
        } else {
            event.weekday - 1
        };
        let within = if self.from_minute <= self.to_minute {
            (self.from_minute..self.to_minute).contains(&minute)
                && self.days.contains(&event.weekday)
        } else {
            minute >= self.from_minute && self.days.contains(&event.weekday)
                || minute < self.to_minute && self.days.contains(&day_before)
        };
        within != self.outside
    }

    fn compile(yaml: &HoursYaml) -> Result<Self, (u64, String)> {
        let minute = |text: &serde_saphyr::Spanned<String>| {
            minute_of_day(&text.value).ok_or_else(|| {
                let problem = format!(
                    "`{}` is not a time of day; write it as \"09:00\"",
                    text.value
                );
                (text.referenced.line(), problem)
            })
        };
        if !yaml.days.iter().all(|day| (1..=7).contains(day)) {
            let problem = "days are 1 (Monday) to 7 (Sunday)".to_owned();
            return Err((yaml.from.referenced.line(), problem));
        }
        Ok(Self {
            from_minute: minute(&yaml.from)?,
            to_minute: minute(&yaml.to)?,
            days: yaml.days.clone(),
            outside: yaml.outside,
        })
    }
}

/// Minutes since midnight of `HH:MM`; `24:00` is the end of the day.
pub(super) fn minute_of_day(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let minute = hours.checked_mul(60)?.checked_add(minutes)?;
    (minutes < 60 && minute <= 1_440).then_some(minute)
}

impl CountRule {
    fn add(&self, rule: &str, event: &Event<'_>, counts: &dyn Counts) -> Option<CountHit> {
        let scope = counts.scope(self.by, event);
        let bucket = event.activity.at_ms.div_euclid(self.bucket_ms);
        let window = counts.add(rule, &scope, bucket, 1);
        (window.sum > self.over).then(|| CountHit {
            scope,
            first_bucket: window.first_bucket,
            from_ms: window.first_bucket * self.bucket_ms,
            value: window.sum,
        })
    }

    fn compile(yaml: &CountYaml) -> Result<Self, (u64, String)> {
        let written = &yaml.within.value;
        let window_ms = duration_ms(written).filter(|ms| (12_000..=31 * 86_400_000).contains(ms));
        let Some(window_ms) = window_ms else {
            let problem =
                format!("`{written}` is not a window; write 30s, 10m, 1h or 1d, from 12s to 31d");
            return Err((yaml.within.referenced.line(), problem));
        };
        if yaml.over < 1 {
            let problem = "`over` is at least 1; without count one event is enough".to_owned();
            return Err((yaml.within.referenced.line(), problem));
        }
        Ok(Self {
            over: yaml.over,
            bucket_ms: window_ms / BUCKETS,
            by: yaml.by,
        })
    }
}

fn duration_ms(text: &str) -> Option<i64> {
    let unit = text.chars().last()?;
    let unit_ms = match unit {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        _ => return None,
    };
    let number: i64 = text[..text.len() - unit.len_utf8()].parse().ok()?;
    number.checked_mul(unit_ms)
}

/// Turns what is written into what is judged; `None` after telling the problems.
pub(super) fn compile(
    definition: Definition,
    files: &Files,
    lexicons: &BTreeMap<&str, Lexicon>,
    words: &mut Builder,
    problems: &mut Problems,
) -> Option<Rule> {
    let Definition { place, text, yaml } = definition;
    let mut healthy = true;
    let mut note = |line: u64, problem: String| {
        problems.add(&place.file, line, problem);
        healthy = false;
    };
    let id = yaml.id.value;
    let named: Vec<&str> = yaml
        .words
        .iter()
        .flat_map(WordsYaml::lexicon_names)
        .collect();
    let sources = named.iter().filter_map(|name| files.lexicons.get(*name));
    let version = hash(std::iter::once(text.as_str()).chain(sources.map(|it| it.text.as_str())));
    let rule_words = yaml
        .words
        .as_ref()
        .map(|asked| compile_words(&id, asked, lexicons, words, &place, &mut note));
    let hours = yaml.hours.as_ref().and_then(|hours| {
        Hours::compile(hours)
            .map_err(|(line, problem)| note(line, problem))
            .ok()
    });
    let count = yaml.count.as_ref().and_then(|count| {
        CountRule::compile(count)
            .map_err(|(line, problem)| note(line, problem))
            .ok()
    });
    let condition = yaml.condition.as_ref().and_then(|source| {
        Condition::compile(&source.value)
            .map_err(|problem| note(source.referenced.line(), problem))
            .ok()
    });
    let kinds: Vec<pb::Kind> = yaml
        .kinds
        .iter()
        .filter_map(|kind| pb::Kind::from_name(&kind.value))
        .collect();
    let direction = match yaml.direction {
        DirectionYaml::In => Some(pb::Direction::In),
        DirectionYaml::Out => Some(pb::Direction::Out),
        DirectionYaml::None => Some(pb::Direction::None),
        DirectionYaml::Any => None,
    };
    let examples = Case::all(yaml.examples, kinds.first().copied(), direction, &mut note);
    healthy.then(|| Rule {
        id,
        version,
        title_zh: yaml.title.zh,
        title_en: yaml.title.en,
        article: yaml.article,
        covers: yaml.covers,
        level: yaml.level,
        status: yaml.status,
        owner: yaml.owner,
        kinds,
        direction,
        false_positives: yaml.false_positives,
        body: Body {
            conversation: yaml.conversation.into_vec(),
            scope: yaml.scope,
            amount: yaml.amount,
            hours,
            words: rule_words,
            condition,
            count,
        },
        examples,
        source: place,
    })
}

impl WordsYaml {
    fn lexicon_names(&self) -> impl Iterator<Item = &str> {
        let names = self.lexicons.iter().chain(&self.unless_lexicons);
        names.map(|name| name.value.as_str())
    }
}

fn compile_words(
    id: &str,
    asked: &WordsYaml,
    lexicons: &BTreeMap<&str, Lexicon>,
    words: &mut Builder,
    place: &Place,
    note: &mut impl FnMut(u64, String),
) -> RuleWords {
    let mut find = |names: &[serde_saphyr::Spanned<String>]| {
        let mut known = Vec::new();
        for name in names {
            match lexicons.get(name.value.as_str()) {
                Some(lexicon) => known.push(*lexicon),
                None => {
                    let have: Vec<&str> = lexicons.keys().copied().collect();
                    let problem = format!(
                        "there is no lexicon `{0}`; add {0}.txt to the lexicons or name one of: {1}",
                        name.value,
                        have.join(", ")
                    );
                    note(name.referenced.line(), problem);
                }
            }
        }
        known
    };
    let mut known = find(&asked.lexicons);
    let mut unless: Vec<ListId> = find(&asked.unless_lexicons)
        .iter()
        .map(|it| it.words)
        .collect();
    let mut inline = |lines: &[serde_saphyr::Spanned<String>]| {
        let list = (!lines.is_empty()).then(|| words.list(id))?;
        for line in lines {
            if let Err(problem) = words.add(list, &line.value) {
                note(line.referenced.line(), problem);
            }
        }
        Some(list)
    };
    let any = inline(&asked.any);
    let except = inline(&asked.except);
    unless.extend(inline(&asked.unless));
    known.extend(any.map(|words| Lexicon {
        words,
        exceptions: None,
    }));
    if known.is_empty() && asked.lexicons.is_empty() {
        let problem = format!("`{id}` has words but none to look for; add lexicons or any");
        note(place.line, problem);
    }
    RuleWords {
        lexicons: known,
        except,
        unless,
    }
}
