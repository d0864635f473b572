//! The rules as they stood when they judged, so that a finding can always be explained.
//!
//! Invariant: a text once kept for a rule set never changes.

use sqlx::Row;

use crate::db::{Db, Tx};
use crate::error::Result;

/// Keeps the YAML of each `(rule, yaml)` of a rule set; call it before its first finding is stored.
pub async fn remember_rules(
    tx: &mut Tx,
    db: &Db,
    rule_set: &[u8; 32],
    rules: &[(&str, &str)],
    now_ms: i64,
) -> Result<()> {
    for rows in rules.chunks(super::ROWS_AT_ONCE) {
        let mut query = sqlx::query(db.insert_rows(
            "insert into rule_texts (rule_set, rule, yaml, first_ms)",
            4,
            rows.len(),
            "on conflict do nothing",
        ));
        for (rule, yaml) in rows {
            query = query.bind(&rule_set[..]).bind(rule).bind(yaml).bind(now_ms);
        }
        query.execute(&mut **tx).await?;
    }
    Ok(())
}

/// The YAML of a rule in a rule set, if it was kept.
pub async fn rule_text(db: &Db, rule_set: &[u8; 32], rule: &str) -> Result<Option<String>> {
    let row = sqlx::query("select yaml from rule_texts where rule_set = $1 and rule = $2")
        .bind(&rule_set[..])
        .bind(rule)
        .fetch_optional(db.reader())
        .await?;
    Ok(row.map(|row| row.try_get("yaml")).transpose()?)
}
