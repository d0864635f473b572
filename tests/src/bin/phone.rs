//! A host of the agent and of nothing else, measured by `bench agent`: `phone FOLDER`.
//!
//! A program of its own, so that the pages of its file are the agent's, as those of the app's library
//! are; it brings no runtime that the agent has anyway.

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1) else {
        eprintln!("phone: which enrolled folder? `bench agent` starts this program");
        return ExitCode::from(2);
    };
    match mingjing_tests::bench::phone::host(dir.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("phone: {error:#}");
            ExitCode::FAILURE
        }
    }
}
