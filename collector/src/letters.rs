//! Letters employees write on their phones: answers to findings, subject requests, complaints, done
//! directives. Owns the table `letters`.
//!
//! Invariants: a letter is sealed before it reaches the table and stored once by (phone, kind, id); the
//! phone is told so after the commit only; what can't be taken is refused by name and never stored; an
//! answer belongs to a finding about the phone's own holder. Reading goes through `access`.

use mingjing_proto::ids::DeviceId;
use mingjing_proto::letter::{self, Letter};
use mingjing_proto::limits::LETTERS_PER_DAY;
use mingjing_proto::pb::{self, from_device};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Shared;
use crate::audit::Entry;
use crate::db::Db;
use crate::devices::Device;
use crate::error::{Error, Result};
use crate::findings::{self, FindingId};
use crate::seal::{KeyName, Purpose};

const DAY_MS: i64 = 86_400_000;

/// Kinds of letters the role `privacy` answers; answers to findings are for their reviewers.
pub const FOR_PRIVACY: [&str; 2] = ["subject_request", "complaint"];

/// A stored letter without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The phone it was written on.
    pub device: DeviceId,
    /// `answer`, `subject_request`, `complaint`, `done`.
    pub kind: String,
    /// The id the phone gave it.
    pub letter: String,
    /// Who wrote it.
    pub person: String,
    /// Of a request: copy, correct, delete, explain.
    pub asks: String,
    /// Of an answer: the finding.
    pub finding: Option<FindingId>,
    /// When it was stored, Unix milliseconds.
    pub received_ms: i64,
    /// When somebody it is for first opened it.
    pub opened_ms: Option<i64>,
}

impl Stored {
    /// Where it stands.
    pub fn state(&self) -> &'static str {
        if self.opened_ms.is_some() {
            "opened"
        } else {
            "received"
        }
    }
}

/// Stores a phone's letter, or says why not; `None` when there is no room for it today.
pub(crate) async fn receive(
    shared: &Shared,
    device: &Device,
    body: &from_device::Body,
) -> Result<Option<pb::LetterReceived>> {
    let Some(letter) = letter::of(body) else {
        return Err(Error::Invalid("a message that is no letter".to_owned()));
    };
    let refusal = match letter::problem(&letter) {
        Some(problem) => problem,
        None => match store(shared, device, &letter).await? {
            Some(refusal) => refusal,
            None => return Ok(None),
        },
    };
    if !refusal.is_empty() {
        tracing::warn!(device = %device.device, kind = letter.kind, refusal, "a letter was refused");
    }
    Ok(Some(pb::LetterReceived {
        kind: letter.kind.to_owned(),
        id: letter.id.chars().take(letter::NAME_CHARS).collect(),
        refusal: refusal.to_owned(),
    }))
}

