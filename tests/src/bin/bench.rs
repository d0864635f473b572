//! `bench`: what the product costs, as commands whose last line is one JSON object.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mingjing_tests::bench::ingest;
use mingjing_tests::child;

/// Measures Mingjing; run it in the release profile.
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
    /// A collector in a process of its own; used by the other commands
    #[command(hide = true)]
    Serve {
        /// Data folder
        #[arg(long)]
        data: PathBuf,
    },
}

#[allow(clippy::print_stdout, reason = "a command's output")]
async fn run(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Ingest(arguments) => {
            let report = ingest::run(&arguments, &std::env::current_exe()?).await?;
            if !arguments.json {
                println!(
                    "{:.0} events/s, {:.2} µs of collector CPU an event, acknowledged after p50 {:.1} ms, p99 {:.1} ms",
                    report.events_per_s,
                    report.server_cpu_us_per_event,
                    report.ack_p50_ms,
                    report.ack_p99_ms
                );
            }
            println!("{}", serde_json::to_string(&report)?);
            Ok(i64::try_from(report.acked)? == report.rows_in_store)
        }
        Command::Serve { data } => {
            child::serve(&data, 0).await?;
            Ok(true)
        }
    }
}

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("bench: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(Arguments::parse().command)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("bench: what was acknowledged is not what is stored");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
