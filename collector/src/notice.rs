//! The notice employees consent to (requirements N, wire.md §5). Owns `notices` and `notices_received`.
//!
//! Invariants: one version a company; a version's bytes never change once published and their SHA-256
//! stands in the audit chain; a notice names the manifest of the app and the terms in force.

use mingjing_proto::chain::sha256;
use mingjing_proto::ids::DeviceId;
use mingjing_proto::limits::NOTICE_GRACE_HOURS;
use mingjing_proto::{manifest, pb};
use prost::Message;
use sqlx::Row;
use sqlx::any::AnyExecutor;

use crate::Shared;
use crate::audit::Entry;
use crate::changes::{Changes, Kind};
use crate::config::Config;
use crate::db::{Db, Tx};
use crate::error::Result;

/// A published notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// From 1.
    pub version: u32,
    /// Of the bytes.
    pub sha256: Vec<u8>,
    /// The encoded `Notice`, as delivered.
    pub bytes: Vec<u8>,
    /// When, Unix milliseconds.
    pub published_ms: i64,
}

/// The newest notice, if any was published.
pub async fn newest(db: &Db) -> Result<Option<Published>> {
    let row = sqlx::query(
        "select version, sha256, notice, published_ms from notices order by version desc limit 1",
    )
    .fetch_optional(db.reader())
    .await?;
    row.map(|row| {
        Ok(Published {
            version: u32::try_from(row.try_get::<i64, _>("version")?).unwrap_or(0),
            sha256: row.try_get("sha256")?,
            bytes: row.try_get("notice")?,
            published_ms: row.try_get("published_ms")?,
        })
    })
    .transpose()
}

/// The company-wide terms as every policy carries them.
pub fn terms(config: &Config) -> Vec<u8> {
    config.terms.encode_to_vec()
}

fn draft(config: &Config, version: u32, now_ms: i64) -> pb::Notice {
    let texts = config
        .notice
        .iter()
        .map(|(language, words)| pb::NoticeText {
            language: language.clone(),
            company: config.company.name.clone(),
            contact: config.company.contact.clone(),
            privacy_contact: config.company.privacy_contact.clone(),
            purposes: words.purposes.clone(),
            readers: words.readers.clone(),
            stored_where: words.stored_where.clone(),
            refusal_consequences: words.refusal_consequences.clone(),
            addition: words.addition.clone(),
        })
        .collect();
    pb::Notice {
        version,
        manifest_sha256: manifest::SHA256.to_vec(),
        terms_sha256: sha256(&terms(config)).to_vec(),
        published_at_ms: now_ms,
        texts,
        seal_mode: config.master_key.seal_mode().to_owned(),
    }
}

/// Publishes the settings' notice when its words, terms or the app's manifest differ from the newest.
pub async fn publish_if_changed(shared: &Shared, actor: &str) -> Result<()> {
    let now_ms = shared.clock.now_ms();
    let newest = newest(&shared.db).await?;
    if let Some(newest) = &newest {
        let same = draft(&shared.config, newest.version, newest.published_ms);
        if same.encode_to_vec() == newest.bytes {
            return Ok(());
        }
    }
    let version = newest.map_or(1, |newest| newest.version + 1);
    let bytes = draft(&shared.config, version, now_ms).encode_to_vec();
    let hash = sha256(&bytes);
    let mut tx = shared.db.begin().await?;
    let inserted = sqlx::query(
        "insert into notices (version, sha256, notice, published_ms) values ($1, $2, $3, $4)
         on conflict do nothing",
    )
    .bind(i64::from(version))
    .bind(&hash[..])
    .bind(&bytes)
    .bind(now_ms)
    .execute(&mut *tx)
    .await?;
    if inserted.rows_affected() == 0 {
        tracing::info!(version, "another collector published a notice first");
        return Ok(());
    }
    let entry = Entry::new(
        actor,
        "notice.publish",
        version.to_string(),
        hex::encode(hash),
    );
    shared.audit.append_in(&mut tx, entry).await?;
    let change = Changes::record(&mut tx, now_ms, Kind::Reload, "notice").await?;
    tx.commit().await?;
    shared.changes.announce(change);
    tracing::info!(version, "notice published");
    Ok(())
}

/// When a phone received which notice, in its own order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// The notice.
    pub version: u32,
    /// When, by the phone's event time.
    pub at_ms: i64,
}

impl Received {
    /// From when on capture under an older notice is refused.
    pub fn grace_ends_ms(self) -> i64 {
        let grace = i64::try_from(NOTICE_GRACE_HOURS).expect("a small number") * 3_600_000;
        self.at_ms.saturating_add(grace)
    }
}

/// Notices a phone said it received.
pub async fn received(db: impl AnyExecutor<'_>, device: DeviceId) -> Result<Vec<Received>> {
    let rows = sqlx::query("select version, at_ms from notices_received where device = $1")
        .bind(&device.0[..])
        .fetch_all(db)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Received {
                version: u32::try_from(row.try_get::<i64, _>("version")?).unwrap_or(0),
                at_ms: row.try_get("at_ms")?,
            })
        })
        .collect()
}

/// Stores a `NoticeReceived` record; the first counts.
pub async fn store_received(
    tx: &mut Tx,
    device: DeviceId,
    epoch: u64,
    seq: u64,
    received: Received,
) -> Result<()> {
    sqlx::query(
        "insert into notices_received (device, version, epoch, seq, at_ms)
         values ($1, $2, $3, $4, $5) on conflict do nothing",
    )
    .bind(&device.0[..])
    .bind(i64::from(received.version))
    .bind(epoch.cast_signed())
    .bind(seq.cast_signed())
    .bind(received.at_ms)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
