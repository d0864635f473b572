//! A collector under load: set up in this process, then served by a child, with phones that send.
//!
//! Invariants: 50,000 words stand beside the shipped rules, and texts of the load hit none of them;
//! phones are enrolled and consented as any other; the child's database is a real one on disk.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mingjing_collector::people::Role;
use mingjing_proto::pb::{self, Category, from_device};
use mingjing_proto::validate;

use super::measure::{ms_since, now};
use super::texts;
use crate::child::CollectorChild;
use crate::clock::SimClock;
use crate::harness::{Collector, PASSWORD, SETTINGS};
use crate::postgres::Cluster;
use crate::raw::{RawPhone, RawSession};

/// Words beside the shipped ones.
pub const WORDS: u64 = 50_000;
/// Events of one record, at most (wire.md §1).
const RECORD_EVENTS: usize = 25;

/// The rule over the 50,000 words; its hits are what the latency bench waits for.
pub const LOAD_RULE: &str = "- id: load-words
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
/// Id of [`LOAD_RULE`].
pub const LOAD_RULE_ID: &str = "load-words";
/// A text that hits [`LOAD_RULE`] and nothing else.
pub const HIT: &str = "赌赌赌赌";

/// A database for a bench.
#[derive(Debug)]
pub struct Store {
    /// Its address; empty for SQLite.
    pub url: String,
    /// The bench's own server, if it has one.
    pub cluster: Option<Cluster>,
}

impl Store {
    /// `sqlite`, `postgres` for a server of the bench's own, or an address.
    pub async fn open(name: &str) -> anyhow::Result<Self> {
        match name {
            "" | "sqlite" => Ok(Self {
                url: String::new(),
                cluster: None,
            }),
            "postgres" => {
                let cluster = Cluster::start_durable()?;
                Ok(Self {
                    url: cluster.database().await?,
                    cluster: Some(cluster),
                })
            }
            url if url.starts_with("postgres://") || url.starts_with("postgresql://") => Ok(Self {
                url: url.to_owned(),
                cluster: None,
            }),
            other => anyhow::bail!(
                "--store {other}: write sqlite, postgres (a server of the bench's own) or postgres://…"
            ),
        }
    }
}

/// A collector in this process whose phones and people are being entered.
#[derive(Debug)]
pub struct Site {
    /// The collector.
    pub collector: Collector,
    /// Its data folder.
    pub dir: PathBuf,
}

impl Site {
    /// Starts on an empty folder with the words of the load.
    pub async fn start(dir: &Path, url: &str, settings: &str) -> anyhow::Result<Self> {
        Self::start_at(dir, url, settings, 0).await
    }

    /// The same, with sessions on this port, so that a restarted collector is found again.
    pub async fn start_at(
        dir: &Path,
        url: &str,
        settings: &str,
        session_port: u16,
    ) -> anyhow::Result<Self> {
        let base = SETTINGS.replace(
            "session = \"127.0.0.1:0\"",
            &format!("session = \"127.0.0.1:{session_port}\""),
        );
        let words = dir.join("words");
        std::fs::create_dir_all(words.join("rules"))?;
        std::fs::create_dir_all(words.join("lexicons"))?;
        std::fs::write(words.join("lexicons/load.txt"), texts::lexicon(WORDS))?;
        std::fs::write(words.join("rules/load.yaml"), LOAD_RULE)?;
        let settings = format!(
            "{base}[store]\nurl = {url:?}\n[rules]\nrules_dir = \"words/rules\"\nlexicons_dir = \"words/lexicons\"\n{settings}"
        );
        let clock = Arc::new(SimClock::real());
        Ok(Self {
            collector: Collector::start(dir, &settings, clock).await?,
            dir: dir.to_owned(),
        })
    }

    /// A phone with consent, of a new person whose login and account are `login`.
    pub async fn phone(&self, login: &str) -> anyhow::Result<RawPhone> {
        let holder = self
            .collector
            .person(login, "压测", "压测部", &[(Role::Employee, "*")])
            .await?;
        self.collector.account(login, &holder, "压测").await?;
        let token = self.collector.token(&holder).await?;
        let mut phone = RawPhone::enroll(&token).await?;
        phone.consented(PASSWORD).await?;
        Ok(phone)
    }

    /// Phones of the load: `load0`, `load1`, ….
    pub async fn phones(&self, count: usize) -> anyhow::Result<Vec<RawPhone>> {
        let mut phones = Vec::new();
        for n in 0..count {
            phones.push(self.phone(&format!("load{n}")).await?);
        }
        Ok(phones)
    }

    /// Stops here and goes on in a child process.
    pub async fn serve(mut self, program: &Path) -> anyhow::Result<CollectorChild> {
        self.collector.stop().await?;
        CollectorChild::start(program, &["serve"], &self.dir).await
    }
}

/// How one phone sends.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Batches sent before the first of them is acknowledged.
    pub in_flight: usize,
    /// Events of a batch.
    pub events: usize,
    /// Time between two batches; `None` for as fast as it goes.
    pub every: Option<Duration>,
}

/// What all phones of a load have in common.
#[derive(Debug, Default)]
pub struct Meter {
    /// Events acknowledged.
    pub acked: AtomicU64,
    /// Whether latencies are being noted.
    pub measuring: AtomicBool,
    /// Whether to end once everything sent is acknowledged.
    pub stop: AtomicBool,
}

