//! Stretches of a phone's chain that hold no records, and why (wire.md §4). Owns `gaps`.
//!
//! Invariants: a gap says how many events and of which category, never what they were; it is written
//! once and never changed; only the collector's own gaps (`server_lost`) carry no signature.

use std::collections::BTreeMap;

use mingjing_proto::chain::Link;
use mingjing_proto::ids::DeviceId;
use mingjing_proto::pb::{self, Category, GapReason};
use mingjing_proto::vocabulary::Named;
use prost::Message;
use sqlx::any::AnyRow;
use sqlx::{Any, Executor, Row};

use crate::db::Db;
use crate::error::{Error, Result};

/// A gap to store.
#[derive(Debug)]
pub struct NewGap {
    /// Epoch.
    pub epoch: u64,
    /// First seq without a record.
    pub first_seq: u64,
    /// Last seq without a record.
    pub last_seq: u64,
    /// Why.
    pub reason: GapReason,
    /// The encoded `Gap` and its signature, empty when it is the collector's own.
    pub signed: pb::DeviceSigned,
}

/// A gap as pages show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The phone.
    pub device: DeviceId,
    /// Epoch.
    pub epoch: u64,
    /// First seq without a record.
    pub first_seq: u64,
    /// Last seq without a record.
    pub last_seq: u64,
    /// Name of the reason, such as `overflow`.
    pub reason: String,
    /// Events by category, as far as the phone could still count them.
    pub counts: Vec<(Category, u64)>,
    /// When the collector learnt of it, Unix milliseconds.
    pub at_ms: i64,
}

impl Gap {
    /// Events missing.
    pub fn events(&self) -> u64 {
        self.last_seq
            .saturating_add(1)
            .saturating_sub(self.first_seq)
    }
}

/// Gaps a page reads at most.
const MOST: i64 = 5000;

/// Stores a gap; a second time changes nothing.
pub async fn insert(
    executor: impl Executor<'_, Database = Any>,
    device: DeviceId,
    gap: &NewGap,
    at_ms: i64,
) -> Result<()> {
    sqlx::query(
        "insert into gaps (device, epoch, first_seq, last_seq, reason, payload, signature, at_ms)
         values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing",
    )
    .bind(&device.0[..])
    .bind(gap.epoch.cast_signed())
    .bind(gap.first_seq.cast_signed())
    .bind(gap.last_seq.cast_signed())
    .bind(gap.reason.name())
    .bind(&gap.signed.payload)
    .bind(&gap.signed.signature)
    .bind(at_ms)
    .execute(executor)
    .await?;
    Ok(())
}

/// Where a phone's gaps end, by the place of their record. The collector's own gaps are no records.
pub async fn ends(db: &Db, device: DeviceId) -> Result<BTreeMap<(u64, u64), Link>> {
    let rows = sqlx::query(
        "select epoch, first_seq, payload from gaps where device = $1 and reason <> 'server_lost'",
    )
    .bind(&device.0[..])
    .fetch_all(db.reader())
    .await?;
    rows.iter()
        .map(|row| {
            let place = (number(row, "epoch")?, number(row, "first_seq")?);
            let link = payload(row)?.end_link.as_slice().try_into();
            Ok((place, link.map_err(|_| Error::Sealed)?))
        })
        .collect()
}

/// Gaps of all phones learnt of since a time, newest first; 5000 at most.
pub async fn list(db: &Db, since_ms: i64) -> Result<Vec<Gap>> {
    let rows = sqlx::query(
        "select * from gaps where at_ms >= $1
         order by at_ms desc, epoch desc, first_seq desc limit $2",
    )
    .bind(since_ms)
    .bind(MOST)
    .fetch_all(db.reader())
    .await?;
    rows.iter().map(gap).collect()
}

/// Gaps of one phone learnt of since a time, newest first; 5000 at most.
pub async fn of_device(db: &Db, device: DeviceId, since_ms: i64) -> Result<Vec<Gap>> {
    let rows = sqlx::query(
        "select * from gaps where device = $1 and at_ms >= $2
         order by at_ms desc, epoch desc, first_seq desc limit $3",
    )
    .bind(&device.0[..])
    .bind(since_ms)
    .bind(MOST)
    .fetch_all(db.reader())
    .await?;
    rows.iter().map(gap).collect()
}

fn number(row: &AnyRow, column: &str) -> Result<u64> {
    Ok(row.try_get::<i64, _>(column)?.cast_unsigned())
}

fn payload(row: &AnyRow) -> Result<pb::Gap> {
    pb::Gap::decode(row.try_get::<&[u8], _>("payload")?).map_err(|_| Error::Sealed)
}

fn gap(row: &AnyRow) -> Result<Gap> {
    let counts = payload(row)?
        .counts
        .iter()
        .map(|it| (it.category(), it.count))
        .collect();
    Ok(Gap {
        device: DeviceId::from_slice(row.try_get("device")?).map_err(|_| Error::Sealed)?,
        epoch: number(row, "epoch")?,
        first_seq: number(row, "first_seq")?,
        last_seq: number(row, "last_seq")?,
        reason: row.try_get("reason")?,
        counts,
        at_ms: row.try_get("at_ms")?,
    })
}
