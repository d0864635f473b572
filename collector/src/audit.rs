//! The audit log: one hash chain per collector, append-only (design §9, requirements C16 C17).
//!
//! Invariants: an entry's link covers its predecessor's link and every column; the detail holds ids,
//! counts and reasons, never content; entries are only added, by [`Audit::append`].

pub mod checkpoints;
pub mod file;

use std::sync::Arc;

use mingjing_proto::chain::{Link, sha256};
use ring::digest::{Context, SHA256};
use sqlx::any::AnyExecutor;
use sqlx::{AnyConnection, Row};

use crate::clock::Clock;
use crate::db::{self, Db, Tx};
use crate::error::{Error, Result};

/// What is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Person id, device id, or "system".
    pub actor: String,
    /// What was done, as `noun.verb`: `finding.open`, `device.revoke`.
    pub action: String,
    /// Whom or what it concerns: an id.
    pub subject: String,
    /// Reasons, ids and counts; never content.
    pub detail: String,
}

impl Entry {
    /// An entry with every part.
    pub fn new(
        actor: impl Into<String>,
        action: impl Into<String>,
        subject: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            actor: actor.into(),
            action: action.into(),
            subject: subject.into(),
            detail: detail.into(),
        }
    }
}

/// An entry in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Place in the chain, from 1.
    pub seq: i64,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// What.
    pub entry: Entry,
    /// Its link.
    pub link: Link,
}

/// Writes one collector's chain.
#[derive(Debug)]
pub struct Audit {
    collector: String,
    clock: Arc<dyn Clock>,
}

fn genesis(collector: &str) -> Link {
    sha256(format!("mingjing-audit-1 {collector}").as_bytes())
}

fn link(previous: &Link, seq: i64, at_ms: i64, entry: &Entry) -> Link {
    let mut context = Context::new(&SHA256);
    context.update(b"mingjing-audit-1");
    context.update(previous);
    context.update(&seq.to_be_bytes());
    context.update(&at_ms.to_be_bytes());
    for part in [&entry.actor, &entry.action, &entry.subject, &entry.detail] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut link = [0; 32];
    link.copy_from_slice(context.finish().as_ref());
    link
}

impl Audit {
    /// The chain of the collector with this name.
    pub fn new(collector: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        Self {
            collector: collector.into(),
            clock,
        }
    }

    /// The collector's name.
    pub fn collector(&self) -> &str {
        &self.collector
    }

    /// Appends one entry in a transaction of its own and returns its place.
    pub async fn append(&self, db: &Db, entry: Entry) -> Result<Placed> {
        let mut tx = db.begin().await?;
        let placed = self.place(&mut tx, entry).await?;
        tx.commit().await?;
        Ok(placed)
    }

    /// Appends within `tx`, so that the act and its trace stand or fall together.
    ///
    /// Entries wait for each other from here to the end of their transactions: append late in yours.
    pub async fn append_in(&self, tx: &mut Tx, entry: Entry) -> Result<Placed> {
        self.place(tx, entry).await
    }

