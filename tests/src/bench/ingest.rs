//! `bench ingest`: how many events a second one collector takes to disk, and what each costs.
//!
//! Load shape: 8 phones, each with 16 batches of 100 events in flight, mutual TLS 1.3, texts of 59
//! bytes on average, 50,000 words and the shipped rules; warm-up, then the measured time. The
//! collector runs in a child process so that its processor time is its own; the generator shares the
//! machine.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use super::load::{Meter, Shape, Site, Store, drive};
use super::measure::{Spread, now, wait};
use super::stages::{self, Stage};
use crate::clock::SimClock;

const PHONES: usize = 8;
const IN_FLIGHT: usize = 16;
const BATCH_EVENTS: usize = 100;

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Database: sqlite, postgres (a server of the bench's own, durable), postgres://…, or both: SQLite,
    /// then the bench's own PostgreSQL, and their ratio
    #[arg(long, default_value = "sqlite", value_name = "STORE")]
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
    /// The database server's processor time per event, when the bench started it.
    pub database_cpu_us_per_event: Option<f64>,
    /// Events acknowledged, warm-up included.
    pub acked: u64,
    /// Events in the store afterwards.
    pub rows_in_store: i64,
    /// Findings raised.
    pub findings: i64,
    /// Transactions of the committer, each made durable before its acknowledgements, warm-up included.
    pub fsyncs: u64,
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
    /// PostgreSQL's events a second over SQLite's, when both ran.
    pub ratio_to_sqlite: Option<f64>,
    /// What is switched on and what each costs, measured alone on the same data.
    pub stages: Vec<Stage>,
}

impl Report {
    /// Whether everything acknowledged is stored, once.
    pub fn holds(&self) -> bool {
        i64::try_from(self.acked) == Ok(self.rows_in_store)
    }

    /// The figures for people.
    #[allow(clippy::print_stdout, reason = "a command's output")]
    pub fn print(&self) {
        println!("{}", self.engine);
        println!("  events a second            {:>12.0}", self.events_per_s);
        println!(
            "  collector CPU an event     {:>12.2} µs",
            self.server_cpu_us_per_event
        );
        if let Some(cpu) = self.database_cpu_us_per_event {
            println!("  database CPU an event      {cpu:>12.2} µs");
        }
        println!(
            "  acknowledged after         {:>12.1} ms p50, {:.1} ms p99",
            self.ack_p50_ms, self.ack_p99_ms
        );
        println!(
            "  database bytes an event    {:>12.0}",
            self.bytes_per_event
        );
        println!("  resident memory            {:>12.0} MB", self.rss_mb);
        println!(
            "  acknowledged, stored       {:>12} {}",
            self.acked, self.rows_in_store
        );
        if let Some(ratio) = self.ratio_to_sqlite {
            println!("  of SQLite's events/s       {:>12.0} %", ratio * 100.0);
        }
        println!("  stages, each alone:");
        for stage in &self.stages {
            println!(
                "    {:<24} {:>12.2} µs an event",
                stage.stage, stage.us_per_event
            );
        }
    }
}

