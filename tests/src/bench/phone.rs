//! `bench agent`: what the agent costs a phone: memory, processor, bytes on the wire and on the disk.
//!
//! The agent runs in a program that holds nothing else, as the app's library does, and is measured before
//! and after it starts: the difference is the agent's. Bytes are counted by a relay between it and a real
//! collector, TLS included, handshake left out; bytes written are what the phone folder's own device was
//! told to write, the file system's journal with them. Where no device can be mounted they are what Linux
//! accounts to the process, which counts whole folios where a block was written.

use std::io::{BufRead as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use mingjing_agent::config::Config;
use mingjing_collector::people::Role;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::load::Site;
use super::measure::{bar, held, now};
use super::texts;
use crate::child::Usage;
use crate::clock::SimClock;
use crate::disk::CountedDisk;
use crate::harness::PASSWORD;
use crate::phone::{self, Phone};
use crate::program::build;

const ACCOUNT: &str = "agent";
/// Events sent for each size of batch.
const SENT: u64 = 2000;
/// Sizes of batches: signals of one call, acknowledged before the next.
const BATCHES: [u64; 3] = [1, 10, 100];

/// What to run.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Arguments {
    /// Seconds at one event a second
    #[arg(long, default_value_t = 30)]
    pub seconds: u64,
    /// Print only the JSON line
    #[arg(long)]
    pub json: bool,
}

/// Bytes of one size of batch.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Bytes {
    /// Events of a batch.
    pub batch: u64,
    /// Bytes a phone sends, an event.
    pub up_per_event: f64,
    /// Bytes a phone receives, an event.
    pub down_per_event: f64,
    /// Bytes written to the device, an event, the file system's journal included.
    pub written_per_event: f64,
    /// Processor time of the agent, an event.
    pub cpu_us_per_event: f64,
}

/// The last line.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Resident memory over the host's after the work, MB.
    pub rss_mb: f64,
    /// Of it, memory of its own: without pages of the program file.
    pub anonymous_mb: f64,
    /// All of the program's code and constants: what its pages can come to.
    pub program_mb: f64,
    /// Share of one processor at one event a second, percent.
    pub cpu_percent_at_1_ev_s: f64,
    /// Who counted the bytes written: the phone folder's own `device`, or its `process`.
    pub written_of: &'static str,
    /// Bytes by size of batch.
    pub bytes: Vec<Bytes>,
}

impl Report {
    /// The figures for people.
    #[allow(clippy::print_stdout, reason = "a command's output")]
    pub fn print(&self) {
        println!(
            "resident memory over the host   {:>8.1} MB ({:.1} MB of its own; the program has {:.1} MB)   ≤10 MB: {}",
            self.rss_mb,
            self.anonymous_mb,
            self.program_mb,
            held(self.rss_mb, 10.0)
        );
        println!(
            "processor at 1 event/s          {:>8.3} %                        ≤0.2 %: {}",
            self.cpu_percent_at_1_ev_s,
            held(self.cpu_percent_at_1_ev_s, 0.2)
        );
        for bytes in &self.bytes {
            let gate = match bytes.batch {
                100 => format!("   ≤60 B up: {}", held(bytes.up_per_event, 60.0)),
                _ => String::new(),
            };
            println!(
                "batches of {:>3}: {:>7.1} B up, {:>6.1} B down, {:>8.0} B to the device, {:>6.0} µs CPU an event{gate}",
                bytes.batch,
                bytes.up_per_event,
                bytes.down_per_event,
                bytes.written_per_event,
                bytes.cpu_us_per_event
            );
        }
    }
}

