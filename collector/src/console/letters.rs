//! 员工来信: subject requests and complaints for the role that answers them, and one's own letters.
//!
//! Invariants: lists hold no text; a letter opens by a button, not by a link, and its writer sees the
//! opening; whose letter it is shows as a pseudonym.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::Response;
use serde::Deserialize;

use super::alerts::{Pages, Pseudonyms};
use super::errors::Failure;
use super::format;
use super::shell::{Shell, Visit, page};
use crate::access::{self, OpenedLetter};
use crate::letters::Stored;

const SIZES: [i64; 3] = [10, 20, 50];

/// One letter without its text.
#[derive(Debug)]
pub(super) struct LetterRow {
    pub(super) address: String,
    pub(super) kind: &'static str,
    /// Of a request: what it asks for; else empty.
    pub(super) asks: &'static str,
    /// Hexadecimal id and its short form, of an answer.
    pub(super) finding: Option<(String, String)>,
    pub(super) person: String,
    pub(super) at: String,
    pub(super) state: &'static str,
    pub(super) state_text: &'static str,
}

/// A letter with its text.
#[derive(Debug)]
pub(super) struct ShownLetter {
    pub(super) row: LetterRow,
    /// `None`: its key was destroyed.
    pub(super) text: Option<String>,
}

pub(super) fn row(visit: &Visit, letter: &Stored, pseudonyms: &Pseudonyms) -> LetterRow {
    let language = visit.language;
    LetterRow {
        address: format!("{}/{}/{}", letter.device, letter.kind, letter.letter),
        kind: language.word("letter", &letter.kind),
        asks: if letter.asks.is_empty() {
            ""
        } else {
            language.word("asks", &letter.asks)
        },
        finding: letter.finding.map(|id| {
            let id = hex::encode(id);
            let short = format::short(&id).to_owned();
            (id, short)
        }),
        person: pseudonyms.get(&letter.person).cloned().unwrap_or_default(),
        at: format::time(letter.received_ms, &visit.console.zone),
        state: letter.state(),
        state_text: language.word("letter_state", letter.state()),
    }
}

pub(super) fn shown(visit: &Visit, opened: OpenedLetter, pseudonyms: &Pseudonyms) -> ShownLetter {
    ShownLetter {
        row: row(visit, &opened.letter, pseudonyms),
        text: opened.text,
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    page: String,
    size: String,
}

#[derive(Template)]
#[template(path = "letters.html")]
struct LettersPage {
    shell: Shell,
    rows: Vec<LetterRow>,
    pages: Pages,
}

/// `GET /letters`
pub(super) async fn show(visit: Visit, Query(asked): Query<Asked>) -> Result<Response, Failure> {
    let shared = &visit.console.shared;
    let size = asked.size.parse().ok().filter(|it| SIZES.contains(it));
    let size = size.unwrap_or(SIZES[1]);
    let number = asked.page.parse::<i64>().unwrap_or(1).clamp(1, 1_000_000);
    let (letters, total) =
        access::letters_for_privacy(shared, &visit.viewer, size, (number - 1) * size).await?;
    let pseudonyms = visit.pseudonyms().await?;
    let language = visit.language;
    let last = ((total + size - 1) / size).max(number);
    let address = |page: i64, size: i64| format!("/letters?page={page}&size={size}");
    page(&LettersPage {
        shell: visit.shell("/letters").await?,
        rows: letters
            .iter()
            .map(|it| row(&visit, it, &pseudonyms))
            .collect(),
        pages: Pages {
            page: number,
            size,
            total_text: language.f("list.total", &[&total.to_string()]),
            place_text: language.f("list.place", &[&number.to_string(), &last.to_string()]),
            previous: (number > 1).then(|| address(number - 1, size)),
            next: (number * size < total).then(|| address(number + 1, size)),
            sizes: SIZES
                .iter()
                .map(|size| (*size, address(1, *size)))
                .collect(),
        },
    })
}

#[derive(Template)]
#[template(path = "letter.html")]
struct LetterPage {
    shell: Shell,
    letter: ShownLetter,
    own: bool,
}

/// `POST /letters/{device}/{kind}/{id}`: opens it for who answers it.
pub(super) async fn open(visit: Visit, Path(address): Path<String>) -> Result<Response, Failure> {
    let opened = access::open_letter(&visit.console.shared, &visit.viewer, &address).await?;
    render(&visit, opened, "/letters").await
}

/// `POST /me/letters/{device}/{kind}/{id}`: opens it for who wrote it.
pub(super) async fn open_own(
    visit: Visit,
    Path(address): Path<String>,
) -> Result<Response, Failure> {
    let opened = access::open_own_letter(&visit.console.shared, &visit.viewer, &address).await?;
    render(&visit, opened, "/me").await
}

async fn render(visit: &Visit, opened: OpenedLetter, menu: &str) -> Result<Response, Failure> {
    let pseudonyms = visit.pseudonyms().await?;
    page(&LetterPage {
        shell: visit.shell(menu).await?,
        letter: shown(visit, opened, &pseudonyms),
        own: menu == "/me",
    })
}
