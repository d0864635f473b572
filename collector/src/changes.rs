//! What several collectors and open consoles tell each other: new findings, revocations, reloads.
//!
//! Invariants: a change is written in the transaction that made it and announced after its commit;
//! every collector on the database learns of it within about 250 ms, late commits included; a change
//! carries ids, never content.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::Row;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::db::{Db, Tx};
use crate::error::Result;

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Random id.
    pub id: i64,
    /// What kind of thing.
    pub kind: Kind,
    /// Its id.
    pub subject: String,
}

/// The kinds of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// A finding was raised; subject: its id.
    Finding,
    /// A finding changed its state; subject: its id.
    FindingState,
    /// Somebody read what is a person's own; subject: the person.
    Reading,
    /// A device was revoked; subject: its id.
    DeviceRevoked,
    /// A device enrolled, was confirmed, came or went; subject: its id.
    Device,
    /// A newer session of a device began; subject: `device session-number`.
    Session,
    /// The register of accounts, people or schedules changed; subject: the account or person.
    Register,
    /// A notice, policy, pack or rule set changed.
    Reload,
}

/// Sends and hears changes.
#[derive(Debug)]
pub struct Changes {
    sender: broadcast::Sender<Change>,
}

const POLL: Duration = Duration::from_millis(250);
/// Rounds of polling between removals of what everybody has heard.
const PRUNE_ROUNDS: u32 = 240;
// A transaction may commit this long after its time stamp and is still heard.
const LATE_MS: i64 = 30_000;

impl Default for Changes {
    fn default() -> Self {
        Self {
            sender: broadcast::channel(4096).0,
        }
    }
}

impl Changes {
    /// Hears all changes from now on. A slow hearer that lags must reload what it shows.
    pub fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.sender.subscribe()
    }

    /// Writes a change into `tx`; call [`Self::announce`] with it after the commit.
    pub async fn record(tx: &mut Tx, now_ms: i64, kind: Kind, subject: &str) -> Result<Change> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).expect("the system gives random bytes");
        let id = i64::from_be_bytes(bytes) & i64::MAX;
        let name: &'static str = kind.into();
        sqlx::query("insert into changes (id, at_ms, kind, subject) values ($1, $2, $3, $4)")
            .bind(id)
            .bind(now_ms)
            .bind(name)
            .bind(subject)
            .execute(&mut **tx)
            .await?;
        Ok(Change {
            id,
            kind,
            subject: subject.to_owned(),
        })
    }

    /// Tells this process at once; the others find it in the table.
    pub fn announce(&self, change: Change) {
        // No hearer is fine.
        drop(self.sender.send(change));
    }

    /// Polls the table for what other collectors wrote, until `stop`.
    ///
    /// `now_ms` is read each round. A change of this process is announced a second time here; hearers are idempotent.
    pub async fn poll(&self, db: &Db, now_ms: impl Fn() -> i64, stop: CancellationToken) {
        let mut seen: HashMap<i64, i64> = HashMap::new();
        let mut since = now_ms();
        let mut round = 0;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POLL) => {}
            }
            let rows = sqlx::query(
                "select id, at_ms, kind, subject from changes where at_ms >= $1 order by at_ms",
            )
            .bind(since - LATE_MS)
            .fetch_all(db.reader())
            .await;
            let rows = match rows {
                Ok(rows) => rows,
                Err(error) => {
                    tracing::warn!(%error, "can't read changes");
                    continue;
                }
            };
            for row in rows {
                let (Ok(id), Ok(at_ms), Ok(kind), Ok(subject)) = (
                    row.try_get::<i64, _>("id"),
                    row.try_get::<i64, _>("at_ms"),
                    row.try_get::<String, _>("kind"),
                    row.try_get::<String, _>("subject"),
                ) else {
                    continue;
                };
                if seen.insert(id, at_ms).is_none()
                    && let Ok(kind) = kind.parse()
                {
                    self.announce(Change { id, kind, subject });
                }
            }
            since = now_ms();
            round += 1;
            if round % PRUNE_ROUNDS == 0 {
                prune(db, since - 20 * LATE_MS).await;
            }
            seen.retain(|_, at_ms| *at_ms >= since - 2 * LATE_MS);
        }
    }
}

/// Removes changes everybody has heard long ago.
async fn prune(db: &Db, before_ms: i64) {
    let pruned = sqlx::query("delete from changes where at_ms < $1")
        .bind(before_ms)
        .execute(db.writer())
        .await;
    if let Err(error) = pruned {
        tracing::warn!(%error, "can't remove old changes");
    }
}
