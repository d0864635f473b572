//! The company's register of work accounts (requirements S1 S2 S5). Owns the table `accounts`.
//!
//! Invariants: only what is in the register can be captured; an account has one holder at a time and
//! keeps its row when it is suspended, so old and new accounts stand side by side under one person.

use std::collections::HashMap;

use mingjing_proto::pb;
use sqlx::any::{AnyExecutor, AnyRow};
use sqlx::{AnyConnection, Row};

use crate::audit::{Audit, Entry};
use crate::changes::{Changes, Kind};
use crate::db::Db;
use crate::error::{Error, Result};

/// A work account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Id in the register, used in events.
    pub account: String,
    /// Android package: com.tencent.mm or com.tencent.wework.
    pub app: String,
    /// Android user id.
    pub android_user: u32,
    /// What the app's own page shows (微信号).
    pub shown_id: String,
    /// The account's nickname; may be empty.
    pub nickname: String,
    /// Person id.
    pub holder: String,
    /// Department it was issued to.
    pub department: String,
    /// Person who keeps it for the company (S65).
    pub custodian: String,
    /// When it was registered, Unix milliseconds.
    pub registered_ms: i64,
    /// Since when it is suspended, if it is.
    pub suspended_ms: Option<i64>,
}

/// The apps that can be registered, by the name used on the command line.
pub const APPS: [(&str, &str); 2] = [
    ("wechat", "com.tencent.mm"),
    ("wecom", "com.tencent.wework"),
];

fn account(row: &AnyRow) -> Result<Account> {
    Ok(Account {
        account: row.try_get("account")?,
        app: row.try_get("app")?,
        android_user: u32::try_from(row.try_get::<i64, _>("android_user")?).unwrap_or(0),
        shown_id: row.try_get("shown_id")?,
        nickname: row.try_get("nickname")?,
        holder: row.try_get("holder")?,
        department: row.try_get("department")?,
        custodian: row.try_get("custodian")?,
        registered_ms: row.try_get("registered_ms")?,
        suspended_ms: row.try_get("suspended_ms")?,
    })
}

impl Account {
    fn check(&self) -> Result<()> {
        let word = |text: &str| {
            !text.is_empty() && text.len() <= 80 && !text.chars().any(char::is_whitespace)
        };
        if !word(&self.account) || self.account.contains('/') {
            return Err(Error::Invalid(
                "an account id is 1 to 80 bytes without spaces or slashes".to_owned(),
            ));
        }
        if !word(&self.shown_id) {
            return Err(Error::Invalid(
                "the id the app shows (微信号) is 1 to 80 bytes without spaces".to_owned(),
            ));
        }
        if !APPS.iter().any(|(_, package)| *package == self.app) {
            return Err(Error::Invalid("app must be wechat or wecom".to_owned()));
        }
        Ok(())
    }

    /// The account as a phone's policy names it.
    pub fn for_policy(&self) -> pb::WorkAccount {
        pb::WorkAccount {
            id: self.account.clone(),
            package: self.app.clone(),
            user: self.android_user,
            shown_id: self.shown_id.clone(),
            name: self.nickname.clone(),
        }
    }
}

/// Registers an account.
pub async fn add(
    db: &Db,
    audit: &Audit,
    changes: &Changes,
    new: &Account,
    actor: &str,
) -> Result<()> {
    new.check()?;
    let mut tx = db.begin().await?;
    let inserted = sqlx::query(
        "insert into accounts (account, app, android_user, shown_id, nickname, holder, department,
         custodian, registered_ms, suspended_ms) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, null)
         on conflict do nothing",
    )
    .bind(&new.account)
    .bind(&new.app)
    .bind(i64::from(new.android_user))
    .bind(&new.shown_id)
    .bind(&new.nickname)
    .bind(&new.holder)
    .bind(&new.department)
    .bind(&new.custodian)
    .bind(new.registered_ms)
    .execute(&mut *tx)
    .await?;
    if inserted.rows_affected() == 0 {
        return Err(Error::Conflict("this account id is registered already"));
    }
    let entry = Entry::new(actor, "account.add", &new.account, &new.holder);
    audit.append_in(&mut tx, entry).await?;
    let change = Changes::record(&mut tx, new.registered_ms, Kind::Register, &new.holder).await?;
    tx.commit().await?;
    changes.announce(change);
    Ok(())
}

