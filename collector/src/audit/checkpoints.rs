//! Checkpoints of the audit log: the head of a chain, signed, for phones to witness. Owns
//! `audit_checkpoints`.
//!
//! Invariants: a collector signs its own chain only, at most once a minute and only after it changed;
//! what was signed is stored before anybody sees it, so no place is signed twice.

use mingjing_proto::pb::{self, SignedKind};
use prost::Message;
use sqlx::Row;

use crate::Shared;
use crate::db::Db;
use crate::error::{Error, Result};

/// Least time between two checkpoints of a chain.
pub const EVERY_MS: i64 = 60_000;
/// Checkpoints older than this are removed; phones and the chain itself remember.
const KEPT_MS: i64 = 90 * 86_400_000;
/// Chains whose newest checkpoint a welcome carries.
const CHAINS: i64 = 16;

/// Signs the head of this collector's chain if it changed since the last checkpoint.
pub async fn sign_head(shared: &Shared) -> Result<Option<pb::Signed>> {
    let collector = shared.audit.collector();
    let now_ms = shared.clock.now_ms();
    let last = sqlx::query(
        "select seq, at_ms from audit_checkpoints where collector = $1 order by seq desc limit 1",
    )
    .bind(collector)
    .fetch_optional(shared.db.reader())
    .await?;
    let (last_seq, last_ms) = match last {
        Some(row) => (row.try_get("seq")?, row.try_get("at_ms")?),
        None => (0, i64::MIN),
    };
    if now_ms < last_ms.saturating_add(EVERY_MS) {
        return Ok(None);
    }
    let Some((seq, link)) = super::head(&shared.db, collector).await? else {
        return Ok(None);
    };
    if seq <= last_seq {
        return Ok(None);
    }
    let checkpoint = pb::AuditCheckpoint {
        collector: collector.to_owned(),
        seq: seq.cast_unsigned(),
        link: link.to_vec(),
        at_ms: now_ms,
    };
    let signed = shared.ca.sign(
        SignedKind::AuditCheckpoint,
        checkpoint.encode_to_vec(),
        now_ms,
    )?;
    let stored = sqlx::query(
        "insert into audit_checkpoints (collector, seq, at_ms, signed) values ($1, $2, $3, $4)
         on conflict do nothing",
    )
    .bind(collector)
    .bind(seq)
    .bind(now_ms)
    .bind(signed.encode_to_vec())
    .execute(shared.db.writer())
    .await?;
    shared.documents.forget().await;
    sqlx::query("delete from audit_checkpoints where collector = $1 and at_ms < $2")
        .bind(collector)
        .bind(now_ms - KEPT_MS)
        .execute(shared.db.writer())
        .await?;
    Ok((stored.rows_affected() == 1).then_some(signed))
}

/// The newest checkpoint of each chain.
pub async fn newest(db: &Db) -> Result<Vec<(String, pb::Signed)>> {
    let rows = sqlx::query(
        "select collector, signed from audit_checkpoints as one
         where seq = (select max(seq) from audit_checkpoints where collector = one.collector)
         order by at_ms desc limit $1",
    )
    .bind(CHAINS)
    .fetch_all(db.reader())
    .await?;
    rows.iter()
        .map(|row| {
            let signed = pb::Signed::decode(row.try_get::<&[u8], _>("signed")?);
            Ok((
                row.try_get("collector")?,
                signed.map_err(|_| Error::Sealed)?,
            ))
        })
        .collect()
}

/// Every stored checkpoint, by chain and place.
pub(super) async fn all(db: &Db) -> Result<Vec<Vec<u8>>> {
    sqlx::query("select signed from audit_checkpoints order by collector, seq")
        .fetch_all(db.reader())
        .await?
        .iter()
        .map(|row| Ok(row.try_get("signed")?))
        .collect()
}
