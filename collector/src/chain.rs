//! Recomputes every device's chain from what is stored: what `verify` prints and tests rely on.
//!
//! Invariants: only headers are read (epoch, seqs, category, `inner`, link), so a chain verifies after
//! its content is erased; a gap takes exactly the seqs it replaces and its `end_link` goes on; the
//! device's head is the end of its newest epoch (wire.md §1, §3, §4).

use std::collections::BTreeMap;

use mingjing_proto::chain::{self, Link, Place};
use mingjing_proto::ids::DeviceId;
use mingjing_proto::pb::{self, Category};
use prost::Message;
use sqlx::Row;

use crate::db::Db;
use crate::devices::{self, Device};
use crate::error::{Error, Result};

/// What the verification of one device found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceChain {
    /// The device.
    pub device: DeviceId,
    /// Epochs begun.
    pub epochs: u64,
    /// Records whose links hold.
    pub records: u64,
    /// Seqs those records take.
    pub seqs: u64,
    /// Seqs of gaps among them.
    pub gap_seqs: u64,
    /// The first place that does not hold, and why.
    pub broken: Option<String>,
}

/// Rows read at once.
const PAGE: i64 = 2000;

/// Verifies every device's chain, oldest device first.
pub async fn verify(db: &Db) -> Result<Vec<DeviceChain>> {
    let mut chains = Vec::new();
    for device in devices::list(db).await?.iter().rev() {
        chains.push(verify_device(db, device).await?);
    }
    Ok(chains)
}

/// Where a walk along a chain stands.
struct Walk {
    epoch: u64,
    seq: u64,
    link: Link,
    chain: DeviceChain,
}

async fn verify_device(db: &Db, device: &Device) -> Result<DeviceChain> {
    let id = device.device;
    let begun = epochs(db, id).await?;
    let gaps = gap_ends(db, id).await?;
    let mut walk = Walk {
        epoch: 1,
        seq: 0,
        link: chain::genesis(&device.spki),
        chain: DeviceChain {
            device: id,
            epochs: 1 + begun.len() as u64,
            records: 0,
            seqs: 0,
            gap_seqs: 0,
            broken: None,
        },
    };
    let (mut epoch, mut seq) = (0_i64, 0_i64);
    loop {
        let rows = sqlx::query(
            "select epoch, first_seq, count, category, inner_hash, link from records
             where device = $1 and (epoch > $2 or (epoch = $3 and first_seq > $4))
             order by epoch, first_seq limit $5",
        )
        .bind(&id.0[..])
        .bind(epoch)
        .bind(epoch)
        .bind(seq)
        .bind(PAGE)
        .fetch_all(db.reader())
        .await?;
        let Some(last) = rows.last() else { break };
        (epoch, seq) = (last.try_get("epoch")?, last.try_get("first_seq")?);
        for row in &rows {
            let header = Header {
                epoch: row.try_get::<i64, _>("epoch")?.cast_unsigned(),
                first_seq: row.try_get::<i64, _>("first_seq")?.cast_unsigned(),
                count: row.try_get::<i64, _>("count")?.cast_unsigned(),
                category: i32::try_from(row.try_get::<i64, _>("category")?)
                    .ok()
                    .and_then(|number| Category::try_from(number).ok())
                    .ok_or(Error::Sealed)?,
                inner: link(row.try_get("inner_hash")?)?,
                link: link(row.try_get("link")?)?,
            };
            if let Err(problem) = walk.step(&header, &begun, &gaps) {
                walk.chain.broken = Some(problem);
                return Ok(walk.chain);
            }
        }
    }
    walk.chain.broken = walk.end(device, &begun).err();
    Ok(walk.chain)
}

struct Header {
    epoch: u64,
    first_seq: u64,
    count: u64,
    category: Category,
    inner: Link,
    link: Link,
}

impl Walk {
    /// Goes to the epoch, through those in which nothing was stored.
    fn enter(&mut self, epoch: u64, begun: &BTreeMap<u64, Link>) -> Result<(), String> {
        if epoch != self.epoch {
            let previous = begun
                .get(&epoch)
                .ok_or_else(|| format!("epoch {epoch} never began"))?;
            (self.epoch, self.seq, self.link) = (epoch, 0, *previous);
        }
        Ok(())
    }

    fn step(
        &mut self,
        header: &Header,
        begun: &BTreeMap<u64, Link>,
        gaps: &BTreeMap<(u64, u64), Link>,
    ) -> Result<(), String> {
        self.enter(header.epoch, begun)?;
        let place = format!("epoch {} seq {}", header.epoch, header.first_seq);
        if header.first_seq != self.seq + 1 {
            return Err(format!("{place}: the record before ends at {}", self.seq));
        }
        let count =
            u32::try_from(header.count).map_err(|_| format!("{place}: impossible count"))?;
        let expected = match gaps.get(&(header.epoch, header.first_seq)) {
            Some(end_link) => {
                self.chain.gap_seqs += header.count;
                *end_link
            }
            None => {
                let place = Place {
                    epoch: header.epoch,
                    first_seq: header.first_seq,
                    count,
                    category: header.category,
                };
                chain::link(&self.link, place, &header.inner)
            }
        };
        if expected != header.link {
            return Err(format!(
                "{place}: the link does not follow from the one before"
            ));
        }
        self.seq += header.count;
        self.link = header.link;
        self.chain.records += 1;
        self.chain.seqs += header.count;
        Ok(())
    }

    fn end(&mut self, device: &Device, begun: &BTreeMap<u64, Link>) -> Result<(), String> {
        self.enter(device.head.epoch, begun)?;
        if (self.seq, self.link) == (device.head.seq, device.head.link) {
            return Ok(());
        }
        Err(format!(
            "epoch {}: the records end at {}, the device's head stands at {}",
            self.epoch, self.seq, device.head.seq
        ))
    }
}

fn link(bytes: &[u8]) -> Result<Link> {
    bytes.try_into().map_err(|_| Error::Sealed)
}

async fn epochs(db: &Db, device: DeviceId) -> Result<BTreeMap<u64, Link>> {
    let rows = sqlx::query("select epoch, previous from epochs where device = $1")
        .bind(&device.0[..])
        .fetch_all(db.reader())
        .await?;
    rows.iter()
        .map(|row| {
            let epoch: i64 = row.try_get("epoch")?;
            Ok((epoch.cast_unsigned(), link(row.try_get("previous")?)?))
        })
        .collect()
}

/// Where the phone's gaps end, by the place of their record. The collector's own gaps are no records.
async fn gap_ends(db: &Db, device: DeviceId) -> Result<BTreeMap<(u64, u64), Link>> {
    let rows = sqlx::query(
        "select epoch, first_seq, payload from gaps where device = $1 and reason <> 'server_lost'",
    )
    .bind(&device.0[..])
    .fetch_all(db.reader())
    .await?;
    rows.iter()
        .map(|row| {
            let place = (
                row.try_get::<i64, _>("epoch")?.cast_unsigned(),
                row.try_get::<i64, _>("first_seq")?.cast_unsigned(),
            );
            let gap =
                pb::Gap::decode(row.try_get::<&[u8], _>("payload")?).map_err(|_| Error::Sealed)?;
            Ok((place, link(&gap.end_link)?))
        })
        .collect()
}