/// Suspends an account, or lifts the suspension.
pub async fn set_suspended(
    db: &Db,
    audit: &Audit,
    changes: &Changes,
    account: &str,
    suspended_ms: Option<i64>,
    now_ms: i64,
    actor: &str,
) -> Result<()> {
    let mut tx = db.begin().await?;
    let sql = "update accounts set suspended_ms = $1 where account = $2 returning holder";
    let updated = sqlx::query(sql)
        .bind(suspended_ms)
        .bind(account)
        .fetch_optional(&mut *tx)
        .await?;
    let holder = holder(updated)?;
    let action = if suspended_ms.is_some() {
        "account.suspend"
    } else {
        "account.resume"
    };
    audit
        .append_in(&mut tx, Entry::new(actor, action, account, ""))
        .await?;
    let change = Changes::record(&mut tx, now_ms, Kind::Register, &holder).await?;
    tx.commit().await?;
    changes.announce(change);
    Ok(())
}

fn holder(row: Option<AnyRow>) -> Result<String> {
    let row = row.ok_or(Error::NotFound("no such account in the register"))?;
    Ok(row.try_get("holder")?)
}

/// Takes an account out of the register. Its records stay under their retention.
pub async fn remove(
    db: &Db,
    audit: &Audit,
    changes: &Changes,
    account: &str,
    now_ms: i64,
    actor: &str,
) -> Result<()> {
    let mut tx = db.begin().await?;
    let deleted = sqlx::query("delete from accounts where account = $1 returning holder")
        .bind(account)
        .fetch_optional(&mut *tx)
        .await?;
    let holder = holder(deleted)?;
    audit
        .append_in(&mut tx, Entry::new(actor, "account.remove", account, ""))
        .await?;
    let change = Changes::record(&mut tx, now_ms, Kind::Register, &holder).await?;
    tx.commit().await?;
    changes.announce(change);
    Ok(())
}

/// The whole register, by id.
pub async fn list(db: &Db) -> Result<Vec<Account>> {
    let rows = sqlx::query(
        "select account, app, android_user, shown_id, nickname, holder, department, custodian,
         registered_ms, suspended_ms from accounts order by account",
    )
    .fetch_all(db.reader())
    .await?;
    rows.iter().map(account).collect()
}

/// Those of these accounts that are in the register: what one phone's records may be about.
///
/// A session holds these alone: the whole register in each of thousands would fill the memory.
pub async fn named(
    db: &mut AnyConnection,
    ids: impl Iterator<Item = &str>,
) -> Result<HashMap<String, Account>> {
    let mut named = HashMap::new();
    for id in ids {
        if named.contains_key(id) {
            continue;
        }
        let row = sqlx::query(
            "select account, app, android_user, shown_id, nickname, holder, department, custodian,
             registered_ms, suspended_ms from accounts where account = $1",
        )
        .bind(id)
        .fetch_optional(&mut *db)
        .await?;
        if let Some(row) = row {
            named.insert(id.to_owned(), account(&row)?);
        }
    }
    Ok(named)
}

/// The register as a map.
pub async fn by_id(db: &Db) -> Result<HashMap<String, Account>> {
    Ok(list(db)
        .await?
        .into_iter()
        .map(|account| (account.account.clone(), account))
        .collect())
}

/// What one person holds and may use.
pub async fn of_holder(db: impl AnyExecutor<'_>, person: &str) -> Result<Vec<Account>> {
    let rows = sqlx::query(
        "select account, app, android_user, shown_id, nickname, holder, department, custodian,
         registered_ms, suspended_ms from accounts where holder = $1 order by account",
    )
    .bind(person)
    .fetch_all(db)
    .await?;
    rows.iter().map(account).collect()
}
