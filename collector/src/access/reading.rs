//! The reads themselves, each behind its grant.
//!
//! Invariants: the audit record of an opening is committed before a byte is decrypted; names and texts
//! leave this module only in return values.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use sqlx::any::AnyExecutor;

use super::letters::OpenedLetter;
use super::{Viewer, What, decide, letters};
use crate::Shared;
use crate::audit::{Audit, Entry, Placed};
use crate::changes::{Changes, Kind};
use crate::error::{Error, Result};
use crate::findings::{
    self, Filter, Finding, FindingContent, FindingId, Listed, Reach, Step, Taken,
};
use crate::people::{self, Role};

/// Action of the audit record of an opening by somebody else.
pub(crate) const OPENED: &str = "finding.open";
/// Action of the audit record of an opening by the person concerned.
pub(crate) const OPENED_OWN: &str = "finding.open_own";

/// An opened finding.
#[derive(Debug)]
pub struct Opened {
    /// What is plain.
    pub finding: Finding,
    /// What was sealed.
    pub content: FindingContent,
    /// What was done with it.
    pub steps: Vec<Taken>,
    /// What the person concerned answered, oldest first.
    pub answers: Vec<OpenedLetter>,
}

/// An opening as the person concerned sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// Pseudonym of the reader.
    pub reader: String,
    /// The reader's role.
    pub role: String,
    /// The reason given; empty for a letter, which is opened to be answered.
    pub reason: String,
    /// Hexadecimal id of the finding; empty for a letter.
    pub finding: String,
    /// Address of the letter; empty for a finding.
    pub letter: String,
}

// Detail of the audit record; its subject is the person concerned.
#[derive(Serialize, Deserialize)]
struct OpeningDetail {
    finding: String,
    role: String,
    reason: String,
}

/// Actions by which somebody else read what is a person's own.
pub(crate) const OPENINGS: [&str; 2] = [OPENED, letters::OPENED];

/// What a record of an opening says, whatever was opened.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) role: String,
    pub(crate) reason: String,
    pub(crate) finding: String,
    pub(crate) letter: String,
}

/// Reads the record of an opening; `None` when it is no such record.
pub(crate) fn opening(entry: &Entry) -> Option<Opening> {
    if entry.action.starts_with(letters::OPENED) {
        let detail: letters::OpeningDetail = serde_json::from_str(&entry.detail).ok()?;
        return Some(Opening {
            role: detail.role,
            reason: String::new(),
            finding: String::new(),
            letter: detail.letter,
        });
    }
    let detail: OpeningDetail = serde_json::from_str(&entry.detail).ok()?;
    Some(Opening {
        role: detail.role,
        reason: detail.reason,
        finding: detail.finding,
        letter: String::new(),
    })
}

/// Findings within the viewer's reach.
pub async fn list_findings(
    shared: &Shared,
    who: &Viewer,
    filter: &Filter,
    limit: i64,
    offset: i64,
) -> Result<Listed> {
    let reach = reach_of(who)?;
    findings::list(&shared.db, &reach, filter, limit, offset).await
}

/// The reach of the viewer's own roles, for lists and numbers.
pub(crate) fn reach_of(who: &Viewer) -> Result<Reach> {
    Ok(decide(who, What::Findings, None)?.reach()?.clone())
}

/// A finding without its text.
pub async fn load_finding(shared: &Shared, who: &Viewer, id: &FindingId) -> Result<Finding> {
    // The role is checked first: who reads no findings learns nothing about which exist.
    decide(who, What::Findings, None)?;
    let finding = findings::load(&shared.db, id).await?;
    decide(who, What::Finding(&finding), None)?;
    Ok(finding)
}

/// Opens a finding's text for a reviewer or lead, with a reason.
pub async fn open_finding(
    shared: &Shared,
    who: &Viewer,
    id: &FindingId,
    reason: &str,
) -> Result<Opened> {
    let finding = load_finding(shared, who, id).await?;
    let grant = decide(who, What::FindingText(&finding), Some(reason))?;
    open(shared, who, finding, OPENED, grant.role(), reason.trim()).await
}

/// Opens a finding for the person it concerns.
pub async fn open_own_finding(shared: &Shared, who: &Viewer, id: &FindingId) -> Result<Opened> {
    decide(who, What::OwnPage, None)?;
    let finding = findings::load(&shared.db, id).await?;
    let grant = decide(who, What::OwnFinding(&finding), None)?;
    open(shared, who, finding, OPENED_OWN, grant.role(), "").await
}

async fn open(
    shared: &Shared,
    who: &Viewer,
    finding: Finding,
    action: &str,
    role: Role,
    reason: &str,
) -> Result<Opened> {
    let detail = serde_json::to_string(&OpeningDetail {
        finding: hex::encode(finding.id),
        role: role.name().to_owned(),
        reason: reason.to_owned(),
    })
    .expect("strings are JSON");
    let entry = Entry::new(&*who.person().person, action, &*finding.person, detail);
    record_opening(shared, entry).await?;
    let name = findings::key_name(&finding.account, finding.at_ms, finding.kind);
    let key = shared.sealer.existing_key(&shared.db, &name).await?;
    let sealed = findings::sealed(&shared.db, &finding.id).await?;
    let content = findings::open_content(&key, &finding.id, &sealed)?;
    let steps = findings::steps(shared, &finding).await?;
    let answers = letters::answers(shared, &finding.id, action == OPENED).await?;
    Ok(Opened {
        finding,
        content,
        steps,
        answers,
    })
}

