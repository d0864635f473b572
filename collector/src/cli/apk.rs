//! `mingjing-collector apk`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use mingjing_collector::apk;

use super::Folder;

/// Arguments of this command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what the settings have to say of the phone app's file, and compare when they say it already
    Check(Check),
}

#[derive(Debug, clap::Args)]
struct Check {
    /// The APK; default: `phones.apk_file` of the settings
    file: Option<PathBuf>,
    #[command(flatten)]
    folder: Folder,
}

/// Runs the command; exits 1 when the file is not the one the settings name.
#[allow(clippy::print_stdout, reason = "a command's output")]
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Command::Check(check) = &arguments.command;
    let config = check.folder.config()?;
    let set = &config.phones.apk_file;
    let file = match &check.file {
        Some(file) => file.clone(),
        None => set
            .clone()
            .context("name the file, or set phones.apk_file")?,
    };
    let found = apk::read(&file)?;
    println!("apk_sha256 = \"{}\"", hex::encode(found.sha256));
    println!(
        "apk_signer_sha256 = \"{}\"",
        hex::encode(found.signer_sha256)
    );
    println!(
        "# checksum in the provisioning QR code: {}",
        found.checksum()
    );
    found.compare(&config.phones)?;
    if config.phones.apk_signer_sha256.is_none() {
        println!("# write these lines under [phones] of mingjing.toml");
    } else {
        println!("# the settings agree");
    }
    Ok(())
}
