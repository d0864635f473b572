//! Lists of findings, filtered and paged inside the database.
//!
//! Invariant: every list is cut to the [`Reach`] that `access` granted before it is counted or paged.

use std::fmt::Write;

use sqlx::Row;
use sqlx::any::AnyExecutor;

use super::{Finding, Level, State, from_row};
use crate::db::Db;
use crate::error::Result;

/// Whose findings may be seen; made by `access` only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    // "*", or departments between bars: "|sales|service|".
    departments: String,
    not_person: String,
}

impl Reach {
    /// Everybody in these departments (`None`: in all) but the viewer.
    pub(crate) fn new(departments: Option<&[String]>, not_person: &str) -> Self {
        let departments = match departments {
            None => "*".to_owned(),
            Some(list) => list.iter().fold("|".to_owned(), |mut text, department| {
                write!(text, "{department}|").expect("writing to memory");
                text
            }),
        };
        Self {
            departments,
            not_person: not_person.to_owned(),
        }
    }

    /// Whether a finding about this person in this department is within reach.
    pub fn holds(&self, person: &str, department: &str) -> bool {
        person != self.not_person
            && (self.departments == "*" || self.departments.contains(&format!("|{department}|")))
    }

    /// The departments as a query parameter.
    pub(super) fn departments(&self) -> &str {
        &self.departments
    }

    /// The person left out, as a query parameter.
    pub(super) fn not_person(&self) -> &str {
        &self.not_person
    }

    /// Whether all departments are within reach.
    pub fn is_everywhere(&self) -> bool {
        self.departments == "*"
    }
}

/// What to list. The default lists everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these states; empty: all.
    pub states: Vec<State>,
    /// Only this level.
    pub level: Option<Level>,
    /// Only this rule; empty: all.
    pub rule: String,
    /// Only this department; empty: all.
    pub department: String,
    /// Only this person; empty: all.
    pub person: String,
    /// Raised at or after, Unix milliseconds.
    pub from_ms: Option<i64>,
    /// Raised before.
    pub to_ms: Option<i64>,
}

impl Filter {
    /// Whether one finding passes, as [`list`] decides for many.
    pub fn passes(&self, finding: &Finding) -> bool {
        let any_or = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
        (self.states.is_empty() || self.states.contains(&finding.state))
            && self.level.is_none_or(|level| level == finding.level)
            && any_or(&self.rule, &finding.rule)
            && any_or(&self.department, &finding.department)
            && any_or(&self.person, &finding.person)
            && self
                .from_ms
                .is_none_or(|from_ms| finding.created_ms >= from_ms)
            && self.to_ms.is_none_or(|to_ms| finding.created_ms < to_ms)
    }
}

/// One page of a list.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// The page's findings.
    pub findings: Vec<Finding>,
    /// Findings on all pages; 0 beyond the last page.
    pub total: i64,
}

/// Findings within reach that pass the filter: gravest first, then newest.
pub async fn list(
    db: &Db,
    reach: &Reach,
    filter: &Filter,
    limit: i64,
    offset: i64,
) -> Result<Listed> {
    let states = filter.states.iter().fold(String::new(), |mut text, state| {
        write!(text, "|{}|", state.name()).expect("writing to memory");
        text
    });
    let rows = sqlx::query(
        "select finding, account, person, department, rule, rule_set, level, kind, direction, at_ms,
         created_ms, state, assignee, changed_ms, cast(count(*) over () as bigint) as total
         from findings
         where ($1 = '*' or replace($1, '|' || department || '|', '') <> $1) and person <> $2
         and ($3 = '' or replace($3, '|' || state || '|', '') <> $3)
         and ($4 < 0 or level = $4) and ($5 = '' or rule = $5)
         and ($6 = '' or department = $6) and ($7 = '' or person = $7)
         and created_ms >= $8 and created_ms < $9
         order by level desc, created_ms desc, finding limit $10 offset $11",
    )
    .bind(reach.departments())
    .bind(reach.not_person())
    .bind(states)
    .bind(filter.level.map_or(-1, Level::number))
    .bind(&filter.rule)
    .bind(&filter.department)
    .bind(&filter.person)
    .bind(filter.from_ms.unwrap_or(0))
    .bind(filter.to_ms.unwrap_or(i64::MAX))
    .bind(limit)
    .bind(offset)
    .fetch_all(db.reader())
    .await?;
    Ok(Listed {
        total: match rows.first() {
            Some(row) => row.try_get("total")?,
            None => 0,
        },
        findings: rows.iter().map(from_row).collect::<Result<_>>()?,
    })
}

/// The newest findings about one person, for himself.
pub async fn of_person(db: &Db, person: &str, limit: i64) -> Result<Vec<Finding>> {
    sqlx::query(
        "select finding, account, person, department, rule, rule_set, level, kind, direction, at_ms,
         created_ms, state, assignee, changed_ms from findings where person = $1
         order by created_ms desc limit $2",
    )
    .bind(person)
    .bind(limit)
    .fetch_all(db.reader())
    .await?
    .iter()
    .map(from_row)
    .collect()
}

/// The newest findings about one person that changed at or after a time, oldest change first.
pub async fn changed_since(
    db: impl AnyExecutor<'_>,
    person: &str,
    since_ms: i64,
    limit: i64,
) -> Result<Vec<Finding>> {
    // SQLite prepares a statement anew at every execution when its limit is a bare parameter.
    let mut found: Vec<Finding> = sqlx::query(
        "select finding, account, person, department, rule, rule_set, level, kind, direction, at_ms,
         created_ms, state, assignee, changed_ms from findings
         where person = $1 and changed_ms >= $2
         order by changed_ms desc, finding limit cast($3 as bigint)",
    )
    .bind(person)
    .bind(since_ms)
    .bind(limit)
    .fetch_all(db)
    .await?
    .iter()
    .map(from_row)
    .collect::<Result<_>>()?;
    found.reverse();
    Ok(found)
}
