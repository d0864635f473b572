//! One side as a process of its own: a collector or an agent replaying a file, to be killed; a company for
//! the phone app's tests.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use mingjing_agent::replay::{self, Options};
use mingjing_tests::clock::SimClock;
use mingjing_tests::{child, company, phone};

/// One side; for kill tests with a clock that runs ahead of the wall.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    side: Side,
    /// Milliseconds the clock is ahead of the wall
    #[arg(long, global = true, default_value_t = 0)]
    ahead_ms: i64,
}

#[derive(Debug, Subcommand)]
enum Side {
    /// A collector on a data folder
    Collector {
        #[arg(long)]
        data: PathBuf,
    },
    /// An enrolled, consented agent that replays a file and waits until everything is acknowledged
    Agent {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        file: PathBuf,
    },
    /// A collector with an employee that answers questions on standard input: what the app's tests speak to
    Company {
        #[arg(long)]
        data: PathBuf,
    },
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.side {
        Side::Collector { data } => {
            tokio::runtime::Runtime::new()?.block_on(child::serve(&data, arguments.ahead_ms))
        }
        Side::Company { data } => {
            log_all();
            tokio::runtime::Runtime::new()?.block_on(company::serve(&data))
        }
        Side::Agent { dir, file } => {
            let clock = Arc::new(SimClock::real());
            clock.jump(arguments.ahead_ms);
            let phone = phone::Phone::start(&dir, clock)?;
            let options = Options {
                speed: 1.0,
                signals_per_call: 7,
            };
            replay::run(&phone.agent, &file, options, || true)?;
            while !phone.agent.wait(phone::PATIENCE, |status| {
                status.acked_seq >= status.head_seq
            }) {}
            Ok(())
        }
    }
}

/// Everything the collector would ever log goes to standard error, to be searched by the test.
fn log_all() {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(
            "debug,mingjing_collector=trace",
        ))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("node: {error:#}");
            ExitCode::FAILURE
        }
    }
}
