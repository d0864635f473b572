//! The people of the company: who they are, which roles they hold, how they prove themselves.
//!
//! Invariants: a name is sealed, everything else about a person is a pseudonym or an id; nobody holds
//! [`Role::Admin`] together with a role that reads content (C14); every change leaves an audit record
//! in its own transaction. Owns the tables `people`, `person_roles`, `passwords`, `invitations`,
//! `schedules`.

mod invitations;
mod passwords;
mod schedules;

use sqlx::Row;
use sqlx::any::{AnyExecutor, AnyRow};

use crate::Shared;
use crate::audit::Entry;
use crate::changes::{Changes, Kind};
use crate::db::{Db, Tx};
use crate::error::{Error, Result};
use crate::seal::{KeyName, Purpose};

pub use invitations::{Invitation, accept_invitation, invite};
pub use passwords::verify_password;
pub use schedules::{schedule, set_schedule};

/// Scope of a role that is not limited to one department.
pub const EVERYWHERE: &str = "*";

/// What a person may do (design §9).
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum Role {
    /// IT: phones, accounts, settings; never content.
    Admin,
    /// Rules, words, notices.
    Policy,
    /// The own department: statistics, findings and the content in them.
    Lead,
    /// Findings and their content within scope, with a reason.
    Reviewer,
    /// The audit log.
    Auditor,
    /// Subject requests, approvals, holds.
    Privacy,
    /// What concerns himself.
    Employee,
}

impl Role {
    /// The word stored and shown in logs.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether the role opens other people's content.
    pub fn reads(self) -> bool {
        matches!(self, Self::Lead | Self::Reviewer | Self::Privacy)
    }
}

/// A person without the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Id such as `p-7f3a09c2d41b6e85`.
    pub person: String,
    /// What the person types to log in.
    pub login: String,
    /// What others see, such as `员工 K7Q2M` without the first word.
    pub pseudonym: String,
    /// Department.
    pub department: String,
    /// Person type (S89 S125): staff, temporary, intern, part_time, consultant.
    pub class: String,
    /// `zh-CN` or `en`.
    pub language: String,
    /// When entered, Unix milliseconds.
    pub created_ms: i64,
    /// When the person left the company.
    pub left_ms: Option<i64>,
}

/// A person to be entered.
#[derive(Clone)]
pub struct NewPerson {
    /// What the person will type to log in: lower-case letters, digits and `._@-`.
    pub login: String,
    /// The name; sealed at once.
    pub name: String,
    /// Department.
    pub department: String,
    /// Person type, see [`Person::class`].
    pub class: String,
    /// `zh-CN` or `en`.
    pub language: String,
}

impl std::fmt::Debug for NewPerson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewPerson")
            .field("login", &self.login)
            .finish_non_exhaustive()
    }
}

/// Enters a person with roles `(role, department or "*")` and returns the new id.
pub async fn create(
    shared: &Shared,
    new: NewPerson,
    roles: &[(Role, String)],
    actor: &str,
) -> Result<String> {
    check_new(&new)?;
    check_together(roles.iter().map(|(role, _)| *role))?;
    let person = format!("p-{}", hex::encode(random::<8>()));
    let now_ms = shared.clock.now_ms();
    let key = shared
        .sealer
        .key(&shared.db, &KeyName::people(), now_ms)
        .await?;
    let sealed = key.seal(Purpose::Name, &name_aad(&person), new.name.as_bytes());
    let mut tx = shared.db.begin().await?;
    let inserted = sqlx::query(
        "insert into people (person, login, pseudonym, department, class, language, sealed, created_ms)
         values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing",
    )
    .bind(&person)
    .bind(&new.login)
    .bind(code::<5>())
    .bind(&new.department)
    .bind(&new.class)
    .bind(&new.language)
    .bind(sealed)
    .bind(now_ms)
    .execute(&mut *tx)
    .await?
    .rows_affected();
    if inserted == 0 {
        return Err(Error::Conflict("this login is taken"));
    }
    for (role, scope) in roles {
        insert_role(&mut tx, &person, *role, scope, now_ms, actor).await?;
    }
    let detail = format!("department={} class={}", new.department, new.class);
    let entry = Entry::new(actor, "person.create", &person, detail);
    shared.audit.append_in(&mut tx, entry).await?;
    let change = Changes::record(&mut tx, now_ms, Kind::Register, &person).await?;
    tx.commit().await?;
    shared.changes.announce(change);
    Ok(person)
}

