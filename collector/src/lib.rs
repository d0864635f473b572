//! Mingjing's collector: who may speak, what they say, what it means, who sees it.
//!
//! Invariants (design §1): nothing is stored without a signed consent; content is sealed before it
//! reaches a table; every look at content passes `access` and leaves an audit record.

pub mod access;
pub mod accounts;
pub mod apk;
pub mod archive;
pub mod attestation;
pub mod audit;
pub mod backup;
pub mod ca;
pub mod chain;
pub mod changes;
pub mod clock;
pub mod config;
pub mod consent;
pub mod console;
pub mod cure;
pub mod db;
pub mod devices;
pub mod enroll;
pub mod error;
pub mod findings;
#[cfg(test)]
mod fixture;
pub mod gaps;
pub mod hours;
pub mod ingest;
pub mod letters;
pub mod master;
pub mod metrics;
pub mod normalise;
pub mod notice;
pub mod packs;
pub mod people;
pub mod policy;
pub mod provisioning;
pub mod rules;
pub mod seal;
pub mod session;
pub mod tls;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use mingjing_proto::pb;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::audit::Audit;
use crate::ca::Ca;
use crate::changes::{Change, Changes};
use crate::clock::Clock;
use crate::config::Config;
use crate::cure::Failing;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::ingest::Committer;
use crate::metrics::Metrics;
use crate::rules::RuleSet;
use crate::seal::Sealer;
use crate::session::{Documents, Live};
use crate::tls::{Clients, CurrentCertificate};

/// What every part of one running collector shares.
#[derive(Debug)]
pub struct Shared {
    /// Validated settings.
    pub config: Config,
    /// The database.
    pub db: Db,
    /// Content keys.
    pub sealer: Sealer,
    /// The audit chain of this collector.
    pub audit: Audit,
    /// News between collectors and open consoles.
    pub changes: Changes,
    /// The certificate authority.
    pub ca: Ca,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Who may attest a phone's key.
    pub attestation: attestation::Roots,
    /// Attesting certificates that were taken back; replaced whole.
    pub attestation_status: RwLock<Arc<attestation::StatusList>>,
    /// The rules in force; replaced whole.
    pub rules: RwLock<Arc<RuleSet>>,
    /// What operators watch.
    pub metrics: Metrics,
    /// Whether batches can't be stored now, told to operators and on every page of the console.
    pub failing: Failing,
    /// Where the listeners are; known once they are bound.
    pub addresses: OnceLock<Addresses>,
    /// What every phone is given alike.
    pub documents: Documents,
}

impl Shared {
    /// The rules in force.
    pub fn rules(&self) -> Arc<RuleSet> {
        self.rules
            .read()
            .expect("no panic while holding the rules")
            .clone()
    }

    /// Where the listeners are, as phones and browsers see them.
    pub fn addresses(&self) -> Addresses {
        let port = |address: std::net::SocketAddr| address.port();
        let name = &self.config.public.names[0];
        self.addresses.get().cloned().unwrap_or_else(|| Addresses {
            enrollment: format!("https://{name}:{}", port(self.config.listen.enrollment)),
            session: format!("https://{name}:{}", port(self.config.listen.session)),
            console: format!("https://{name}:{}", port(self.config.listen.console)),
        })
    }
}

/// Addresses as phones and browsers see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// `https://host:port` of the enrolment listener.
    pub enrollment: String,
    /// `https://host:port` of the session listener.
    pub session: String,
    /// `https://host:port` of the console.
    pub console: String,
}

/// The collector's sockets, bound by the caller so that tests can take port 0.
#[derive(Debug)]
pub struct Listeners {
    /// `Enroll` and `Renew`.
    pub enrollment: TcpListener,
    /// `Session`.
    pub session: TcpListener,
    /// The console.
    pub console: TcpListener,
    /// Metrics and health, if wanted.
    pub metrics: Option<TcpListener>,
}

