//! A real collector in this process, on free ports, with people, accounts and codes.
//!
//! Invariant: everything goes through the same functions the product's own commands and pages call.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;
use mingjing_collector::accounts::{self, Account};
use mingjing_collector::config::Config;
use mingjing_collector::people::{self, NewPerson, Role};
use mingjing_collector::{Addresses, Listeners, Shared, enroll};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::SimClock;

/// Settings every test collector starts from: free ports, hours that never close, no confirmation.
pub const SETTINGS: &str = r#"
version = 1
[listen]
enrollment = "127.0.0.1:0"
session = "127.0.0.1:0"
console = "127.0.0.1:0"
metrics = "127.0.0.1:0"
[phones]
confirm = false
[hours]
weekdays = [1, 2, 3, 4, 5, 6, 7]
spans = ["00:00-24:00"]
"#;

/// Password of everybody the harness enters.
pub const PASSWORD: &str = "harness password 1";

/// A port to listen on again after a restart.
///
/// The system never hands out one of these to anybody who asks for a free port, so none is lost between
/// two starts; each process begins elsewhere.
pub fn free_port() -> anyhow::Result<u16> {
    const FIRST: u16 = 10_000;
    const PORTS: u32 = 20_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(61);
    for _ in 0..PORTS {
        let step = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS;
        let port = FIRST + u16::try_from(step)?;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no port from {FIRST} is free")
}

/// A running collector.
#[derive(Debug)]
pub struct Collector {
    /// What its parts share.
    pub shared: Arc<Shared>,
    dir: PathBuf,
    clock: Arc<SimClock>,
    addresses: Addresses,
    metrics: Option<std::net::SocketAddr>,
    stop: CancellationToken,
    task: Option<JoinHandle<mingjing_collector::error::Result<()>>>,
}

/// Somebody the harness entered, with a password.
#[derive(Clone, Debug)]
pub struct Entered {
    /// Person id.
    pub person: String,
    /// Login.
    pub login: String,
}

impl Collector {
    /// Makes a data folder in `dir` with `settings` and starts.
    pub async fn start(dir: &Path, settings: &str, clock: Arc<SimClock>) -> anyhow::Result<Self> {
        mingjing_collector::init(dir, settings, None, clock.clone()).await?;
        Self::open(dir, clock).await
    }

    /// Starts another collector, named `name`, in `dir` on this one's database.
    pub async fn join(&self, dir: &Path, name: &str) -> anyhow::Result<Self> {
        use mingjing_collector::{config, master};
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::create_dir_all(dir)?;
        let settings = std::fs::read_to_string(self.dir.join(config::FILE))?;
        std::fs::write(
            dir.join(config::FILE),
            format!("collector = \"{name}\"\n{settings}"),
        )?;
        let key_path = dir.join(master::FILE);
        std::fs::copy(self.dir.join(master::FILE), &key_path)?;
        std::fs::set_permissions(&key_path, std::fs::Permissions::from_mode(0o600))?;
        Self::open(dir, self.clock.clone()).await
    }

    /// Starts on an existing data folder, on the ports of its settings.
    pub async fn open(dir: &Path, clock: Arc<SimClock>) -> anyhow::Result<Self> {
        let config = Config::load(dir, None)?;
        let listeners = Listeners::bind(&config)?;
        let at = |listener: &tokio::net::TcpListener| -> anyhow::Result<String> {
            Ok(format!(
                "https://localhost:{}",
                listener.local_addr()?.port()
            ))
        };
        let addresses = Addresses {
            enrollment: at(&listeners.enrollment)?,
            session: at(&listeners.session)?,
            console: at(&listeners.console)?,
        };
        let metrics = match &listeners.metrics {
            Some(listener) => Some(listener.local_addr()?),
            None => None,
        };
        let shared = Shared::open(config, clock.clone()).await?;
        shared
            .addresses
            .set(addresses.clone())
            .map_err(|_| anyhow::anyhow!("addresses are set once"))?;
        mingjing_collector::notice::publish_if_changed(&shared, "harness").await?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(mingjing_collector::run(
            shared.clone(),
            listeners,
            stop.clone(),
        ));
        Ok(Self {
            shared,
            dir: dir.to_owned(),
            clock,
            addresses,
            metrics,
            stop,
            task: Some(task),
        })
    }

    /// Stops gracefully.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            task.await??;
        }
        Ok(())
    }

    /// Stops and starts again on the same folder; the ports of a test collector change.
    pub async fn restart(mut self) -> anyhow::Result<Self> {
        self.stop().await?;
        Self::open(&self.dir, self.clock.clone()).await
    }

    /// Where the listeners are.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Where the metrics listener is.
    pub fn metrics(&self) -> Option<std::net::SocketAddr> {
        self.metrics
    }

    /// Asks the metrics listener; its status and text.
    pub async fn watch(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let address = self.metrics.context("metrics are off")?;
        // The client wants a provider even where no TLS is spoken; the first one set stays.
        drop(rustls::crypto::ring::default_provider().install_default());
        let answer = reqwest::Client::builder()
            .no_proxy()
            .build()?
            .get(format!("http://{address}{path}"))
            .send()
            .await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// The data folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The clock it runs by.
    pub fn clock(&self) -> Arc<SimClock> {
        self.clock.clone()
    }

    /// Enters a person through invitation and password, with the default hours.
    pub async fn person(
        &self,
        login: &str,
        name: &str,
        department: &str,
        roles: &[(Role, &str)],
    ) -> anyhow::Result<Entered> {
        let new = NewPerson {
            login: login.to_owned(),
            name: name.to_owned(),
            department: department.to_owned(),
            class: "staff".to_owned(),
            language: "zh-CN".to_owned(),
        };
        let roles: Vec<_> = roles
            .iter()
            .map(|(role, scope)| (*role, (*scope).to_owned()))
            .collect();
        let person = people::create(&self.shared, new, &roles, "harness").await?;
        people::set_schedule(&self.shared, &person, &self.shared.config.hours, "harness").await?;
        let invitation = people::invite(&self.shared, &person, 24, "harness").await?;
        people::accept_invitation(&self.shared, &invitation.secret, PASSWORD).await?;
        Ok(Entered {
            person,
            login: login.to_owned(),
        })
    }

    /// Registers a WeChat account for a person; `id` is also what the app shows.
    pub async fn account(&self, id: &str, holder: &Entered, nickname: &str) -> anyhow::Result<()> {
        let department = people::load(self.shared.db.reader(), &holder.person)
            .await?
            .department;
        let account = Account {
            account: id.to_owned(),
            app: "com.tencent.mm".to_owned(),
            android_user: 0,
            shown_id: id.to_owned(),
            nickname: nickname.to_owned(),
            holder: holder.person.clone(),
            department,
            custodian: holder.person.clone(),
            registered_ms: self.clock.now(),
            suspended_ms: None,
        };
        let shared = &self.shared;
        accounts::add(
            &shared.db,
            &shared.audit,
            &shared.changes,
            &account,
            "harness",
        )
        .await
        .context("registering an account")
    }

    /// An enrolment code for a person.
    pub async fn token(&self, holder: &Entered) -> anyhow::Result<String> {
        Ok(enroll::new_token(&self.shared, &holder.person, "harness").await?)
    }

    /// A number from the database: `select <expression> from …`.
    pub async fn number(&self, sql: &'static str) -> anyhow::Result<i64> {
        use sqlx::Row;
        let row = sqlx::query(sql).fetch_one(self.shared.db.reader()).await?;
        Ok(row.try_get(0)?)
    }
}
