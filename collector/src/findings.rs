//! Findings: what a rule saw, kept as ids, values and spans, and what people made of it (design §8).
//!
//! Invariants: a finding is a question, only a person answers it; its id follows from what raised it,
//! so the same event never raises it twice; the text is sealed under the finding's own key, apart from
//! the record's; each step is written once, numbered, with who took it. Owns the tables `findings`,
//! `finding_steps`, `rule_texts`. Reading goes through `access`.

mod content;
mod figures;
mod list;
mod rule_texts;
mod states;
mod steps;

use mingjing_proto::chain::sha256;
use mingjing_proto::ids::DeviceId;
use mingjing_proto::pb;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::db::{Db, Tx};
use crate::error::{Error, Result};
use crate::seal::KeyName;

pub use content::{FindingContent, open_content, seal_content};
pub use figures::{DayCount, Freshness, RuleCount, by_day, freshness, top_rules, unhandled};
pub use list::{Filter, Listed, Reach, changed_since, list, of_person};
pub use rule_texts::{remember_rules, rule_text};
pub use states::{Level, State, Step};
pub use steps::Taken;
pub(crate) use steps::{record_step, steps};

/// A finding's id.
pub type FindingId = [u8; 32];

/// A finding to be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct NewFinding {
    /// From [`finding_id`].
    pub id: FindingId,
    /// Phone.
    pub device: DeviceId,
    /// Epoch of the record.
    pub epoch: u64,
    /// Sequence number of the event.
    pub seq: u64,
    /// Account id of the register.
    pub account: String,
    /// Holder of the account.
    pub person: String,
    /// The holder's department at that time.
    pub department: String,
    /// Rule id.
    pub rule: String,
    /// Hash of the rule set that judged.
    pub rule_set: [u8; 32],
    /// 0 low … 3 critical.
    pub level: i64,
    /// Number of the activity's kind.
    pub kind: i64,
    /// Number of its direction.
    pub direction: i64,
    /// Event time, Unix milliseconds.
    pub at_ms: i64,
    /// When judged.
    pub created_ms: i64,
    /// From [`seal_content`] with the key named by [`key_name`].
    pub sealed: Vec<u8>,
}

/// A stored finding without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Id.
    pub id: FindingId,
    /// Account id of the register.
    pub account: String,
    /// Holder of the account.
    pub person: String,
    /// The holder's department at that time.
    pub department: String,
    /// Rule id.
    pub rule: String,
    /// Hash of the rule set that judged.
    pub rule_set: [u8; 32],
    /// How grave the rule is.
    pub level: Level,
    /// Kind of the activity.
    pub kind: pb::Kind,
    /// Its direction.
    pub direction: pb::Direction,
    /// Event time, Unix milliseconds.
    pub at_ms: i64,
    /// When judged.
    pub created_ms: i64,
    /// Where its handling stands.
    pub state: State,
    /// Person who handles it; empty when nobody does.
    pub assignee: String,
    /// Last step.
    pub changed_ms: i64,
}

/// The id of what a rule saw in one event.
pub fn finding_id(device: DeviceId, epoch: u64, seq: u64, rule: &str) -> FindingId {
    let mut bytes = b"mingjing-finding-1".to_vec();
    bytes.extend_from_slice(&device.0);
    bytes.extend_from_slice(&epoch.to_be_bytes());
    bytes.extend_from_slice(&seq.to_be_bytes());
    bytes.extend_from_slice(rule.as_bytes());
    sha256(&bytes)
}

/// The id of what a counting rule saw in one window of one scope.
pub fn counted_id(rule: &str, scope: &str, first_bucket: i64) -> FindingId {
    let mut bytes = b"mingjing-finding-count-1".to_vec();
    bytes.extend_from_slice(&first_bucket.to_be_bytes());
    bytes.extend_from_slice(&(rule.len() as u64).to_be_bytes());
    bytes.extend_from_slice(rule.as_bytes());
    bytes.extend_from_slice(scope.as_bytes());
    sha256(&bytes)
}

