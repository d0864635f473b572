//! `mingjing-agent recognise`: recorded signals in, activities out.
//!
//! Invariant: a broken line stops the command with its number and without its content.

use std::io::{BufRead, BufWriter, Write};

use anyhow::Context;
use mingjing_agent::pack::PackSet;
use mingjing_agent::recognise::{Recogniser, Watch};
use mingjing_proto::json;

/// Arguments of this command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Account id the activities carry
    #[arg(long, default_value = "work")]
    account: String,
    /// The account's own nickname, which helps to tell own bubbles
    #[arg(long, default_value = "")]
    own_name: String,
    /// Apply the real gate: nothing counts before the account's own page was seen
    #[arg(long)]
    prove: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut recogniser = Recogniser::new(PackSet::builtin());
    let private = |_: &str| false;
    let watch = Watch {
        own_name: &arguments.own_name,
        since_ms: 0,
        private: &private,
    };
    let mut output = BufWriter::new(std::io::stdout().lock());
    for (index, line) in std::io::stdin().lock().lines().enumerate() {
        let at = || format!("line {}", index + 1);
        let line = line.with_context(at)?;
        if line.trim().is_empty() {
            continue;
        }
        let signal = json::signal_from_line(&line).with_context(at)?;
        for activity in recogniser.recognise(&signal, &watch) {
            let line = json::activity_to_line(&arguments.account, &activity);
            writeln!(output, "{line}")?;
        }
    }
    output.flush()?;
    Ok(())
}
