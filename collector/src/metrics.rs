//! What operators watch: counters of this process, and whether it lives and can store.
//!
//! Invariants: a label holds one of a fixed set of words, never an id, a name or content; the listener
//! is off unless the settings name it, and speaks plain HTTP, so it belongs on a local address.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Shared;
use crate::cure::Cure;
use crate::ingest::Committer;

/// Counters by one word.
pub type ByWord = Family<[(&'static str, &'static str); 1], Counter>;

/// From half a millisecond to 16 seconds.
const SECONDS: [f64; 12] = [
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 4.0, 16.0,
];

/// The counters of this process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Events on disk.
    pub events: Counter,
    /// Events refused, by `reason`.
    pub refused: ByWord,
    /// Holds told to phones.
    pub held: Counter,
    /// Records that contradict what is stored.
    pub forks: Counter,
    /// Gap records on disk, by `reason`.
    pub gaps: ByWord,
    /// Transactions of the committer.
    pub commits: Counter,
    /// Batches the database did not take.
    pub commit_failures: Counter,
    /// Seconds a transaction of the committer took.
    pub commit_seconds: Histogram,
    /// Batches waiting for the committer.
    pub queue: Gauge,
    /// Open sessions.
    pub sessions: Gauge,
    /// Phones enrolled.
    pub enrolments: Counter,
    /// Enrolments refused.
    pub enrolments_refused: Counter,
    /// TLS handshakes that failed or took too long.
    pub handshakes_refused: Counter,
    /// New findings, by `level`.
    pub findings: ByWord,
    /// Seconds from a batch's arrival to its acknowledgement.
    pub ack_seconds: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("mingjing");
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let events = counter("events_stored", "Events on disk");
        let held = counter("holds", "Holds told to phones");
        let forks = counter("forks", "Records that contradict what is stored");
        let commits = counter("commits", "Transactions of the committer");
        let commit_failures = counter("commit_failures", "Batches the database did not take");
        let enrolments = counter("enrolments", "Phones enrolled");
        let enrolments_refused = counter("enrolments_refused", "Enrolments refused");
        let handshakes_refused = counter(
            "handshakes_refused",
            "TLS handshakes that failed or took too long",
        );
        let mut by_word = |name: &str, help: &str| {
            let family = ByWord::default();
            registry.register(name, help, family.clone());
            family
        };
        let refused = by_word("events_refused", "Events refused, by reason");
        let gaps = by_word("gaps", "Gap records on disk, by reason");
        let findings = by_word("findings", "New findings, by level");
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let queue = gauge("queue_batches", "Batches waiting for the committer");
        let sessions = gauge("sessions", "Open sessions");
        let mut histogram = |name: &str, help: &str| {
            let histogram = Histogram::new(SECONDS);
            registry.register(name, help, histogram.clone());
            histogram
        };
        let commit_seconds = histogram("commit_seconds", "Seconds a transaction took");
        let ack_seconds = histogram(
            "ack_seconds",
            "Seconds from a batch's arrival to its acknowledgement",
        );
        Self {
            registry,
            events,
            refused,
            held,
            forks,
            gaps,
            commits,
            commit_failures,
            commit_seconds,
            queue,
            sessions,
            enrolments,
            enrolments_refused,
            handshakes_refused,
            findings,
            ack_seconds,
        }
    }
}

impl Metrics {
    /// The text a scraper reads.
    pub fn text(&self) -> String {
        let mut out = String::new();
        text::encode(&mut out, &self.registry).expect("writing to memory");
        out
    }
}

/// How long the database may take to answer before the collector counts as not ready.
const READY: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
struct Watched {
    shared: Arc<Shared>,
    committer: Arc<Committer>,
}

/// Serves `/metrics`, `/health/live` and `/health/ready` until `stop`.
pub async fn serve(
    shared: Arc<Shared>,
    committer: Arc<Committer>,
    listener: TcpListener,
    stop: CancellationToken,
) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/health/live", get(|| async { "live\n" }))
        .route("/health/ready", get(ready))
        .with_state(Watched { shared, committer });
    let served = axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::warn!(%error, "the metrics listener ended badly");
    }
}

async fn metrics(State(watched): State<Watched>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    (
        [(header::CONTENT_TYPE, kind)],
        watched.shared.metrics.text(),
    )
}

async fn ready(State(watched): State<Watched>) -> (StatusCode, String) {
    let not = |text: &str| (StatusCode::SERVICE_UNAVAILABLE, format!("{text}\n"));
    if !watched.committer.is_alive() {
        return not("the committer has stopped");
    }
    if let Some(cure) = watched.shared.failing.now() {
        return not(&format!("the newest batch could not be stored: {cure}"));
    }
    let name = &watched.shared.config.collector;
    let written = tokio::time::timeout(READY, watched.shared.db.write_mark(name)).await;
    match written {
        Ok(Ok(())) => (StatusCode::OK, "ready\n".to_owned()),
        Ok(Err(error)) => {
            let cure = error.cure().unwrap_or(Cure::Look);
            tracing::warn!(error = &error as &dyn std::error::Error, %cure, "not ready");
            not(&format!("the database can't be written: {cure}"))
        }
        Err(_) => not("the database does not answer"),
    }
}
