//! Where records and their counts are kept. Owns `records`, `epochs` and `tallies`.
//!
//! Invariants: a record is one sealed value under its (account, day, category) key, bound to its place;
//! its header, `inner` and link stay for good, so the chain verifies after erasure; beside the sealed
//! value stand only facets: kind, direction, time and keyed hashes.

use mingjing_proto::chain::{self, Link};
use mingjing_proto::ids::DeviceId;
use mingjing_proto::pb::{self, Category};
use sqlx::Row;

use crate::db::{Db, Tx};
use crate::devices::Device;
use crate::error::{Error, Result};
use crate::seal::Sealer;

/// A row of `records`.
#[derive(Debug)]
pub struct RecordRow {
    /// Whose.
    pub device: DeviceId,
    /// Epoch.
    pub epoch: u64,
    /// First seq.
    pub first_seq: u64,
    /// How many seqs.
    pub count: u64,
    /// Category.
    pub category: Category,
    /// Account id of the register; empty for control and device records.
    pub account: String,
    /// UTC day, days since 1970-01-01; 0 for control records.
    pub day: i64,
    /// SHA-256(salt ‖ body).
    pub inner: Link,
    /// The link after it.
    pub link: Link,
    /// Whether events were refused.
    pub partial: bool,
    /// Facets of the events kept, [`FACET_BYTES`] each.
    pub facets: Vec<u8>,
    /// salt ‖ body, sealed; empty when nothing was kept.
    pub sealed: Vec<u8>,
    /// When, Unix milliseconds.
    pub received_ms: i64,
}

/// kind u8 ‖ direction u8 ‖ milliseconds of the day u32 ‖ conversation u32 ‖ peer u32, big-endian.
pub const FACET_BYTES: usize = 14;

impl RecordRow {
    /// What binds the sealed value to its place.
    pub fn aad(&self) -> Vec<u8> {
        let mut aad = b"records".to_vec();
        aad.extend_from_slice(&self.device.0);
        aad.extend_from_slice(&self.epoch.to_be_bytes());
        aad.extend_from_slice(&self.first_seq.to_be_bytes());
        aad.extend_from_slice(&(self.category as i32).to_be_bytes());
        aad.extend_from_slice(&self.day.to_be_bytes());
        aad.extend_from_slice(self.account.as_bytes());
        aad
    }

    /// Adds the facets of one event.
    pub fn push_facet(&mut self, sealer: &Sealer, account: &str, activity: &pb::Activity) {
        let hashed = |name: &str| {
            if name.is_empty() {
                return [0; 4];
            }
            let hash = sealer
                .keyed_hash(&format!("{account}\n{name}"))
                .to_be_bytes();
            [hash[0], hash[1], hash[2], hash[3]]
        };
        let title = activity.conversation.as_ref().map_or("", |it| &it.title);
        let kind = u8::try_from(activity.kind).unwrap_or(0);
        let direction = u8::try_from(activity.direction).unwrap_or(0);
        let of_day = u32::try_from(activity.at_ms.rem_euclid(86_400_000)).unwrap_or(0);
        self.facets.extend_from_slice(&[kind, direction]);
        self.facets.extend_from_slice(&of_day.to_be_bytes());
        self.facets.extend_from_slice(&hashed(title));
        self.facets.extend_from_slice(&hashed(&activity.peer));
    }
}

/// Inserts records, several rows a statement.
pub async fn insert_records(tx: &mut Tx, db: &Db, rows: &[&RecordRow]) -> Result<()> {
    let sql = db.insert_rows(
        "insert into records (device, epoch, first_seq, count, category, account, day, inner_hash,
         link, partial, facets, sealed, received_ms)",
        13,
        rows.len(),
        "",
    );
    let mut query = sqlx::query(sql);
    for row in rows {
        query = query
            .bind(&row.device.0[..])
            .bind(row.epoch.cast_signed())
            .bind(row.first_seq.cast_signed())
            .bind(row.count.cast_signed())
            .bind(i64::from(row.category as i32))
            .bind(&row.account)
            .bind(row.day)
            .bind(&row.inner[..])
            .bind(&row.link[..])
            .bind(i64::from(row.partial))
            .bind(&row.facets[..])
            .bind(&row.sealed[..])
            .bind(row.received_ms);
    }
    query.execute(&mut **tx).await?;
    Ok(())
}

/// The link after `seq` in an epoch, if a record ends there.
pub async fn link_at(db: &Db, device: DeviceId, epoch: u64, seq: u64) -> Result<Option<Link>> {
    let row = sqlx::query(
        "select first_seq, count, link from records
         where device = $1 and epoch = $2 and first_seq <= $3
         order by first_seq desc limit 1",
    )
    .bind(&device.0[..])
    .bind(epoch.cast_signed())
    .bind(seq.cast_signed())
    .fetch_optional(db.reader())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let last = row.try_get::<i64, _>("first_seq")? + row.try_get::<i64, _>("count")? - 1;
    if last != seq.cast_signed() {
        return Ok(None);
    }
    let link = row.try_get::<&[u8], _>("link")?;
    Ok(Some(link.try_into().map_err(|_| Error::Sealed)?))
}