async fn store(
    shared: &Shared,
    device: &Device,
    letter: &Letter<'_>,
) -> Result<Option<&'static str>> {
    let finding = match letter.kind {
        "answer" => match own_finding(&shared.db, &device.person, letter.finding).await? {
            Some(finding) => Some(finding),
            // The same word for what does not exist and what is another's: a guess teaches nothing.
            None => return Ok(Some("finding")),
        },
        _ => None,
    };
    let now_ms = shared.clock.now_ms();
    let stored = Stored {
        device: device.device,
        kind: letter.kind.to_owned(),
        letter: letter.id.to_owned(),
        person: device.person.clone(),
        asks: letter.asks.to_owned(),
        finding,
        received_ms: now_ms,
        opened_ms: None,
    };
    let key = shared
        .sealer
        .key(&shared.db, &key_name(&stored), now_ms)
        .await?;
    let sealed = key.seal(Purpose::Note, &aad(&stored), letter.text.as_bytes());
    let mut tx = shared.db.begin().await?;
    let today: i64 = sqlx::query(
        "select cast(count(*) as bigint) as n from letters where device = $1 and received_ms > $2",
    )
    .bind(&stored.device.0[..])
    .bind(now_ms - DAY_MS)
    .fetch_one(&mut *tx)
    .await?
    .try_get("n")?;
    let known = sqlx::query(COLUMNS_OF_ONE)
        .bind(&stored.device.0[..])
        .bind(&stored.kind)
        .bind(&stored.letter)
        .fetch_optional(&mut *tx)
        .await?;
    if let Some(known) = known {
        drop(tx);
        return Ok(Some(same(shared, &known, &stored, letter.text).await?));
    }
    if today >= LETTERS_PER_DAY {
        tracing::warn!(device = %device.device, today, "a phone writes more letters than a day takes");
        return Ok(None);
    }
    sqlx::query(
        "insert into letters (device, kind, letter, person, asks, finding, received_ms, opened_ms, sealed)
         values ($1, $2, $3, $4, $5, $6, $7, null, $8)",
    )
    .bind(&stored.device.0[..])
    .bind(&stored.kind)
    .bind(&stored.letter)
    .bind(&stored.person)
    .bind(&stored.asks)
    .bind(stored.finding.as_ref().map(|it| it.to_vec()))
    .bind(now_ms)
    .bind(sealed)
    .execute(&mut *tx)
    .await?;
    // The day it came is evidence: terms run from it (requirements R).
    let detail = format!("{} {}", stored.kind, stored.letter);
    let entry = Entry::new(&*stored.person, "letter.receive", &*stored.person, detail);
    shared.audit.append_in(&mut tx, entry).await?;
    tx.commit().await?;
    Ok(Some(""))
}

/// Whether a letter of a known name is the known one: another text under its id would be lost.
async fn same(shared: &Shared, row: &AnyRow, new: &Stored, text: &str) -> Result<&'static str> {
    let known = from_row(row)?;
    let equal = known.asks == new.asks
        && known.finding == new.finding
        && match open(shared, &known, row.try_get("sealed")?).await {
            Ok(stored) => stored == text,
            // Erased meanwhile: it was received, and stays erased.
            Err(Error::Sealed) => true,
            Err(error) => return Err(error),
        };
    Ok(if equal { "" } else { "conflict" })
}

