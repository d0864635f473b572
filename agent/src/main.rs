//! The agent's host program: everything a phone does, on a computer.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
