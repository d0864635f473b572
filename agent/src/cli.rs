//! Commands of `mingjing-agent`, one a file; this one only names them.

mod dump;
mod pack;
mod recognise;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Mingjing's agent, as a host program.
#[derive(Debug, Parser)]
#[command(name = "mingjing-agent", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Turn recorded signals (JSON lines on standard input) into activities (JSON lines on standard output)
    Recognise(recognise::Arguments),
    /// Work with recognition packs
    Pack(pack::Arguments),
    /// Mask every text of recorded signals and keep their structure, to write packs from
    Dump(dump::Arguments),
}

/// Parses the command line and runs the command.
pub(crate) fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Recognise(arguments) => recognise::run(&arguments),
        Command::Pack(arguments) => pack::run(&arguments),
        Command::Dump(arguments) => dump::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mingjing-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}