/// The first `previous` of an epoch: the key's hash for the first, what was agreed on for later ones.
pub async fn first_previous(db: &Db, device: &Device, epoch: u64) -> Result<Option<Link>> {
    if epoch == 1 {
        return Ok(Some(chain::genesis(&device.spki)));
    }
    let row = sqlx::query("select previous from epochs where device = $1 and epoch = $2")
        .bind(&device.device.0[..])
        .bind(epoch.cast_signed())
        .fetch_optional(db.reader())
        .await?;
    row.map(|row| {
        row.try_get::<&[u8], _>("previous")?
            .try_into()
            .map_err(|_| Error::Sealed)
    })
    .transpose()
}

/// The last seq stored in an epoch, 0 when there is none, and the link there.
pub async fn end(db: &Db, device: &Device, epoch: u64) -> Result<(u64, Link)> {
    let row = sqlx::query(
        "select first_seq, count, link from records where device = $1 and epoch = $2
         order by first_seq desc limit 1",
    )
    .bind(&device.device.0[..])
    .bind(epoch.cast_signed())
    .fetch_optional(db.reader())
    .await?;
    let Some(row) = row else {
        let first = first_previous(db, device, epoch).await?;
        return Ok((0, first.unwrap_or_default()));
    };
    let last = row.try_get::<i64, _>("first_seq")? + row.try_get::<i64, _>("count")? - 1;
    let link = row.try_get::<&[u8], _>("link")?;
    Ok((
        last.cast_unsigned(),
        link.try_into().map_err(|_| Error::Sealed)?,
    ))
}

/// The last seq of the epoch before that both sides agreed on when this one began.
pub async fn agreed_before(db: &Db, device: DeviceId, epoch: u64) -> Result<Option<u64>> {
    let row = sqlx::query("select after_seq from epochs where device = $1 and epoch = $2")
        .bind(&device.0[..])
        .bind(epoch.cast_signed())
        .fetch_optional(db.reader())
        .await?;
    row.map(|row| Ok(row.try_get::<i64, _>("after_seq")?.cast_unsigned()))
        .transpose()
}

/// Writes down where a new epoch begins.
pub async fn begin_epoch(
    tx: &mut Tx,
    device: DeviceId,
    epoch: u64,
    after_seq: u64,
    previous: &Link,
    now_ms: i64,
) -> Result<()> {
    sqlx::query(
        "insert into epochs (device, epoch, after_seq, previous, begun_ms)
         values ($1, $2, $3, $4, $5) on conflict do nothing",
    )
    .bind(&device.0[..])
    .bind(epoch.cast_signed())
    .bind(after_seq.cast_signed())
    .bind(&previous[..])
    .bind(now_ms)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TallyKey {
    /// Account id of the register, or the device for device events.
    pub account: String,
    /// UTC day.
    pub day: i32,
    /// Number of the kind.
    pub kind: i32,
    /// Number of the direction.
    pub direction: i32,
}

impl TallyKey {
    /// The key of one event.
    pub fn new(account: &str, day: i32, activity: &pb::Activity) -> Self {
        Self {
            account: account.to_owned(),
            day,
            kind: activity.kind,
            direction: activity.direction,
        }
    }
}

/// How often, and when last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TallyValue {
    /// How often.
    pub n: i64,
    /// The newest, Unix milliseconds.
    pub last_ms: i64,
}

impl TallyValue {
    /// Counts one event.
    pub fn add(&mut self, at_ms: i64) {
        self.n += 1;
        self.last_ms = self.last_ms.max(at_ms);
    }

    /// Adds another value.
    pub fn merge(&mut self, other: &Self) {
        self.n += other.n;
        self.last_ms = self.last_ms.max(other.last_ms);
    }
}

/// Adds to tallies, several rows a statement.
pub async fn add_tallies(tx: &mut Tx, db: &Db, rows: &[(&TallyKey, TallyValue)]) -> Result<()> {
    let sql = db.insert_rows(
        "insert into tallies (account, day, kind, direction, n, last_ms)",
        6,
        rows.len(),
        "on conflict (account, day, kind, direction) do update set
         n = tallies.n + excluded.n,
         last_ms = case when excluded.last_ms > tallies.last_ms then excluded.last_ms
                        else tallies.last_ms end",
    );
    let mut query = sqlx::query(sql);
    for (key, value) in rows {
        query = query
            .bind(&key.account)
            .bind(i64::from(key.day))
            .bind(i64::from(key.kind))
            .bind(i64::from(key.direction))
            .bind(value.n)
            .bind(value.last_ms);
    }
    query.execute(&mut **tx).await?;
    Ok(())
}

/// How often something happened in an account on a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Account id of the register, or the device for device events.
    pub account: String,
    /// UTC day, days since 1970-01-01.
    pub day: i64,
    /// Number of the kind.
    pub kind: i32,
    /// Number of the direction.
    pub direction: i32,
    /// How often.
    pub n: i64,
    /// The newest, Unix milliseconds.
    pub last_ms: i64,
}

/// All tallies of the days `from_day..=to_day`.
pub async fn tallies(db: &Db, from_day: i64, to_day: i64) -> Result<Vec<Tally>> {
    let rows = sqlx::query(
        "select account, day, kind, direction, n, last_ms from tallies
         where day >= $1 and day <= $2",
    )
    .bind(from_day)
    .bind(to_day)
    .fetch_all(db.reader())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Tally {
                account: row.try_get("account")?,
                day: row.try_get("day")?,
                kind: i32::try_from(row.try_get::<i64, _>("kind")?).unwrap_or(0),
                direction: i32::try_from(row.try_get::<i64, _>("direction")?).unwrap_or(0),
                n: row.try_get("n")?,
                last_ms: row.try_get("last_ms")?,
            })
        })
        .collect()
}