/// Runs it.
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub async fn run(arguments: Arguments, program: &Path) -> anyhow::Result<Report> {
    anyhow::ensure!(arguments.seconds > 0, "--seconds takes 1 or more");
    let dir = tempfile::tempdir()?;
    let site = Site::start(&dir.path().join("collector"), "", "").await?;
    let holder = site
        .collector
        .person(ACCOUNT, "压测", "压测部", &[(Role::Employee, "*")])
        .await?;
    site.collector.account(ACCOUNT, &holder, "压测").await?;
    let token = site.collector.token(&holder).await?;
    let phone_dir = dir.path().join("phone");
    let disk = CountedDisk::mount(&dir.path().join("disk"), &phone_dir, 256)
        .inspect_err(|error| {
            tracing::warn!("bytes written are counted for the process: {error:#}");
        })
        .ok();
    let clock = Arc::new(SimClock::real());
    phone::enroll(&phone_dir, &token, clock.clone()).await?;
    let at = phone_dir.clone();
    tokio::task::spawn_blocking(move || {
        let phone = Phone::start(&at, clock)?;
        phone.grant(PASSWORD)?;
        phone.drained()
    })
    .await??;
    let child = site.serve(program).await?;
    let relay = Relay::start(&child.at.session).await?;
    phone::readdress(&phone_dir, &relay.server())?;

    let mut host = Host::start(&phone_dir).await?;
    let before = host.memory()?;
    host.tell("start").await?;
    let mut bytes = Vec::new();
    let bar = bar(arguments.seconds + BATCHES.len() as u64, "agent");
    for batch in BATCHES {
        let (up, down) = relay.bytes();
        let (written, cpu_ms) = (host.written(disk.as_ref())?, host.cpu_ms()?);
        host.tell(&format!("send {SENT} {batch}")).await?;
        let (up_after, down_after) = relay.bytes();
        let each = |from: u64, to: u64| (to - from) as f64 / SENT as f64;
        bytes.push(Bytes {
            batch,
            up_per_event: each(up, up_after),
            down_per_event: each(down, down_after),
            written_per_event: each(written, host.written(disk.as_ref())?),
            cpu_us_per_event: (host.cpu_ms()? - cpu_ms) * 1000.0 / SENT as f64,
        });
        bar.inc(1);
    }
    let (cpu_ms, began) = (host.cpu_ms()?, now());
    // The wait is on this side: the phone's process is as idle as the agent lets it be.
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.tick().await;
    for _ in 0..arguments.seconds {
        host.tell("send 1 1").await?;
        bar.inc(1);
        second.tick().await;
    }
    let cpu_percent = (host.cpu_ms()? - cpu_ms) / began.elapsed().as_secs_f64() / 10.0;
    let after = host.memory()?;
    bar.finish_and_clear();
    host.end().await?;
    child.end().await?;
    let mb = |from: u64, to: u64| (to as f64 - from as f64) / 1_048_576.0;
    Ok(Report {
        rss_mb: mb(before.resident, after.resident),
        anonymous_mb: mb(before.anonymous, after.anonymous),
        program_mb: mb(0, after.program),
        cpu_percent_at_1_ev_s: cpu_percent,
        written_of: if disk.is_some() { "device" } else { "process" },
        bytes,
    })
}

/// Resident bytes of a process.
#[derive(Clone, Copy, Debug)]
struct Memory {
    resident: u64,
    anonymous: u64,
    program: u64,
}

/// The process that hosts the agent.
struct Host {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Host {
    async fn start(dir: &Path) -> anyhow::Result<Self> {
        let program = tokio::task::spawn_blocking(|| build("mingjing-tests", "phone")).await??;
        let mut child = Command::new(&program)
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let stdin = child.stdin.take().context("a piped standard input")?;
        let stdout = child.stdout.take().context("a piped standard output")?;
        let mut host = Self {
            child,
            stdin,
            lines: BufReader::new(stdout).lines(),
        };
        host.done().await?;
        Ok(host)
    }

    async fn tell(&mut self, what: &str) -> anyhow::Result<()> {
        self.stdin.write_all(format!("{what}\n").as_bytes()).await?;
        self.done().await
    }

    async fn done(&mut self) -> anyhow::Result<()> {
        match self.lines.next_line().await?.as_deref() {
            Some("done") => Ok(()),
            other => bail!("the phone's process said {other:?}"),
        }
    }

    async fn end(mut self) -> anyhow::Result<()> {
        drop(self.stdin);
        let status = self.child.wait().await?;
        anyhow::ensure!(status.success(), "the phone's process ended with {status}");
        Ok(())
    }

    fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("the phone's process has ended")
    }

    fn cpu_ms(&self) -> anyhow::Result<f64> {
        Usage::cpu_ms_of_threads(self.pid()?)
    }

    /// Bytes written until now, by the phone's device if it has one of its own.
    fn written(&self, disk: Option<&CountedDisk>) -> anyhow::Result<u64> {
        if let Some(disk) = disk {
            return disk.written();
        }
        let text = std::fs::read_to_string(format!("/proc/{}/io", self.pid()?))?;
        number(&text, "write_bytes:")
    }

    fn memory(&self) -> anyhow::Result<Memory> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        Ok(Memory {
            resident: number(&text, "VmRSS:")? * 1024,
            anonymous: number(&text, "RssAnon:")? * 1024,
            program: number(&text, "VmExe:")? * 1024,
        })
    }
}

fn number(text: &str, name: &str) -> anyhow::Result<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .with_context(|| format!("no {name} in /proc"))?;
    let number = line.split_whitespace().next().context("a number")?;
    Ok(number.parse()?)
}

/// What the process that hosts the agent of the enrolled, consented folder `dir` runs: one command a
/// line, `done` after each.
#[allow(
    clippy::print_stdout,
    reason = "standard output is the protocol with the parent"
)]
pub fn host(dir: &Path) -> anyhow::Result<()> {
    let clock = Arc::new(SimClock::real());
    let mut phone = None;
    let mut n = 0;
    println!("done");
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        match (&words[..], &phone) {
            (["start"], None) => {
                let config = Config::new(dir);
                let started = Phone::start_with(config, clock.clone())?;
                started.wait("a session", |status| status.session == "connected")?;
                started.signals(&[phone::account_page(clock.now(), ACCOUNT)])?;
                started.drained()?;
                phone = Some(started);
            }
            (["send", count, batch], Some(phone)) => {
                let (count, batch): (u64, u64) = (count.parse()?, batch.parse()?);
                for _ in 0..count / batch {
                    send(phone, &clock, &mut n, batch)?;
                }
            }
            _ => bail!("what is {line:?}"),
        }
        println!("done");
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// Hands over so many messages in one call and waits for their acknowledgement.
fn send(phone: &Phone, clock: &SimClock, n: &mut u64, count: u64) -> anyhow::Result<()> {
    let lines: Vec<String> = (0..count)
        .map(|_| {
            *n += 1;
            let from = format!("客户{}", *n % 97);
            phone::message(clock.now(), &from, &texts::text(*n))
        })
        .collect();
    let recorded = phone.signals(&lines)?;
    anyhow::ensure!(recorded.events == count, "the agent kept {recorded:?}");
    phone.drained()
}

/// Passes TCP on and counts its bytes.
struct Relay {
    address: SocketAddr,
    bytes: Arc<[AtomicU64; 2]>,
}

impl Relay {
    async fn start(server: &str) -> anyhow::Result<Self> {
        let port = server.rsplit(':').next().context("a port")?;
        let upstream: SocketAddr = format!("127.0.0.1:{port}").parse()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let bytes = Arc::new([const { AtomicU64::new(0) }; 2]);
        let counted = bytes.clone();
        tokio::spawn(async move {
            while let Ok((down, _)) = listener.accept().await {
                let Ok(up) = TcpStream::connect(upstream).await else {
                    continue;
                };
                drop((down.set_nodelay(true), up.set_nodelay(true)));
                let (from_phone, to_phone) = down.into_split();
                let (from_server, to_server) = up.into_split();
                tokio::spawn(carry(from_phone, to_server, counted.clone(), 0));
                tokio::spawn(carry(from_server, to_phone, counted.clone(), 1));
            }
        });
        Ok(Self { address, bytes })
    }

    fn server(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Bytes up and down until now.
    fn bytes(&self) -> (u64, u64) {
        let [up, down] = &*self.bytes;
        (up.load(Ordering::Relaxed), down.load(Ordering::Relaxed))
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    counted: Arc<[AtomicU64; 2]>,
    way: usize,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        counted[way].fetch_add(read as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
