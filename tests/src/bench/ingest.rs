//! `bench ingest`: how many events a second one collector takes to disk, and what each costs.
//!
//! Load shape: 8 phones, each with 16 batches of 100 events in flight, mutual TLS 1.3, texts of 59
//! bytes on average, 50,000 words and the shipped rules; warm-up, then the measured time. The
//! collector runs in a child process so that its processor time is its own; the generator shares the
//! machine.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mingjing_collector::people::Role;
use mingjing_proto::pb::{self, Category, from_device};
use mingjing_proto::validate;
use serde::Serialize;

use super::texts;
use crate::child::CollectorChild;
use crate::clock::SimClock;
use crate::harness::{Collector, PASSWORD, SETTINGS};
use crate::raw::{RawPhone, RawSession};

const PHONES: usize = 8;
const IN_FLIGHT: usize = 16;
const BATCH_EVENTS: usize = 100;
const WORDS: u64 = 50_000;

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Database address; empty for SQLite
    #[arg(long, default_value = "")]
    pub store: String,
    /// Measured seconds, after the warm-up
    #[arg(long, default_value_t = 20)]
    pub seconds: u64,
    /// Warm-up seconds
    #[arg(long, default_value_t = 5)]
    pub warm_up: u64,
    /// Events a second over all phones; 0 for as fast as possible
    #[arg(long, default_value_t = 0)]
    pub rate: u64,
    /// Print only the JSON line
    #[arg(long)]
    pub json: bool,
}

/// The last line.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Events acknowledged per second of the measured time.
    pub events_per_s: f64,
    /// The collector's processor time per event.
    pub server_cpu_us_per_event: f64,
    /// Events acknowledged, warm-up included.
    pub acked: u64,
    /// Events in the store afterwards.
    pub rows_in_store: i64,
    /// Findings raised.
    pub findings: i64,
    /// Transactions made durable.
    pub fsyncs: i64,
    /// Batch sent to acknowledgement, measured time.
    pub ack_p50_ms: f64,
    /// Batch sent to acknowledgement, measured time.
    pub ack_p99_ms: f64,
    /// Bytes of the database per event.
    pub bytes_per_event: f64,
    /// Resident memory of the collector.
    pub rss_mb: f64,
    /// sqlite or postgres.
    pub engine: &'static str,
    /// What is switched on.
    pub stages: Vec<&'static str>,
}

/// The collector under load in a child process.
#[derive(Debug)]
pub struct Loaded {
    /// The child.
    pub child: CollectorChild,
    /// Phones with consent, not connected.
    pub phones: Vec<RawPhone>,
    dir: PathBuf,
    store: String,
}

/// Sets up people, accounts and phones, then starts the collector as `program serve`.
pub async fn loaded(
    dir: &Path,
    store: &str,
    phones: usize,
    program: &Path,
) -> anyhow::Result<Loaded> {
    let data = dir.join("collector");
    let clock = Arc::new(SimClock::real());
    let words = data.join("words");
    let settings = format!(
        "{SETTINGS}[store]\nurl = {store:?}\n[rules]\nrules_dir = \"words/rules\"\nlexicons_dir = \"words/lexicons\"\n[limits]\nbatches_per_s = 100000\n"
    );
    std::fs::create_dir_all(words.join("rules"))?;
    std::fs::create_dir_all(words.join("lexicons"))?;
    std::fs::write(words.join("lexicons/load.txt"), texts::lexicon(WORDS))?;
    std::fs::write(words.join("rules/load.yaml"), LOAD_RULE)?;
    let mut collector = Collector::start(&data, &settings, clock).await?;
    let mut ready = Vec::new();
    for n in 0..phones {
        let login = format!("load{n}");
        let holder = collector
            .person(&login, "压测", "压测部", &[(Role::Employee, "*")])
            .await?;
        collector.account(&login, &holder, "压测").await?;
        let token = collector.token(&holder).await?;
        let mut phone = RawPhone::enroll(&token).await?;
        phone.consented(PASSWORD).await?;
        ready.push(phone);
    }
    collector.stop().await?;
    let child = CollectorChild::start(program, &["serve"], &data).await?;
    for phone in &mut ready {
        phone.session_server.clone_from(&child.at.session);
    }
    Ok(Loaded {
        child,
        phones: ready,
        dir: data,
        store: store.to_owned(),
    })
}

