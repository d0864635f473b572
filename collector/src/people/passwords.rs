//! Passwords: argon2id, hashed off the runtime's threads.
//!
//! Invariants: a check costs the same whether the person has a password or not; at most a few hashes
//! run at once, so that guesses can't take the memory; no password is ever logged or kept.

use std::sync::LazyLock;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use sqlx::Row;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::db::{Db, Tx};
use crate::error::{Error, Result};

/// Characters a password has at least.
pub(super) const SHORTEST: usize = 10;
// Longer ones only cost time.
const LONGEST_BYTES: usize = 1024;

// Each hash holds 19 MiB while it runs.
static HASHES_AT_ONCE: Semaphore = Semaphore::const_new(2);
// Checked against when there is no password, for the same cost.
static NOBODYS: LazyLock<Option<String>> = LazyLock::new(|| phc(&super::random::<16>()));

/// Whether this is the person's password.
pub async fn verify_password(db: &Db, person: &str, password: &str) -> Result<bool> {
    let stored: Option<String> = sqlx::query("select hash from passwords where person = $1")
        .bind(person)
        .fetch_optional(db.reader())
        .await?
        .map(|row| row.try_get("hash"))
        .transpose()?;
    if password.len() > LONGEST_BYTES {
        return Ok(false);
    }
    let password = Zeroizing::new(password.to_owned());
    blocking(move || {
        let known = stored.is_some();
        let hash = stored.or_else(|| NOBODYS.clone());
        let matches = hash.as_deref().is_some_and(|hash| {
            PasswordHash::new(hash).is_ok_and(|hash| {
                Argon2::default()
                    .verify_password(password.as_bytes(), &hash)
                    .is_ok()
            })
        });
        known && matches
    })
    .await
}

/// Refuses what is too short, too long, or the login itself.
pub(super) fn check(password: &str, login: &str) -> Result<()> {
    if password.chars().count() < SHORTEST {
        return Err(Error::Invalid(
            "a password has 10 characters or more".into(),
        ));
    }
    if password.len() > LONGEST_BYTES {
        return Err(Error::Invalid("a password has 1,024 bytes or less".into()));
    }
    if password.to_lowercase().contains(&login.to_lowercase()) && login.len() * 2 > password.len() {
        return Err(Error::Invalid("a password is not the login".into()));
    }
    Ok(())
}

/// The password's hash in PHC form.
pub(super) async fn hash(password: &str) -> Result<String> {
    let password = Zeroizing::new(password.to_owned());
    blocking(move || phc(password.as_bytes()))
        .await?
        .ok_or(Error::Unavailable("no random bytes for a salt"))
}

/// Stores the hash as the person's password.
pub(super) async fn store(tx: &mut Tx, person: &str, hash: &str, now_ms: i64) -> Result<()> {
    sqlx::query(
        "insert into passwords (person, hash, set_ms) values ($1, $2, $3)
         on conflict (person) do update set hash = excluded.hash, set_ms = excluded.set_ms",
    )
    .bind(person)
    .bind(hash)
    .bind(now_ms)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Whether the person has a password.
pub(super) async fn exists(db: &Db, person: &str) -> Result<bool> {
    Ok(sqlx::query("select 1 from passwords where person = $1")
        .bind(person)
        .fetch_optional(db.reader())
        .await?
        .is_some())
}

fn phc(password: &[u8]) -> Option<String> {
    Some(Argon2::default().hash_password(password).ok()?.to_string())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let _turn = HASHES_AT_ONCE
        .acquire()
        .await
        .map_err(|_| Error::Unavailable("stopping"))?;
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Error::Unavailable("stopping"))
}
