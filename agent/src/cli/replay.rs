//! `mingjing-agent replay`.

use std::path::PathBuf;
use std::time::Duration;

use mingjing_agent::replay::{self, Options};

use super::place::Place;

/// Arguments of this command.
///
/// A replay that was interrupted goes on after the last line whose records are on the disk. Recorded
/// times are kept while they are credible (not older than 7 days, not ahead of now by
/// more than 5 minutes), otherwise a signal counts as happening now. What is captured is also
/// gated by the present: outside the agreed hours a replay captures nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Recorded signals, one JSON object a line
    file: PathBuf,
    /// How much faster than recorded; 0 is as fast as possible
    #[arg(long, default_value_t = 0.0)]
    speed: f64,
    /// Signals in one call at most: what is lost together when the disk fails
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    per_call: u16,
    /// Stay connected after everything was acknowledged, until interrupted
    #[arg(long)]
    stay: bool,
    /// Print what was done as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    anyhow::ensure!(
        arguments.speed >= 0.0 && arguments.speed.is_finite(),
        "--speed is 0 or more"
    );
    let agent = arguments.place.start()?;
    let options = Options {
        speed: arguments.speed,
        signals_per_call: arguments.per_call.into(),
    };
    let report = replay::run(&agent, &arguments.file, options, || true)?;
    // However long it takes: the data are safe, and an interrupt loses nothing.
    while !agent.wait(Duration::from_hours(1), |status| {
        status.acked_seq >= status.head_seq
    }) {}
    let status = agent.status();
    if arguments.json {
        let json = serde_json::json!({
            "lines": report.lines,
            "skipped": report.skipped,
            "events": report.events,
            "acked_seq": status.acked_seq,
            "refused_events": status.refused_events,
            "dropped": status.dropped,
        });
        println!("{json}");
    } else {
        println!(
            "{} lines ({} done before), {} events, acknowledged through {}",
            report.lines, report.skipped, report.events, status.acked_seq
        );
        for (reason, count) in &status.dropped {
            println!("dropped {count}: {reason}");
        }
    }
    if arguments.stay {
        super::run::until_interrupted()?;
    }
    agent.stop();
    Ok(())
}
