//! `bench`: what the product costs, as commands whose last line is one JSON object.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mingjing_tests::bench::{compare, connections, ingest, latency, phone, rules};
use mingjing_tests::child;
use serde::Serialize;

/// Measures Mingjing; run it in the release profile. Exit codes: 0 measured, 1 failed or something
/// acknowledged is not stored, 2 wrong arguments or not built yet.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Events a second and their cost: 8 phones, 16 batches of 100 events in flight each
    Ingest(ingest::Arguments),
    /// From a phone's signal, and from a batch's receipt, to the alert in an open console
    Latency(latency::Arguments),
    /// What the agent costs a phone: memory, processor, bytes on the wire and on the disk
    Agent(phone::Arguments),
    /// Thousands of idle phones, all coming back at once, and one bad phone beside a thousand good ones
    Connections(connections::Arguments),
    /// Normalising and judging a message against the shipped rules and 50,000 words
    Rules(rules::Arguments),
    /// Searching (not yet: there is no search index)
    Search(NotYet),
    /// A peer's load test and ours in turns, and their ratio
    Compare(compare::Arguments),
    /// A collector in a process of its own; used by the other commands
    #[command(hide = true)]
    Serve {
        /// Data folder
        #[arg(long)]
        data: PathBuf,
    },
}

/// Arguments kept for what is not built yet.
#[derive(Clone, Copy, Debug, clap::Args)]
struct NotYet {
    /// Seconds to search
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Print only the JSON line
    #[arg(long)]
    json: bool,
}

/// What came of a command.
enum Outcome {
    Measured,
    /// Something acknowledged is not stored, or stored twice.
    Differs,
    NotYet(&'static str),
}

#[allow(clippy::print_stdout, reason = "a command's output")]
fn line(report: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(report)?);
    Ok(())
}

async fn run(command: Command) -> anyhow::Result<Outcome> {
    let program = std::env::current_exe()?;
    match command {
        Command::Ingest(arguments) => {
            let reports = ingest::run(&arguments, &program).await?;
            if !arguments.json {
                reports.iter().for_each(ingest::Report::print);
            }
            for report in &reports {
                line(report)?;
            }
            if !reports.iter().all(ingest::Report::holds) {
                return Ok(Outcome::Differs);
            }
        }
        Command::Latency(arguments) => {
            let report = latency::run(&arguments, &program).await?;
            if !arguments.json {
                report.print();
            }
            line(&report)?;
        }
        Command::Agent(arguments) => {
            let report = phone::run(arguments, &program).await?;
            if !arguments.json {
                report.print();
            }
            line(&report)?;
        }
        Command::Connections(arguments) => {
            let report = connections::run(&arguments, &program).await?;
            if !arguments.json {
                report.print();
            }
            line(&report)?;
        }
        Command::Rules(arguments) => {
            let report = rules::run(arguments)?;
            if !arguments.json {
                report.print();
            }
            line(&report)?;
        }
        Command::Search(_) => {
            return Ok(Outcome::NotYet(
                "search: not yet, there is no search index to measure (docs/known-issues.md)",
            ));
        }
        Command::Compare(arguments) => {
            let report = compare::run(&arguments, &program).await?;
            if !arguments.json {
                report.print();
            }
            line(&report)?;
        }
        Command::Serve { data } => child::serve(&data, 0).await?,
    }
    Ok(Outcome::Measured)
}

fn start(command: Command) -> anyhow::Result<Outcome> {
    tokio::runtime::Runtime::new()?.block_on(run(command))
}

fn main() -> ExitCode {
    match start(Arguments::parse().command) {
        Ok(Outcome::Measured) => ExitCode::SUCCESS,
        Ok(Outcome::Differs) => {
            eprintln!("bench: what was acknowledged is not what is stored");
            ExitCode::FAILURE
        }
        Ok(Outcome::NotYet(what)) => {
            eprintln!("bench {what}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
