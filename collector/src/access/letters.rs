//! Reading letters, each behind its grant.
//!
//! Invariants: as for findings, the record of an opening is committed before a byte is decrypted, and
//! its subject is the person who wrote; who opens his own letter leaves a record too.

use serde::{Deserialize, Serialize};

use super::{Viewer, What, decide};
use crate::Shared;
use crate::audit::Entry;
use crate::error::Result;
use crate::findings::FindingId;
use crate::letters::{self, Stored};
use crate::people::Role;

/// Action of the audit record of an opening by somebody else.
pub(crate) const OPENED: &str = "letter.open";
/// Action of the audit record of an opening by the writer.
const OPENED_OWN: &str = "letter.open_own";

/// An opened letter.
#[derive(Debug)]
pub struct OpenedLetter {
    /// What is plain.
    pub letter: Stored,
    /// What was written; `None` once its key was destroyed.
    pub text: Option<String>,
}

/// Detail of the audit record; its subject is the person who wrote.
#[derive(Serialize, Deserialize)]
pub(super) struct OpeningDetail {
    pub(super) letter: String,
    pub(super) role: String,
}

/// The name of a letter in addresses and records.
fn name(letter: &Stored) -> String {
    format!("{}/{}/{}", letter.device, letter.kind, letter.letter)
}

/// The viewer's own letters without their text, newest first.
pub async fn own_letters(shared: &Shared, who: &Viewer, limit: i64) -> Result<Vec<Stored>> {
    decide(who, What::OwnPage, None)?;
    letters::of_person(&shared.db, &who.person().person, limit).await
}

/// A page of subject requests and complaints without their text, newest first, and how many there are.
pub async fn letters_for_privacy(
    shared: &Shared,
    who: &Viewer,
    limit: i64,
    offset: i64,
) -> Result<(Vec<Stored>, i64)> {
    decide(who, What::Letters, None)?;
    letters::for_privacy(&shared.db, &who.person().person, limit, offset).await
}

/// Opens a subject request or complaint for the role that answers it.
pub async fn open_letter(shared: &Shared, who: &Viewer, address: &str) -> Result<OpenedLetter> {
    // The role is checked first: others learn nothing about which letters exist.
    decide(who, What::Letters, None)?;
    let letter = find(shared, address).await?;
    let grant = decide(who, What::Letter(&letter), None)?;
    let opened = open(shared, who, letter, OPENED, grant.role()).await?;
    letters::set_opened(&shared.db, &opened.letter, shared.clock.now_ms()).await?;
    Ok(opened)
}

/// Opens a letter for the person who wrote it.
pub async fn open_own_letter(shared: &Shared, who: &Viewer, address: &str) -> Result<OpenedLetter> {
    decide(who, What::OwnPage, None)?;
    let letter = find(shared, address).await?;
    let grant = decide(who, What::OwnLetter(&letter), None)?;
    open(shared, who, letter, OPENED_OWN, grant.role()).await
}

/// The answers to a finding whose opening was decided and written down.
///
/// `for_reader` is false when the person concerned reads his own.
pub(super) async fn answers(
    shared: &Shared,
    finding: &FindingId,
    for_reader: bool,
) -> Result<Vec<OpenedLetter>> {
    let mut opened = Vec::new();
    for letter in letters::answers(&shared.db, finding).await? {
        if for_reader {
            letters::set_opened(&shared.db, &letter, shared.clock.now_ms()).await?;
        }
        opened.push(decrypt(shared, letter).await?);
    }
    Ok(opened)
}

async fn find(shared: &Shared, address: &str) -> Result<Stored> {
    use crate::error::Error;
    let mut parts = address.splitn(3, '/');
    let (Some(device), Some(kind), Some(letter)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(Error::NotFound("letter"));
    };
    let device = device.parse().map_err(|_| Error::NotFound("letter"))?;
    letters::load(&shared.db, device, kind, letter).await
}

async fn open(
    shared: &Shared,
    who: &Viewer,
    letter: Stored,
    action: &str,
    role: Role,
) -> Result<OpenedLetter> {
    let detail = serde_json::to_string(&OpeningDetail {
        letter: name(&letter),
        role: role.name().to_owned(),
    })
    .expect("strings are JSON");
    let entry = Entry::new(&*who.person().person, action, &*letter.person, detail);
    super::reading::record_opening(shared, entry).await?;
    decrypt(shared, letter).await
}

async fn decrypt(shared: &Shared, letter: Stored) -> Result<OpenedLetter> {
    use crate::error::Error;
    let text = match letters::text(shared, &letter).await {
        Ok(text) => Some(text),
        // Changed bytes look the same; a letter that can't be opened must not hide the finding.
        Err(Error::Sealed) => None,
        Err(error) => return Err(error),
    };
    Ok(OpenedLetter { letter, text })
}
