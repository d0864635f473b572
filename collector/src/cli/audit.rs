//! `mingjing-collector audit`.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use mingjing_collector::audit::file::{self, Report, Witness};
use mingjing_collector::audit::{Audit, Entry};

use super::{ACTOR, Folder};

/// Arguments of this command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write all audit chains and their signed checkpoints into a file anybody can verify
    Export(Export),
    /// Recompute the audit chains of a file, or of the data folder; exits 1 when something does not hold
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
struct Export {
    /// The file to write
    file: PathBuf,
    #[command(flatten)]
    folder: Folder,
}

#[derive(Debug, clap::Args)]
struct Verify {
    /// A file made by `audit export`; needs neither the data folder nor the network. Default: the data folder
    file: Option<PathBuf>,
    /// A phone's copy, made by `mingjing-agent export`: what it has seen must still stand there. May be repeated
    #[arg(long, value_name = "PHONE.json")]
    witness: Vec<PathBuf>,
    #[command(flatten)]
    folder: Folder,
}

/// Runs the command.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.command {
        Command::Export(export) => self::export(export).await,
        Command::Verify(verify) => self::verify(verify).await,
    }
}

#[allow(clippy::print_stdout, reason = "a command's output")]
async fn export(export: &Export) -> anyhow::Result<()> {
    let shared = export.folder.open().await?;
    let name = export.file.display().to_string();
    let file = File::create_new(&export.file).with_context(|| name.clone())?;
    let mut out = BufWriter::new(file);
    let entry = Entry::new(ACTOR, "audit.export", "audit", "");
    shared.audit.append(&shared.db, entry).await?;
    let entries = file::export(&shared, &mut out).await?;
    out.flush().with_context(|| name)?;
    shared.db.close().await;
    println!("{entries} entries written");
    Ok(())
}

async fn verify(verify: &Verify) -> anyhow::Result<()> {
    let mut witnesses = Vec::new();
    for path in &verify.witness {
        let name = path.display().to_string();
        let json = std::fs::read_to_string(path).with_context(|| name.clone())?;
        witnesses.push(Witness::parse(&name, &json)?);
    }
    let report = match &verify.file {
        Some(path) => {
            let file = File::open(path).with_context(|| path.display().to_string())?;
            file::verify(BufReader::new(file), &witnesses)?
        }
        None => {
            let shared = verify.folder.open().await?;
            let verdict = Audit::verify(&shared.db).await?;
            if let Some((collector, seq)) = verdict.broken_at {
                anyhow::bail!("the audit chain of {collector} is broken at entry {seq}");
            }
            let mut written = Vec::new();
            file::export(&shared, &mut written).await?;
            file::verify(&written[..], &witnesses)?
        }
    };
    tell(&report, witnesses.len())
}

#[allow(clippy::print_stdout, reason = "a command's output")]
fn tell(report: &Report, witnesses: usize) -> anyhow::Result<()> {
    for problem in &report.problems {
        println!("{problem}");
    }
    if !report.problems.is_empty() {
        anyhow::bail!("the audit log does not hold");
    }
    println!(
        "{} entries hold, {} checkpoints, {} seen by {witnesses} phones",
        report.entries, report.checkpoints, report.witnessed
    );
    if witnesses == 0 {
        println!(
            "without --witness a log that was rewritten and signed anew by whoever holds the keys can't be told"
        );
    }
    Ok(())
}