/// Grants a role; the scope is a department or [`EVERYWHERE`].
pub async fn grant(
    shared: &Shared,
    person: &str,
    role: Role,
    scope: &str,
    actor: &str,
) -> Result<()> {
    load(shared.db.reader(), person).await?;
    check_department(scope)?;
    let now_ms = shared.clock.now_ms();
    let mut tx = shared.db.begin().await?;
    // Read inside the transaction: two grants at once must not add up to a forbidden pair.
    let held = role_rows(&mut tx, person).await?;
    check_together(held.iter().map(|(held, _)| *held).chain([role]))?;
    insert_role(&mut tx, person, role, scope, now_ms, actor).await?;
    let detail = format!("role={} scope={scope}", role.name());
    let entry = Entry::new(actor, "person.grant", person, detail);
    shared.audit.append_in(&mut tx, entry).await?;
    let change = Changes::record(&mut tx, now_ms, Kind::Register, person).await?;
    tx.commit().await?;
    shared.changes.announce(change);
    Ok(())
}

/// The person with this id.
pub async fn load(db: impl AnyExecutor<'_>, person: &str) -> Result<Person> {
    sqlx::query(
        "select person, login, pseudonym, department, class, language, created_ms, left_ms
         from people where person = $1",
    )
    .bind(person)
    .fetch_optional(db)
    .await?
    .ok_or(Error::NotFound("person"))
    .and_then(|row| from_row(&row))
}

/// The person who logs in with this word.
pub async fn by_login(db: &Db, login: &str) -> Result<Person> {
    sqlx::query(
        "select person, login, pseudonym, department, class, language, created_ms, left_ms
         from people where login = $1",
    )
    .bind(login)
    .fetch_optional(db.reader())
    .await?
    .ok_or(Error::NotFound("person"))
    .and_then(|row| from_row(&row))
}

/// Everybody, by department and login.
pub async fn list(db: &Db) -> Result<Vec<Person>> {
    sqlx::query(
        "select person, login, pseudonym, department, class, language, created_ms, left_ms
         from people order by department, login",
    )
    .fetch_all(db.reader())
    .await?
    .iter()
    .map(from_row)
    .collect()
}

/// The roles of a person with their scopes.
pub async fn roles(db: &Db, person: &str) -> Result<Vec<(Role, String)>> {
    let rows = sqlx::query("select role, scope from person_roles where person = $1 order by role")
        .bind(person)
        .fetch_all(db.reader())
        .await?;
    rows.iter().map(role_from_row).collect()
}

/// Everybody who holds one of two roles, with whatever scope.
pub async fn with_either_role(db: &Db, one: Role, other: Role) -> Result<Vec<Person>> {
    sqlx::query(
        "select person, login, pseudonym, department, class, language, created_ms, left_ms from people
         where left_ms is null and person in (select person from person_roles where role in ($1, $2))
         order by department, login",
    )
    .bind(one.name())
    .bind(other.name())
    .fetch_all(db.reader())
    .await?
    .iter()
    .map(from_row)
    .collect()
}

/// The person's name. Callers outside `access` are those that put it on the person's own phone.
pub async fn name(shared: &Shared, person: &str) -> Result<String> {
    let row = sqlx::query("select sealed from people where person = $1")
        .bind(person)
        .fetch_optional(shared.db.reader())
        .await?
        .ok_or(Error::NotFound("person"))?;
    let key = shared
        .sealer
        .existing_key(&shared.db, &KeyName::people())
        .await?;
    let name = key.open(
        Purpose::Name,
        &name_aad(person),
        row.try_get::<&[u8], _>("sealed")?,
    )?;
    String::from_utf8(name).map_err(|_| Error::Sealed)
}

