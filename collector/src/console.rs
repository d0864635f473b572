//! The console: what each person may see and do, in a browser.
//!
//! Invariants: pages are rendered here and work without scripts; every POST carries a token of its
//! session; every response carries the same strict headers and is never cached; what a page shows
//! came through `access`; texts come from the locale files, never from the code.

mod accounts;
mod alerts;
mod assets;
mod audit_log;
mod chart;
mod coverage;
mod door;
mod errors;
mod finding;
mod format;
mod guard;
mod invitation;
mod language;
mod letters;
mod login;
mod overview;
mod own;
mod phones;
mod rule_words;
mod rules;
mod serve;
mod shell;
mod stream;
mod tokens;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;

use crate::Shared;
use crate::error::Error;

pub use serve::serve;

/// What the pages share.
#[derive(Debug)]
struct Console {
    shared: Arc<Shared>,
    zone: TimeZone,
    attempts: login::Attempts,
    rule_words: rule_words::Cache,
    verdict: audit_log::LastVerdict,
    stop: CancellationToken,
}

/// Bytes of a form at most.
const LARGEST_FORM: usize = 64 * 1024;

/// All pages. The caller binds, speaks TLS and puts `ConnectInfo<SocketAddr>` into each request.
///
/// Streams of alerts end at `stop`.
pub fn router(shared: Arc<Shared>, stop: CancellationToken) -> Router {
    let console = Arc::new(Console {
        // The configuration has checked the zone.
        zone: TimeZone::get(&shared.config.zone).unwrap_or(TimeZone::UTC),
        attempts: login::Attempts::default(),
        rule_words: rule_words::Cache::default(),
        verdict: audit_log::LastVerdict::default(),
        stop,
        shared,
    });
    Router::new()
        .route("/", get(overview::show))
        .route("/login", get(login::show).post(login::submit))
        .route("/logout", post(login::leave))
        .route(
            "/invitation",
            get(invitation::show).post(invitation::submit),
        )
        .route("/language", post(language::choose))
        .route("/alerts", get(alerts::show))
        .route("/alerts/stream", get(stream::listen))
        .route("/findings/{id}", get(finding::show))
        .route("/findings/{id}/open", post(finding::give_reason))
        .route("/findings/{id}/steps", post(finding::take_step))
        .route("/rules", get(rules::show))
        .route("/phones", get(phones::show))
        .route("/phones/{id}/{act}", get(phones::ask).post(phones::act))
        .route("/tokens", get(tokens::show).post(tokens::create))
        .route("/accounts", get(accounts::show))
        .route("/coverage", get(coverage::show))
        .route("/coverage/{id}", get(coverage::show_phone))
        .route("/audit", get(audit_log::show))
        .route("/me", get(own::show))
        .route("/me/findings/{id}", get(own::show_finding))
        .route("/me/letters/{*address}", post(letters::open_own))
        .route("/letters", get(letters::show))
        .route("/letters/{*address}", post(letters::open))
        .fallback(async || errors::Failure(Error::NotFound("page")))
        .method_not_allowed_fallback(async || errors::Failure(Error::NotFound("page")))
        .layer(from_fn(guard::check_form))
        .layer(login::sessions(&console.shared))
        .route("/static/{file}", get(assets::serve))
        .layer(from_fn(errors::show))
        .layer(from_fn_with_state(console.clone(), guard::headers))
        .layer(DefaultBodyLimit::max(LARGEST_FORM))
        .with_state(console)
}

#[cfg(test)]
mod tests;
