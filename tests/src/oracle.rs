//! What the collector really holds, read by a process that is neither side.
//!
//! Invariant: texts are opened with the collector's own keys but counted by the caller.

use mingjing_collector::Shared;
use mingjing_collector::archive::RecordRow;
use mingjing_collector::seal::{KeyName, Purpose};
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
