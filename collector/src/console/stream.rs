//! The stream of alerts to open consoles, as server-sent events.
//!
//! Invariants: an event carries rule, level, pseudonym and times, never text; the same filters and the
//! same reach hold as for the page; a stream ends with its session or with the rights behind it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::Query;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use tokio::sync::broadcast::error::RecvError;

use super::alerts::{Asked, Pseudonyms};
use super::errors::Failure;
use super::login;
use super::shell::Visit;
use crate::access::{self, Viewer};
use crate::changes::{Change, Kind};
use crate::error::{Error, Result};
use crate::findings::{self, Filter};

const CHECK: Duration = Duration::from_secs(5);
const REMEMBERED: usize = 4096;

/// `GET /alerts/stream`
pub(super) async fn listen(
    mut visit: Visit,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    access::reach_of(&visit.viewer)?;
    let mut pseudonyms = visit.pseudonyms().await?;
    let filter = asked.filter(&visit, &pseudonyms);
    let mut changes = visit.console.shared.changes.subscribe();
    let stop = visit.console.stop.clone();
    let stream = async_stream::stream! {
        let mut seen = Seen::default();
        let mut check = tokio::time::interval(CHECK);
        yield Ok::<_, Infallible>(Event::default().event("ready").data("{}"));
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = check.tick() => {
                    match still_there(&mut visit).await {
                        Ok(true) => {}
                        Ok(false) | Err(_) => return,
                    }
                }
                change = changes.recv() => match change {
                    Ok(change) if seen.is_new(&change) => {
                        if change.kind == Kind::Register
                            && let Ok(newer) = visit.pseudonyms().await
                        {
                            pseudonyms = newer;
                        }
                        match event(&visit, &filter, &pseudonyms, &change).await {
                            Ok(Some(event)) => yield Ok(event),
                            Ok(None) => {}
                            Err(error) => tracing::warn!(%error, "an alert could not be shown live"),
                        }
                    }
                    Ok(_) => {}
                    // Too slow: what was missed is on the page when it loads anew.
                    Err(RecvError::Lagged(_)) => {
                        yield Ok(Event::default().event("reload").data("{}"));
                    }
                    Err(RecvError::Closed) => return,
                },
            }
        }
    };
    let alive = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(Sse::new(stream).keep_alive(alive).into_response())
}

async fn still_there(visit: &mut Visit) -> Result<bool> {
    let shared = &visit.console.shared;
    if !login::is_alive(shared, &visit.session).await? {
        return Ok(false);
    }
    visit.viewer = Viewer::load(&shared.db, &visit.signed_in.person).await?;
    Ok(access::reach_of(&visit.viewer).is_ok())
}

async fn event(
    visit: &Visit,
    filter: &Filter,
    pseudonyms: &Pseudonyms,
    change: &Change,
) -> Result<Option<Event>> {
    let name = match change.kind {
        Kind::Finding => "finding",
        Kind::FindingState => "state",
        Kind::Reading
        | Kind::DeviceRevoked
        | Kind::Device
        | Kind::Session
        | Kind::Register
        | Kind::Reload => return Ok(None),
    };
    let id = findings::parse_id(&change.subject)?;
    let finding = match access::load_finding(&visit.console.shared, &visit.viewer, &id).await {
        Ok(finding) => finding,
        // Out of reach, or erased meanwhile.
        Err(Error::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    // A changed state is told even if the row no longer passes: the page marks it.
    if change.kind == Kind::Finding && !filter.passes(&finding) {
        return Ok(None);
    }
    let row = visit.row(&finding, pseudonyms).await?;
    let data = serde_json::to_string(&row).expect("rows are JSON");
    Ok(Some(Event::default().event(name).id(&row.id).data(data)))
}

/// Changes told already: those of this process are announced twice.
#[derive(Default)]
struct Seen(VecDeque<i64>);

impl Seen {
    fn is_new(&mut self, change: &Change) -> bool {
        if self.0.contains(&change.id) {
            return false;
        }
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(change.id);
        true
    }
}
