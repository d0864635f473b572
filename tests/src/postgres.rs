//! Debian's PostgreSQL in a temporary folder on a free port: one cluster a process, one database a test.
//!
//! Invariants: whatever ends this process, its clusters end with it and their folders are removed: a
//! shell beside each waits for the end of a pipe this process holds. Data of tests need not outlive the
//! machine (`fsync=off`), but do outlive a killed or restarted server; those of benches do.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, bail};
use sqlx::Connection as _;

/// Where Debian keeps the server's programs.
const BIN: &str = "/usr/lib/postgresql/15/bin";
/// The system's user that runs the server when we are root: PostgreSQL refuses to be root.
const SYSTEM_USER: &str = "postgres";
/// Role that owns every database.
const ROLE: &str = "mingjing";

/// Ends the server and removes its folder once standard input closes.
const KEEPER: &str =
    r#"cat >/dev/null; "$0/pg_ctl" stop -D "$1/data" -m immediate -W >/dev/null 2>&1; rm -rf "$1""#;

/// A running server.
#[derive(Debug)]
pub struct Cluster {
    dir: PathBuf,
    port: u16,
    databases: AtomicU32,
    /// Its standard input is what the keeper waits on.
    keeper: Child,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        drop(self.keeper.wait());
    }
}

/// A command, as the server's own user when this process is root.
fn command(program: &str) -> Command {
    if !rustix::process::getuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", SYSTEM_USER, "--regid", SYSTEM_USER]);
    command.args(["--clear-groups", "--", program]);
    command
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let done = command
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{command:?} (the tests need Debian's postgresql-15)"))?;
    if !done.status.success() {
        bail!(
            "{command:?} failed: {}",
            String::from_utf8_lossy(&done.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

/// Writes a file the server's user owns, readable by nobody else.
fn write(path: &std::path::Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut child = command("sh")
        .args(["-c", r#"umask 077; cat >"$0""#])
        .arg(path)
        .current_dir("/")
        .stdin(Stdio::piped())
        .spawn()?;
    child
        .stdin
        .take()
        .context("a piped input")?
        .write_all(bytes)?;
    if !child.wait()?.success() {
        bail!("{} could not be written", path.display());
    }
    Ok(())
}

/// The cluster all tests of this process share; a test that breaks its server starts its own.
pub fn shared() -> anyhow::Result<&'static Cluster> {
    static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();
    SHARED
        .get_or_init(|| Cluster::start().map_err(|error| format!("{error:#}")))
        .as_ref()
        .map_err(|error| anyhow::anyhow!("PostgreSQL did not start: {error}"))
}

/// Settings of tests: their data need not outlive the machine.
const FLEETING: &str = "shared_buffers = 32MB\nfsync = off\nfull_page_writes = off\n";
/// Settings of benches: as durable as a company's.
const DURABLE: &str =
    "shared_buffers = 512MB\nmax_wal_size = 4GB\nfsync = on\nsynchronous_commit = on\n";

impl Cluster {
    /// Makes a cluster and starts its server.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(FLEETING)
    }

    /// Makes a cluster whose commits are on disk, to be measured.
    pub fn start_durable() -> anyhow::Result<Self> {
        Self::start_with(DURABLE)
    }

    fn start_with(kind: &str) -> anyhow::Result<Self> {
        let dir = PathBuf::from(output(
            command("mktemp").args(["-d", "/tmp/mingjing-pg-XXXXXX"]),
        )?);
        let keeper = command("sh")
            .args(["-c", KEEPER, BIN])
            .arg(&dir)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let cluster = Self {
            dir,
            port,
            databases: AtomicU32::new(0),
            keeper,
        };
        output(
            command(&format!("{BIN}/initdb"))
                .args(["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"])
                .args(["--username", ROLE, "--pgdata"])
                .arg(cluster.dir.join("data")),
        )?;
        let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
        let pem = certified.cert.pem();
        write(&cluster.dir.join("data/server.crt"), pem.as_bytes())?;
        let key = certified.signing_key.serialize_pem();
        write(&cluster.dir.join("data/server.key"), key.as_bytes())?;
        let settings = format!(
            "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{dir}'\n\
             max_connections = 400\n{kind}\
             ssl = on\nlog_min_messages = warning\n",
            dir = cluster.dir.display(),
        );
        write(
            &cluster.dir.join("data/postgresql.auto.conf"),
            settings.as_bytes(),
        )?;
        cluster.start_server()?;
        Ok(cluster)
    }

    fn pg_ctl(&self, arguments: &[&str]) -> anyhow::Result<()> {
        output(
            command(&format!("{BIN}/pg_ctl"))
                .arg("-D")
                .arg(self.dir.join("data"))
                .arg("-l")
                .arg(self.dir.join("log"))
                .args(arguments),
        )?;
        Ok(())
    }

    /// Starts the server again after [`Self::stop_server`], on the same port.
    pub fn start_server(&self) -> anyhow::Result<()> {
        self.pg_ctl(&["start", "-w", "-s"]).with_context(|| {
            let mut log = String::new();
            if let Ok(mut file) = std::fs::File::open(self.dir.join("log")) {
                drop(file.read_to_string(&mut log));
            }
            log
        })
    }

    /// Stops the server at once: every connection breaks, as in a crash.
    pub fn stop_server(&self) -> anyhow::Result<()> {
        self.pg_ctl(&["stop", "-w", "-s", "-m", "immediate"])
    }

    /// The address of a database of this cluster, without options.
    fn url(&self, database: &str) -> String {
        format!("postgres://{ROLE}@localhost:{}/{database}", self.port)
    }

    /// A new empty database; returns its address, without TLS.
    pub async fn database(&self) -> anyhow::Result<String> {
        Ok(format!("{}?sslmode=disable", self.bare_database().await?))
    }

    /// A new empty database; its address leaves TLS to the caller.
    pub async fn bare_database(&self) -> anyhow::Result<String> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.execute("postgres", &format!("create database {name}"))
            .await?;
        Ok(self.url(&name))
    }

    /// Runs a statement as the owner; `sql` is the test's own text.
    pub async fn execute(&self, database: &str, sql: &str) -> anyhow::Result<u64> {
        let url = format!("{}?sslmode=disable", self.url(database));
        let mut connection = sqlx::PgConnection::connect(&url).await?;
        let done = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned()))
            .execute(&mut connection)
            .await?;
        connection.close().await?;
        Ok(done.rows_affected())
    }

    /// Processor time of the server and its children, those that have ended included; milliseconds.
    pub fn cpu_ms(&self) -> f64 {
        self.server_cpu_ms().unwrap_or(0.0)
    }

    #[allow(clippy::cast_precision_loss, reason = "ticks are far below 2^52")]
    fn server_cpu_ms(&self) -> anyhow::Result<f64> {
        let file = self.dir.join("data/postmaster.pid");
        let text = output(command("head").arg("-n1").arg(file))?;
        let server: u32 = text.trim().parse()?;
        let mut ticks = 0;
        for entry in std::fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // Processes come and go while the folder is read.
            let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
                continue;
            };
            let Some((_, rest)) = stat.rsplit_once(')') else {
                continue;
            };
            let fields: Vec<u64> = rest
                .split_whitespace()
                .map(|field| field.parse().unwrap_or(0))
                .collect();
            // parent is field 4, utime to cstime 14 to 17, counted from 1 with the name as 2
            if pid == server {
                ticks += fields[11..15].iter().sum::<u64>();
            } else if fields[1] == u64::from(server) {
                ticks += fields[11] + fields[12];
            }
        }
        // Linux counts in hundredths of a second on every machine we run on.
        Ok(ticks as f64 * 10.0)
    }

    /// The server's certificate, in PEM.
    pub fn certificate(&self) -> anyhow::Result<String> {
        output(command("cat").arg(self.dir.join("data/server.crt")))
    }
}
