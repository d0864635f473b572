//! Phones: who they belong to, whether they may speak, where their chain stands. Owns `devices` and
//! `device_alarms`.
//!
//! Invariants: a device's key never changes; its head moves only by compare-and-set inside the
//! transaction that stores what moved it; a revoked device stays revoked.

use mingjing_proto::chain::{self, Link};
use mingjing_proto::ids::DeviceId;
use mingjing_proto::pb;
use prost::Message;
use sqlx::Row;
use sqlx::any::{AnyExecutor, AnyRow};

use crate::Shared;
use crate::attestation::Evidence;
use crate::audit::Entry;
use crate::changes::{Changes, Kind};
use crate::db::{Db, Tx};
use crate::error::{Error, Result};

/// Whether a device may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum State {
    /// Enrolled, waits for its code to be confirmed.
    Pending,
    /// May speak.
    Active,
    /// May not, ever again.
    Revoked,
}

/// Where a device's chain stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Epoch, from 1.
    pub epoch: u64,
    /// Last seq stored, 0 when none.
    pub seq: u64,
    /// The link there.
    pub link: Link,
}

/// A phone.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its id.
    pub device: DeviceId,
    /// Person id of the holder.
    pub person: String,
    /// SubjectPublicKeyInfo of its key, DER.
    pub spki: Vec<u8>,
    /// The uncompressed point of its key.
    pub point: Vec<u8>,
    /// Whether it may speak.
    pub state: State,
    /// Six digits to compare with the phone's screen.
    pub code: String,
    /// hardware, software or none.
    pub trust: String,
    /// What its key's attestation proved, or why it proved nothing.
    pub attestation: String,
    /// Maker and model.
    pub model: String,
    /// Version of the agent at enrolment.
    pub agent_version: String,
    /// When, Unix milliseconds.
    pub enrolled_ms: i64,
    /// When it last spoke.
    pub last_seen_ms: i64,
    /// When its newest certificate ends.
    pub certificate_until_ms: i64,
    /// Where its chain stands.
    pub head: Head,
    /// Number of its newest session.
    pub session: i64,
    /// What it last said of itself.
    pub status: Option<pb::Status>,
}

/// Something about a phone that a person should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// The phone.
    pub device: DeviceId,
    /// When.
    pub at_ms: i64,
    /// fork, clone, rolled_back, server_lost, enrolled_again.
    pub kind: String,
    /// Numbers, no content.
    pub detail: String,
}

/// What enrolment knows of a new phone.
#[derive(Debug)]
pub struct NewDevice {
    /// Its id.
    pub device: DeviceId,
    /// Person id of the holder.
    pub person: String,
    /// SubjectPublicKeyInfo, DER.
    pub spki: Vec<u8>,
    /// The uncompressed point.
    pub point: Vec<u8>,
    /// Pending or active.
    pub state: State,
    /// What its key's attestation proved; the tier follows from it.
    pub evidence: Evidence,
    /// Maker and model.
    pub model: String,
    /// Version of the agent.
    pub agent_version: String,
    /// Now.
    pub enrolled_ms: i64,
    /// End of its certificate.
    pub certificate_until_ms: i64,
}

/// The six digits a phone shows while it is pending, derived from its key.
pub fn confirmation_code(spki: &[u8]) -> String {
    let digest = chain::sha256(&[b"mingjing-code-1", spki].concat());
    let number = u64::from_be_bytes(digest[..8].try_into().expect("8 of 32 bytes"));
    format!("{:06}", number % 1_000_000)
}

const UNKNOWN: Error = Error::NotFound(
    "no such device; if this phone was enrolled after the collector's last backup, enrol it again",
);

fn number(row: &AnyRow, column: &str) -> Result<u64> {
    Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0))
}

