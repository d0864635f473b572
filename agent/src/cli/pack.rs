//! `mingjing-agent pack`: checking recognition packs.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use mingjing_agent::pack::{BUILTIN, check_files};

/// Arguments of this command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Load packs as a phone would and try every example; without files, the packs compiled in
    Check {
        /// Pack files, all of one set
        files: Vec<PathBuf>,
    },
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Command::Check { files } = &arguments.command;
    let set = if files.is_empty() {
        BUILTIN
            .map(|(name, json)| (name.to_owned(), json.to_owned()))
            .to_vec()
    } else {
        files
            .iter()
            .map(|path| {
                let name = path.display().to_string();
                let text = std::fs::read_to_string(path).with_context(|| name.clone())?;
                Ok((name, text))
            })
            .collect::<anyhow::Result<_>>()?
    };
    let checked = check_files(&set)?;
    writeln!(
        std::io::stdout(),
        "ok: {} patterns, {} examples, {} windows",
        checked.patterns,
        checked.examples,
        checked.windows
    )?;
    Ok(())
}
