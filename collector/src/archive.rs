//! Where records and their counts are kept. Owns the tables `records` and `tallies`.

use sqlx::Row;

use crate::db::Db;
use crate::error::Result;

/// How often something happened in an account on a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Account id of the register; empty for device events.
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
