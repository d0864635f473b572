//! `bench connections`: thousands of idle phones, all of them coming back at once, and what one bad
//! phone does to a thousand good ones.
//!
//! Idle phones are raw sessions in this process, each of a person and an account of its own; the
//! collector is a child. It is killed and started again on its port; phones come back as the agent does:
//! exponential, from a second, with full jitter. Good phones send one event a second each; their
//! acknowledgements are timed alone, then beside each kind of bad phone, with the idle ones connected.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::StreamExt as _;
use mingjing_collector::accounts::{self, Account};
use mingjing_collector::people::{self, NewPerson, Role};
use mingjing_proto::pb::{self, from_device, to_device};
use prost::Message as _;
use serde::Serialize;
use tokio::sync::Notify;

use super::load::{Meter, Shape, Site, Store, batch, drive};
use super::measure::{Spread, bar, held, now, wait};
use crate::child::CollectorChild;
use crate::harness::{PASSWORD, free_port};
use crate::raw::RawPhone;

/// Phones entered or connected at the same time while the scene is set.
const AT_ONCE: usize = 32;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// Longer than this and the bench fails.
const PATIENCE: Duration = Duration::from_secs(180);
const GOOD: &str = "good";
const BAD: &str = "bad";

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Database: sqlite, postgres (a server of the bench's own) or postgres://…
    #[arg(long, default_value = "sqlite", value_name = "STORE")]
    pub store: String,
    /// Idle phones
    #[arg(long, default_value_t = 10_000)]
    pub phones: usize,
    /// Good phones that send one event a second each
    #[arg(long, default_value_t = 1000)]
    pub good: usize,
    /// Seconds the good ones are timed, alone and beside each kind of bad phone
    #[arg(long, default_value_t = 20)]
    pub seconds: u64,
    /// Print only the JSON line
    #[arg(long)]
    pub json: bool,
}

/// What one bad phone did to the good ones.
#[derive(Clone, Debug, Serialize)]
pub struct Beside {
    /// `nobody`, `batches`, `chatter`, `garbage`.
    pub bad: &'static str,
    /// What the bad phone got done a second: batches acknowledged, messages taken, or sessions opened.
    pub bad_per_s: f64,
    /// The good ones' acknowledgements.
    #[serde(flatten)]
    pub good: Spread,
}

/// The last line.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Idle phones.
    pub phones: usize,
    /// Seconds until all were connected for the first time, so many at once.
    pub connect_s: f64,
    /// The collector's resident memory with all of them connected.
    pub rss_mb: f64,
    /// The same an idle session, over the collector before any.
    pub kb_per_session: f64,
    /// The collector's processor share with all of them idle, percent of one processor.
    pub idle_cpu_percent: f64,
    /// Seconds from the restarted collector's listening until all were back.
    pub reconnect_s: f64,
    /// The collector's processor time for one phone's coming back.
    pub reconnect_cpu_ms: f64,
    /// Resident memory after that.
    pub rss_after_mb: f64,
    /// Good phones, alone and beside bad ones.
    pub good: Vec<Beside>,
}

impl Report {
    /// The figures for people.
    #[allow(clippy::print_stdout, reason = "a command's output")]
    pub fn print(&self) {
        println!("{} idle phones", self.phones);
        println!("  first connected in      {:>9.1} s", self.connect_s);
        println!(
            "  resident memory         {:>9.0} MB ({:.1} kB a session)   ≤0.6 GB: {}",
            self.rss_mb,
            self.kb_per_session,
            held(self.rss_mb, 600.0)
        );
        println!("  processor while idle    {:>9.1} %", self.idle_cpu_percent);
        println!(
            "  all back after restart  {:>9.1} s ({:.2} ms CPU each)       ≤15 s: {}",
            self.reconnect_s,
            self.reconnect_cpu_ms,
            held(self.reconnect_s, 15.0)
        );
        println!("  resident memory then    {:>9.0} MB", self.rss_after_mb);
        println!("good phones' acknowledgements beside a bad one");
        for beside in &self.good {
            println!(
                "  {:<10} p50 {:>7.1} ms   p99 {:>7.1} ms   max {:>7.1} ms   ({} samples; bad: {:.0}/s)",
                beside.bad,
                beside.good.p50_ms,
                beside.good.p99_ms,
                beside.good.max_ms,
                beside.good.samples,
                beside.bad_per_s
            );
        }
    }
}

