//! 员工自助: who read my data, which findings there are about me.
//!
//! Invariants: shows the viewer's own and nobody else's; a reviewer's name is a pseudonym here too.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;

use super::alerts::Row;
use super::errors::Failure;
use super::finding::{Shown, shown};
use super::format;
use super::letters::{self, LetterRow};
use super::shell::{Shell, Visit, page};
use crate::access::{self, What};
use crate::error::Result;
use crate::findings;

const SHOWN: i64 = 100;

#[derive(Debug)]
struct ReadingRow {
    at: String,
    reader: String,
    role: String,
    reason: String,
    finding: String,
    short: String,
}

#[derive(Debug)]
struct OwnRow {
    row: Row,
    href: String,
}

#[derive(Template)]
#[template(path = "me.html")]
struct OwnPage {
    shell: Shell,
    pseudonym: String,
    readings: Vec<ReadingRow>,
    findings: Vec<OwnRow>,
    letters: Vec<LetterRow>,
    privacy_contact: String,
}

/// `GET /me`
pub(super) async fn show(visit: Visit) -> Result<Response, Failure> {
    access::decide(&visit.viewer, What::OwnPage, None)?;
    let shared = visit.console.shared.clone();
    let zone = &visit.console.zone;
    let readings = access::readers_of(&shared, &visit.viewer, SHOWN)
        .await?
        .into_iter()
        .map(|reading| ReadingRow {
            at: format::time(reading.at_ms, zone),
            reader: reading.reader,
            role: visit.language.word_or_name("role", &reading.role),
            reason: reading.reason,
            short: format::short(&reading.finding).to_owned(),
            finding: reading.finding,
        })
        .collect();
    page(&OwnPage {
        shell: visit.shell("/me").await?,
        pseudonym: visit.viewer.person().pseudonym.clone(),
        readings,
        findings: own_findings(&visit).await?,
        letters: own_letters(&visit).await?,
        privacy_contact: shared.config.company.privacy_contact.clone(),
    })
}

async fn own_letters(visit: &Visit) -> Result<Vec<LetterRow>> {
    let pseudonyms = visit.pseudonyms().await?;
    let own = access::own_letters(&visit.console.shared, &visit.viewer, SHOWN).await?;
    Ok(own
        .iter()
        .map(|letter| letters::row(visit, letter, &pseudonyms))
        .collect())
}

async fn own_findings(visit: &Visit) -> Result<Vec<OwnRow>> {
    let pseudonyms = visit.pseudonyms().await?;
    let mut rows = Vec::new();
    for finding in access::own_findings(&visit.console.shared, &visit.viewer, SHOWN).await? {
        let row = visit.row(&finding, &pseudonyms).await?;
        rows.push(OwnRow {
            href: format!("/me/findings/{}", row.id),
            row,
        });
    }
    Ok(rows)
}

#[derive(Template)]
#[template(path = "own_finding.html")]
struct OwnFindingPage {
    shell: Shell,
    row: Row,
    article: String,
    shown: Shown,
    privacy_contact: String,
}

/// `GET /me/findings/{id}`
pub(super) async fn show_finding(
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let shared = visit.console.shared.clone();
    let id = findings::parse_id(&id)?;
    let mut opened = access::open_own_finding(&shared, &visit.viewer, &id).await?;
    let pseudonyms = visit.pseudonyms().await?;
    let words = visit
        .console
        .rule_words
        .get(&shared, &opened.finding.rule_set, &opened.finding.rule)
        .await?;
    page(&OwnFindingPage {
        shell: visit.shell("/me").await?,
        row: visit.row(&opened.finding, &pseudonyms).await?,
        article: words.article.clone(),
        shown: shown(&visit, &mut opened, &pseudonyms),
        privacy_contact: shared.config.company.privacy_contact.clone(),
    })
}
