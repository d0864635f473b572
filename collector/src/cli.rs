//! Commands of `mingjing-collector`, one a file; this one only names them.

mod account;
mod apk;
mod audit;
mod backup;
mod device;
mod init;
mod invite;
mod pack;
mod rules;
mod serve;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use mingjing_collector::Shared;
use mingjing_collector::clock::SystemClock;
use mingjing_collector::config::Config;
use mingjing_collector::master::MasterKey;
use mingjing_collector::people::{self, Person};

/// Mingjing's collector: enrol phones, receive, judge, keep sealed, show.
#[derive(Debug, Parser)]
#[command(name = "mingjing-collector", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a data folder: settings, master key, certificate authority, first administrator
    Init(init::Arguments),
    /// Run: listeners for enrolment, sessions and the console
    Serve(serve::Arguments),
    /// Enter a person, or invite one who has no password yet
    Invite(invite::Arguments),
    /// The register of work accounts
    Account(account::Arguments),
    /// Enrolment codes for phones
    Token(token::Arguments),
    /// Phones: list, confirm, revoke
    Device(device::Arguments),
    /// Recognition packs for the phones
    Pack(pack::Arguments),
    /// The phone app's file
    Apk(apk::Arguments),
    /// Check, test and run rules
    Rules(rules::Arguments),
    /// The audit log
    Audit(audit::Arguments),
    /// Write everything into one encrypted file while the collector runs
    Backup(backup::BackupArguments),
    /// Restore a backup into a new data folder and an empty database
    Restore(backup::RestoreArguments),
    /// Recompute every device's chain and the audit chains; exits 1 when one does not hold
    Verify(Folder),
}

/// Where the data folder is, for every command that works on one.
#[derive(Clone, Debug, clap::Args)]
struct Folder {
    /// The data folder
    #[arg(long, env = "MINGJING_DATA", default_value = "./mingjing-data")]
    data: PathBuf,
    /// Database address; overrides `store.url` of the settings
    #[arg(long, env = "MINGJING_STORE_URL", hide_env_values = true)]
    store_url: Option<String>,
    /// File with the master key; without it the systemd credential master.key, else that of the data folder
    #[arg(long, env = "MINGJING_MASTER_KEY")]
    master_key: Option<PathBuf>,
}

impl Folder {
    fn config(&self) -> anyhow::Result<Config> {
        if !self.data.join(mingjing_collector::config::FILE).exists() {
            anyhow::bail!(
                "{} is no data folder; make one with: mingjing-collector init --data {}",
                self.data.display(),
                self.data.display()
            );
        }
        let mut config = Config::load(&self.data, self.store_url.clone())?;
        let credentials = credentials_dir();
        let given = self.master_key.as_deref();
        config.master_key = MasterKey::find(given, credentials.as_deref(), &self.data);
        Ok(config)
    }

    async fn open(&self) -> anyhow::Result<Arc<Shared>> {
        Ok(Shared::open(self.config()?, Arc::new(SystemClock)).await?)
    }
}

/// Where systemd put this process's credentials, if it did.
fn credentials_dir() -> Option<PathBuf> {
    std::env::var_os(mingjing_collector::master::CREDENTIALS_ENV).map(PathBuf::from)
}

/// A person by login.
async fn person(shared: &Shared, login: &str) -> anyhow::Result<Person> {
    people::by_login(&shared.db, login).await.with_context(|| {
        format!("no person has the login {login}; enter one with: mingjing-collector invite")
    })
}

/// Who acts when a command is typed on the collector's own machine.
const ACTOR: &str = "command-line";

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Runtime::new()
        .context("can't start the runtime")?
        .block_on(work)
}

/// Parses the command line and runs the command.
pub(crate) fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Init(arguments) => block_on(init::run(&arguments)),
        Command::Serve(arguments) => block_on(serve::run(&arguments)),
        Command::Invite(arguments) => block_on(invite::run(&arguments)),
        Command::Account(arguments) => block_on(account::run(&arguments)),
        Command::Token(arguments) => block_on(token::run(&arguments)),
        Command::Device(arguments) => block_on(device::run(&arguments)),
        Command::Pack(arguments) => block_on(pack::run(&arguments)),
        Command::Apk(arguments) => apk::run(&arguments),
        Command::Rules(arguments) => rules::run(&arguments),
        Command::Audit(arguments) => block_on(audit::run(&arguments)),
        Command::Backup(arguments) => block_on(backup::backup(&arguments)),
        Command::Restore(arguments) => block_on(backup::restore(&arguments)),
        Command::Verify(folder) => block_on(backup::verify(&folder)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mingjing-collector: {error:#}");
            ExitCode::FAILURE
        }
    }
}