    async fn place(&self, connection: &mut AnyConnection, entry: Entry) -> Result<Placed> {
        // Two entries can't take one seq. The head is read from the table each time, so a transaction
        // that is rolled back leaves no trace here.
        db::take_turn(&mut *connection, &format!("audit {}", self.collector)).await?;
        let head = sqlx::query(
            "select seq, link from audit where collector = $1 order by seq desc limit 1",
        )
        .bind(&self.collector)
        .fetch_optional(&mut *connection)
        .await?;
        let (seq, previous) = match head {
            Some(row) => (
                row.try_get::<i64, _>("seq")? + 1,
                row.try_get::<&[u8], _>("link")?
                    .try_into()
                    .map_err(|_| Error::Sealed)?,
            ),
            None => (1, genesis(&self.collector)),
        };
        let at_ms = self.clock.now_ms();
        let link = link(&previous, seq, at_ms, &entry);
        sqlx::query(
            "insert into audit (collector, seq, at_ms, actor, action, subject, detail, link)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(&self.collector)
        .bind(seq)
        .bind(at_ms)
        .bind(&entry.actor)
        .bind(&entry.action)
        .bind(&entry.subject)
        .bind(&entry.detail)
        .bind(&link[..])
        .execute(&mut *connection)
        .await?;
        Ok(Placed {
            seq,
            at_ms,
            entry,
            link,
        })
    }

    /// Entries of all chains, newest first: those whose action begins with `action`, and how many there
    /// are.
    pub async fn list(
        db: &Db,
        action: &str,
        limit: i64,
        offset: i64,
    ) -> Result<(Vec<(String, Placed)>, i64)> {
        let rows = sqlx::query(
            "select collector, seq, at_ms, actor, action, subject, detail, link,
             cast(count(*) over () as bigint) as total from audit
             where substr(action, 1, length($1)) = $1
             order by at_ms desc, seq desc limit $2 offset $3",
        )
        .bind(action)
        .bind(limit)
        .bind(offset)
        .fetch_all(db.reader())
        .await?;
        let total = match rows.first() {
            Some(row) => row.try_get("total")?,
            None => 0,
        };
        let entries = rows.iter().map(placed).collect::<Result<_>>()?;
        Ok((entries, total))
    }

    /// The newest entries with either action about one subject, newest first, with their chains' names.
    pub async fn about(
        db: impl AnyExecutor<'_>,
        subject: &str,
        actions: [&str; 2],
        limit: i64,
    ) -> Result<Vec<(String, Placed)>> {
        // SQLite prepares a statement anew at every execution when its limit is a bare parameter.
        let rows = sqlx::query(
            "select collector, seq, at_ms, actor, action, subject, detail, link from audit
             where subject = $1 and action in ($2, $3)
             order by at_ms desc, seq desc limit cast($4 as bigint)",
        )
        .bind(subject)
        .bind(actions[0])
        .bind(actions[1])
        .bind(limit)
        .fetch_all(db)
        .await?;
        rows.iter().map(placed).collect()
    }

    /// Recomputes every chain; returns how many entries hold, or the first that does not.
    pub async fn verify(db: &Db) -> Result<Verdict> {
        let rows = sqlx::query(
            "select collector, seq, at_ms, actor, action, subject, detail, link from audit
             order by collector, seq",
        )
        .fetch_all(db.reader())
        .await?;
        let mut verdict = Verdict::default();
        let mut at: Option<(String, i64, Link)> = None;
        for row in &rows {
            let (collector, placed) = placed(row)?;
            let (seq, previous) = match &at {
                Some((name, seq, link)) if *name == collector => (seq + 1, *link),
                _ => (1, genesis(&collector)),
            };
            if placed.seq != seq || link(&previous, seq, placed.at_ms, &placed.entry) != placed.link
            {
                verdict.broken_at = Some((collector, placed.seq));
                return Ok(verdict);
            }
            verdict.entries += 1;
            at = Some((collector, seq, placed.link));
        }
        Ok(verdict)
    }
}

/// The head of one chain; `None` while it is empty.
async fn head(db: &Db, collector: &str) -> Result<Option<(i64, Link)>> {
    let row =
        sqlx::query("select seq, link from audit where collector = $1 order by seq desc limit 1")
            .bind(collector)
            .fetch_optional(db.reader())
            .await?;
    row.map(|row| {
        let link = row.try_get::<&[u8], _>("link")?.try_into();
        Ok((row.try_get("seq")?, link.map_err(|_| Error::Sealed)?))
    })
    .transpose()
}

/// Entries behind a place, by chain and seq.
async fn page(db: &Db, collector: &str, seq: i64, limit: i64) -> Result<Vec<(String, Placed)>> {
    sqlx::query(
        "select collector, seq, at_ms, actor, action, subject, detail, link from audit
         where collector > $1 or (collector = $1 and seq > $2) order by collector, seq limit $3",
    )
    .bind(collector)
    .bind(seq)
    .bind(limit)
    .fetch_all(db.reader())
    .await?
    .iter()
    .map(placed)
    .collect()
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Entries whose links hold.
    pub entries: u64,
    /// The collector and seq of the first entry that does not hold.
    pub broken_at: Option<(String, i64)>,
}

fn placed(row: &sqlx::any::AnyRow) -> Result<(String, Placed)> {
    Ok((
        row.try_get("collector")?,
        Placed {
            seq: row.try_get("seq")?,
            at_ms: row.try_get("at_ms")?,
            entry: Entry {
                actor: row.try_get("actor")?,
                action: row.try_get("action")?,
                subject: row.try_get("subject")?,
                detail: row.try_get("detail")?,
            },
            link: row
                .try_get::<&[u8], _>("link")?
                .try_into()
                .map_err(|_| Error::Sealed)?,
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn a_changed_entry_breaks_the_chain_at_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open("", dir.path()).await.unwrap();
        let audit = Audit::new("c1", Arc::new(SystemClock));
        for reason in ["投诉核查", "抽查", "客户异议"] {
            audit
                .append(&db, Entry::new("p1", "finding.open", "f1", reason))
                .await
                .unwrap();
        }
        let verdict = Audit::verify(&db).await.unwrap();
        assert_eq!((verdict.entries, verdict.broken_at), (3, None));
        sqlx::query("update audit set detail = 'x' where seq = 2")
            .execute(db.writer())
            .await
            .unwrap();
        let verdict = Audit::verify(&db).await.unwrap();
        assert_eq!(verdict.broken_at, Some(("c1".to_owned(), 2)));
    }
}