/// Runs the load and reports: one report a store.
pub async fn run(arguments: &Arguments, program: &Path) -> anyhow::Result<Vec<Report>> {
    anyhow::ensure!(arguments.seconds > 0, "--seconds takes 1 or more");
    let stores = match arguments.store.as_str() {
        "both" => vec!["sqlite", "postgres"],
        one => vec![one],
    };
    let mut reports: Vec<Report> = Vec::new();
    for store in stores {
        let mut report = once(arguments, store, program).await?;
        report.ratio_to_sqlite = reports
            .first()
            .map(|sqlite| report.events_per_s / sqlite.events_per_s);
        reports.push(report);
    }
    Ok(reports)
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
async fn once(arguments: &Arguments, store: &str, program: &Path) -> anyhow::Result<Report> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("collector");
    let store = Store::open(store).await?;
    let settings = "[limits]\nbatches_per_s = 100000\nbytes_per_s = 1000000000\n";
    let site = Site::start(&data, &store.url, settings).await?;
    let mut phones = site.phones(PHONES).await?;
    let child = site.serve(program).await?;
    for phone in &mut phones {
        phone.session_server.clone_from(&child.at.session);
    }
    let meter = Arc::new(Meter::default());
    let every = (arguments.rate > 0)
        .then(|| Duration::from_secs_f64((PHONES * BATCH_EVENTS) as f64 / arguments.rate as f64));
    let shape = Shape {
        in_flight: IN_FLIGHT,
        events: BATCH_EVENTS,
        every,
    };
    let drivers: Vec<_> = phones
        .into_iter()
        .zip(0_u64..)
        .map(|(phone, n)| {
            let meter = meter.clone();
            tokio::spawn(drive(phone, format!("load{n}"), n, meter, shape))
        })
        .collect();
    let database_cpu = || store.cluster.as_ref().map(crate::postgres::Cluster::cpu_ms);
    wait(arguments.warm_up, "warming up").await;
    let (acked_before, before, database_before, began) =
        (meter.acked(), child.usage()?, database_cpu(), now());
    meter.measure(true);
    wait(arguments.seconds, "measuring").await;
    let (acked_after, after, database_after, took) = (
        meter.acked(),
        child.usage()?,
        database_cpu(),
        began.elapsed(),
    );
    meter.measure(false);
    meter.end();
    let mut latencies = Vec::new();
    for driver in drivers {
        latencies.extend(driver.await?.context("a phone under load")?.1);
    }
    let latencies = Spread::of(latencies);
    let measured = (acked_after - acked_before) as f64;
    let fsyncs = child.metric("mingjing_commits_total").await?;
    child.end().await?;

    let shared = {
        let config = mingjing_collector::config::Config::load(&data, Some(store.url.clone()))?;
        mingjing_collector::Shared::open(config, Arc::new(SimClock::real())).await?
    };
    let number = async |sql: &'static str| -> anyhow::Result<i64> {
        use sqlx::Row;
        Ok(sqlx::query(sql)
            .fetch_one(shared.db.reader())
            .await?
            .try_get(0)?)
    };
    let acked = meter.acked();
    let engine = shared.db.engine();
    let bytes = match engine {
        mingjing_collector::db::Engine::Sqlite => sqlite_bytes(&data),
        mingjing_collector::db::Engine::Postgres => {
            number("select pg_database_size(current_database())")
                .await?
                .cast_unsigned()
        }
    };
    let database = database_before.zip(database_after);
    let report = Report {
        events_per_s: measured / took.as_secs_f64(),
        server_cpu_us_per_event: (after.cpu_ms - before.cpu_ms) * 1000.0 / measured.max(1.0),
        database_cpu_us_per_event: database
            .map(|(before, after)| (after - before) * 1000.0 / measured.max(1.0)),
        acked,
        rows_in_store: number(
            "select cast(coalesce(sum(count), 0) as bigint) from records
             where category = 1 and partial = 0",
        )
        .await?,
        findings: number("select count(*) from findings").await?,
        fsyncs,
        ack_p50_ms: latencies.p50_ms,
        ack_p99_ms: latencies.p99_ms,
        bytes_per_event: bytes as f64 / acked.max(1) as f64,
        rss_mb: after.rss_bytes as f64 / 1_048_576.0,
        engine: engine.name(),
        ratio_to_sqlite: None,
        stages: stages::measure(&shared).await?,
    };
    shared.db.close().await;
    Ok(report)
}

fn sqlite_bytes(dir: &Path) -> u64 {
    ["mingjing.db", "mingjing.db-wal"]
        .iter()
        .filter_map(|name| std::fs::metadata(dir.join(name)).ok())
        .map(|file| file.len())
        .sum()
}
