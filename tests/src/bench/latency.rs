//! `bench latency`: from a signal to the alert in an open console, and from a batch's receipt to it.
//!
//! The first: a signal is handed to a real agent (recognised, buffered with a flush, sent over mutual
//! TLS, judged, committed) until a signed-in console client has its alert, with other phones' load in the
//! background. The second leaves the agent out: from the moment a batch is sent until its
//! acknowledgement (durable) and until its alert (pushed). One alert is under way at a time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mingjing_agent::config::Config;
use mingjing_collector::people::Role;
use mingjing_proto::pb::{self, Category, from_device};
use mingjing_proto::validate;
use serde::Serialize;

use super::load::{Background, HIT, LOAD_RULE_ID, Site, Store, ack};
use super::measure::{Spread, bar, held, ms_since, now};
use crate::browser::{Alerts, Browser};
use crate::clock::SimClock;
use crate::harness::PASSWORD;
use crate::phone::{self, Phone};
use crate::raw::RawPhone;

const PHONES: usize = 8;
/// Time between an alert and the next signal.
const PAUSE: Duration = Duration::from_millis(25);
/// Several rounds of the collector's polling.
const QUIET: Duration = Duration::from_secs(1);
/// Longer than this and the bench fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Database: sqlite, postgres (a server of the bench's own) or postgres://…
    #[arg(long, default_value = "sqlite", value_name = "STORE")]
    pub store: String,
    /// Measured seconds of each case
    #[arg(long, default_value_t = 20)]
    pub seconds: u64,
    /// Events a second of other phones while signals of one are timed, one case each
    #[arg(long, value_delimiter = ',', default_values_t = [1, 5000], value_name = "EV_S")]
    pub background: Vec<u64>,
    /// Events a second of other phones while receipt to push is timed
    #[arg(long, default_value_t = 10_000, value_name = "EV_S")]
    pub pushed_at: u64,
    /// Print only the JSON line
    #[arg(long)]
    pub json: bool,
}

/// One case.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// `signal_to_alert`, `receipt_to_durable` or `receipt_to_pushed`.
    pub path: &'static str,
    /// Events a second asked of the other phones.
    pub background_ev_s: u64,
    /// Events a second they had acknowledged.
    pub background_acked_ev_s: f64,
    /// How long it took.
    #[serde(flatten)]
    pub spread: Spread,
}

/// The last line.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// sqlite or postgres.
    pub store: String,
    /// All cases.
    pub cases: Vec<Case>,
}

impl Report {
    /// The figures for people.
    #[allow(clippy::print_stdout, reason = "a command's output")]
    pub fn print(&self) {
        println!(
            "{:<20} {:>10} {:>9} {:>8} {:>9} {:>9} {:>9}   gate",
            "path", "others/s", "reached", "samples", "p50 ms", "p99 ms", "max ms"
        );
        for case in &self.cases {
            let gate = match case.path {
                "signal_to_alert" => ("p99 ≤1 s", held(case.spread.p99_ms, 1000.0)),
                "receipt_to_pushed" => ("p99 ≤50 ms", held(case.spread.p99_ms, 50.0)),
                _ => ("", ""),
            };
            println!(
                "{:<20} {:>10} {:>9.0} {:>8} {:>9.1} {:>9.1} {:>9.1}   {} {}",
                case.path,
                case.background_ev_s,
                case.background_acked_ev_s,
                case.spread.samples,
                case.spread.p50_ms,
                case.spread.p99_ms,
                case.spread.max_ms,
                gate.0,
                gate.1
            );
        }
    }
}

/// Runs all cases.
pub async fn run(arguments: &Arguments, program: &Path) -> anyhow::Result<Report> {
    anyhow::ensure!(arguments.seconds > 0, "--seconds takes 1 or more");
    let dir = tempfile::tempdir()?;
    let store = Store::open(&arguments.store).await?;
    let settings = "[limits]\nbatches_per_s = 100000\nbytes_per_s = 1000000000\n";
    let site = Site::start(&dir.path().join("collector"), &store.url, settings).await?;
    let mut phones = site.phones(PHONES).await?;
    let mut probe = site.phone("probe").await?;
    let holder = site
        .collector
        .person("agent", "压测", "压测部", &[(Role::Employee, "*")])
        .await?;
    site.collector.account("agent", &holder, "压测").await?;
    site.collector
        .person("reviewer", "审阅", "合规部", &[(Role::Reviewer, "*")])
        .await?;
    let clock = Arc::new(SimClock::real());
    let agent_dir = dir.path().join("agent");
    let token = site.collector.token(&holder).await?;
    phone::enroll(&agent_dir, &token, clock.clone()).await?;
    consent(&agent_dir, clock.clone()).await?;

    let child = site.serve(program).await?;
    for phone in phones.iter_mut().chain([&mut probe]) {
        phone.session_server.clone_from(&child.at.session);
    }
    phone::readdress(&agent_dir, &child.at.session)?;
    let agent = start(&agent_dir, clock.clone()).await?;
    let browser = Browser::log_in(&child.at.console, "reviewer", PASSWORD).await?;

    let mut cases = Vec::new();
    for &rate in &arguments.background {
        let mut alerts = listen(&browser).await?;
        let background = Background::start(phones, rate);
        let began = now();
        let spread = signals(&agent, &clock, &mut alerts, arguments.seconds, rate).await?;
        cases.push(Case {
            path: "signal_to_alert",
            background_ev_s: rate,
            background_acked_ev_s: reached(&background, began),
            spread,
        });
        phones = background.end().await?;
    }
    let mut alerts = listen(&browser).await?;
    let background = Background::start(phones, arguments.pushed_at);
    let began = now();
    let (durable, pushed) = receipts(&mut probe, &mut alerts, arguments).await?;
    for (path, spread) in [
        ("receipt_to_durable", durable),
        ("receipt_to_pushed", pushed),
    ] {
        cases.push(Case {
            path,
            background_ev_s: arguments.pushed_at,
            background_acked_ev_s: reached(&background, began),
            spread,
        });
    }
    background.end().await?;
    tokio::task::spawn_blocking(move || drop(agent)).await?;
    child.end().await?;
    Ok(Report {
        store: arguments.store.clone(),
        cases,
    })
}