impl Listeners {
    /// Binds what the settings name.
    pub fn bind(config: &Config) -> Result<Self> {
        let bind = |name: &str, address: SocketAddr| {
            tls::listen(address).map_err(|error| {
                Error::Config(format!(
                    "listen.{name}: can't listen on {address}: {error}; another program may hold the port"
                ))
            })
        };
        Ok(Self {
            enrollment: bind("enrollment", config.listen.enrollment)?,
            session: bind("session", config.listen.session)?,
            console: bind("console", config.listen.console)?,
            metrics: match config.listen.metrics {
                Some(address) => Some(bind("metrics", address)?),
                None => None,
            },
        })
    }
}

/// Makes a data folder: settings, master key, database, certificate authority.
///
/// Refuses to touch one that has any of them. `settings` are written as `mingjing.toml`.
pub async fn init(
    data_dir: &Path,
    settings: &str,
    store_url: Option<String>,
    clock: Arc<dyn Clock>,
) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    Config::parse(settings, data_dir).map_err(Error::Config)?;
    let key_path = data_dir.join(master::FILE);
    for path in [
        &data_dir.join(config::FILE),
        &key_path,
        &data_dir.join("mingjing.db"),
    ] {
        if path.exists() {
            return Err(Error::Config(format!(
                "{} exists already; init never overwrites: choose another folder",
                path.display()
            )));
        }
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .map_err(Error::file(data_dir))?;
    let create = |path: &Path, text: &str| {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(Error::file(path))?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(Error::file(path))
    };
    create(&data_dir.join(config::FILE), settings)?;
    create(&key_path, &Sealer::new_master_key())?;
    let config = Config::load(data_dir, store_url)?;
    let db = Db::open(&config.store_url, data_dir).await?;
    let sealer = Sealer::open(&config.master_key)?;
    Ca::create(&db, &sealer, &config.company.name, clock.now_ms()).await?;
    db.close().await;
    Ok(())
}

impl Shared {
    /// Opens a data folder that [`init`] made.
    pub async fn open(config: Config, clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        let sealer = Sealer::open(&config.master_key)?;
        let site = config
            .rules_dir
            .as_deref()
            .zip(config.lexicons_dir.as_deref());
        let rules = RuleSet::load(None, site)?;
        let db = Db::open(&config.store_url, &config.data_dir).await?;
        let ca = Ca::open(&db, &sealer).await?;
        let audit = Audit::new(&config.collector, clock.clone());
        let attestation = match &config.phones.attestation_roots {
            Some(path) => attestation::Roots::load(path)?,
            None => attestation::Roots::default(),
        };
        let status = attestation::StatusList::load(config.phones.attestation_status.as_deref())?;
        let shared = Arc::new(Self {
            config,
            db,
            sealer,
            audit,
            changes: Changes::default(),
            ca,
            clock,
            attestation,
            attestation_status: RwLock::new(Arc::new(status)),
            rules: RwLock::new(Arc::new(rules)),
            metrics: Metrics::default(),
            failing: Failing::default(),
            addresses: OnceLock::new(),
            documents: Documents::default(),
        });
        Ok(shared)
    }

    /// Reads the list of attesting certificates that were taken back again; the one in force stays when the
    /// new one does not load. Tells how many it lists.
    pub fn reload_attestation_status(&self) -> Result<usize> {
        let path = self.config.phones.attestation_status.as_deref();
        let status = Arc::new(attestation::StatusList::load(path)?);
        let listed = status.len();
        *self
            .attestation_status
            .write()
            .expect("no panic while holding the list") = status;
        Ok(listed)
    }

    /// Reads the company's rules again, for open sessions as well; the rules in force stay when the new
    /// ones do not load.
    pub fn reload_rules(&self) -> Result<()> {
        let site = self
            .config
            .rules_dir
            .as_deref()
            .zip(self.config.lexicons_dir.as_deref());
        let rules = Arc::new(RuleSet::load(None, site)?);
        *self
            .rules
            .write()
            .expect("no panic while holding the rules") = rules;
        Ok(())
    }
}

