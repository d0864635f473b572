//! What each stage of ingest costs, measured alone: the collector's own functions on the load's batches.
//!
//! Invariants: nothing measured here stays in the store; figures are processor time, so that waiting for
//! a disk or for another program is not in them.

use std::hint::black_box;

use mingjing_collector::Shared;
use mingjing_collector::archive::{self, RecordRow, TallyKey, TallyValue};
use mingjing_collector::normalise::normalise;
use mingjing_collector::rules::{Event, MemoryCounts};
use mingjing_collector::seal::{KeyName, Purpose};
use mingjing_proto::ids::DeviceId;
use mingjing_proto::pb;
use mingjing_proto::validate::{self, Content, Record};
use rcgen::KeyPair;
use serde::Serialize;

use super::load;
use super::measure::thread_cpu_s;
use crate::child::Usage;
use crate::raw::RawPhone;

const BATCHES: usize = 100;
const BATCH_EVENTS: usize = 100;
/// Rounds over the batches of stages that take microseconds.
const ROUNDS: usize = 5;
/// Records of one insert, as the collector groups them.
const ROWS: usize = 40;

/// One stage and its cost.
#[derive(Clone, Debug, Serialize)]
pub struct Stage {
    /// Its name.
    pub stage: &'static str,
    /// Processor time an event.
    pub us_per_event: f64,
}

#[allow(clippy::cast_precision_loss, reason = "counts are small")]
fn timed(
    stage: &'static str,
    mut once: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Stage> {
    once()?;
    let began = thread_cpu_s()?;
    for _ in 0..ROUNDS {
        once()?;
    }
    let events = (ROUNDS * BATCHES * BATCH_EVENTS) as f64;
    Ok(Stage {
        stage,
        us_per_event: (thread_cpu_s()? - began) * 1e6 / events,
    })
}

fn contents(records: &[Record]) -> impl Iterator<Item = (&Record, &pb::Events)> {
    records.iter().filter_map(|record| match &record.content {
        Content::Events(events) => Some((record, events)),
        Content::Control(_) | Content::UnknownVersion | Content::Malformed(_) => None,
    })
}

fn row(shared: &Shared, record: &Record, events: &pb::Events) -> RecordRow {
    RecordRow {
        device: DeviceId([0xBE; 16]),
        epoch: 1,
        first_seq: record.first_seq,
        count: u64::from(record.count),
        category: record.category,
        account: events.account.clone(),
        day: i64::from(events.day),
        inner: record.inner(),
        link: [0; 32],
        partial: false,
        facets: Vec::new(),
        sealed: Vec::new(),
        received_ms: shared.clock.now_ms(),
    }
}

/// Measures every stage on this collector's rules, keys and database.
#[allow(clippy::cast_precision_loss, reason = "counts are small")]
pub async fn measure(shared: &Shared) -> anyhow::Result<Vec<Stage>> {
    let mut phone = RawPhone::new(KeyPair::generate()?, pb::EnrollResponse::default())?;
    let mut n = 0;
    let batches: Vec<pb::Batch> = (0..BATCHES)
        .map(|_| load::batch(&mut phone, "load0", &mut n, BATCH_EVENTS))
        .collect();
    let mut stages = vec![timed("inflate and decode", || {
        for batch in &batches {
            black_box(validate::records(batch)?);
        }
        Ok(())
    })?];
    let mut records = Vec::new();
    for batch in &batches {
        records.extend(validate::records(batch)?);
    }
    stages.push(timed("chain", || {
        let mut link = [0; 32];
        for record in &records {
            link = record.link(&link, 1);
        }
        black_box(link);
        Ok(())
    })?);
    stages.push(timed("normalise", || {
        for (_, events) in contents(&records) {
            for activity in &events.activities {
                black_box(normalise(&activity.text));
            }
        }
        Ok(())
    })?);
    let normalised: Vec<Vec<_>> = contents(&records)
        .map(|(_, events)| {
            let texts = events.activities.iter();
            texts.map(|activity| normalise(&activity.text)).collect()
        })
        .collect();
    let rules = shared.rules();
    stages.push(timed("words and rules", || {
        let counts = MemoryCounts::default();
        let mut hits = Vec::new();
        for ((_, events), normalised) in contents(&records).zip(&normalised) {
            for (activity, normalised) in events.activities.iter().zip(normalised) {
                let event = Event {
                    account: &events.account,
                    department: "压测部",
                    class: "staff",
                    local_minute_of_day: 600,
                    weekday: 2,
                    activity,
                    normalised,
                };
                hits.clear();
                rules.judge(&event, &counts, &mut hits);
                black_box(&hits);
            }
        }
        Ok(())
    })?);
    let mut rows: Vec<RecordRow> = contents(&records)
        .map(|(record, events)| row(shared, record, events))
        .collect();
    stages.push(timed("facets and tallies", || {
        for (row, (_, events)) in rows.iter_mut().zip(contents(&records)) {
            row.facets.clear();
            let mut tallies = std::collections::HashMap::<TallyKey, TallyValue>::new();
            for activity in &events.activities {
                row.push_facet(&shared.sealer, &events.account, activity);
                let key = TallyKey::new(&events.account, events.day, activity);
                tallies.entry(key).or_default().add(activity.at_ms);
            }
            black_box(tallies);
        }
        Ok(())
    })?);
    let (_, first) = contents(&records)
        .next()
        .ok_or_else(|| anyhow::anyhow!("the load holds no events"))?;
    let name = KeyName {
        account: first.account.clone(),
        day: first.day,
        category: pb::Category::Messages as i32,
    };
    let key = shared
        .sealer
        .key(&shared.db, &name, shared.clock.now_ms())
        .await?;
    stages.push(timed("seal", || {
        for (row, (record, _)) in rows.iter_mut().zip(contents(&records)) {
            let plain = [&record.salt[..], &record.body].concat();
            row.sealed = key.seal(Purpose::Record, &row.aad(), &plain);
        }
        Ok(())
    })?);
    stages.push(insert(shared, &rows).await?);
    Ok(stages)
}

/// Writing the rows, without making them durable; the database library works on threads of its own, so
/// the whole process counts.
#[allow(clippy::cast_precision_loss, reason = "counts are small")]
async fn insert(shared: &Shared, rows: &[RecordRow]) -> anyhow::Result<Stage> {
    let began = Usage::of(std::process::id())?.cpu_ms;
    for _ in 0..ROUNDS {
        let mut tx = shared.db.begin().await?;
        let refs: Vec<&RecordRow> = rows.iter().collect();
        for rows in refs.chunks(ROWS) {
            archive::insert_records(&mut tx, &shared.db, rows).await?;
        }
        tx.rollback().await?;
    }
    let took_ms = Usage::of(std::process::id())?.cpu_ms - began;
    Ok(Stage {
        stage: "insert, not committed",
        us_per_event: took_ms * 1000.0 / (ROUNDS * BATCHES * BATCH_EVENTS) as f64,
    })
}