/// The key that seals a finding: of its account, event day and category.
pub fn key_name(account: &str, at_ms: i64, kind: pb::Kind) -> KeyName {
    let day = i32::try_from(at_ms.div_euclid(DAY_MS)).unwrap_or(crate::seal::NO_DAY);
    KeyName::finding(account, day, kind.category().into())
}

const DAY_MS: i64 = 86_400_000;
// 10–50 rows a statement are fastest (design §6).
const ROWS_AT_ONCE: usize = 50;

/// Stores findings and returns the ids of those that were not there before.
pub async fn insert(tx: &mut Tx, db: &Db, new: &[NewFinding]) -> Result<Vec<FindingId>> {
    let mut inserted = Vec::with_capacity(new.len());
    for rows in new.chunks(ROWS_AT_ONCE) {
        let mut query = sqlx::query(db.insert_rows(
            "insert into findings (finding, device, epoch, seq, account, person, department, rule, \
             rule_set, level, kind, direction, at_ms, created_ms, state, assignee, changed_ms, sealed)",
            18,
            rows.len(),
            "on conflict do nothing returning finding",
        ));
        for it in rows {
            query = query
                .bind(&it.id[..])
                .bind(&it.device.0[..])
                .bind(it.epoch.cast_signed())
                .bind(it.seq.cast_signed())
                .bind(&it.account)
                .bind(&it.person)
                .bind(&it.department)
                .bind(&it.rule)
                .bind(&it.rule_set[..])
                .bind(it.level)
                .bind(it.kind)
                .bind(it.direction)
                .bind(it.at_ms)
                .bind(it.created_ms)
                .bind(State::New.name())
                .bind("")
                .bind(it.created_ms)
                .bind(&it.sealed);
        }
        for row in query.fetch_all(&mut **tx).await? {
            inserted.push(bytes32(&row, "finding")?);
        }
    }
    Ok(inserted)
}

/// The finding with this id, without its text; `access` decides who gets to see it.
pub async fn load(db: &Db, id: &FindingId) -> Result<Finding> {
    sqlx::query(
        "select finding, account, person, department, rule, rule_set, level, kind, direction, at_ms,
         created_ms, state, assignee, changed_ms from findings where finding = $1",
    )
    .bind(&id[..])
    .fetch_optional(db.reader())
    .await?
    .ok_or(Error::NotFound("finding"))
    .and_then(|row| from_row(&row))
}

/// Reads an id from its 64 hexadecimal digits.
pub fn parse_id(text: &str) -> Result<FindingId> {
    let mut id = [0; 32];
    hex::decode_to_slice(text, &mut id).map_err(|_| Error::NotFound("finding"))?;
    Ok(id)
}

pub(crate) async fn sealed(db: &Db, id: &FindingId) -> Result<Vec<u8>> {
    Ok(
        sqlx::query("select sealed from findings where finding = $1")
            .bind(&id[..])
            .fetch_optional(db.reader())
            .await?
            .ok_or(Error::NotFound("finding"))?
            .try_get("sealed")?,
    )
}

fn bytes32(row: &AnyRow, column: &str) -> Result<[u8; 32]> {
    row.try_get::<&[u8], _>(column)?
        .try_into()
        .map_err(|_| Error::Sealed)
}

fn number<T: TryFrom<i32> + Default>(row: &AnyRow, column: &str) -> Result<T> {
    let number = i32::try_from(row.try_get::<i64, _>(column)?).unwrap_or_default();
    Ok(T::try_from(number).unwrap_or_default())
}

fn from_row(row: &AnyRow) -> Result<Finding> {
    Ok(Finding {
        id: bytes32(row, "finding")?,
        account: row.try_get("account")?,
        person: row.try_get("person")?,
        department: row.try_get("department")?,
        rule: row.try_get("rule")?,
        rule_set: bytes32(row, "rule_set")?,
        level: Level::from_number(row.try_get("level")?),
        kind: number(row, "kind")?,
        direction: number(row, "direction")?,
        at_ms: row.try_get("at_ms")?,
        created_ms: row.try_get("created_ms")?,
        state: State::from_name(row.try_get("state")?)?,
        assignee: row.try_get("assignee")?,
        changed_ms: row.try_get("changed_ms")?,
    })
}

#[cfg(test)]
mod tests;