fn device(row: &AnyRow) -> Result<Device> {
    let state: String = row.try_get("state")?;
    let status: Option<Vec<u8>> = row.try_get("status")?;
    Ok(Device {
        device: DeviceId::from_slice(row.try_get("device")?).map_err(|_| Error::Sealed)?,
        person: row.try_get("person")?,
        spki: row.try_get("spki")?,
        point: row.try_get("public_point")?,
        state: state.parse().map_err(|_| Error::Sealed)?,
        code: row.try_get("code")?,
        trust: row.try_get("trust")?,
        attestation: row.try_get("attestation")?,
        model: row.try_get("model")?,
        agent_version: row.try_get("agent_version")?,
        enrolled_ms: row.try_get("enrolled_ms")?,
        last_seen_ms: row.try_get("last_seen_ms")?,
        certificate_until_ms: row.try_get("certificate_until_ms")?,
        head: Head {
            epoch: number(row, "epoch")?,
            seq: number(row, "head")?,
            link: row
                .try_get::<&[u8], _>("head_link")?
                .try_into()
                .map_err(|_| Error::Sealed)?,
        },
        session: row.try_get("session")?,
        status: status.and_then(|bytes| pb::Status::decode(&*bytes).ok()),
    })
}

/// Adds a phone within the transaction that uses up its enrolment code.
pub async fn insert(tx: &mut Tx, new: &NewDevice) -> Result<()> {
    let state: &'static str = new.state.into();
    sqlx::query(
        "insert into devices (device, person, spki, public_point, state, code, trust, model,
         agent_version, enrolled_ms, confirmed_ms, revoked_ms, last_seen_ms, certificate_until_ms,
         epoch, head, head_link, session, status, attestation)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, null, null, $11, $12, 1, 0, $13, 0, null, $14)",
    )
    .bind(&new.device.0[..])
    .bind(&new.person)
    .bind(&new.spki)
    .bind(&new.point)
    .bind(state)
    .bind(confirmation_code(&new.spki))
    .bind(new.evidence.tier().name())
    .bind(&new.model)
    .bind(&new.agent_version)
    .bind(new.enrolled_ms)
    .bind(new.enrolled_ms)
    .bind(new.certificate_until_ms)
    .bind(&chain::genesis(&new.spki)[..])
    .bind(new.evidence.name())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What decides whether a phone may speak: its key, its state, and who holds it.
pub async fn door(db: &Db, id: DeviceId) -> Result<(Vec<u8>, State, String)> {
    let row = sqlx::query("select spki, state, person from devices where device = $1")
        .bind(&id.0[..])
        .fetch_optional(db.reader())
        .await?
        .ok_or(UNKNOWN)?;
    let state = row.try_get::<&str, _>("state")?.parse();
    let state = state.map_err(|_| Error::Sealed)?;
    Ok((row.try_get("spki")?, state, row.try_get("person")?))
}

/// One phone.
pub async fn load(db: impl AnyExecutor<'_>, id: DeviceId) -> Result<Device> {
    let row = sqlx::query("select * from devices where device = $1")
        .bind(&id.0[..])
        .fetch_optional(db)
        .await?
        .ok_or(UNKNOWN)?;
    device(&row)
}

/// All phones, newest first.
pub async fn list(db: &Db) -> Result<Vec<Device>> {
    let rows = sqlx::query("select * from devices order by enrolled_ms desc, device")
        .fetch_all(db.reader())
        .await?;
    rows.iter().map(device).collect()
}

/// Alarms since a time, newest first.
pub async fn alarms(db: &Db, since_ms: i64) -> Result<Vec<Alarm>> {
    let rows = sqlx::query(
        "select device, at_ms, kind, detail from device_alarms where at_ms >= $1
         order by at_ms desc limit 200",
    )
    .bind(since_ms)
    .fetch_all(db.reader())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Alarm {
                device: DeviceId::from_slice(row.try_get("device")?).map_err(|_| Error::Sealed)?,
                at_ms: row.try_get("at_ms")?,
                kind: row.try_get("kind")?,
                detail: row.try_get("detail")?,
            })
        })
        .collect()
}

/// Writes an alarm down; the same one at the same time once.
pub async fn alarm(db: &Db, alarm: &Alarm) -> Result<()> {
    sqlx::query(
        "insert into device_alarms (device, at_ms, kind, detail) values ($1, $2, $3, $4)
         on conflict do nothing",
    )
    .bind(&alarm.device.0[..])
    .bind(alarm.at_ms)
    .bind(&alarm.kind)
    .bind(&alarm.detail)
    .execute(db.writer())
    .await?;
    tracing::warn!(device = %alarm.device, kind = alarm.kind, "device alarm");
    Ok(())
}

