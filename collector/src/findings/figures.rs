//! Numbers about findings for the first page.
//!
//! Invariant: every number counts only what the [`Reach`] holds.

use sqlx::Row;

use super::Reach;
use crate::db::Db;
use crate::error::Result;

/// Findings raised in a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayCount {
    /// Begin of the span.
    pub from_ms: i64,
    /// How many.
    pub n: i64,
}

/// How often a rule raised a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleCount {
    /// Rule id.
    pub rule: String,
    /// Hash of the newest rule set with a finding.
    pub rule_set: [u8; 32],
    /// Findings.
    pub n: i64,
    /// Of these, answered by a person.
    pub answered: i64,
    /// Of these, false positives.
    pub false_positives: i64,
}

/// How fresh the data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// When the newest finding was raised.
    pub created_ms: i64,
    /// From its event to the finding.
    pub delay_ms: i64,
}

/// Findings raised in each span between neighbouring `bounds`.
pub async fn by_day(db: &Db, reach: &Reach, bounds: &[i64]) -> Result<Vec<DayCount>> {
    let mut counts = Vec::new();
    for span in bounds.windows(2) {
        let row = sqlx::query(
            "select count(*) as n from findings
             where ($1 = '*' or replace($1, '|' || department || '|', '') <> $1) and person <> $2
             and created_ms >= $3 and created_ms < $4",
        )
        .bind(reach.departments())
        .bind(reach.not_person())
        .bind(span[0])
        .bind(span[1])
        .fetch_one(db.reader())
        .await?;
        counts.push(DayCount {
            from_ms: span[0],
            n: row.try_get("n")?,
        });
    }
    Ok(counts)
}

/// Findings that wait for somebody, by level from low to critical.
pub async fn unhandled(db: &Db, reach: &Reach) -> Result<[i64; 4]> {
    let rows = sqlx::query(
        "select level, count(*) as n from findings
         where state in ('new', 'assigned', 'in_review', 'escalated')
         and ($1 = '*' or replace($1, '|' || department || '|', '') <> $1) and person <> $2
         group by level",
    )
    .bind(reach.departments())
    .bind(reach.not_person())
    .fetch_all(db.reader())
    .await?;
    let mut counts = [0; 4];
    for row in rows {
        let level = row.try_get::<i64, _>("level")?.clamp(0, 3);
        counts[usize::try_from(level).unwrap_or(0)] += row.try_get::<i64, _>("n")?;
    }
    Ok(counts)
}

/// The rules that raised most since `since_ms`.
pub async fn top_rules(
    db: &Db,
    reach: &Reach,
    since_ms: i64,
    limit: i64,
) -> Result<Vec<RuleCount>> {
    let rows = sqlx::query(
        "select rule, max(rule_set) as rule_set, count(*) as n,
         cast(sum(case when state in ('compliant', 'non_compliant', 'questionable', 'false_positive')
             then 1 else 0 end) as bigint) as answered,
         cast(sum(case when state = 'false_positive' then 1 else 0 end) as bigint) as false_positives
         from findings
         where ($1 = '*' or replace($1, '|' || department || '|', '') <> $1) and person <> $2
         and created_ms >= $3 group by rule order by n desc, rule limit $4",
    )
    .bind(reach.departments())
    .bind(reach.not_person())
    .bind(since_ms)
    .bind(limit)
    .fetch_all(db.reader())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(RuleCount {
                rule: row.try_get("rule")?,
                rule_set: super::bytes32(row, "rule_set")?,
                n: row.try_get("n")?,
                answered: row.try_get("answered")?,
                false_positives: row.try_get("false_positives")?,
            })
        })
        .collect()
}

/// The newest finding's times; `None` while there is none.
pub async fn freshness(db: &Db) -> Result<Option<Freshness>> {
    let row =
        sqlx::query("select created_ms, at_ms from findings order by created_ms desc limit 1")
            .fetch_optional(db.reader())
            .await?;
    row.map(|row| {
        let created_ms: i64 = row.try_get("created_ms")?;
        Ok(Freshness {
            created_ms,
            delay_ms: (created_ms - row.try_get::<i64, _>("at_ms")?).max(0),
        })
    })
    .transpose()
}