/// How many idle phones are connected, and when the last of them was.
#[derive(Debug)]
struct Fleet {
    size: usize,
    connected: AtomicUsize,
    changed: Notify,
}

impl Fleet {
    fn came(&self) {
        self.connected.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_one();
    }

    fn went(&self) {
        self.connected.fetch_sub(1, Ordering::SeqCst);
        self.changed.notify_one();
    }

    /// Waits until all are connected; the moment of it.
    async fn complete(&self, what: &str) -> anyhow::Result<Instant> {
        let bar = bar(self.size as u64, what);
        let wait = async {
            loop {
                let connected = self.connected.load(Ordering::SeqCst);
                bar.set_position(connected as u64);
                if connected == self.size {
                    return now();
                }
                self.changed.notified().await;
            }
        };
        let complete = tokio::time::timeout(PATIENCE, wait).await;
        bar.finish_and_clear();
        complete.with_context(|| {
            let connected = self.connected.load(Ordering::SeqCst);
            format!("{what}: {connected} of {} within {PATIENCE:?}", self.size)
        })
    }
}

/// Runs it.
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub async fn run(arguments: &Arguments, program: &Path) -> anyhow::Result<Report> {
    anyhow::ensure!(arguments.seconds > 0, "--seconds takes 1 or more");
    anyhow::ensure!(arguments.phones > 0, "--phones takes 1 or more");
    files_for(arguments.phones + arguments.good)?;
    let dir = tempfile::tempdir()?;
    let store = Store::open(&arguments.store).await?;
    let port = free_port()?;
    let data = dir.path().join("collector");
    let site = Site::start_at(&data, &store.url, "", port).await?;
    let idle = idle_phones(&site, arguments.phones).await?;
    let holder = site
        .collector
        .person(GOOD, "压测", "压测部", &[(Role::Employee, "*")])
        .await?;
    site.collector.account(GOOD, &holder, "压测").await?;
    let good = good_phones(&site, &holder, arguments.good).await?;
    // One for each kind: what a flood left under way must not meet the next kind's session.
    let mut bad = Vec::new();
    for n in 0..4 {
        bad.push(site.phone(&format!("{BAD}{n}")).await?);
    }
    let child = site.serve(program).await?;

    let empty = child.usage()?.rss_bytes;
    let began = now();
    let fleet = Arc::new(Fleet {
        size: idle.len(),
        connected: AtomicUsize::new(0),
        changed: Notify::new(),
    });
    let staying: Vec<_> = idle
        .into_iter()
        .zip(0_u64..)
        .map(|(phone, n)| tokio::spawn(stay(phone, n, fleet.clone())))
        .collect();
    let connect_s = (fleet.complete("connecting").await? - began).as_secs_f64();
    let before = child.usage()?;
    wait(5, "idle").await;
    let connected = child.usage()?;

    let mut killed = child;
    killed.kill().await?;
    drop(killed);
    let child = CollectorChild::start(program, &["serve"], &data).await?;
    let listening = now();
    let start_ms = child.usage()?.cpu_ms;
    let reconnect_s = (fleet.complete("coming back").await? - listening).as_secs_f64();
    let back = child.usage()?;

    let mut beside = Vec::new();
    let mut good = good;
    let kinds = [Bad::Nobody, Bad::Batches, Bad::Chatter, Bad::Garbage];
    for ((kind, bad), n) in kinds.into_iter().zip(bad).zip(0..) {
        let account = format!("{BAD}{n}");
        let mischief = (bad, account, kind);
        let (spread, bad_per_s, phones) = timed(good, mischief, arguments.seconds).await?;
        good = phones;
        beside.push(Beside {
            bad: kind.name(),
            bad_per_s,
            good: spread,
        });
    }
    for phone in staying {
        phone.abort();
    }
    child.end().await?;
    let phones = arguments.phones as f64;
    Ok(Report {
        phones: arguments.phones,
        connect_s,
        rss_mb: connected.rss_bytes as f64 / 1_048_576.0,
        kb_per_session: (connected.rss_bytes as f64 - empty as f64) / 1024.0 / phones,
        idle_cpu_percent: (connected.cpu_ms - before.cpu_ms) / 50.0,
        reconnect_s,
        reconnect_cpu_ms: (back.cpu_ms - start_ms) / phones,
        rss_after_mb: back.rss_bytes as f64 / 1_048_576.0,
        good: beside,
    })
}

