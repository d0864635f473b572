//! `cargo demo`: collector, console and twelve phones in one process, a recorded working day.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::civil::time;
use mingjing_tests::demo::day::{self, Person};
use mingjing_tests::demo::play::Played;
use mingjing_tests::demo::stage::{OFFICE, Stage};
use mingjing_tests::demo::{guide, verify};
use tokio_util::sync::CancellationToken;

/// How much faster than recorded the first part of the day runs: 08:05 to 16:30 in about a minute.
const FAST: f64 = 490.0;
/// How much faster than recorded the rest runs, for somebody who watches.
const SLOW: f64 = 5.0;
/// Phones and the collector.
const SETTING_UP: usize = 13;

/// 演示：一个进程里的采集端、控制台和十二部手机，回放一个工作日。
///
/// A demo: collector, console and twelve phones in one process, a recorded working day.
#[derive(Debug, Parser)]
#[command(name = "demo")]
struct Arguments {
    /// Run to the end without waiting for anybody, compare both sides, print one JSON line
    #[arg(long)]
    check: bool,
    /// Keep the data in this new or empty folder instead of a temporary one
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// How many times as fast as recorded the day runs until 16:30
    #[arg(long, value_name = "FACTOR", default_value_t = FAST)]
    speed: f64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("demo: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    anyhow::ensure!(
        arguments.speed >= 1.0 && arguments.speed <= 10_000.0,
        "--speed takes 1 to 10000"
    );
    let temporary;
    let dir = match &arguments.dir {
        Some(dir) => {
            empty(dir)?;
            dir.as_path()
        }
        None => {
            temporary = tempfile::Builder::new()
                .prefix("mingjing-demo-")
                .tempdir()?;
            temporary.path()
        }
    };
    let stop = CancellationToken::new();
    let interrupted = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupted.cancel();
        }
    });
    let started = tokio::time::Instant::now();
    let bar = bar(
        (SETTING_UP + OFFICE.len()) as u64,
        "{bar:30} {pos}/{len} {msg}",
    );
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let progress = |done: &str| {
        bar.inc(1);
        bar.set_message(done.to_owned());
    };
    let stage = tokio::select! {
        stage = Stage::set_up(dir, now_ms, &progress) => stage?,
        () = stop.cancelled() => return Ok(false),
    };
    bar.finish_and_clear();
    if arguments.check {
        check(stage, dir, arguments.speed, started, &stop).await
    } else {
        show(stage, arguments.speed, &stop).await
    }
}

/// A folder that somebody named: nothing in it is ever touched.
fn empty(dir: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("{}", dir.display()))?;
    let used = std::fs::read_dir(dir)
        .with_context(|| format!("{}", dir.display()))?
        .next()
        .is_some();
    anyhow::ensure!(!used, "{} is not empty; name a new folder", dir.display());
    Ok(())
}

#[allow(clippy::print_stdout, reason = "a command's output")]
async fn check(
    stage: Stage,
    dir: &Path,
    speed: f64,
    started: tokio::time::Instant,
    stop: &CancellationToken,
) -> anyhow::Result<bool> {
    stage.clock.set_speed(speed);
    let Some(played) = play(&stage, stop).await? else {
        eprintln!("demo: interrupted before the day was over");
        stage.stop().await?;
        return Ok(false);
    };
    stage.settle().await?;
    let mut report = verify::sides(&stage, &played).await?;
    let people: Vec<Person> = stage.phones.iter().map(|it| it.person.clone()).collect();
    stage.stop().await?;
    verify::files(dir, &people, &mut report)?;
    report.seconds = started.elapsed().as_secs();
    for difference in &report.differences {
        eprintln!("demo: {difference}");
    }
    println!("{}", serde_json::to_string(&report)?);
    Ok(report.ok)
}

#[allow(clippy::print_stdout, reason = "a command's output")]
async fn show(stage: Stage, speed: f64, stop: &CancellationToken) -> anyhow::Result<bool> {
    print!("{}", guide::text(&stage));
    stage.clock.set_speed(speed);
    let slow_down = async {
        let at_ms = day::at(stage.date, time(16, 30, 0, 0));
        while stage.clock.now() < at_ms {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        stage.clock.set_speed(SLOW);
        std::future::pending::<()>().await;
    };
    let played = tokio::select! {
        played = play(&stage, stop) => played?,
        () = slow_down => None,
    };
    if played.is_some() {
        stage.clock.set_speed(1.0);
        println!(
            "  一天结束，控制台仍开着；按 Ctrl-C 结束。 The day is over, the console stays open; Ctrl-C ends the demo."
        );
        stop.cancelled().await;
    }
    println!("  正在停止… stopping…");
    stage.stop().await?;
    Ok(true)
}

/// Plays the day with a bar that shows its time and the alerts; nothing when it was interrupted.
async fn play(stage: &Stage, stop: &CancellationToken) -> anyhow::Result<Option<Vec<Played>>> {
    let handed = AtomicU64::new(0);
    let signals: usize = stage.phones.iter().map(|it| it.signals.len()).sum();
    let bar = bar(signals as u64, "{bar:30} {pos}/{len} {msg}");
    let watch = async {
        loop {
            let now = jiff::Timestamp::from_millisecond(stage.clock.now())?
                .to_zoned_datetime(day::zone());
            let alerts = stage
                .collector
                .number("select count(*) from findings")
                .await?;
            bar.set_position(handed.load(Ordering::Relaxed));
            bar.set_message(format!("{}  预警 alerts {alerts}", now.strftime("%H:%M")));
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    let played = tokio::select! {
        played = stage.play(&handed, stop) => played?,
        watched = watch => {
            let never: anyhow::Result<std::convert::Infallible> = watched;
            match never? {}
        }
    };
    bar.finish_and_clear();
    Ok((!stop.is_cancelled()).then_some(played))
}

/// A progress bar; it draws only on a terminal.
fn bar(length: u64, template: &str) -> ProgressBar {
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}