/// How long a stopping collector waits for what is under way.
const STOPPING: Duration = Duration::from_secs(10);
/// How long it then waits for the database.
const CLOSING: Duration = Duration::from_secs(10);
/// How long a server certificate is used before a fresh one is made.
const CERTIFICATE_AGE: Duration = Duration::from_secs(24 * 3600);

/// How often the audit log's head is looked at, to sign it if it changed.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);

/// Serves until `stop`, then finishes what is under way.
pub async fn run(shared: Arc<Shared>, listeners: Listeners, stop: CancellationToken) -> Result<()> {
    let phones = shared.config.phones.clone();
    tokio::task::spawn_blocking(move || apk::check_settings(&phones))
        .await
        .map_err(|_| Error::Unavailable("the app's file could not be checked"))??;
    let local = |listener: &TcpListener| listener.local_addr().map_err(Error::file("listener"));
    let address = |given: &str, listener: &TcpListener| -> Result<String> {
        if given.is_empty() {
            let name = &shared.config.public.names[0];
            Ok(format!("https://{name}:{}", local(listener)?.port()))
        } else {
            Ok(given.to_owned())
        }
    };
    let public = &shared.config.public;
    let addresses = Addresses {
        enrollment: address(&public.enrollment, &listeners.enrollment)?,
        session: address(&public.session, &listeners.session)?,
        console: address(&public.console, &listeners.console)?,
    };
    tracing::info!(
        ?addresses,
        engine = shared.db.engine().name(),
        "collector starts"
    );
    // A second run in one process keeps the first addresses: they are the same listeners' names.
    drop(shared.addresses.set(addresses));
    notice::publish_if_changed(&shared, "system").await?;
    // Before anybody can connect: a change that comes after what a session read must reach it.
    let news = shared.changes.subscribe();
    shared
        .changes
        .begin(&shared.db, shared.clock.now_ms())
        .await?;

    let names = &shared.config.public.names;
    let identity = shared.ca.server_identity(names, shared.clock.now_ms())?;
    let certificate = Arc::new(CurrentCertificate::new(&identity)?);
    let streams = |listener, clients| -> Result<_> {
        let config = tls::server_config(
            &shared.ca,
            certificate.clone(),
            clients,
            shared.clock.clone(),
        )?;
        Ok(tls::accept(
            listener,
            config,
            clients,
            shared.config.limits.handshakes,
            shared.metrics.handshakes_refused.clone(),
            stop.clone(),
        ))
    };
    let enrollment = streams(listeners.enrollment, Clients::OptionalForRenewal)?;
    let sessions = streams(listeners.session, Clients::Required)?;
    let pages = streams(listeners.console, Clients::Nobody)?;

    // The committer outlives the sessions, so that what they handed in is answered.
    let commits_stop = CancellationToken::new();
    let (committer, commits) = Committer::start(shared.clone(), commits_stop.clone());
    if let Some(listener) = listeners.metrics {
        let (shared, committer) = (shared.clone(), committer.clone());
        tokio::spawn(metrics::serve(shared, committer, listener, stop.clone()));
    }
    let live = Arc::new(Live::default());
    let service = session::Service::new(shared.clone(), committer, live.clone(), stop.clone());

    let max = mingjing_proto::limits::MESSAGE_BYTES;
    let server = || {
        tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(60)))
            .http2_keepalive_timeout(Some(Duration::from_secs(20)))
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(1 << 20)
            .max_concurrent_streams(8)
    };
    let enrollment_service =
        pb::enrollment_server::EnrollmentServer::new(enroll::Service(shared.clone()))
            .max_decoding_message_size(256 * 1024);
    let phone_service = pb::phone_server::PhoneServer::new(service).max_decoding_message_size(max);
    let enrollment_task = tokio::spawn(
        server()
            .add_service(enrollment_service)
            .serve_with_incoming_shutdown(
                ReceiverStream::new(enrollment),
                stop.clone().cancelled_owned(),
            ),
    );
    let session_task = tokio::spawn(
        server()
            .add_service(phone_service)
            .serve_with_incoming_shutdown(
                ReceiverStream::new(sessions),
                stop.clone().cancelled_owned(),
            ),
    );
    let console_task = tokio::spawn(console::serve(shared.clone(), pages, stop.clone()));
    let watch_task = tokio::spawn(watch(shared.clone(), news, live, certificate, stop.clone()));

    stop.cancelled().await;
    let wait = async {
        for task in [enrollment_task, session_task] {
            if let Ok(Err(error)) = task.await {
                tracing::warn!(%error, "a listener ended badly");
            }
        }
        drop(console_task.await);
        drop(watch_task.await);
    };
    if tokio::time::timeout(STOPPING, wait).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
    commits_stop.cancel();
    let close = async {
        drop(commits.await);
        shared.db.close().await;
    };
    if tokio::time::timeout(CLOSING, close).await.is_err() {
        tracing::warn!("the database did not answer in time; what was acknowledged is on its disk");
    }
    tracing::info!("collector stopped");
    Ok(())
}

