//! Working hours of one person (O1); an invitation gives those of the configuration.
//!
//! Invariant: who has no row here has agreed to no hours: his phone captures nothing, and what it sends is
//! held.

use mingjing_proto::pb::Schedule;
use prost::Message;
use sqlx::Row;
use sqlx::any::AnyExecutor;

use crate::Shared;
use crate::audit::Entry;
use crate::changes::{Changes, Kind};
use crate::error::{Error, Result};

/// The person's hours, if any.
pub async fn schedule(db: impl AnyExecutor<'_>, person: &str) -> Result<Option<Schedule>> {
    let row = sqlx::query("select schedule from schedules where person = $1")
        .bind(person)
        .fetch_optional(db)
        .await?;
    row.map(|row| {
        Schedule::decode(row.try_get::<&[u8], _>("schedule")?)
            .map_err(|_| Error::Invalid("a stored schedule can't be read".into()))
    })
    .transpose()
}

/// Gives the person hours. Widening needs a new consent (O4), which the phone asks for.
pub async fn set_schedule(
    shared: &Shared,
    person: &str,
    schedule: &Schedule,
    actor: &str,
) -> Result<()> {
    super::load(shared.db.reader(), person).await?;
    let now_ms = shared.clock.now_ms();
    let mut tx = shared.db.begin().await?;
    sqlx::query(
        "insert into schedules (person, schedule, changed_ms) values ($1, $2, $3)
         on conflict (person) do update set schedule = excluded.schedule, changed_ms = excluded.changed_ms",
    )
    .bind(person)
    .bind(schedule.encode_to_vec())
    .bind(now_ms)
    .execute(&mut *tx)
    .await?;
    let detail = format!("zone={} weekly={}", schedule.zone, schedule.weekly.len());
    let entry = Entry::new(actor, "person.schedule", person, detail);
    shared.audit.append_in(&mut tx, entry).await?;
    let change = Changes::record(&mut tx, now_ms, Kind::Register, person).await?;
    tx.commit().await?;
    shared.changes.announce(change);
    Ok(())
}