fn from_row(row: &AnyRow) -> Result<Person> {
    Ok(Person {
        person: row.try_get("person")?,
        login: row.try_get("login")?,
        pseudonym: row.try_get("pseudonym")?,
        department: row.try_get("department")?,
        class: row.try_get("class")?,
        language: row.try_get("language")?,
        created_ms: row.try_get("created_ms")?,
        left_ms: row.try_get("left_ms")?,
    })
}

fn role_from_row(row: &AnyRow) -> Result<(Role, String)> {
    let role = row
        .try_get::<&str, _>("role")?
        .parse()
        .map_err(|_| Error::Invalid("the store holds a role this version does not know".into()))?;
    Ok((role, row.try_get("scope")?))
}

async fn role_rows(tx: &mut Tx, person: &str) -> Result<Vec<(Role, String)>> {
    let rows = sqlx::query("select role, scope from person_roles where person = $1")
        .bind(person)
        .fetch_all(&mut **tx)
        .await?;
    rows.iter().map(role_from_row).collect()
}

async fn insert_role(
    tx: &mut Tx,
    person: &str,
    role: Role,
    scope: &str,
    now_ms: i64,
    actor: &str,
) -> Result<()> {
    sqlx::query(
        "insert into person_roles (person, role, scope, granted_ms, granted_by)
         values ($1, $2, $3, $4, $5) on conflict do nothing",
    )
    .bind(person)
    .bind(role.name())
    .bind(scope)
    .bind(now_ms)
    .bind(actor)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn check_new(new: &NewPerson) -> Result<()> {
    let login_ok = (1..=64).contains(&new.login.len())
        && new.login.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._@-".contains(&byte)
        });
    if !login_ok {
        return Err(Error::Invalid(
            "a login is 1 to 64 lower-case letters, digits or ._@-".into(),
        ));
    }
    if new.name.trim().is_empty() || new.name.len() > 200 {
        return Err(Error::Invalid("a name is 1 to 200 bytes".into()));
    }
    if !["zh-CN", "en"].contains(&new.language.as_str()) {
        return Err(Error::Invalid("a language is zh-CN or en".into()));
    }
    if !CLASSES.contains(&new.class.as_str()) {
        return Err(Error::Invalid(format!(
            "a person type is one of: {}",
            CLASSES.join(", ")
        )));
    }
    check_department(&new.department)
}

/// Person types (S89 S125).
pub const CLASSES: [&str; 5] = ["staff", "temporary", "intern", "part_time", "consultant"];

// `|` separates departments in the scope of a query.
fn check_department(department: &str) -> Result<()> {
    let bad = |character: char| character == '|' || character.is_control();
    if department.trim().is_empty() || department.len() > 100 || department.contains(bad) {
        return Err(Error::Invalid(
            "a department is 1 to 100 bytes without | and control characters".into(),
        ));
    }
    Ok(())
}

fn check_together(roles: impl Iterator<Item = Role>) -> Result<()> {
    let (mut admin, mut reads) = (false, false);
    for role in roles {
        admin |= role == Role::Admin;
        reads |= role.reads();
    }
    if admin && reads {
        return Err(Error::Forbidden(
            "nobody holds admin together with lead, reviewer or privacy",
        ));
    }
    Ok(())
}

fn name_aad(person: &str) -> Vec<u8> {
    [b"people|", person.as_bytes()].concat()
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

// Crockford's base 32: no I, L, O, U, so that it survives being read aloud and typed.
const CODE_LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

fn code<const N: usize>() -> String {
    random::<N>()
        .iter()
        .map(|byte| char::from(CODE_LETTERS[usize::from(byte & 31)]))
        .collect()
}

#[cfg(test)]
mod tests;
