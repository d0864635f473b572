//! What several collectors and open consoles tell each other: new findings, revocations, reloads.
//!
//! Invariants: a change is written in the transaction that made it and announced after its commit, once;
//! every collector on the database learns of it within about 250 ms, late commits included; a change
//! carries ids, never content; a round of polling loads only rows not heard yet.
//!
//! No column numbers rows in the order of their commits on both engines. So the last half minute is
//! counted by slots of time, which an index answers alone, and a slot is loaded when it holds more rows
//! than were heard of it: however late one commits, it changes its slot's count.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard};
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
    /// When it was made, by its collector's clock.
    pub at_ms: i64,
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
    /// A person, his schedule or an account he holds or held changed; subject: the person.
    Register,
    /// A notice, policy, pack or rule set changed.
    Reload,
}

/// Sends and hears changes.
#[derive(Debug)]
pub struct Changes {
    sender: broadcast::Sender<Change>,
    /// Ids that were announced here or are no news here, by slot.
    heard: Mutex<BTreeMap<i64, HashSet<i64>>>,
}

const POLL: Duration = Duration::from_millis(250);
/// Rounds of polling between removals of what everybody has heard.
const PRUNE_ROUNDS: u32 = 240;
// A transaction may commit this long after its time stamp and is still heard.
const LATE_MS: i64 = 30_000;
/// Length of a slot; the same number stands in the query that counts them.
const SLOT_MS: i64 = 250;

fn new_id() -> i64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    i64::from_be_bytes(bytes) & i64::MAX
}

fn slot(at_ms: i64) -> i64 {
    at_ms.div_euclid(SLOT_MS)
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            sender: broadcast::channel(4096).0,
            heard: Mutex::default(),
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
        let id = new_id();
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
            at_ms: now_ms,
            kind,
            subject: subject.to_owned(),
        })
    }

    fn heard(&self) -> MutexGuard<'_, BTreeMap<i64, HashSet<i64>>> {
        self.heard.lock().expect("no panic while holding it")
    }

    /// Whether a committed change was not heard of before.
    fn hear(&self, id: i64, at_ms: i64) -> bool {
        self.heard().entry(slot(at_ms)).or_default().insert(id)
    }

    /// Tells this process at once, unless the table has told it; the others find it in the table.
    pub fn announce(&self, change: Change) {
        if self.hear(change.id, change.at_ms) {
            // No hearer is fine.
            drop(self.sender.send(change));
        }
    }

    /// Takes note of a committed change that is news to other collectors only.
    pub fn tell_others(&self, change: &Change) {
        self.hear(change.id, change.at_ms);
    }

    /// Writes changes of one kind into `tx` with one statement, as [`Self::record`] does one.
    pub async fn record_all(
        tx: &mut Tx,
        db: &Db,
        now_ms: i64,
        kind: Kind,
        subjects: &[String],
    ) -> Result<Vec<Change>> {
        let name: &'static str = kind.into();
        let sql = db.insert_rows(
            "insert into changes (id, at_ms, kind, subject)",
            4,
            subjects.len(),
            "",
        );
        let mut query = sqlx::query(sql);
        let mut changes = Vec::with_capacity(subjects.len());
        for subject in subjects {
            let change = Change {
                id: new_id(),
                at_ms: now_ms,
                kind,
                subject: subject.clone(),
            };
            query = query.bind(change.id).bind(now_ms).bind(name).bind(subject);
            changes.push(change);
        }
        query.execute(&mut **tx).await?;
        Ok(changes)
    }

    /// Takes what is in the table for heard: what is read from the database after this has it already.
    pub async fn begin(&self, db: &Db, now_ms: i64) -> Result<()> {
        let rows = sqlx::query("select id, at_ms from changes where at_ms >= $1")
            .bind(now_ms - LATE_MS)
            .fetch_all(db.reader())
            .await?;
        for row in &rows {
            self.hear(row.try_get("id")?, row.try_get("at_ms")?);
        }
        Ok(())
    }

    /// Polls the table for what other collectors wrote, until `stop`. `now_ms` is read each round.
    pub async fn poll(&self, db: &Db, now_ms: impl Fn() -> i64, stop: CancellationToken) {
        let mut since = now_ms();
        let mut round = 0;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POLL) => {}
            }
            if let Err(error) = self.look(db, slot(since - LATE_MS)).await {
                tracing::warn!(%error, "can't read changes");
                continue;
            }
            since = now_ms();
            round += 1;
            if round % PRUNE_ROUNDS == 0 {
                prune(db, since - 20 * LATE_MS).await;
            }
            let kept = slot(since - 2 * LATE_MS);
            let mut heard = self.heard();
            *heard = heard.split_off(&kept);
        }
    }

    /// Announces what the table holds from slot `first` on and was not heard yet.
    async fn look(&self, db: &Db, first: i64) -> Result<()> {
        let counts = sqlx::query(
            "select at_ms / 250 as slot, count(*) as rows_in_it from changes where at_ms >= $1
             group by at_ms / 250 order by 1",
        )
        .bind(first * SLOT_MS)
        .fetch_all(db.reader())
        .await?;
        for row in &counts {
            let (slot, rows): (i64, i64) = (row.try_get("slot")?, row.try_get("rows_in_it")?);
            let known = self.heard().get(&slot).map_or(0, HashSet::len);
            if usize::try_from(rows).is_ok_and(|rows| rows > known) {
                self.load(db, slot).await?;
            }
        }
        Ok(())
    }

    async fn load(&self, db: &Db, slot: i64) -> Result<()> {
        let rows = sqlx::query(
            "select id, at_ms, kind, subject from changes where at_ms >= $1 and at_ms < $2
             order by at_ms",
        )
        .bind(slot * SLOT_MS)
        .bind((slot + 1) * SLOT_MS)
        .fetch_all(db.reader())
        .await?;
        for row in &rows {
            let (id, at_ms) = (row.try_get("id")?, row.try_get("at_ms")?);
            match row.try_get::<&str, _>("kind")?.parse() {
                Ok(kind) => self.announce(Change {
                    id,
                    at_ms,
                    kind,
                    subject: row.try_get("subject")?,
                }),
                // A kind of a later release on the same database.
                Err(_) => {
                    self.hear(id, at_ms);
                }
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests;
