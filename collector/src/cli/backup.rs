//! `mingjing-collector backup`, `restore` and `verify`.

use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use mingjing_collector::audit::Audit;
use mingjing_collector::backup::{self, Backup, Counts, Header, Secret};
use mingjing_collector::clock::{Clock as _, SystemClock};
use mingjing_collector::config::{self, Config};
use mingjing_collector::db::Db;
use mingjing_collector::{chain, master};
use zeroize::Zeroizing;

use super::Folder;

/// Name of the credential that locks backups.
const KEY_CREDENTIAL: &str = "backup.key";

/// What locks the file.
#[derive(Debug, clap::Args)]
struct Lock {
    /// File with 64 hexadecimal digits instead of a passphrase (make one with: openssl rand -hex 32);
    /// without it the systemd credential backup.key, if there is one
    #[arg(long)]
    key_file: Option<PathBuf>,
    /// Passphrase; asked for when neither is given
    #[arg(long, env = "MINGJING_BACKUP_PASSPHRASE", hide_env_values = true)]
    passphrase: Option<String>,
}

impl Lock {
    fn secret(&self, twice: bool) -> anyhow::Result<Secret> {
        let credential = super::credentials_dir()
            .map(|dir| dir.join(KEY_CREDENTIAL))
            .filter(|path| self.passphrase.is_none() && path.exists());
        if let Some(path) = self.key_file.as_ref().or(credential.as_ref()) {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            let mut key = Zeroizing::new([0; 32]);
            hex::decode_to_slice(text.trim(), &mut *key)
                .with_context(|| format!("{}: a key is 64 hexadecimal digits", path.display()))?;
            return Ok(Secret::Key(key));
        }
        let passphrase = match &self.passphrase {
            Some(passphrase) => passphrase.clone(),
            None => rpassword::prompt_password("Passphrase of the backup: ")?,
        };
        if passphrase.chars().count() < 12 {
            bail!("a passphrase has at least 12 characters");
        }
        if twice
            && self.passphrase.is_none()
            && rpassword::prompt_password("Again: ")? != passphrase
        {
            bail!("the two passphrases differ; nothing was written");
        }
        Ok(Secret::Passphrase(Zeroizing::new(passphrase)))
    }
}

/// Arguments of `backup`.
#[derive(Debug, clap::Args)]
pub(crate) struct BackupArguments {
    #[command(flatten)]
    folder: Folder,
    /// The file to write
    file: PathBuf,
    #[command(flatten)]
    lock: Lock,
    /// Put the master key into the backup: then the file and its passphrase alone open all content
    #[arg(long)]
    with_master_key: bool,
}

/// Arguments of `restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArguments {
    #[command(flatten)]
    folder: Folder,
    /// The backup
    file: PathBuf,
    #[command(flatten)]
    lock: Lock,
}

#[allow(clippy::print_stdout, reason = "a command's output")]
fn print_counts(counts: &Counts) {
    for (table, count) in counts {
        println!("{table:<20} {count}");
    }
}

/// Writes a backup while the collector runs.
#[allow(clippy::print_stdout, reason = "a command's output")]
pub(crate) async fn backup(arguments: &BackupArguments) -> anyhow::Result<()> {
    let secret = arguments.lock.secret(true)?;
    let config = arguments.folder.config()?;
    let data = &config.data_dir;
    let settings_path = data.join(config::FILE);
    let header = Header {
        created_ms: SystemClock.now_ms(),
        settings: std::fs::read_to_string(&settings_path)
            .with_context(|| settings_path.display().to_string())?,
        master_key: match arguments.with_master_key {
            true => Some(config.master_key.text()?.to_string()),
            false => None,
        },
    };
    let db = Db::open(&config.store_url, data).await?;
    let unfinished = arguments.file.with_added_extension("part");
    let file = std::fs::File::create_new(&unfinished)
        .with_context(|| format!("{}; remove it if no backup runs", unfinished.display()))?;
    let counts = backup::write(&db, &header, &secret, BufWriter::new(&file)).await?;
    file.sync_all()?;
    std::fs::rename(&unfinished, &arguments.file)?;
    db.close().await;
    print_counts(&counts);
    if !arguments.with_master_key {
        println!(
            "The master key is not in it: keep a copy of {} elsewhere.",
            master::FILE
        );
    }
    Ok(())
}

/// Restores into a new data folder, then verifies.
#[allow(clippy::print_stdout, reason = "a command's output")]
pub(crate) async fn restore(arguments: &RestoreArguments) -> anyhow::Result<()> {
    let secret = arguments.lock.secret(false)?;
    let file = std::fs::File::open(&arguments.file)
        .with_context(|| arguments.file.display().to_string())?;
    let backup = Backup::open(&secret, std::io::BufReader::new(file))?;
    let data = &arguments.folder.data;
    let header = backup.header.clone();
    write_folder(data, &header)?;
    let config = Config::load(data, arguments.folder.store_url.clone())?;
    let db = Db::open(&config.store_url, data).await?;
    let counts = backup.restore(&db).await?;
    print_counts(&counts);
    report(&db).await?;
    db.close().await;
    if header.master_key.is_none() {
        println!(
            "Put the master key into {} (mode 600) before you start.",
            data.join(master::FILE).display()
        );
    }
    Ok(())
}

fn write_folder(data: &Path, header: &Header) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)?;
    let key = header.master_key.as_ref().map(|key| (master::FILE, key));
    for (name, text) in [Some((config::FILE, &header.settings)), key]
        .into_iter()
        .flatten()
    {
        let path = data.join(name);
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("{}; restore into a new folder", path.display()))?;
    }
    Ok(())
}

/// Recomputes every chain of the data folder.
pub(crate) async fn verify(folder: &Folder) -> anyhow::Result<()> {
    let config = folder.config()?;
    let db = Db::open(&config.store_url, &config.data_dir).await?;
    report(&db).await
}

#[allow(clippy::print_stdout, reason = "a command's output")]
async fn report(db: &Db) -> anyhow::Result<()> {
    let mut broken = 0;
    for it in chain::verify(db).await? {
        let verdict = it.broken.as_deref().unwrap_or("holds");
        broken += usize::from(it.broken.is_some());
        println!(
            "device {}  epochs {}  records {}  seqs {}  in gaps {}  {verdict}",
            it.device, it.epochs, it.records, it.seqs, it.gap_seqs
        );
    }
    let audit = Audit::verify(db).await?;
    if let Some((collector, seq)) = audit.broken_at {
        bail!("the audit chain of {collector} is broken at entry {seq}");
    }
    println!("audit  {} entries hold", audit.entries);
    if broken > 0 {
        bail!("{broken} device chains do not hold");
    }
    Ok(())
}
