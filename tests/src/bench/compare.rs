//! `bench compare`: a peer's load test and ours in turns on one machine, and the ratio of the two.
//!
//! The peer is a shell command whose last line is a JSON object with `events_per_s` and
//! `cpu_us_per_event`; it brings its own load. Turns alternate, so that a machine that grows slower or
//! faster meanwhile favours neither; medians are compared.

use std::path::Path;
use std::process::Stdio;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::ingest;
use super::measure::{bar, percentile};

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Shell command of the peer's load test; its last line is JSON with events_per_s and cpu_us_per_event
    #[arg(long, value_name = "COMMAND")]
    pub peer: String,
    /// Turns of each
    #[arg(long, default_value_t = 3)]
    pub rounds: u64,
    /// Database of our side, as in `bench ingest`
    #[arg(long, default_value = "sqlite", value_name = "STORE")]
    pub store: String,
    /// Measured seconds of our turns, after a warm-up of 5
    #[arg(long, default_value_t = 20)]
    pub seconds: u64,
    /// Print only the JSON line
    #[arg(long)]
    pub json: bool,
}

/// One turn's figures.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Turn {
    /// Events a second.
    pub events_per_s: f64,
    /// Processor time per event.
    pub cpu_us_per_event: f64,
}

/// The last line.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The peer's turns.
    pub peer: Vec<Turn>,
    /// Our turns.
    pub ours: Vec<Turn>,
    /// Medians of the peer's.
    pub peer_median: Turn,
    /// Medians of ours.
    pub ours_median: Turn,
    /// Our events a second over the peer's.
    pub throughput_ratio: f64,
    /// Our processor time an event over the peer's.
    pub cpu_ratio: f64,
}

/// Runs both in turns.
pub async fn run(arguments: &Arguments, program: &Path) -> anyhow::Result<Report> {
    anyhow::ensure!(arguments.rounds > 0, "--rounds takes 1 or more");
    anyhow::ensure!(
        arguments.store != "both",
        "--store both: one database at a time is compared"
    );
    let (mut peer, mut ours) = (Vec::new(), Vec::new());
    let bar = bar(2 * arguments.rounds, "turns");
    for _ in 0..arguments.rounds {
        peer.push(peers_turn(&arguments.peer).await?);
        bar.inc(1);
        let load = ingest::Arguments {
            store: arguments.store.clone(),
            seconds: arguments.seconds,
            warm_up: 5,
            rate: 0,
            json: true,
        };
        let reports = ingest::run(&load, program).await?;
        let report = reports.first().context("one store gives one report")?;
        anyhow::ensure!(
            report.holds(),
            "what was acknowledged is not what is stored"
        );
        ours.push(Turn {
            events_per_s: report.events_per_s,
            cpu_us_per_event: report.server_cpu_us_per_event,
        });
        bar.inc(1);
    }
    bar.finish_and_clear();
    let (peer_median, ours_median) = (median(&peer), median(&ours));
    Ok(Report {
        throughput_ratio: ours_median.events_per_s / peer_median.events_per_s,
        cpu_ratio: ours_median.cpu_us_per_event / peer_median.cpu_us_per_event,
        peer,
        ours,
        peer_median,
        ours_median,
    })
}

impl Report {
    /// The figures for people.
    #[allow(clippy::print_stdout, reason = "a command's output")]
    pub fn print(&self) {
        println!("median of {} turns each", self.peer.len());
        for (who, turn) in [("peer", self.peer_median), ("ours", self.ours_median)] {
            println!(
                "  {who}   {:>10.0} events/s   {:>8.2} µs CPU an event",
                turn.events_per_s, turn.cpu_us_per_event
            );
        }
        println!(
            "  ours is {:.2} × as fast at {:.2} × the CPU",
            self.throughput_ratio, self.cpu_ratio
        );
    }
}

async fn peers_turn(command: &str) -> anyhow::Result<Turn> {
    let done = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .await
        .context("starting the peer's command")?;
    anyhow::ensure!(
        done.status.success(),
        "the peer's command ended with {}",
        done.status
    );
    turn(&String::from_utf8_lossy(&done.stdout))
}

/// The figures in the last line of a peer's output.
fn turn(output: &str) -> anyhow::Result<Turn> {
    let last = output
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .context("the peer's command printed nothing")?;
    let turn: Turn = serde_json::from_str(last).with_context(|| {
        format!(
            "the peer's last line must be {{\"events_per_s\": …, \"cpu_us_per_event\": …}}, it is: {last}"
        )
    })?;
    anyhow::ensure!(
        turn.events_per_s > 0.0 && turn.cpu_us_per_event > 0.0,
        "the peer's figures must be above 0: {last}"
    );
    Ok(turn)
}

fn median(turns: &[Turn]) -> Turn {
    let middle = |value: fn(&Turn) -> f64| {
        let mut values: Vec<f64> = turns.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        percentile(&values, 50.0)
    };
    Turn {
        events_per_s: middle(|turn| turn.events_per_s),
        cpu_us_per_event: middle(|turn| turn.cpu_us_per_event),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_last_line_is_its_figures_and_anything_else_is_named() {
        let given = turn("warming up\n{\"events_per_s\": 47500, \"cpu_us_per_event\": 19.6}\n\n");
        assert!((given.unwrap().events_per_s - 47_500.0).abs() < f64::EPSILON);
        for (output, expected) in [
            ("", "nothing"),
            ("done", "it is: done"),
            ("{\"events_per_s\": 1}", "cpu_us_per_event"),
            ("{\"events_per_s\": 0, \"cpu_us_per_event\": 1}", "above 0"),
        ] {
            let error = turn(output).unwrap_err().to_string();
            assert!(error.contains(expected), "{output:?}: {error}");
        }
    }
}