const LOAD_RULE: &str = "- id: load-words
  title: {zh: 压测词库, en: Load lexicon}
  article: 压测
  level: low
  owner: bench
  kinds: [message]
  words: {lexicons: [load]}
  false_positives: 压测
  examples:
    hit: [赌赌赌赌]
    miss: [你好]
";

#[derive(Debug, Default)]
struct Meter {
    acked: AtomicU64,
    measuring: AtomicBool,
    stop: AtomicBool,
}

/// One phone's load; returns the latencies of the measured time, milliseconds.
async fn drive(
    mut phone: RawPhone,
    number: u64,
    meter: Arc<Meter>,
    every: Option<Duration>,
) -> anyhow::Result<Vec<f64>> {
    let (mut session, _) = phone.open().await?;
    let account = format!("load{number}");
    let mut sent: VecDeque<(u64, Instant)> = VecDeque::new();
    let mut latencies = Vec::new();
    let mut n = number * 1_000_000_000;
    let mut next = now();
    while !meter.stop.load(Ordering::Relaxed) || !sent.is_empty() {
        let stopping = meter.stop.load(Ordering::Relaxed);
        if !stopping && sent.len() < IN_FLIGHT && every.is_none_or(|_| now() >= next) {
            let batch = batch(&mut phone, &account, &mut n);
            session.send(from_device::Body::Batch(batch)).await?;
            sent.push_back((phone.seq, now()));
            if let Some(every) = every {
                next += every;
            }
            continue;
        }
        if sent.is_empty() {
            tokio::time::sleep_until(next.into()).await;
            continue;
        }
        if !stopping && sent.len() < IN_FLIGHT && every.is_some() {
            let due = tokio::time::sleep_until(next.into());
            tokio::select! {
                () = due => continue,
                ack = ack(&mut session) => settle(ack?, &mut sent, &meter, &mut latencies),
            }
        } else {
            let ack = ack(&mut session).await?;
            settle(ack, &mut sent, &meter, &mut latencies);
        }
    }
    Ok(latencies)
}

async fn ack(session: &mut RawSession) -> anyhow::Result<u64> {
    let ack = session.ack().await?;
    anyhow::ensure!(
        ack.refused.is_empty() && ack.held.is_none() && ack.resend_from == 0,
        "the collector did not take everything: {ack:?}"
    );
    Ok(ack.through)
}

