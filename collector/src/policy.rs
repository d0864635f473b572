//! A phone's policy: which accounts, categories and hours. Owns `policies` and `policies_accepted`.
//!
//! Invariants: a policy version's bytes never change; what a phone sent is judged by the version it had
//! accepted at that place of its chain; a person without accounts gets a policy that captures nothing.

use std::collections::HashMap;

use mingjing_proto::chain::sha256;
use mingjing_proto::ids::DeviceId;
use mingjing_proto::pb;
use prost::Message;
use sqlx::Row;
use sqlx::any::AnyExecutor;

use crate::db::Tx;
use crate::error::{Error, Result};
use crate::ingest::View;
use crate::{Shared, accounts, notice};

/// One version of a phone's policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// From 1, per phone.
    pub version: u32,
    /// Of the bytes.
    pub sha256: Vec<u8>,
    /// As delivered.
    pub bytes: Vec<u8>,
    /// What they say.
    pub policy: pb::Policy,
}

/// A `PolicyAccepted` record in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Epoch of the record.
    pub epoch: u64,
    /// Seq of the record.
    pub seq: u64,
    /// The accepted version.
    pub version: u32,
}

/// All versions a phone was given.
pub async fn versions(db: impl AnyExecutor<'_>, device: DeviceId) -> Result<HashMap<u32, Version>> {
    let rows = sqlx::query("select version, sha256, policy from policies where device = $1")
        .bind(&device.0[..])
        .fetch_all(db)
        .await?;
    let mut versions = HashMap::new();
    for row in &rows {
        let version = u32::try_from(row.try_get::<i64, _>("version")?).unwrap_or(0);
        let bytes: Vec<u8> = row.try_get("policy")?;
        let policy = pb::Policy::decode(&*bytes).unwrap_or_default();
        versions.insert(
            version,
            Version {
                version,
                sha256: row.try_get("sha256")?,
                bytes,
                policy,
            },
        );
    }
    Ok(versions)
}

/// The policy in force for a phone: the newest version, or a new one when the register, the schedule or
/// the terms have changed since.
///
/// `phone_has` is the version in force on the phone and its hash. A collector restored from an older
/// backup has lost it and may give its number to other bytes, which the phone must refuse; a number
/// above the phone's is taken.
pub async fn current(shared: &Shared, view: &View, phone_has: (u32, &[u8])) -> Result<Version> {
    let device = &view.device;
    let held = view
        .register
        .values()
        .filter(|account| account.holder == device.person && account.suspended_ms.is_none());
    let mut accounts: Vec<_> = held.map(accounts::Account::for_policy).collect();
    accounts.sort_by(|a, b| a.id.cmp(&b.id));
    let schedule = view.hours.as_ref().map(|hours| hours.schedule().clone());
    let newest = view.policies.values().max_by_key(|it| it.version);
    let mut policy = pb::Policy {
        version: newest.map_or(1, |newest| newest.version),
        device_id: device.device.0.to_vec(),
        person: device.person.clone(),
        person_name: view.person.pseudonym.clone(),
        terms: notice::terms(&shared.config),
        accounts,
        schedule,
        categories: shared.config.terms.categories.clone(),
    };
    let (has, has_sha256) = phone_has;
    if let Some(newest) = newest {
        let beside = has >= newest.version && !has_sha256.is_empty() && has_sha256 != newest.sha256;
        if newest.policy == policy && !beside {
            return Ok(newest.clone());
        }
        policy.version = newest
            .version
            .max(if beside { has } else { 0 })
            .saturating_add(1);
    } else if has > 0 {
        policy.version = has.saturating_add(1);
    }
    let bytes = policy.encode_to_vec();
    let version = Version {
        version: policy.version,
        sha256: sha256(&bytes).to_vec(),
        bytes,
        policy,
    };
    let inserted = sqlx::query(
        "insert into policies (device, version, sha256, policy, created_ms)
         values ($1, $2, $3, $4, $5) on conflict do nothing",
    )
    .bind(&device.device.0[..])
    .bind(i64::from(version.version))
    .bind(&version.sha256)
    .bind(&version.bytes)
    .bind(shared.clock.now_ms())
    .execute(shared.db.writer())
    .await?;
    if inserted.rows_affected() == 0 {
        // Another collector gave this number first: only what is stored may be given to a phone.
        return versions(shared.db.reader(), device.device)
            .await?
            .into_values()
            .max_by_key(|version| version.version)
            .ok_or(Error::Conflict("the policy was removed meanwhile"));
    }
    Ok(version)
}

/// What a phone accepted, in the order of its chain.
pub async fn accepted(db: impl AnyExecutor<'_>, device: DeviceId) -> Result<Vec<Accepted>> {
    let rows = sqlx::query(
        "select epoch, seq, version from policies_accepted where device = $1 order by epoch, seq",
    )
    .bind(&device.0[..])
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Accepted {
                epoch: u64::try_from(row.try_get::<i64, _>("epoch")?).unwrap_or(0),
                seq: u64::try_from(row.try_get::<i64, _>("seq")?).unwrap_or(0),
                version: u32::try_from(row.try_get::<i64, _>("version")?).unwrap_or(0),
            })
        })
        .collect()
}

/// Stores a `PolicyAccepted` record.
pub async fn store_accepted(
    tx: &mut Tx,
    device: DeviceId,
    accepted: Accepted,
    sha256: &[u8],
) -> Result<()> {
    sqlx::query(
        "insert into policies_accepted (device, epoch, seq, version, sha256)
         values ($1, $2, $3, $4, $5) on conflict do nothing",
    )
    .bind(&device.0[..])
    .bind(accepted.epoch.cast_signed())
    .bind(accepted.seq.cast_signed())
    .bind(i64::from(accepted.version))
    .bind(sha256)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