/// Carries changes to sessions, polls for those of other collectors, renews the server certificate.
async fn watch(
    shared: Arc<Shared>,
    mut changes: broadcast::Receiver<Change>,
    live: Arc<Live>,
    certificate: Arc<CurrentCertificate>,
    stop: CancellationToken,
) {
    let clock = shared.clock.clone();
    let poll = shared
        .changes
        .poll(&shared.db, || clock.now_ms(), stop.clone());
    tokio::pin!(poll);
    let mut renewal = tokio::time::interval(CERTIFICATE_AGE);
    renewal.tick().await;
    let mut checkpoint = tokio::time::interval(CHECKPOINT_EVERY);
    loop {
        let change = tokio::select! {
            () = &mut poll => return,
            _ = checkpoint.tick() => {
                if let Err(error) = audit::checkpoints::sign_head(&shared).await {
                    tracing::warn!(%error, "the audit log's head could not be signed");
                }
                continue;
            }
            _ = renewal.tick() => {
                let names = &shared.config.public.names;
                let renewed = shared
                    .ca
                    .server_identity(names, shared.clock.now_ms())
                    .and_then(|identity| certificate.replace(&identity));
                if let Err(error) = renewed {
                    tracing::error!(%error, "the server certificate could not be renewed");
                }
                continue;
            }
            change = changes.recv() => change,
        };
        match change {
            Ok(change) => heed(&shared, &live, &change).await,
            // Too much news at once: whatever it was, reading everything again is right.
            Err(broadcast::error::RecvError::Lagged(_)) => read_anew(&shared, &live).await,
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

async fn read_anew(shared: &Shared, live: &Live) {
    shared.documents.forget().await;
    live.refresh();
}

async fn heed(shared: &Shared, live: &Live, change: &Change) {
    use changes::Kind;
    let now_ms = shared.clock.now_ms();
    match change.kind {
        Kind::Register => live.refresh_holder(&change.subject),
        Kind::Reload => read_anew(shared, live).await,
        Kind::DeviceRevoked => {
            if let Ok(device) = change.subject.parse() {
                live.revoke(device);
            }
        }
        Kind::Session => {
            let parsed = change
                .subject
                .split_once(' ')
                .and_then(|(device, number)| Some((device.parse().ok()?, number.parse().ok()?)));
            if let Some((device, number)) = parsed {
                live.supersede(device, number, now_ms);
            }
        }
        Kind::Reading => live.news(&change.subject),
        Kind::FindingState => {
            let Ok(id) = findings::parse_id(&change.subject) else {
                return;
            };
            match findings::load(&shared.db, &id).await {
                Ok(finding) => live.news(&finding.person),
                Err(error) => tracing::debug!(%error, "a phone learns of a finding's state later"),
            }
        }
        // Its own session tells a new finding; the holder's other phones hear of it with the next news.
        Kind::Finding | Kind::Device => {}
    }
}
