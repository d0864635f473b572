//! `mingjing-collector audit`.

use clap::Subcommand;
use mingjing_collector::audit::Audit;

use super::Folder;

/// Arguments of this command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Recompute the audit chains of the data folder; exits 1 when one is broken
    Verify(Folder),
}

/// Runs the command.
#[allow(clippy::print_stdout, reason = "a command's output")]
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Command::Verify(folder) = &arguments.command;
    let shared = folder.open().await?;
    let verdict = Audit::verify(&shared.db).await?;
    if let Some((collector, seq)) = verdict.broken_at {
        anyhow::bail!("the audit chain of {collector} is broken at entry {seq}");
    }
    println!("{} entries hold", verdict.entries);
    Ok(())
}
