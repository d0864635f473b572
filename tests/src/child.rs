//! A collector as a child process, for benches and kill tests: it can be measured and killed alone.
//!
//! Invariants: its first line on standard output is its addresses as JSON; it ends when its standard
//! input closes, so that no child outlives its parent.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use crate::clock::SimClock;
use crate::harness::Collector;

/// Where the child listens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct At {
    /// Enrolment listener.
    pub enrollment: String,
    /// Session listener.
    pub session: String,
    /// Console.
    pub console: String,
    /// Metrics and health, plain HTTP.
    pub metrics: Option<String>,
}

/// A running child.
#[derive(Debug)]
pub struct CollectorChild {
    child: Child,
    _stdin: Option<ChildStdin>,
    /// Where it listens.
    pub at: At,
}

/// Serves the data folder until standard input closes: what the child process runs.
///
/// The clock shows `ahead_ms` more than the wall.
#[allow(
    clippy::print_stdout,
    reason = "the first line is the protocol with the parent"
)]
pub async fn serve(dir: &Path, ahead_ms: i64) -> anyhow::Result<()> {
    let clock = Arc::new(SimClock::real());
    clock.jump(ahead_ms);
    let mut collector = Collector::open(dir, clock).await?;
    let addresses = collector.addresses();
    let at = At {
        enrollment: addresses.enrollment.clone(),
        session: addresses.session.clone(),
        console: addresses.console.clone(),
        metrics: collector.metrics().map(|at| format!("http://{at}")),
    };
    println!("{}", serde_json::to_string(&at)?);
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await?;
    collector.stop().await
}

impl CollectorChild {
    /// Starts `program arguments… --data dir` and reads its addresses.
    pub async fn start(program: &Path, arguments: &[&str], dir: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .args(arguments)
            .arg("--data")
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let stdout = child.stdout.take().context("a piped standard output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).await?;
        let at = serde_json::from_str(&line).context("the child said no addresses")?;
        Ok(Self {
            _stdin: child.stdin.take(),
            child,
            at,
        })
    }

    /// Kills it with signal 9 and waits until it is gone.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        Ok(())
    }

    /// Lets it end by itself.
    pub async fn end(mut self) -> anyhow::Result<()> {
        drop(self._stdin.take());
        let status = self.child.wait().await?;
        anyhow::ensure!(status.success(), "the collector ended with {status}");
        Ok(())
    }

    /// Its process id.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// One counter or gauge of its metrics.
    pub async fn metric(&self, name: &str) -> anyhow::Result<u64> {
        let at = self.at.metrics.as_ref().context("metrics are off")?;
        // The client wants a provider even where no TLS is spoken; the first one set stays.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder().no_proxy().build()?;
        let answer = client.get(format!("{at}/metrics")).send().await?;
        let text = answer.text().await?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .with_context(|| format!("no metric {name}"))?;
        Ok(line.parse()?)
    }

    /// Processor time and memory it has used.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        Usage::of(self.pid().context("the child has ended")?)
    }
}

/// What a process has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time, milliseconds.
    pub cpu_ms: f64,
    /// Resident memory, bytes.
    pub rss_bytes: u64,
}

impl Usage {
    /// Processor time of a process's living threads, to the nanosecond.
    #[allow(
        clippy::cast_precision_loss,
        reason = "nanoseconds of a bench are below 2^52"
    )]
    pub fn cpu_ms_of_threads(pid: u32) -> anyhow::Result<f64> {
        let mut sum = 0;
        for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
            let nanoseconds = text.split(' ').next().context("schedstat is empty")?;
            sum += nanoseconds.parse::<u64>()?;
        }
        Ok(sum as f64 / 1e6)
    }

    /// Of a process, from /proc.
    #[allow(clippy::cast_precision_loss, reason = "ticks are far below 2^52")]
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .context("a stat line")?
            .1
            .split_whitespace()
            .collect();
        let ticks = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        let pages: u64 = fields[21].parse()?;
        // Linux counts in hundredths of a second and pages of 4 kB on every machine we run on.
        Ok(Self {
            cpu_ms: ticks as f64 * 10.0,
            rss_bytes: pages * 4096,
        })
    }
}
