//! The audit log for the auditor: who did and read what, and whether the chain holds.
//!
//! Invariants: people appear as pseudonyms; the badge says when the chain was verified and how far.

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::alerts::{Pages, Pseudonyms};
use super::errors::Failure;
use super::format;
use super::shell::{Shell, Visit, page};
use crate::access;
use crate::audit::{Audit, Placed, Verdict};
use crate::error::Result;

/// The chain's verification, repeated at most once a minute.
pub(super) type LastVerdict = Mutex<Option<(i64, Verdict)>>;

const VERIFY_EVERY_MS: i64 = 60_000;
const SIZES: [i64; 3] = [20, 50, 100];

/// Actions with a word of their own, for the locale test; others are shown as they are written.
#[cfg(test)]
pub(super) const ACTIONS: &[&str] = &[
    "account.add",
    "account.remove",
    "account.resume",
    "account.suspend",
    "audit.export",
    "device.active",
    "device.enroll",
    "device.revoked",
    "finding.assign",
    "finding.compliant",
    "finding.escalate",
    "finding.false_positive",
    "finding.non_compliant",
    "finding.open",
    "finding.open_own",
    "finding.questionable",
    "finding.resolve",
    "finding.take",
    "letter.open",
    "letter.open_own",
    "letter.receive",
    "person.create",
    "person.grant",
    "person.invite",
    "person.password",
    "person.schedule",
    "session.begin",
    "token.new",
];

#[derive(Debug)]
struct Row {
    place: String,
    at: String,
    actor: String,
    action: String,
    subject: String,
    subject_full: String,
    detail: String,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    shell: Shell,
    badge: String,
    holds: bool,
    actions: Vec<(&'static str, &'static str, bool)>,
    rows: Vec<Row>,
    pages: Pages,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    action: String,
    page: String,
    size: String,
}

impl Asked {
    fn address(&self, page: i64, size: i64) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if !self.action.is_empty() {
            query.append_pair("action", &self.action);
        }
        query.append_pair("page", &page.to_string());
        query.append_pair("size", &size.to_string());
        format!("/audit?{}", query.finish())
    }
}

/// `GET /audit`
pub(super) async fn show(visit: Visit, Query(asked): Query<Asked>) -> Result<Response, Failure> {
    let shared = visit.console.shared.clone();
    let language = visit.language;
    let size = asked
        .size
        .parse()
        .ok()
        .filter(|it| SIZES.contains(it))
        .unwrap_or(SIZES[0]);
    let number = asked.page.parse::<i64>().unwrap_or(1).clamp(1, 1_000_000);
    let (entries, total) = access::audit_log(
        &shared,
        &visit.viewer,
        &asked.action,
        size,
        (number - 1) * size,
    )
    .await?;
    let pseudonyms = visit.pseudonyms().await?;
    let last = ((total + size - 1) / size).max(number);
    let (verified_ms, verdict) = verdict(&visit).await?;
    let at = format::time(verified_ms, &visit.console.zone);
    let badge = match &verdict.broken_at {
        None => language.f("audit.holds", &[&verdict.entries.to_string(), &at]),
        Some((collector, seq)) => language.f("audit.broken", &[collector, &seq.to_string(), &at]),
    };
    let actions = [
        ("", language.t("audit.all")),
        ("finding.open", language.t("audit.reads")),
    ]
    .into_iter()
    .chain([
        ("finding.", language.t("audit.handling")),
        ("letter.", language.t("audit.letters")),
        ("person.", language.t("audit.people")),
        ("device.", language.t("audit.devices")),
    ])
    .map(|(value, text)| (value, text, value == asked.action))
    .collect();
    page(&AuditPage {
        shell: visit.shell("/audit").await?,
        badge,
        holds: verdict.broken_at.is_none(),
        actions,
        rows: entries
            .iter()
            .map(|(collector, placed)| row(&visit, &pseudonyms, collector, placed))
            .collect(),
        pages: Pages {
            page: number,
            size,
            total_text: language.f("list.total", &[&total.to_string()]),
            place_text: language.f("list.place", &[&number.to_string(), &last.to_string()]),
            previous: (number > 1).then(|| asked.address(number - 1, size)),
            next: (number * size < total).then(|| asked.address(number + 1, size)),
            sizes: SIZES
                .iter()
                .map(|size| (*size, asked.address(1, *size)))
                .collect(),
        },
    })
}

async fn verdict(visit: &Visit) -> Result<(i64, Verdict)> {
    let now_ms = visit.console.shared.clock.now_ms();
    // Held while verifying: one auditor's reload does not start a second run.
    let mut last = visit.console.verdict.lock().await;
    if let Some((at_ms, verdict)) = last.as_ref()
        && now_ms - at_ms < VERIFY_EVERY_MS
    {
        return Ok((*at_ms, verdict.clone()));
    }
    let verdict = Audit::verify(&visit.console.shared.db).await?;
    *last = Some((now_ms, verdict.clone()));
    Ok((now_ms, verdict))
}

fn row(visit: &Visit, pseudonyms: &Pseudonyms, collector: &str, placed: &Placed) -> Row {
    let language = visit.language;
    let called = |id: &str| match pseudonyms.get(id) {
        Some(pseudonym) => pseudonym.clone(),
        None => id.to_owned(),
    };
    let entry = &placed.entry;
    let subject = called(&entry.subject);
    let detail = match access::opening(entry) {
        Some(opening) if opening.finding.is_empty() => language.f(
            "audit.letter",
            &[&language.word_or_name("role", &opening.role)],
        ),
        Some(opening) => language.f(
            "audit.opening",
            &[
                format::short(&opening.finding),
                &language.word_or_name("role", &opening.role),
                if opening.reason.is_empty() {
                    "—"
                } else {
                    &opening.reason
                },
            ],
        ),
        // Some details are the id of a person.
        None => called(&entry.detail),
    };
    Row {
        place: format!("{collector} #{}", placed.seq),
        at: format::time(placed.at_ms, &visit.console.zone),
        actor: called(&entry.actor),
        action: language.word_or_name("action", &entry.action),
        subject: if subject.len() > 20 {
            format!("{}…", format::short(&subject))
        } else {
            subject
        },
        subject_full: entry.subject.clone(),
        detail,
    }
}
