//! One-time invitations: the way a person gets a password that nobody else ever knew.
//!
//! Invariants: the code is shown once and stored hashed; it works once and for a limited time; a new
//! invitation ends the older ones; unknown, used and expired codes get one answer. The code is typed
//! into a form (or carried in a URL's fragment, which browsers do not send), so no log sees it.

use mingjing_proto::chain::sha256;
use sqlx::Row;

use super::passwords;
use crate::Shared;
use crate::audit::Entry;
use crate::error::{Error, Result};

/// Hours an invitation is good for, at most.
const LONGEST_HOURS: u32 = 24 * 7;
const HOUR_MS: i64 = 3_600_000;
const GROUP: usize = 5;

/// A new invitation; the only time its code is readable.
pub struct Invitation {
    /// Four groups of five letters and digits: `7QK2M-…`.
    pub secret: String,
    /// End of its life, Unix milliseconds.
    pub expires_ms: i64,
}

impl std::fmt::Debug for Invitation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invitation")
            .field("expires_ms", &self.expires_ms)
            .finish_non_exhaustive()
    }
}

/// Invites a person who has no password yet to set one.
///
/// Replacing a password takes two people (design §9), so it is not this function's to do.
pub async fn invite(shared: &Shared, person: &str, hours: u32, actor: &str) -> Result<Invitation> {
    super::load(shared.db.reader(), person).await?;
    if passwords::exists(&shared.db, person).await? {
        return Err(Error::Conflict(
            "this person has a password; replacing it takes two people",
        ));
    }
    let now_ms = shared.clock.now_ms();
    let expires_ms = now_ms + i64::from(hours.clamp(1, LONGEST_HOURS)) * HOUR_MS;
    let groups: Vec<_> = (0..4).map(|_| super::code::<GROUP>()).collect();
    let secret = groups.join("-");
    let mut tx = shared.db.begin().await?;
    sqlx::query("update invitations set used_ms = $1 where person = $2 and used_ms is null")
        .bind(now_ms)
        .bind(person)
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "insert into invitations (secret_hash, person, created_ms, expires_ms) values ($1, $2, $3, $4)",
    )
    .bind(&secret_hash(&secret)[..])
    .bind(person)
    .bind(now_ms)
    .bind(expires_ms)
    .execute(&mut *tx)
    .await?;
    let entry = Entry::new(actor, "person.invite", person, format!("hours={hours}"));
    shared.audit.append_in(&mut tx, entry).await?;
    tx.commit().await?;
    Ok(Invitation { secret, expires_ms })
}

/// Uses up an invitation: sets the password and returns the person.
pub async fn accept_invitation(shared: &Shared, secret: &str, password: &str) -> Result<String> {
    const REFUSED: Error = Error::NotFound("invitation, or it is used up or expired");
    let hash = secret_hash(secret);
    let now_ms = shared.clock.now_ms();
    let person: String = sqlx::query(
        "select person from invitations where secret_hash = $1 and used_ms is null and expires_ms > $2",
    )
    .bind(&hash[..])
    .bind(now_ms)
    .fetch_optional(shared.db.reader())
    .await?
    .ok_or(REFUSED)?
    .try_get("person")?;
    let login = super::load(shared.db.reader(), &person).await?.login;
    passwords::check(password, &login)?;
    let password_hash = passwords::hash(password).await?;
    let mut tx = shared.db.begin().await?;
    // The update decides among two who come at once.
    let used = sqlx::query(
        "update invitations set used_ms = $1 where secret_hash = $2 and used_ms is null and expires_ms > $1",
    )
    .bind(now_ms)
    .bind(&hash[..])
    .execute(&mut *tx)
    .await?
    .rows_affected();
    if used != 1 {
        return Err(REFUSED);
    }
    passwords::store(&mut tx, &person, &password_hash, now_ms).await?;
    let entry = Entry::new(&*person, "person.password", &*person, "by invitation");
    shared.audit.append_in(&mut tx, entry).await?;
    tx.commit().await?;
    Ok(person)
}

fn secret_hash(secret: &str) -> [u8; 32] {
    let typed: String = secret
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| match letter.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            letter => letter,
        })
        .collect();
    sha256(format!("mingjing invitation {typed}").as_bytes())
}