/// Raises the limit of open files as far as it goes; both processes need one a phone.
fn files_for(phones: usize) -> anyhow::Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let needed = phones as u64 + 1000;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit)?;
    }
    let may = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    anyhow::ensure!(
        may >= needed,
        "{phones} phones need {needed} open files and {may} are allowed: raise the hard limit (ulimit -Hn) \
         or ask for fewer with --phones"
    );
    Ok(())
}

/// Enters people, accounts and phones; nobody needs a password, since nobody sends anything.
async fn idle_phones(site: &Site, count: usize) -> anyhow::Result<Vec<RawPhone>> {
    let bar = bar(count as u64, "enrolling idle phones");
    let phones = futures::stream::iter(0..count)
        .map(|n| idle_phone(site, n))
        .buffer_unordered(AT_ONCE)
        .inspect(|_| bar.inc(1))
        .collect::<Vec<_>>()
        .await;
    bar.finish_and_clear();
    phones.into_iter().collect()
}

async fn idle_phone(site: &Site, n: usize) -> anyhow::Result<RawPhone> {
    let shared = &site.collector.shared;
    let login = format!("idle{n}");
    let new = NewPerson {
        login: login.clone(),
        name: "闲置".to_owned(),
        department: format!("部门{}", n % 40),
        class: "staff".to_owned(),
        language: "zh-CN".to_owned(),
    };
    let person = people::create(shared, new, &[(Role::Employee, "*".to_owned())], "bench").await?;
    people::set_schedule(shared, &person, &shared.config.hours, "bench").await?;
    let account = Account {
        account: login.clone(),
        app: "com.tencent.mm".to_owned(),
        android_user: 0,
        shown_id: login,
        nickname: "闲置".to_owned(),
        holder: person.clone(),
        department: format!("部门{}", n % 40),
        custodian: person.clone(),
        registered_ms: shared.clock.now_ms(),
        suspended_ms: None,
    };
    let (db, audit, changes) = (&shared.db, &shared.audit, &shared.changes);
    accounts::add(db, audit, changes, &account, "bench").await?;
    let token = mingjing_collector::enroll::new_token(shared, &person, "bench").await?;
    RawPhone::enroll(&token).await
}

/// Phones of one holder, so that one password is hashed for each and not one account register grown.
async fn good_phones(
    site: &Site,
    holder: &crate::harness::Entered,
    count: usize,
) -> anyhow::Result<Vec<RawPhone>> {
    let bar = bar(count as u64, "enrolling good phones");
    let phones = futures::stream::iter(0..count)
        .map(async |_| {
            let token = site.collector.token(holder).await?;
            let mut phone = RawPhone::enroll(&token).await?;
            phone.consented(PASSWORD).await?;
            anyhow::Ok(phone)
        })
        .buffer_unordered(AT_ONCE)
        .inspect(|_| bar.inc(1))
        .collect::<Vec<_>>()
        .await;
    bar.finish_and_clear();
    phones.into_iter().collect()
}

