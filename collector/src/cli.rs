//! Commands of `mingjing-collector`, one a file; this one only names them.

mod rules;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Mingjing's collector: enrol phones, receive, judge, keep sealed, show.
#[derive(Debug, Parser)]
#[command(name = "mingjing-collector", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check, test and run rules
    Rules(rules::Arguments),
}

/// Parses the command line and runs the command.
pub(crate) fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Rules(arguments) => rules::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mingjing-collector: {error:#}");
            ExitCode::FAILURE
        }
    }
}
