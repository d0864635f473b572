//! The steps people take with a finding, each with its comment.
//!
//! Invariants: state, step, audit record and change are one transaction; two people who act at once
//! can't both win; comments are sealed under the finding's key.

use serde::{Deserialize, Serialize};
use sqlx::Row;

use super::{Finding, FindingId, Step, key_name};
use crate::Shared;
use crate::audit::Entry;
use crate::changes::{Changes, Kind};
use crate::error::{Error, Result};
use crate::seal::Purpose;

/// Bytes of a comment at most.
const LONGEST_COMMENT: usize = 4_000;
const SHORTEST_COMMENT: usize = 4;

/// A step that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// Who.
    pub actor: String,
    /// [`Step::name`].
    pub action: String,
    /// To whom it was given; empty for other steps.
    pub assignee: String,
    /// What was said.
    pub comment: String,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    comment: String,
    assignee: String,
}

/// Takes a step; `access` has decided that `actor` may, and that an assignee could open the finding.
pub(crate) async fn record_step(
    shared: &Shared,
    finding: &Finding,
    step: &Step,
    comment: &str,
    actor: &str,
) -> Result<()> {
    let after = step.after(finding.state)?;
    let comment = comment.trim();
    if comment.len() > LONGEST_COMMENT {
        return Err(Error::Invalid("a comment has 4,000 bytes or less".into()));
    }
    if step.needs_comment() && comment.chars().count() < SHORTEST_COMMENT {
        return Err(Error::Invalid(
            "this step needs a comment of 4 characters or more".into(),
        ));
    }
    let assignee = match step {
        Step::Assign(person) => person.as_str(),
        Step::Take => actor,
        Step::Mark(_) | Step::Escalate | Step::Resolve => finding.assignee.as_str(),
    };
    let now_ms = shared.clock.now_ms();
    let name = key_name(&finding.account, finding.at_ms, finding.kind);
    let key = shared.sealer.existing_key(&shared.db, &name).await?;
    let said = serde_json::to_vec(&Sealed {
        comment: comment.to_owned(),
        assignee: match step {
            Step::Assign(person) => person.clone(),
            Step::Take | Step::Mark(_) | Step::Escalate | Step::Resolve => String::new(),
        },
    })
    .expect("strings are JSON");

    let mut tx = shared.db.begin().await?;
    let changed = sqlx::query(
        "update findings set state = $1, assignee = $2, changed_ms = $3
         where finding = $4 and state = $5 and assignee = $6",
    )
    .bind(after.name())
    .bind(assignee)
    .bind(now_ms)
    .bind(&finding.id[..])
    .bind(finding.state.name())
    .bind(&finding.assignee)
    .execute(&mut *tx)
    .await?
    .rows_affected();
    if changed != 1 {
        return Err(Error::Conflict("somebody else acted first"));
    }
    let number: i64 = sqlx::query(
        "select cast(coalesce(max(step), 0) + 1 as bigint) as next from finding_steps where finding = $1",
    )
    .bind(&finding.id[..])
    .fetch_one(&mut *tx)
    .await?
    .try_get("next")?;
    sqlx::query(
        "insert into finding_steps (finding, step, at_ms, actor, action, sealed)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&finding.id[..])
    .bind(number)
    .bind(now_ms)
    .bind(actor)
    .bind(step.name())
    .bind(key.seal(Purpose::Note, &aad(&finding.id, number), &said))
    .execute(&mut *tx)
    .await?;
    let id = hex::encode(finding.id);
    let action = format!("finding.{}", step.name());
    let entry = Entry::new(
        actor,
        action,
        &*id,
        format!("from={}", finding.state.name()),
    );
    shared.audit.append_in(&mut tx, entry).await?;
    let change = Changes::record(&mut tx, now_ms, Kind::FindingState, &id).await?;
    tx.commit().await?;
    shared.changes.announce(change);
    Ok(())
}

/// The steps taken so far, oldest first, comments opened.
pub(crate) async fn steps(shared: &Shared, finding: &Finding) -> Result<Vec<Taken>> {
    let rows = sqlx::query(
        "select step, at_ms, actor, action, sealed from finding_steps where finding = $1 order by step",
    )
    .bind(&finding.id[..])
    .fetch_all(shared.db.reader())
    .await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let name = key_name(&finding.account, finding.at_ms, finding.kind);
    let key = shared.sealer.existing_key(&shared.db, &name).await?;
    rows.iter()
        .map(|row| {
            let number = row.try_get("step")?;
            let sealed = row.try_get::<&[u8], _>("sealed")?;
            let plain = key.open(Purpose::Note, &aad(&finding.id, number), sealed)?;
            let said: Sealed = serde_json::from_slice(&plain).map_err(|_| Error::Sealed)?;
            Ok(Taken {
                at_ms: row.try_get("at_ms")?,
                actor: row.try_get("actor")?,
                action: row.try_get("action")?,
                assignee: said.assignee,
                comment: said.comment,
            })
        })
        .collect()
}

fn aad(id: &FindingId, step: i64) -> Vec<u8> {
    [b"finding_steps|", &id[..], &step.to_be_bytes()].concat()
}