/// Moves the head from `from` to `to`; false when it stands elsewhere or the device was revoked.
pub async fn move_head(tx: &mut Tx, id: DeviceId, from: &Head, to: &Head) -> Result<bool> {
    let moved = sqlx::query(
        "update devices set epoch = $1, head = $2, head_link = $3
         where device = $4 and epoch = $5 and head = $6 and head_link = $7 and state = 'active'",
    )
    .bind(to.epoch.cast_signed())
    .bind(to.seq.cast_signed())
    .bind(&to.link[..])
    .bind(&id.0[..])
    .bind(from.epoch.cast_signed())
    .bind(from.seq.cast_signed())
    .bind(&from.link[..])
    .execute(&mut **tx)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Begins a session: numbers it, so that the newest can be told; `None` for an unknown device.
pub async fn begin_session(tx: &mut Tx, id: DeviceId, now_ms: i64) -> Result<Option<i64>> {
    let row = sqlx::query(
        "update devices set session = session + 1, last_seen_ms = $1 where device = $2
         returning session",
    )
    .bind(now_ms)
    .bind(&id.0[..])
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|row| row.try_get("session")).transpose()?)
}

/// Remembers what the phone said of itself.
pub async fn set_status(tx: &mut Tx, id: DeviceId, status: &pb::Status, now_ms: i64) -> Result<()> {
    sqlx::query("update devices set status = $1, last_seen_ms = $2 where device = $3")
        .bind(status.encode_to_vec())
        .bind(now_ms)
        .bind(&id.0[..])
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Remembers the end of a renewed certificate.
pub async fn set_certificate_until(db: &Db, id: DeviceId, until_ms: i64) -> Result<()> {
    sqlx::query("update devices set certificate_until_ms = $1 where device = $2")
        .bind(until_ms)
        .bind(&id.0[..])
        .execute(db.writer())
        .await?;
    Ok(())
}

/// Confirms a pending phone after its code was compared.
pub async fn confirm(shared: &Shared, id: DeviceId, actor: &str) -> Result<()> {
    change_state(shared, id, State::Pending, State::Active, actor).await
}

/// Revokes a phone; its live session is cut within a second.
pub async fn revoke(shared: &Shared, id: DeviceId, actor: &str) -> Result<()> {
    let from = load(shared.db.reader(), id).await?.state;
    if from == State::Revoked {
        return Err(Error::Conflict("this phone is revoked already"));
    }
    change_state(shared, id, from, State::Revoked, actor).await
}

async fn change_state(
    shared: &Shared,
    id: DeviceId,
    from: State,
    to: State,
    actor: &str,
) -> Result<()> {
    let now_ms = shared.clock.now_ms();
    let (from, name): (&'static str, &'static str) = (from.into(), to.into());
    let mut tx = shared.db.begin().await?;
    let updated = sqlx::query(
        "update devices set state = $1,
         confirmed_ms = case when $2 = 'active' then $3 else confirmed_ms end,
         revoked_ms = case when $4 = 'revoked' then $5 else revoked_ms end
         where device = $6 and state = $7",
    )
    .bind(name)
    .bind(name)
    .bind(now_ms)
    .bind(name)
    .bind(now_ms)
    .bind(&id.0[..])
    .bind(from)
    .execute(&mut *tx)
    .await?;
    if updated.rows_affected() == 0 {
        return Err(Error::Conflict("the phone is not in the state this needs"));
    }
    let entry = Entry::new(actor, format!("device.{name}"), id.to_string(), "");
    shared.audit.append_in(&mut tx, entry).await?;
    let kind = if to == State::Revoked {
        Kind::DeviceRevoked
    } else {
        Kind::Device
    };
    let change = Changes::record(&mut tx, now_ms, kind, &id.to_string()).await?;
    tx.commit().await?;
    shared.changes.announce(change);
    Ok(())
}
