//! What the collector really holds, read by a process that is neither side.
//!
//! Invariants: texts are opened with the collector's own keys but counted here; chains are recomputed
//! from the stored headers alone.

use anyhow::Context as _;
use mingjing_collector::Shared;
use mingjing_collector::archive::RecordRow;
use mingjing_collector::seal::{KeyName, Purpose};
use mingjing_proto::chain::{self, Link, Place};
use mingjing_proto::ids::DeviceId;
use mingjing_proto::pb::{self, Category};
use prost::Message;
use sqlx::Row;

/// The texts of every stored event, in the order of the chain.
pub async fn texts(shared: &Shared) -> anyhow::Result<Vec<String>> {
    let rows = sqlx::query(
        "select device, epoch, first_seq, category, account, day, sealed from records
         where category <> 0 order by device, epoch, first_seq",
    )
    .fetch_all(shared.db.reader())
    .await?;
    let mut texts = Vec::new();
    for row in &rows {
        let sealed: Vec<u8> = row.try_get("sealed")?;
        if sealed.is_empty() {
            continue;
        }
        let category = Category::try_from(i32::try_from(row.try_get::<i64, _>("category")?)?)?;
        let device = DeviceId::from_slice(row.try_get("device")?)?;
        let account: String = row.try_get("account")?;
        let day: i64 = row.try_get("day")?;
        let place = RecordRow {
            device,
            epoch: row.try_get::<i64, _>("epoch")?.cast_unsigned(),
            first_seq: row.try_get::<i64, _>("first_seq")?.cast_unsigned(),
            count: 0,
            category,
            account: account.clone(),
            day,
            inner: [0; 32],
            link: [0; 32],
            partial: false,
            facets: Vec::new(),
            sealed: Vec::new(),
            received_ms: 0,
        };
        let name = KeyName {
            account: if category == Category::Device {
                device.to_string()
            } else {
                account
            },
            day: i32::try_from(day)?,
            category: category.into(),
        };
        let key = shared.sealer.existing_key(&shared.db, &name).await?;
        let plain = key.open(Purpose::Record, &place.aad(), &sealed)?;
        let events = pb::Events::decode(&plain[16..])?;
        texts.extend(events.activities.into_iter().map(|activity| activity.text));
    }
    Ok(texts)
}

/// Recomputes every device's chain from the stored headers; returns how many records hold.
pub async fn verify_chains(shared: &Shared) -> anyhow::Result<usize> {
    let rows = sqlx::query(
        "select r.device, r.epoch, r.first_seq, r.count, r.category, r.inner_hash, r.link, d.spki
         from records r join devices d on d.device = r.device
         order by r.device, r.epoch, r.first_seq",
    )
    .fetch_all(shared.db.reader())
    .await?;
    let mut at: Option<(Vec<u8>, i64, i64, Link)> = None;
    for row in &rows {
        let device: Vec<u8> = row.try_get("device")?;
        let epoch: i64 = row.try_get("epoch")?;
        let first_seq: i64 = row.try_get("first_seq")?;
        let count: i64 = row.try_get("count")?;
        let link: Link = row.try_get::<&[u8], _>("link")?.try_into()?;
        let inner: Link = row.try_get::<&[u8], _>("inner_hash")?.try_into()?;
        let category = Category::try_from(i32::try_from(row.try_get::<i64, _>("category")?)?)?;
        let (next, previous) = match &at {
            Some((at_device, at_epoch, seq, link))
                if *at_device == device && *at_epoch == epoch =>
            {
                (seq + 1, *link)
            }
            _ if epoch == 1 => (1, chain::genesis(row.try_get("spki")?)),
            _ => (1, first_previous(shared, &device, epoch).await?),
        };
        anyhow::ensure!(
            next == first_seq,
            "a hole before seq {first_seq} of epoch {epoch}"
        );
        let place = Place {
            epoch: epoch.cast_unsigned(),
            first_seq: first_seq.cast_unsigned(),
            count: u32::try_from(count)?,
            category,
        };
        let gap = sqlx::query(
            "select first_seq from gaps where device = $1 and epoch = $2 and first_seq = $3",
        )
        .bind(&device[..])
        .bind(epoch)
        .bind(first_seq)
        .fetch_optional(shared.db.reader())
        .await?;
        if gap.is_none() {
            anyhow::ensure!(
                chain::link(&previous, place, &inner) == link,
                "seq {first_seq} does not follow"
            );
        }
        at = Some((device, epoch, first_seq + count - 1, link));
    }
    Ok(rows.len())
}

async fn first_previous(shared: &Shared, device: &[u8], epoch: i64) -> anyhow::Result<Link> {
    let row = sqlx::query("select previous from epochs where device = $1 and epoch = $2")
        .bind(device)
        .bind(epoch)
        .fetch_optional(shared.db.reader())
        .await?
        .context("an epoch without a beginning")?;
    Ok(row.try_get::<&[u8], _>("previous")?.try_into()?)
}