/// Takes a step with a finding.
pub async fn act(
    shared: &Shared,
    who: &Viewer,
    id: &FindingId,
    step: &Step,
    comment: &str,
) -> Result<()> {
    let finding = load_finding(shared, who, id).await?;
    decide(who, What::HandleFinding(&finding), None)?;
    if let Step::Assign(person) = step
        && !could_handle(shared, person, &finding).await?
    {
        return Err(Error::Forbidden("this person can't handle the finding"));
    }
    findings::record_step(shared, &finding, step, comment, &who.person().person).await
}

/// Whether a person could be given the finding.
pub async fn could_handle(shared: &Shared, person: &str, finding: &Finding) -> Result<bool> {
    match Viewer::load(&shared.db, person).await {
        Ok(viewer) => Ok(decide(&viewer, What::HandleFinding(finding), None).is_ok()),
        Err(Error::NotFound(_) | Error::Unauthenticated(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Names of account holders, for IT.
pub async fn holder_names(
    shared: &Shared,
    who: &Viewer,
    persons: Vec<String>,
) -> Result<HashMap<String, String>> {
    decide(who, What::Phones, None)?;
    let mut names = HashMap::new();
    for person in persons.into_iter().collect::<BTreeSet<_>>() {
        let name = match people::name(shared, &person).await {
            Ok(name) => name,
            // A name that was erased, or a holder who was never entered.
            Err(Error::NotFound(_) | Error::Sealed) => String::new(),
            Err(error) => return Err(error),
        };
        names.insert(person, name);
    }
    Ok(names)
}

/// Findings about the viewer himself, newest first.
pub async fn own_findings(shared: &Shared, who: &Viewer, limit: i64) -> Result<Vec<Finding>> {
    decide(who, What::OwnPage, None)?;
    findings::of_person(&shared.db, &who.person().person, limit).await
}

/// Who opened what about the viewer, newest first.
pub async fn readers_of(shared: &Shared, who: &Viewer, limit: i64) -> Result<Vec<Reading>> {
    decide(who, What::OwnPage, None)?;
    let entries = Audit::about(shared.db.reader(), &who.person().person, OPENINGS, limit).await?;
    let mut readings = Vec::with_capacity(entries.len());
    for (_, placed) in entries {
        let Some(opening) = opening(&placed.entry) else {
            continue;
        };
        let reader = match people::load(shared.db.reader(), &placed.entry.actor).await {
            Ok(person) => person.pseudonym,
            Err(Error::NotFound(_)) => String::new(),
            Err(error) => return Err(error),
        };
        readings.push(Reading {
            at_ms: placed.at_ms,
            reader,
            role: opening.role,
            reason: opening.reason,
            finding: opening.finding,
            letter: opening.letter,
        });
    }
    Ok(readings)
}

/// A reading of what is a person's own, as that person's phones are told.
#[derive(Debug)]
pub(crate) struct Receipt {
    /// Whose chain it stands in.
    pub(crate) collector: String,
    /// Where.
    pub(crate) seq: i64,
    pub(crate) at_ms: i64,
    pub(crate) role: String,
    pub(crate) reason: String,
    /// The finding's id, or the letter's kind and id.
    pub(crate) what: String,
}

/// The newest readings about a person, in the order of their chains; for that person's own phones.
pub(crate) async fn readings_of(
    db: impl AnyExecutor<'_>,
    person: &str,
    limit: i64,
) -> Result<Vec<Receipt>> {
    let entries = Audit::about(db, person, OPENINGS, limit).await?;
    let mut receipts: Vec<_> = entries
        .into_iter()
        .filter_map(|(collector, placed)| {
            let opening = opening(&placed.entry)?;
            let letter = opening.letter.split_once('/').map(|(_, name)| name);
            Some(Receipt {
                collector,
                seq: placed.seq,
                at_ms: placed.at_ms,
                role: opening.role,
                reason: opening.reason,
                what: letter.map_or(opening.finding, str::to_owned),
            })
        })
        .collect();
    receipts.sort_by(|a, b| (&a.collector, a.seq).cmp(&(&b.collector, b.seq)));
    Ok(receipts)
}

/// Writes an opening down, and lets the phones of the person concerned know.
pub(super) async fn record_opening(shared: &Shared, entry: Entry) -> Result<()> {
    let person = entry.subject.clone();
    let by_another = OPENINGS.contains(&entry.action.as_str());
    let mut tx = shared.db.begin().await?;
    let change = if by_another {
        let now_ms = shared.clock.now_ms();
        Some(Changes::record(&mut tx, now_ms, Kind::Reading, &person).await?)
    } else {
        None
    };
    shared.audit.append_in(&mut tx, entry).await?;
    tx.commit().await?;
    if let Some(change) = change {
        shared.changes.announce(change);
    }
    Ok(())
}

/// A page of the audit log, newest first, and how many entries there are.
pub async fn audit_log(
    shared: &Shared,
    who: &Viewer,
    action: &str,
    limit: i64,
    offset: i64,
) -> Result<(Vec<(String, Placed)>, i64)> {
    decide(who, What::AuditLog, None)?;
    Audit::list(&shared.db, action, limit, offset).await
}
