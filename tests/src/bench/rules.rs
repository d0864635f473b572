//! `bench rules`: what normalising and judging a message cost, and loading the rules.
//!
//! The shipped rules and 50,000 further words; messages of about 60 bytes, most of them honest.
//! Processor time of one thread.

use std::path::Path;

use mingjing_collector::normalise::normalise;
use mingjing_collector::rules::{Event, MemoryCounts, RuleSet};
use mingjing_proto::pb;
use serde::Serialize;

use super::load::{LOAD_RULE, WORDS};
use super::measure::{self, held, thread_cpu_s};
use super::texts;

/// What to run.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Arguments {
    /// Seconds of processor time for each of the two measurements
    #[arg(long, default_value_t = 5)]
    pub seconds: u64,
    /// Words beside the shipped ones
    #[arg(long, default_value_t = WORDS)]
    pub words: u64,
    /// Print only the JSON line
    #[arg(long)]
    pub json: bool,
}

/// The last line.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Report {
    /// Rules loaded, the bench's own included.
    pub rules: usize,
    /// Words beside the shipped ones.
    pub words: u64,
    /// Milliseconds to read, compile and check everything by its examples.
    pub load_ms: f64,
    /// Microseconds to normalise a message.
    pub normalise_us: f64,
    /// Microseconds to normalise and judge a message.
    pub judge_us: f64,
    /// Bytes of a message on average.
    pub message_bytes: f64,
    /// Hits in a thousand messages.
    pub hits_per_1000: f64,
}

const MESSAGES: u64 = 1000;

/// Runs it.
#[allow(clippy::cast_precision_loss, reason = "counts are small")]
pub fn run(arguments: Arguments) -> anyhow::Result<Report> {
    anyhow::ensure!(arguments.seconds > 0, "--seconds takes 1 or more");
    anyhow::ensure!(
        arguments.words >= 2,
        "--words takes 2 or more: the bench's rule needs some"
    );
    let site = tempfile::tempdir()?;
    let (rules_dir, lexicons_dir) = (site.path().join("rules"), site.path().join("lexicons"));
    write(&rules_dir, "load.yaml", LOAD_RULE)?;
    write(&lexicons_dir, "load.txt", &texts::lexicon(arguments.words))?;
    let began = thread_cpu_s()?;
    let rules = RuleSet::load(None, Some((&rules_dir, &lexicons_dir)))?;
    let load_ms = (thread_cpu_s()? - began) * 1e3;

    let activities: Vec<pb::Activity> = (0..MESSAGES).map(message).collect();
    let normalise_us = per_message(arguments.seconds, "normalising", || {
        for activity in &activities {
            std::hint::black_box(normalise(std::hint::black_box(&activity.text)));
        }
    })?;
    let mut hits = Vec::new();
    let mut found = 0_u64;
    let mut rounds = 0_u64;
    let judge_us = per_message(arguments.seconds, "judging", || {
        // Counts of one round only: those of hours would fill the memory.
        let counts = MemoryCounts::default();
        rounds += 1;
        for activity in &activities {
            let normalised = normalise(&activity.text);
            let event = Event {
                account: "work",
                department: "sales",
                class: "employee",
                local_minute_of_day: 600,
                weekday: 2,
                activity,
                normalised: &normalised,
            };
            hits.clear();
            rules.judge(&event, &counts, &mut hits);
            found += hits.len() as u64;
        }
    })?;
    let bytes: usize = activities.iter().map(|activity| activity.text.len()).sum();
    Ok(Report {
        rules: rules.rules().count(),
        words: arguments.words,
        load_ms,
        normalise_us,
        judge_us,
        message_bytes: bytes as f64 / MESSAGES as f64,
        hits_per_1000: found as f64 / rounds as f64,
    })
}

impl Report {
    /// The figures for people.
    #[allow(clippy::print_stdout, reason = "a command's output")]
    pub fn print(&self) {
        println!(
            "{} rules, {} further words; messages of {:.0} bytes, {:.0} hits in 1000",
            self.rules, self.words, self.message_bytes, self.hits_per_1000
        );
        println!("  load                       {:>10.0} ms", self.load_ms);
        println!(
            "  normalise a message        {:>10.2} µs",
            self.normalise_us
        );
        println!(
            "  normalise and judge        {:>10.2} µs   within 14 µs, the whole of ingest: {}",
            self.judge_us,
            held(self.judge_us, 14.0)
        );
    }
}

fn write(dir: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    Ok(std::fs::write(dir.join(name), text)?)
}

#[allow(clippy::cast_precision_loss, reason = "counts are small")]
fn per_message(seconds: u64, what: &str, mut round: impl FnMut()) -> anyhow::Result<f64> {
    round();
    let bar = measure::bar(seconds, what);
    let began = thread_cpu_s()?;
    let mut rounds = 0_u64;
    let mut used = 0.0;
    while used < seconds as f64 {
        round();
        rounds += 1;
        used = thread_cpu_s()? - began;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "some seconds"
        )]
        bar.set_position(used as u64);
    }
    bar.finish_and_clear();
    Ok(used * 1e6 / (rounds * MESSAGES) as f64)
}

fn message(n: u64) -> pb::Activity {
    pb::Activity {
        kind: pb::Kind::Message.into(),
        direction: pb::Direction::Out.into(),
        content: "text".to_owned(),
        text: texts::text(n),
        ..pb::Activity::default()
    }
}
