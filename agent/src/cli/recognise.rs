//! `mingjing-agent recognise`: recorded signals in, activities out.
//!
//! Invariants:
//! - a broken line stops the command with its number and without its content;
//! - other Android users, and what follows a login or switch page, are dropped unread until the account
//!   is shown again.

use std::io::{BufRead, BufWriter, Write};

use anyhow::Context;
use mingjing_agent::pack::PackSet;
use mingjing_agent::proof::recording::{Pass, Recording, off_account};
use mingjing_agent::recognise::{Recogniser, Watch};
use mingjing_agent::scope::without_text;
use mingjing_proto::{json, pb};

/// Arguments of this command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Account id the activities carry
    #[arg(long, default_value = "work")]
    account: String,
    /// The account's own nickname, which helps to tell own bubbles
    #[arg(long, default_value = "")]
    own_name: String,
    /// Android user the account belongs to
    #[arg(long, default_value_t = 0)]
    user: u32,
    /// Count nothing before the account's own page was seen, and after every break in the watch
    #[arg(long)]
    prove: bool,
    /// With --prove, the id the account's page must show; without it, the first one shown
    #[arg(long, requires = "prove")]
    shown_id: Option<String>,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let packs = PackSet::builtin();
    let mut recogniser = Recogniser::new(packs.clone());
    let mut gate = Recording::new(arguments.user, arguments.prove, arguments.shown_id.clone());
    let private = |_: &str| false;
    let mut output = BufWriter::new(std::io::stdout().lock());
    for (index, line) in std::io::stdin().lock().lines().enumerate() {
        let at = || format!("line {}", index + 1);
        let line = line.with_context(at)?;
        if line.trim().is_empty() {
            continue;
        }
        let signal = json::signal_from_line(&line).with_context(at)?;
        let pass = gate.pass(&packs, &signal);
        let mut read = |signal: &pb::Signal, since_ms: i64| {
            let watch = Watch {
                own_name: &arguments.own_name,
                since_ms,
                private: &private,
            };
            recogniser.recognise(signal, &watch)
        };
        let activities = match pass {
            Pass::Read { since_ms } | Pass::Ends { since_ms } => read(&signal, since_ms),
            Pass::Window => read(&without_text(&signal), 0),
            Pass::OffAccount => vec![off_account(&signal)],
            Pass::Drop => Vec::new(),
        };
        if matches!(pass, Pass::Ends { .. }) {
            recogniser.forget();
        }
        for activity in &activities {
            let line = json::activity_to_line(&arguments.account, activity);
            writeln!(output, "{line}")?;
        }
    }
    output.flush()?;
    Ok(())
}
