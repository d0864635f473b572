//! `mingjing-collector rules`: check rules, test them by their examples, run them over files.
//!
//! Invariants: nothing is stored and nobody is judged here; output is ids, values and spans, never a
//! sentence; without `--rules` and `--lexicons` the shipped ones are used.

use std::io::{self, BufRead, BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use mingjing_collector::normalise::normalise;
use mingjing_collector::rules::{Event, Expected, Hit, MemoryCounts, RuleSet};
use mingjing_proto::json::{activity_from_line, rfc3339};
use mingjing_proto::vocabulary::Named;
use serde::Serialize;

/// Longest line of activities read.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// Arguments of this command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Load rules and lexicons and tell every problem with its file, line and cure
    #[command(after_long_help = RULE_HELP)]
    Check(Set),
    /// Run the rules' own examples and tell how many hit and missed as they should
    Test(Set),
    /// Judge activities from standard input, one JSON object a line, and write findings
    #[command(after_long_help = RUN_HELP)]
    Run(Set),
}

/// Which rules.
#[derive(Debug, clap::Args)]
struct Set {
    /// Folder of rules (*.yaml); without it the shipped rules
    #[arg(long, requires = "lexicons")]
    rules: Option<PathBuf>,
    /// Folder of lexicons (*.txt); without it the shipped lexicons
    #[arg(long, requires = "rules")]
    lexicons: Option<PathBuf>,
    /// Folder of the site's own rules, laid over the others
    #[arg(long, requires = "site_lexicons")]
    site_rules: Option<PathBuf>,
    /// Folder of the site's own lexicons, laid over the others
    #[arg(long, requires = "site_rules")]
    site_lexicons: Option<PathBuf>,
}