/// Stays connected; comes back after every break.
async fn stay(phone: RawPhone, seed: u64, fleet: Arc<Fleet>) {
    let mut hello = phone.hello();
    // Made once: the phones' own side shares the collector's cores here, and is not what is measured.
    let connector = phone.connector().expect("the phone connected before");
    let mut attempt = 0;
    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    loop {
        if let Ok((mut session, _)) = phone.open_by(connector.clone(), hello.clone()).await {
            attempt = 0;
            fleet.came();
            while let Some(message) = session.idle().await {
                remember(&mut hello, &message);
            }
            fleet.went();
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let most = FIRST_WAIT
            .saturating_mul(1 << attempt.min(16))
            .min(LONGEST_WAIT);
        tokio::time::sleep(most.mul_f64(share(random))).await;
        attempt += 1;
    }
}

#[allow(clippy::cast_precision_loss, reason = "53 bits")]
fn share(random: u64) -> f64 {
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

/// What the phone has need not be sent again.
fn remember(hello: &mut pb::Hello, message: &to_device::Body) {
    let to_device::Body::Signed(signed) = message else {
        return;
    };
    let payload = &*signed.payload;
    if signed.kind() == pb::SignedKind::Policy {
        hello.policy_version = pb::Policy::decode(payload).map_or(0, |it| it.version);
    } else if signed.kind() == pb::SignedKind::Notice {
        hello.notice_version = pb::Notice::decode(payload).map_or(0, |it| it.version);
    }
}

/// What a bad phone does.
#[derive(Clone, Copy, Debug)]
enum Bad {
    /// Nothing: the good ones are alone.
    Nobody,
    /// The largest batches, as many in flight as the collector takes.
    Batches,
    /// Tiny messages, each of which is written to the database.
    Chatter,
    /// Opens sessions, sends garbage, is thrown out, comes back at once; on four connections.
    Garbage,
}

impl Bad {
    fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Batches => "batches",
            Self::Chatter => "chatter",
            Self::Garbage => "garbage",
        }
    }
}

/// The good ones' acknowledgements beside a bad phone, what that one got done a second, and the phones.
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
async fn timed(
    good: Vec<RawPhone>,
    (bad, account, kind): (RawPhone, String, Bad),
    seconds: u64,
) -> anyhow::Result<(Spread, f64, Vec<RawPhone>)> {
    let meter = Arc::new(Meter::default());
    let shape = Shape {
        in_flight: 16,
        events: 1,
        every: Some(Duration::from_secs(1)),
    };
    let drivers: Vec<_> = good
        .into_iter()
        .zip(0_u64..)
        .map(|(phone, n)| tokio::spawn(drive(phone, GOOD.to_owned(), n, meter.clone(), shape)))
        .collect();
    let done = Arc::new(AtomicUsize::new(0));
    let mischief = misbehave(bad, &account, kind, done.clone());
    let watch = async {
        wait(3, "good phones begin").await;
        meter.measure(true);
        let before = done.load(Ordering::Relaxed);
        wait(seconds, &format!("good phones beside {}", kind.name())).await;
        meter.measure(false);
        done.load(Ordering::Relaxed) - before
    };
    let bad_done = tokio::select! {
        failed = mischief => {
            failed?;
            anyhow::bail!("the bad phone gave up");
        }
        bad_done = watch => bad_done,
    };
    meter.end();
    let (mut phones, mut latencies) = (Vec::new(), Vec::new());
    for driver in drivers {
        let (phone, took) = driver.await?.context("a good phone")?;
        phones.push(phone);
        latencies.extend(took);
    }
    Ok((
        Spread::of(latencies),
        bad_done as f64 / seconds as f64,
        phones,
    ))
}

async fn misbehave(
    mut bad: RawPhone,
    account: &str,
    kind: Bad,
    done: Arc<AtomicUsize>,
) -> anyhow::Result<()> {
    match kind {
        Bad::Nobody => std::future::pending().await,
        Bad::Batches => {
            let (mut session, _) = bad.open().await?;
            let (mut n, mut in_flight) = (0, 0);
            loop {
                while in_flight < 32 {
                    let batch = batch(&mut bad, account, &mut n, 1000);
                    session.send(from_device::Body::Batch(batch)).await?;
                    in_flight += 1;
                }
                super::load::ack(&mut session).await?;
                in_flight -= 1;
                done.fetch_add(1, Ordering::Relaxed);
            }
        }
        Bad::Chatter => {
            let (session, _) = bad.open().await?;
            loop {
                let status = from_device::Body::Status(pb::Status::default());
                session.send(status).await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
        }
        Bad::Garbage => {
            let one = async || -> anyhow::Result<()> {
                loop {
                    // Being thrown out at any step is what is expected.
                    if let Ok(mut session) = bad.connect().await {
                        let garbage = from_device::Body::Batch(pb::Batch::default());
                        drop(session.send(garbage).await);
                        drop(session.end().await);
                    } else {
                        tokio::task::yield_now().await;
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            };
            tokio::try_join!(one(), one(), one(), one())?;
            Ok(())
        }
    }
}
