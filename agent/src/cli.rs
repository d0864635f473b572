//! Commands of `mingjing-agent`, one a file; this one only names them.

mod consent;
mod dump;
mod enroll;
mod export;
mod letter;
mod pack;
mod place;
mod recognise;
mod replay;
mod run;
mod status;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Mingjing's agent, as a host program.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the collector did not accept.
#[derive(Debug, Parser)]
#[command(name = "mingjing-agent", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Enrol this agent with a one-use token from the console
    Enroll(enroll::Arguments),
    /// Show the notice, and accept, refuse or withdraw
    Consent(consent::Arguments),
    /// Write to the company: answer a finding, ask for one's rights, complain; or list what was written
    Letter(letter::Arguments),
    /// Keep a session open until interrupted
    Run(run::Arguments),
    /// Hand recorded signals (JSON lines) to the agent, in order, as if they happened
    Replay(replay::Arguments),
    /// Turn recorded signals (JSON lines on standard input) into activities (JSON lines on standard output)
    Recognise(recognise::Arguments),
    /// Work with recognition packs
    Pack(pack::Arguments),
    /// Mask every text of recorded signals and keep their structure, to write packs from
    Dump(dump::Arguments),
    /// Show what the agent knows of itself, without connecting
    Status(status::Arguments),
    /// Write the employee's own copy: consents, receipts, what was sent last, who read it
    Export(export::Arguments),
}

/// What a command that worked has to say by its exit code.
pub(crate) enum Outcome {
    Done,
    NotAccepted,
}

/// Parses the command line and runs the command.
pub(crate) fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let done = |result: anyhow::Result<()>| result.map(|()| Outcome::Done);
    let result = match command {
        Command::Enroll(arguments) => done(enroll::run(&arguments)),
        Command::Consent(arguments) => consent::run(&arguments),
        Command::Letter(arguments) => letter::run(&arguments),
        Command::Run(arguments) => done(run::run(&arguments)),
        Command::Replay(arguments) => done(replay::run(&arguments)),
        Command::Recognise(arguments) => done(recognise::run(&arguments)),
        Command::Pack(arguments) => done(pack::run(&arguments)),
        Command::Status(arguments) => done(status::run(&arguments)),
        Command::Export(arguments) => done(export::run(&arguments)),
        Command::Dump(arguments) => done(dump::run(&arguments)),
    };
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::NotAccepted) => ExitCode::from(3),
        Err(error) => {
            eprintln!("mingjing-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}
