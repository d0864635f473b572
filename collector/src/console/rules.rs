//! The rules in force, in words.
//!
//! Invariant: what is shown is the set that judges now.

use askama::Template;
use axum::response::Response;
use mingjing_proto::vocabulary::Named;

use super::errors::Failure;
use super::shell::{Shell, Visit, page};
use super::words::Language;
use crate::access::{self, What};
use crate::findings::Level;
use crate::rules::{Rule, Status};

#[derive(Debug)]
struct Row {
    id: String,
    title: String,
    article: String,
    level: &'static str,
    level_text: &'static str,
    status: &'static str,
    status_text: &'static str,
    kinds: String,
    owner: String,
    false_positives: String,
}

#[derive(Template)]
#[template(path = "rules.html")]
struct RulesPage {
    shell: Shell,
    rows: Vec<Row>,
    total: String,
    version: String,
}

/// A rule's title in a language.
pub(super) fn title(rule: &Rule, language: Language) -> &str {
    match language {
        Language::Chinese => &rule.title_zh,
        Language::English => &rule.title_en,
    }
}

/// `GET /rules`
pub(super) async fn show(visit: Visit) -> Result<Response, Failure> {
    access::decide(&visit.viewer, What::Rules, None)?;
    let set = visit.console.shared.rules();
    let language = visit.language;
    let mut rows: Vec<_> = set
        .rules()
        .map(|rule| {
            let level = Level::from_number(rule.level as i64);
            let (status, status_text) = match rule.status {
                Status::Testing => ("testing", language.t("rules.testing")),
                Status::Active => ("active", language.t("rules.active")),
                Status::Paused => ("paused", language.t("rules.paused")),
            };
            let kinds: Vec<_> = rule
                .kinds
                .iter()
                .map(|kind| language.word("kind", kind.name()))
                .collect();
            let row = Row {
                id: rule.id.clone(),
                title: title(rule, language).to_owned(),
                article: rule.article.clone(),
                level: level.name(),
                level_text: language.word("level", level.name()),
                status,
                status_text,
                kinds: kinds.join(language.t("list.comma")),
                owner: rule.owner.clone(),
                false_positives: rule.false_positives.clone(),
            };
            (level, row)
        })
        .collect();
    rows.sort_by(|(one, a), (other, b)| other.cmp(one).then_with(|| a.id.cmp(&b.id)));
    page(&RulesPage {
        shell: visit.shell("/rules").await?,
        total: language.f("list.total", &[&rows.len().to_string()]),
        rows: rows.into_iter().map(|(_, row)| row).collect(),
        version: hex::encode(&set.version()[..6]),
    })
}