const RULE_HELP: &str = "\
A rule file holds one rule or a list of rules. Fields (* must be there):
  id*            small letters, digits, hyphens
  title*         {zh, en}
  article*       the policy's article a case would cite
  covers         requirement numbers, such as [S22]
  level*         low | medium | high | critical
  status         testing | active | paused (active)
  owner          who answers for the rule
  kinds*         kinds of activity, such as [message, transfer_sent]
  direction      in | out | none | any (any)
  conversation   group | direct | external | internal, one or several that must all hold
  scope          {departments, classes, accounts}
  words          {lexicons, any, except, unless, unless_lexicons}: lexicons by file name, any: words
                 written here, except: cancels a word it covers, unless: cancels the rule anywhere
  amount         {min, max} in fen
  hours          {from: \"09:00\", to: \"18:00\", days: [1,2,3,4,5], outside: false}, local to the employee
  count          {over: 20, within: 1h, by: account | conversation | peer | department}
  where          CEL over account amount cards class content conversation count department direction
                 external group kind length links members minute peer phones sender target text weekday
  false_positives  what a reviewer should know
  examples*      {hit: [...], miss: [...]}, at least one each: a text, or fields of an activity
                 with time, weekday, times, department, class

A lexicon has a word or phrase a line, # comments, ! exceptions. {a|b} stands for either; … between
parts of a phrase for up to 8 characters of the same sentence, …(3) for up to 3 (up to 4: of the same clause). Width, case, traditional characters,
digits and signs between Chinese characters need no entries of their own.";

const RUN_HELP: &str = "\
Each finding is one line:
  {\"line\":3,\"at\":\"…\",\"account\":\"…\",\"kind\":\"…\",\"direction\":\"…\",\"rule\":\"…\",\"level\":\"…\",\"status\":\"…\",
   \"article\":\"…\",\"covers\":[\"S22\"],\"spans\":[[start,end,\"lexicon\"]],\"chars\":[[start,end]],\"count\":{…}}
spans are bytes of the UTF-8 text, chars the same places in characters, both from 0, end excluded.
Counts are kept in memory from the first line to the last. Lines are judged as one class and department;
times of day are those of the line's own offset.";

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.command {
        Command::Check(set) => check(set),
        Command::Test(set) => test(set),
        Command::Run(set) => judge_lines(set),
    }
}

impl Set {
    fn load(&self) -> anyhow::Result<RuleSet> {
        let pair = |rules: &Option<PathBuf>, lexicons: &Option<PathBuf>| {
            rules.clone().zip(lexicons.clone())
        };
        let shipped = pair(&self.rules, &self.lexicons);
        let site = pair(&self.site_rules, &self.site_lexicons);
        let set = RuleSet::load(
            shipped.as_ref().map(|(a, b)| (a.as_path(), b.as_path())),
            site.as_ref().map(|(a, b)| (a.as_path(), b.as_path())),
        )?;
        Ok(set)
    }
}

fn check(set: &Set) -> anyhow::Result<()> {
    let rules = set.load()?;
    let mut out = io::stdout().lock();
    let version = hex::encode(rules.version());
    writeln!(
        out,
        "{} rules are sound, version {version}",
        rules.rules().count()
    )?;
    Ok(())
}

fn test(set: &Set) -> anyhow::Result<()> {
    let rules = set.load()?;
    let mut out = io::stdout().lock();
    for rule in rules.rules() {
        if !rule.is_judged() {
            writeln!(out, "{:<32} paused", rule.id)?;
            continue;
        }
        let results = rules.run_examples(rule);
        let count = |expected| {
            let of_kind = results.iter().filter(|result| result.expected == expected);
            (
                of_kind.clone().filter(|it| it.passed).count(),
                of_kind.count(),
            )
        };
        let (hit, hits) = count(Expected::Hit);
        let (miss, misses) = count(Expected::Miss);
        writeln!(
            out,
            "{:<32} {hit}/{hits} hit, {miss}/{misses} missed",
            rule.id
        )?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Finding<'a> {
    line: usize,
    at: &'a str,
    account: &'a str,
    kind: &'a str,
    direction: &'a str,
    rule: &'a str,
    level: mingjing_collector::rules::Level,
    status: mingjing_collector::rules::Status,
    article: &'a str,
    covers: &'a [String],
    spans: Vec<(usize, usize, &'a str)>,
    chars: Vec<(usize, usize)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<Count>,
}

#[derive(Serialize)]
struct Count {
    from: String,
    value: i64,
}

fn judge_lines(set: &Set) -> anyhow::Result<()> {
    let rules = set.load()?;
    let counts = MemoryCounts::default();
    let mut input = io::stdin().lock();
    let mut out = BufWriter::new(io::stdout().lock());
    let mut hits = Vec::new();
    let mut line = String::new();
    for number in 1_usize.. {
        line.clear();
        let read = io::Read::take(&mut input, MAX_LINE_BYTES)
            .read_line(&mut line)
            .with_context(|| format!("line {number} can't be read; is it UTF-8?"))?;
        if read == 0 {
            break;
        }
        if read as u64 == MAX_LINE_BYTES {
            bail!("line {number} is longer than {MAX_LINE_BYTES} bytes");
        }
        if line.trim().is_empty() {
            continue;
        }
        let read = activity_from_line(line.trim()).with_context(|| format!("line {number}"))?;
        let activity = &read.activity;
        let normalised = normalise(&activity.text);
        let local_min = activity.at_ms.div_euclid(60_000) + i64::from(activity.utc_offset_min);
        let event = Event {
            account: &read.account,
            department: "",
            class: "",
            local_minute_of_day: u16::try_from(local_min.rem_euclid(1_440))?,
            // 1 January 1970 was a Thursday.
            weekday: u8::try_from((local_min.div_euclid(1_440) + 3).rem_euclid(7) + 1)?,
            activity,
            normalised: &normalised,
        };
        hits.clear();
        rules.judge(&event, &counts, &mut hits);
        for hit in &hits {
            write_finding(&mut out, &rules, number, &event, hit)?;
        }
    }
    out.flush()?;
    Ok(())
}

fn write_finding(
    out: &mut impl Write,
    rules: &RuleSet,
    line: usize,
    event: &Event<'_>,
    hit: &Hit,
) -> anyhow::Result<()> {
    let rule = rules.at(hit.rule);
    let activity = event.activity;
    let chars = |bytes: usize| activity.text[..bytes].chars().count();
    let finding = Finding {
        line,
        at: &rfc3339(activity.at_ms, activity.utc_offset_min),
        account: event.account,
        kind: activity.kind().name(),
        direction: activity.direction().name(),
        rule: &rule.id,
        level: rule.level,
        status: rule.status,
        article: &rule.article,
        covers: &rule.covers,
        spans: hit
            .spans
            .iter()
            .map(|span| (span.range.start, span.range.end, &*span.list))
            .collect(),
        chars: hit
            .spans
            .iter()
            .map(|span| (chars(span.range.start), chars(span.range.end)))
            .collect(),
        count: hit.count.as_ref().map(|count| Count {
            from: rfc3339(count.from_ms, activity.utc_offset_min),
            value: count.value,
        }),
    };
    serde_json::to_writer(&mut *out, &finding)?;
    writeln!(out)?;
    Ok(())
}