fn settle(
    through: u64,
    sent: &mut VecDeque<(u64, Instant)>,
    meter: &Meter,
    latencies: &mut Vec<f64>,
) {
    while sent.front().is_some_and(|(seq, _)| *seq <= through) {
        if let Some((_, at)) = sent.pop_front() {
            meter
                .acked
                .fetch_add(BATCH_EVENTS as u64, Ordering::Relaxed);
            if meter.measuring.load(Ordering::Relaxed) {
                latencies.push(at.elapsed().as_secs_f64() * 1000.0);
            }
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a bench measures real time")]
fn now() -> Instant {
    Instant::now()
}

fn batch(phone: &mut RawPhone, account: &str, n: &mut u64) -> pb::Batch {
    let at_ms = jiff::Timestamp::now().as_millisecond();
    let mut frames = Vec::new();
    for _ in 0..BATCH_EVENTS / 25 {
        let activities = (0..25)
            .map(|_| {
                *n += 1;
                activity(*n, at_ms)
            })
            .collect();
        frames.push(phone.events(Category::Messages, account, at_ms, activities));
    }
    validate::deflate(phone.epoch, frames)
}

fn activity(n: u64, at_ms: i64) -> pb::Activity {
    let peer = format!("客户{}", n % 97);
    pb::Activity {
        at_ms,
        utc_offset_min: 480,
        kind: pb::Kind::Message.into(),
        direction: if n.is_multiple_of(2) {
            pb::Direction::Out
        } else {
            pb::Direction::In
        }
        .into(),
        conversation: Some(pb::Conversation {
            title: peer.clone(),
            ..Default::default()
        }),
        peer,
        content: "text".to_owned(),
        text: texts::text(n),
        source: pb::Source::Notification.into(),
        confidence: pb::Confidence::Likely.into(),
        ..Default::default()
    }
}

/// The `p`th percentile (0–100) of sorted values.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index below the length"
)]
pub fn percentile(sorted: &[f64], p: f64) -> f64 {
    if sorted.is_empty() {
        return 0.0;
    }
    sorted[((sorted.len() - 1) as f64 * p / 100.0).round() as usize]
}

/// Runs the load and reports.
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub async fn run(arguments: &Arguments, program: &Path) -> anyhow::Result<Report> {
    let dir = tempfile::tempdir()?;
    let mut loaded = loaded(dir.path(), &arguments.store, PHONES, program).await?;
    let meter = Arc::new(Meter::default());
    let every = (arguments.rate > 0)
        .then(|| Duration::from_secs_f64((PHONES * BATCH_EVENTS) as f64 / arguments.rate as f64));
    let drivers: Vec<_> = std::mem::take(&mut loaded.phones)
        .into_iter()
        .zip(0..)
        .map(|(phone, number)| tokio::spawn(drive(phone, number, meter.clone(), every)))
        .collect();
    tokio::time::sleep(Duration::from_secs(arguments.warm_up)).await;
    let (acked_before, before, started) = (
        meter.acked.load(Ordering::Relaxed),
        loaded.child.usage()?,
        now(),
    );
    meter.measuring.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(arguments.seconds)).await;
    let (acked_after, after, took) = (
        meter.acked.load(Ordering::Relaxed),
        loaded.child.usage()?,
        started.elapsed(),
    );
    meter.measuring.store(false, Ordering::Relaxed);
    meter.stop.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    for driver in drivers {
        latencies.extend(driver.await?.context("a phone under load")?);
    }
    latencies.sort_by(f64::total_cmp);
    let measured = (acked_after - acked_before) as f64;
    loaded.child.end().await?;

    let shared = {
        let config =
            mingjing_collector::config::Config::load(&loaded.dir, Some(loaded.store.clone()))?;
        mingjing_collector::Shared::open(config, Arc::new(SimClock::real())).await?
    };
    let number = async |sql: &'static str| -> anyhow::Result<i64> {
        use sqlx::Row;
        Ok(sqlx::query(sql)
            .fetch_one(shared.db.reader())
            .await?
            .try_get(0)?)
    };
    let report = Report {
        events_per_s: measured / took.as_secs_f64(),
        server_cpu_us_per_event: (after.cpu_ms - before.cpu_ms) * 1000.0 / measured.max(1.0),
        acked: meter.acked.load(Ordering::Relaxed),
        rows_in_store: number("select cast(coalesce(sum(count), 0) as bigint) from records where category = 1 and partial = 0").await?,
        findings: number("select count(*) from findings").await?,
        fsyncs: number("select count(distinct received_ms) from records where category = 1").await?,
        ack_p50_ms: percentile(&latencies, 50.0),
        ack_p99_ms: percentile(&latencies, 99.0),
        bytes_per_event: database_bytes(&loaded.dir) as f64 / meter.acked.load(Ordering::Relaxed).max(1) as f64,
        rss_mb: after.rss_bytes as f64 / 1_048_576.0,
        engine: shared.db.engine().name(),
        stages: vec![
            "mtls", "inflate", "chain", "consent", "normalise", "words", "rules", "seal", "tally", "commit",
        ],
    };
    shared.db.close().await;
    Ok(report)
}

fn database_bytes(dir: &Path) -> u64 {
    ["mingjing.db", "mingjing.db-wal"]
        .iter()
        .filter_map(|name| std::fs::metadata(dir.join(name)).ok())
        .map(|file| file.len())
        .sum()
}