/// The probe's alerts, from now on: a stream that has just opened is told of recent ones once more.
async fn listen(browser: &Browser) -> anyhow::Result<Alerts> {
    let filter = format!("state=all&rule={LOAD_RULE_ID}");
    let mut alerts = browser.alerts(&filter).await?;
    while alerts.next(QUIET).await.is_ok() {}
    Ok(alerts)
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn reached(background: &Background, began: std::time::Instant) -> f64 {
    background.acked() as f64 * 1000.0 / ms_since(began)
}

/// Grants everything, as the holder would, and ends once the collector has it.
async fn consent(dir: &Path, clock: Arc<SimClock>) -> anyhow::Result<()> {
    let dir = dir.to_owned();
    tokio::task::spawn_blocking(move || {
        let phone = Phone::start(&dir, clock)?;
        phone.grant(PASSWORD)?;
        phone.drained()
    })
    .await?
}

/// The agent with the settings of a phone, connected, its account proven.
async fn start(dir: &Path, clock: Arc<SimClock>) -> anyhow::Result<Arc<Phone>> {
    let dir = dir.to_owned();
    tokio::task::spawn_blocking(move || {
        let phone = Phone::start_with(Config::new(dir), clock.clone())?;
        phone.wait("a session", |status| status.session == "connected")?;
        phone.signals(&[phone::account_page(clock.now(), "agent")])?;
        phone.drained()?;
        Ok(Arc::new(phone))
    })
    .await?
}

async fn signals(
    agent: &Arc<Phone>,
    clock: &Arc<SimClock>,
    alerts: &mut Alerts,
    seconds: u64,
    rate: u64,
) -> anyhow::Result<Spread> {
    let mut took = Vec::new();
    let bar = bar(seconds, &format!("signals beside {rate} events/s"));
    let began = now();
    let mut n = 0;
    while began.elapsed().as_secs() < seconds {
        n += 1;
        let text = format!("{HIT}，第{rate}-{n}单");
        let line = phone::message(clock.now(), &format!("客户{n}"), &text);
        let agent = agent.clone();
        let handed = now();
        let recorded = tokio::task::spawn_blocking(move || agent.signals(&[line])).await??;
        anyhow::ensure!(recorded.events == 1, "the agent kept {recorded:?}");
        loop {
            if alerts.next(PATIENCE).await?.event == "finding" {
                break;
            }
        }
        took.push(ms_since(handed));
        bar.set_position(began.elapsed().as_secs());
        tokio::time::sleep(PAUSE).await;
    }
    bar.finish_and_clear();
    Ok(Spread::of(took))
}

/// Times of a probe's batches to their acknowledgement and to their alert.
async fn receipts(
    probe: &mut RawPhone,
    alerts: &mut Alerts,
    arguments: &Arguments,
) -> anyhow::Result<(Spread, Spread)> {
    let (mut session, _) = probe.open().await?;
    let (mut durable, mut pushed) = (Vec::new(), Vec::new());
    let bar = bar(
        arguments.seconds,
        &format!("receipts beside {} events/s", arguments.pushed_at),
    );
    let began = now();
    let mut n = 0;
    while began.elapsed().as_secs() < arguments.seconds {
        n += 1;
        let at_ms = jiff::Timestamp::now().as_millisecond();
        let activity = pb::Activity {
            at_ms,
            utc_offset_min: 480,
            kind: pb::Kind::Message.into(),
            direction: pb::Direction::Out.into(),
            peer: "客户甲".to_owned(),
            content: "text".to_owned(),
            text: format!("{HIT}，第{n}单"),
            source: pb::Source::Notification.into(),
            confidence: pb::Confidence::Likely.into(),
            ..Default::default()
        };
        let frame = probe.events(Category::Messages, "probe", at_ms, vec![activity]);
        let batch = validate::deflate(probe.epoch, vec![frame]);
        let sent = now();
        session.send(from_device::Body::Batch(batch)).await?;
        let acked = async {
            ack(&mut session).await?;
            anyhow::Ok(ms_since(sent))
        };
        let alerted = async {
            while alerts.next(PATIENCE).await?.event != "finding" {}
            anyhow::Ok(ms_since(sent))
        };
        let (acked, alerted) = tokio::try_join!(acked, alerted)?;
        durable.push(acked);
        pushed.push(alerted);
        bar.set_position(began.elapsed().as_secs());
        tokio::time::sleep(PAUSE).await;
    }
    bar.finish_and_clear();
    Ok((Spread::of(durable), Spread::of(pushed)))
}
