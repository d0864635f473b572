//! `mingjing-collector pack`.

use std::path::PathBuf;

use clap::Subcommand;
use mingjing_collector::packs;

use super::{ACTOR, Folder};

/// Arguments of this command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sign a folder of recognition packs and send it to every phone
    ///
    /// Check the folder first with `mingjing-agent pack check`: a phone refuses a set that does not
    /// load, keeps the one it has, and says so on the coverage page.
    Publish(Publish),
}

#[derive(Debug, clap::Args)]
struct Publish {
    #[command(flatten)]
    folder: Folder,
    /// Folder with the YAML files of all apps
    dir: PathBuf,
}

/// Publishes and prints the version.
#[allow(clippy::print_stdout, reason = "a command's output")]
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Command::Publish(publish) = &arguments.command;
    let files = packs::read(&publish.dir)?;
    let shared = publish.folder.open().await?;
    let version = packs::publish(&shared, files, ACTOR).await?;
    shared.db.close().await;
    println!("published as version {version}");
    Ok(())
}
