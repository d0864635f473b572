//! The real `mingjing-collector` program as operators run it, beside the collector inside the harness.
//!
//! Invariants: it is built from the sources under test; a process started here ends with its handle.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;

/// How long something that should happen soon may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the program is; built at the first call, in the profile of the tests.
pub fn path() -> anyhow::Result<&'static Path> {
    static PATH: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PATH.get_or_init(|| {
        build("mingjing-collector", "mingjing-collector").map_err(|error| format!("{error:#}"))
    })
    .as_deref()
    .map_err(|error| anyhow::anyhow!("{error}"))
}

/// Builds a program of the workspace in the profile of this one, unless it is there already.
pub fn build(package: &str, program: &str) -> anyhow::Result<PathBuf> {
    // target/<profile>/deps/<test>, or target/<profile>/<program>
    let own = std::env::current_exe()?;
    let mut dir = own.parent().context("a folder")?;
    if dir.ends_with("deps") {
        dir = dir.parent().context("a profile's folder")?;
    }
    let mut cargo = std::process::Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    // What cargo tells a test of its package makes build scripts run again that look at it.
    let ours = [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_BIN_",
        "CARGO_CRATE_",
        "CARGO_PRIMARY_",
    ];
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ours.iter().any(|prefix| text.starts_with(prefix)) {
            cargo.env_remove(&name);
        }
    }
    cargo
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        // With this package, so that the dependencies already built have the features wanted.
        .args(["build", "--quiet", "--package", "mingjing-tests"])
        .args(["--package", package, "--bin", program])
        .arg("--target-dir")
        .arg(dir.parent().context("the target folder")?);
    if dir.ends_with("release") {
        cargo.arg("--release");
    }
    let done = cargo.output()?;
    anyhow::ensure!(
        done.status.success(),
        "building {program}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(dir.join(program))
}

/// What a command printed and how it ended.
#[derive(Clone, Debug)]
pub struct Done {
    /// Whether it ended well.
    pub success: bool,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub error: String,
}

/// Runs a command to its end; nothing of this process's own settings reaches it.
pub async fn run(arguments: &[&OsStr], environment: &[(&str, &OsStr)]) -> anyhow::Result<Done> {
    let mut command = command(arguments, environment)?;
    let output = tokio::time::timeout(PATIENCE, command.output()).await??;
    Ok(Done {
        success: output.status.success(),
        out: String::from_utf8(output.stdout)?,
        error: String::from_utf8(output.stderr)?,
    })
}

fn command(arguments: &[&OsStr], environment: &[(&str, &OsStr)]) -> anyhow::Result<Command> {
    let mut command = Command::new(path()?);
    command.args(arguments).stdin(Stdio::null());
    for name in [
        "MINGJING_DATA",
        "MINGJING_STORE_URL",
        "MINGJING_MASTER_KEY",
        "MINGJING_BACKUP_PASSPHRASE",
        "MINGJING_LOG",
        "CREDENTIALS_DIRECTORY",
    ] {
        command.env_remove(name);
    }
    command.envs(environment.iter().copied());
    command.kill_on_drop(true);
    Ok(command)
}

#[derive(Debug, Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    grown: Notify,
}

/// A running `serve`.
#[derive(Debug)]
pub struct Serving {
    child: Child,
    log: Arc<Log>,
}

impl Serving {
    /// Starts it on a data folder whose settings name its ports, and waits until it listens.
    pub async fn start(data: &Path, environment: &[(&str, &OsStr)]) -> anyhow::Result<Self> {
        let arguments = [
            OsStr::new("serve"),
            OsStr::new("--data"),
            data.as_os_str(),
            OsStr::new("--json-log"),
        ];
        let mut child = command(&arguments, environment)?
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = child.stderr.take().context("a piped standard error")?;
        let log = Arc::new(Log::default());
        let kept = log.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                kept.lines
                    .lock()
                    .expect("no panic while holding the log")
                    .push(line);
                kept.grown.notify_one();
            }
        });
        let mut serving = Self { child, log };
        serving.says("collector starts").await?;
        Ok(serving)
    }

    /// Waits for a log line that holds these words, from its beginning.
    pub async fn says(&mut self, words: &str) -> anyhow::Result<String> {
        let found = async {
            loop {
                if let Some(line) = self.lines().into_iter().find(|line| line.contains(words)) {
                    return line;
                }
                self.log.grown.notified().await;
            }
        };
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(line) => Ok(line),
            Err(_) => anyhow::bail!("it never said {words:?}: {:#?}", self.lines()),
        }
    }

    /// What it has logged.
    pub fn lines(&self) -> Vec<String> {
        self.log
            .lines
            .lock()
            .expect("no panic while holding the log")
            .clone()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.child.id().context("it has ended")?;
        let pid = Pid::from_raw(i32::try_from(id)?).context("a process id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Terminates it as systemd does, and waits until it has ended; whether it ended well.
    pub async fn terminate(mut self) -> anyhow::Result<bool> {
        self.signal(Signal::TERM)?;
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await??;
        Ok(status.success())
    }
}