impl Meter {
    /// Events acknowledged until now.
    pub fn acked(&self) -> u64 {
        self.acked.load(Ordering::Relaxed)
    }

    /// Begins or ends to note latencies.
    pub fn measure(&self, on: bool) {
        self.measuring.store(on, Ordering::Relaxed);
    }

    /// Tells the phones to end.
    pub fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// One phone's load; returns the phone and the latencies of the measured time, milliseconds.
pub async fn drive(
    mut phone: RawPhone,
    account: String,
    seed: u64,
    meter: Arc<Meter>,
    shape: Shape,
) -> anyhow::Result<(RawPhone, Vec<f64>)> {
    let (mut session, _) = phone.open().await?;
    let mut sent: VecDeque<(u64, Instant)> = VecDeque::new();
    let mut latencies = Vec::new();
    let mut n = seed * 1_000_000_000;
    // Phones of one load do not all send at the same moment.
    let mut next = now() + shape.every.unwrap_or_default().mul_f64(spread(seed));
    let settle = |through, sent: &mut VecDeque<(u64, Instant)>, latencies: &mut Vec<f64>| {
        while sent.front().is_some_and(|(seq, _)| *seq <= through) {
            if let Some((_, at)) = sent.pop_front() {
                meter
                    .acked
                    .fetch_add(shape.events as u64, Ordering::Relaxed);
                if meter.measuring.load(Ordering::Relaxed) {
                    latencies.push(ms_since(at));
                }
            }
        }
    };
    while !meter.stopping() || !sent.is_empty() {
        let may_send = !meter.stopping() && sent.len() < shape.in_flight;
        if may_send && shape.every.is_none_or(|_| now() >= next) {
            let batch = batch(&mut phone, &account, &mut n, shape.events);
            session.send(from_device::Body::Batch(batch)).await?;
            sent.push_back((phone.seq, now()));
            if let Some(every) = shape.every {
                next += every;
            }
            continue;
        }
        if sent.is_empty() {
            // Wakes now and then to see whether the load has ended.
            let due = next.min(now() + Duration::from_millis(100));
            tokio::time::sleep_until(due.into()).await;
        } else if may_send && shape.every.is_some() {
            tokio::select! {
                () = tokio::time::sleep_until(next.into()) => {}
                through = ack(&mut session) => settle(through?, &mut sent, &mut latencies),
            }
        } else {
            let through = ack(&mut session).await?;
            settle(through, &mut sent, &mut latencies);
        }
    }
    Ok((phone, latencies))
}

/// A share of 1 that differs from phone to phone.
#[allow(clippy::cast_precision_loss, reason = "below 1000")]
fn spread(seed: u64) -> f64 {
    (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54) as f64 / 1024.0
}

/// The next acknowledgement of a session that must take everything.
pub async fn ack(session: &mut RawSession) -> anyhow::Result<u64> {
    let ack = session.ack().await?;
    anyhow::ensure!(
        ack.refused.is_empty() && ack.held.is_none() && ack.resend_from == 0,
        "the collector did not take everything: {ack:?}"
    );
    Ok(ack.through)
}

/// The next batch of a phone; `n` numbers its texts.
pub fn batch(phone: &mut RawPhone, account: &str, n: &mut u64, events: usize) -> pb::Batch {
    let at_ms = jiff::Timestamp::now().as_millisecond();
    let mut frames = Vec::new();
    let mut left = events;
    while left > 0 {
        let count = left.min(RECORD_EVENTS);
        left -= count;
        let activities = (0..count)
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

/// Phones that send in the background at a rate over all of them, until told to end.
#[derive(Debug)]
pub struct Background {
    meter: Arc<Meter>,
    drivers: Vec<Driver>,
    /// Phones too many for the rate.
    idle: Vec<RawPhone>,
}

type Driver = tokio::task::JoinHandle<anyhow::Result<(RawPhone, Vec<f64>)>>;

impl Background {
    /// Starts these phones, whose accounts are `load0`, `load1`, …; `rate` events a second in all.
    ///
    /// Batches are small, as those of many phones: at most 25 events.
    #[allow(clippy::cast_precision_loss, reason = "rates are small")]
    pub fn start(phones: Vec<RawPhone>, rate: u64) -> Self {
        let meter = Arc::new(Meter::default());
        let count = if rate < 100 { 1 } else { phones.len() };
        let events = usize::try_from(rate / 100)
            .unwrap_or(RECORD_EVENTS)
            .clamp(1, RECORD_EVENTS);
        let every = Duration::from_secs_f64((count * events) as f64 / rate.max(1) as f64);
        let shape = Shape {
            in_flight: 32,
            events,
            every: Some(every),
        };
        let mut phones = phones;
        let idle = phones.split_off(count);
        let drivers = phones
            .into_iter()
            .zip(0_u64..)
            .map(|(phone, n)| {
                let meter = meter.clone();
                tokio::spawn(drive(phone, format!("load{n}"), n, meter, shape))
            })
            .collect();
        Self {
            meter,
            drivers,
            idle,
        }
    }

    /// Events acknowledged until now.
    pub fn acked(&self) -> u64 {
        self.meter.acked()
    }

    /// Ends once everything sent is acknowledged, and gives the phones back.
    pub async fn end(self) -> anyhow::Result<Vec<RawPhone>> {
        self.meter.end();
        let mut phones = Vec::new();
        for driver in self.drivers {
            phones.push(driver.await?.context("a phone in the background")?.0);
        }
        phones.extend(self.idle);
        Ok(phones)
    }
}
