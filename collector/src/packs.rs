//! Recognition packs for the phones: published here, signed, delivered over the session. Owns `packs`.
//!
//! Invariants: a published version's bytes never change; versions only grow, also past what any phone
//! has; what a phone can't use it says in its status, and keeps what it has.

use std::path::Path;

use mingjing_proto::limits::MESSAGE_BYTES;
use mingjing_proto::pb;
use prost::Message;
use sqlx::Row;

use crate::audit::Entry;
use crate::changes::{Changes, Kind};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::{Shared, devices};

/// Bytes of all files of a set: a message must still hold them with its signature.
const SET_BYTES: usize = MESSAGE_BYTES / 2;

/// A published set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// From 2; 1 is what the app was built with.
    pub version: u32,
    /// The encoded `Pack`.
    pub bytes: Vec<u8>,
    /// When, Unix milliseconds.
    pub published_ms: i64,
}

/// The newest set, if any was published.
pub async fn newest(db: &Db) -> Result<Option<Published>> {
    let row =
        sqlx::query("select version, pack, published_ms from packs order by version desc limit 1")
            .fetch_optional(db.reader())
            .await?;
    row.map(|row| {
        Ok(Published {
            version: u32::try_from(row.try_get::<i64, _>("version")?).unwrap_or(0),
            bytes: row.try_get("pack")?,
            published_ms: row.try_get("published_ms")?,
        })
    })
    .transpose()
}

/// Reads the YAML files of a folder as the JSON phones read, in the order of their names.
pub fn read(dir: &Path) -> Result<Vec<pb::PackFile>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::file(dir))? {
        let path = entry.map_err(Error::file(dir))?.path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let yaml = std::fs::read_to_string(&path).map_err(Error::file(&path))?;
        // Phones read JSON only: a reader of YAML would be a tenth of the app's library.
        let pack: serde_json::Value = serde_saphyr::from_str(&yaml)
            .map_err(|error| Error::Invalid(format!("{}: {error}", path.display())))?;
        let name = path.with_extension("json");
        let name = name.file_name().unwrap_or_default().to_string_lossy();
        files.push(pb::PackFile {
            name: name.into_owned(),
            json: pack.to_string(),
        });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let bytes: usize = files.iter().map(|file| file.json.len()).sum();
    if files.is_empty() || bytes > SET_BYTES {
        return Err(Error::Invalid(format!(
            "{} must hold packs (*.yaml) of together at most {SET_BYTES} bytes",
            dir.display()
        )));
    }
    Ok(files)
}

/// Publishes a set under the next version; connected phones get it at once.
pub async fn publish(shared: &Shared, files: Vec<pb::PackFile>, actor: &str) -> Result<u32> {
    let published = newest(&shared.db).await?.map_or(1, |newest| newest.version);
    let on_phones = devices::list(&shared.db)
        .await?
        .iter()
        .filter_map(|device| device.status.as_ref())
        .map(|status| status.pack_version)
        .max();
    let version = published.max(on_phones.unwrap_or(1)) + 1;
    let now_ms = shared.clock.now_ms();
    let bytes = pb::Pack { version, files }.encode_to_vec();
    let mut tx = shared.db.begin().await?;
    sqlx::query("insert into packs (version, pack, published_ms) values ($1, $2, $3)")
        .bind(i64::from(version))
        .bind(&bytes)
        .bind(now_ms)
        .execute(&mut *tx)
        .await?;
    let hash = hex::encode(mingjing_proto::chain::sha256(&bytes));
    let entry = Entry::new(actor, "pack.publish", version.to_string(), hash);
    shared.audit.append_in(&mut tx, entry).await?;
    let change = Changes::record(&mut tx, now_ms, Kind::Reload, "pack").await?;
    tx.commit().await?;
    shared.changes.announce(change);
    Ok(version)
}
