//! `mingjing-agent dump`: the structure of recorded windows with every text masked, for writing packs.
//!
//! Invariant: of a text only its length, its script and the words a pack already knows remain; no name,
//! message or number gets out. Made by the employee's own act, from a recording of his own.

use std::io::{BufRead, BufWriter, Write};

use anyhow::Context;
use mingjing_agent::pack::PackSet;
use mingjing_proto::json;
use mingjing_proto::pb::signal::Body;

/// Arguments of this command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

/// Runs the command.
pub(crate) fn run(_arguments: &Arguments) -> anyhow::Result<()> {
    let packs = PackSet::builtin();
    let mut output = BufWriter::new(std::io::stdout().lock());
    for (index, line) in std::io::stdin().lock().lines().enumerate() {
        let at = || format!("line {}", index + 1);
        let line = line.with_context(at)?;
        if line.trim().is_empty() {
            continue;
        }
        let mut signal = json::signal_from_line(&line).with_context(at)?;
        let package = signal.package.clone();
        match &mut signal.body {
            Some(Body::Screen(screen)) => {
                for node in &mut screen.nodes {
                    node.text = packs.masked(&package, &node.text);
                    node.desc = packs.masked(&package, &node.desc);
                }
            }
            Some(Body::Notification(it)) => {
                for text in [
                    &mut it.title,
                    &mut it.text,
                    &mut it.big_text,
                    &mut it.ticker,
                    &mut it.sub_text,
                    &mut it.conversation_title,
                ] {
                    *text = packs.masked(&package, text);
                }
                for line in &mut it.lines {
                    *line = packs.masked(&package, line);
                }
                for message in &mut it.messages {
                    message.sender = packs.masked(&package, &message.sender);
                    message.text = packs.masked(&package, &message.text);
                }
                it.key.clear();
            }
            // Lists of names have no structure worth showing, and states hold no text.
            Some(Body::Contacts(list)) => list.names.clear(),
            Some(Body::State(_)) | None => {}
        }
        writeln!(output, "{}", json::signal_to_line(&signal))?;
    }
    output.flush()?;
    Ok(())
}