async fn own_finding(db: &Db, person: &str, id: &str) -> Result<Option<FindingId>> {
    let Ok(id) = findings::parse_id(id) else {
        return Ok(None);
    };
    match findings::load(db, &id).await {
        Ok(finding) if finding.person == person => Ok(Some(id)),
        Ok(_) | Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

const COLUMNS_OF_ONE: &str =
    "select device, kind, letter, person, asks, finding, received_ms, opened_ms,
     sealed from letters where device = $1 and kind = $2 and letter = $3";

fn from_row(row: &AnyRow) -> Result<Stored> {
    let finding: Option<Vec<u8>> = row.try_get("finding")?;
    Ok(Stored {
        device: DeviceId::from_slice(row.try_get("device")?).map_err(|_| Error::Sealed)?,
        kind: row.try_get("kind")?,
        letter: row.try_get("letter")?,
        person: row.try_get("person")?,
        asks: row.try_get("asks")?,
        finding: finding
            .map(|id| id[..].try_into())
            .transpose()
            .map_err(|_| Error::Sealed)?,
        received_ms: row.try_get("received_ms")?,
        opened_ms: row.try_get("opened_ms")?,
    })
}

/// The key of a letter: of its phone, apart from the phone's other keys, and the day it came.
fn key_name(letter: &Stored) -> KeyName {
    KeyName {
        account: format!("letters/{}", letter.device),
        day: i32::try_from(letter.received_ms.div_euclid(DAY_MS)).unwrap_or(crate::seal::NO_DAY),
        category: 0,
    }
}

fn aad(letter: &Stored) -> Vec<u8> {
    let mut aad = b"letters|".to_vec();
    for part in [
        &letter.device.0[..],
        letter.kind.as_bytes(),
        letter.letter.as_bytes(),
        letter.person.as_bytes(),
        letter.asks.as_bytes(),
        letter.finding.as_ref().map_or(&[][..], |it| &it[..]),
        &letter.received_ms.to_be_bytes(),
    ] {
        aad.extend_from_slice(&(part.len() as u64).to_be_bytes());
        aad.extend_from_slice(part);
    }
    aad
}

async fn open(shared: &Shared, letter: &Stored, sealed: &[u8]) -> Result<String> {
    let key = shared
        .sealer
        .existing_key(&shared.db, &key_name(letter))
        .await?;
    let plain = key.open(Purpose::Note, &aad(letter), sealed)?;
    String::from_utf8(plain).map_err(|_| Error::Sealed)
}

/// The letter of this name; `access` decides who gets to see it.
pub(crate) async fn load(db: &Db, device: DeviceId, kind: &str, letter: &str) -> Result<Stored> {
    sqlx::query(COLUMNS_OF_ONE)
        .bind(&device.0[..])
        .bind(kind)
        .bind(letter)
        .fetch_optional(db.reader())
        .await?
        .ok_or(Error::NotFound("letter"))
        .and_then(|row| from_row(&row))
}

/// A letter's text; only `access` calls this, after the opening is in the audit chain.
pub(crate) async fn text(shared: &Shared, letter: &Stored) -> Result<String> {
    let row = sqlx::query(COLUMNS_OF_ONE)
        .bind(&letter.device.0[..])
        .bind(&letter.kind)
        .bind(&letter.letter)
        .fetch_optional(shared.db.reader())
        .await?
        .ok_or(Error::NotFound("letter"))?;
    open(shared, letter, row.try_get("sealed")?).await
}

/// Remembers that somebody a letter is for has opened it.
pub(crate) async fn set_opened(db: &Db, letter: &Stored, now_ms: i64) -> Result<()> {
    sqlx::query(
        "update letters set opened_ms = $1
         where device = $2 and kind = $3 and letter = $4 and opened_ms is null",
    )
    .bind(now_ms)
    .bind(&letter.device.0[..])
    .bind(&letter.kind)
    .bind(&letter.letter)
    .execute(db.writer())
    .await?;
    Ok(())
}

/// One person's letters, newest first.
pub(crate) async fn of_person(db: &Db, person: &str, limit: i64) -> Result<Vec<Stored>> {
    sqlx::query(
        "select device, kind, letter, person, asks, finding, received_ms, opened_ms from letters
         where person = $1 order by received_ms desc, letter limit $2",
    )
    .bind(person)
    .bind(limit)
    .fetch_all(db.reader())
    .await?
    .iter()
    .map(from_row)
    .collect()
}

/// A page of what the role `privacy` answers, newest first, without `not_person`'s, and how many there are.
pub(crate) async fn for_privacy(
    db: &Db,
    not_person: &str,
    limit: i64,
    offset: i64,
) -> Result<(Vec<Stored>, i64)> {
    let rows = sqlx::query(
        "select device, kind, letter, person, asks, finding, received_ms, opened_ms,
         cast(count(*) over () as bigint) as total from letters
         where kind in ($1, $2) and person <> $3
         order by received_ms desc, letter limit $4 offset $5",
    )
    .bind(FOR_PRIVACY[0])
    .bind(FOR_PRIVACY[1])
    .bind(not_person)
    .bind(limit)
    .bind(offset)
    .fetch_all(db.reader())
    .await?;
    let total = match rows.first() {
        Some(row) => row.try_get("total")?,
        None => 0,
    };
    Ok((rows.iter().map(from_row).collect::<Result<_>>()?, total))
}

/// The answers to a finding, oldest first.
pub(crate) async fn answers(db: &Db, finding: &FindingId) -> Result<Vec<Stored>> {
    sqlx::query(
        "select device, kind, letter, person, asks, finding, received_ms, opened_ms from letters
         where finding = $1 and kind = 'answer' order by received_ms, letter",
    )
    .bind(&finding[..])
    .fetch_all(db.reader())
    .await?
    .iter()
    .map(from_row)
    .collect()
}
