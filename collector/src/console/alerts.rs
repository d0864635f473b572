//! The alert queue: a filtered, paged list that the stream keeps fresh.
//!
//! Invariants: filters live in the address; a row shows rule, level, pseudonym and times, never text.

use std::collections::HashMap;

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use strum::VariantArray;

use super::errors::Failure;
use super::format;
use super::shell::{Shell, Visit, page};
use crate::access;
use crate::error::Result;
use crate::findings::{Filter, Finding, Level, State};
use crate::people;

/// The filters as the address carries them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    state: String,
    level: String,
    rule: String,
    department: String,
    person: String,
    from: String,
    to: String,
    page: String,
    size: String,
}

/// One row, for the page and for the stream.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) url: String,
    pub(super) rule: String,
    pub(super) title: String,
    pub(super) level: &'static str,
    pub(super) level_text: &'static str,
    pub(super) level_number: i64,
    pub(super) state: &'static str,
    pub(super) state_text: &'static str,
    pub(super) person: String,
    pub(super) department: String,
    pub(super) kind: &'static str,
    pub(super) direction: &'static str,
    pub(super) at_ms: i64,
    pub(super) at: String,
    pub(super) created_ms: i64,
    pub(super) created: String,
    pub(super) assignee: String,
}

/// A choice of a filter.
#[derive(Debug)]
struct Choice {
    value: String,
    text: String,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "alerts.html")]
struct AlertsPage {
    shell: Shell,
    asked: Asked,
    states: Vec<Choice>,
    levels: Vec<Choice>,
    departments: Vec<Choice>,
    rules: Vec<Choice>,
    rows: Vec<Row>,
    pages: Pages,
    stream: String,
}

/// Where a list stands, with the addresses of its neighbours.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) page: i64,
    pub(super) size: i64,
    pub(super) total_text: String,
    pub(super) place_text: String,
    pub(super) previous: Option<String>,
    pub(super) next: Option<String>,
    pub(super) sizes: Vec<(i64, String)>,
}

const SIZES: [i64; 3] = [10, 20, 50];
/// The state filter that is not one state.
const OPEN: &str = "open";
const ALL: &str = "all";

/// Pseudonyms by person.
pub(super) type Pseudonyms = HashMap<String, String>;

impl Visit {
    /// Everybody's pseudonym.
    pub(super) async fn pseudonyms(&self) -> Result<Pseudonyms> {
        Ok(people::list(&self.console.shared.db)
            .await?
            .into_iter()
            .map(|person| (person.person, person.pseudonym))
            .collect())
    }

    /// A finding as a row.
    pub(super) async fn row(&self, finding: &Finding, pseudonyms: &Pseudonyms) -> Result<Row> {
        let words = self
            .console
            .rule_words
            .get(&self.console.shared, &finding.rule_set, &finding.rule)
            .await?;
        let language = self.language;
        let id = hex::encode(finding.id);
        let called = |person: &str| pseudonyms.get(person).cloned().unwrap_or_default();
        Ok(Row {
            url: format!("/findings/{id}"),
            id,
            rule: finding.rule.clone(),
            title: words.title(language).to_owned(),
            level: finding.level.name(),
            level_text: language.word("level", finding.level.name()),
            level_number: finding.level.number(),
            state: finding.state.name(),
            state_text: language.word("state", finding.state.name()),
            person: called(&finding.person),
            department: finding.department.clone(),
            kind: language.word("kind", name_of(finding.kind)),
            direction: language.word("direction", name_of(finding.direction)),
            at_ms: finding.at_ms,
            at: format::time(finding.at_ms, &self.console.zone),
            created_ms: finding.created_ms,
            created: format::time(finding.created_ms, &self.console.zone),
            assignee: called(&finding.assignee),
        })
    }
}

fn name_of<T: mingjing_proto::vocabulary::Named>(value: T) -> &'static str {
    value.name()
}

impl Asked {
    /// As the store understands it; what makes no sense is not a filter.
    pub(super) fn filter(&self, visit: &Visit, pseudonyms: &Pseudonyms) -> Filter {
        let zone = &visit.console.zone;
        let person = match self.person.trim().to_uppercase() {
            wanted if wanted.is_empty() => String::new(),
            wanted => pseudonyms
                .iter()
                .find(|(_, pseudonym)| **pseudonym == wanted)
                // An unknown pseudonym finds nothing, rather than everything.
                .map_or_else(|| "-".to_owned(), |(person, _)| person.clone()),
        };
        Filter {
            states: match self.state.as_str() {
                ALL => Vec::new(),
                "" | OPEN => State::OPEN.to_vec(),
                one => one
                    .parse()
                    .map_or_else(|_| State::OPEN.to_vec(), |it| vec![it]),
            },
            level: self.level.parse().ok(),
            rule: self.rule.clone(),
            department: self.department.clone(),
            person,
            from_ms: format::date_span(&self.from, zone).map(|(from, _)| from),
            to_ms: format::date_span(&self.to, zone).map(|(_, to)| to),
        }
    }

    fn size(&self) -> i64 {
        let size = self.size.parse().unwrap_or(SIZES[1]);
        if SIZES.contains(&size) {
            size
        } else {
            SIZES[1]
        }
    }

    fn query(&self) -> url::form_urlencoded::Serializer<'static, String> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("state", &self.state),
            ("level", &self.level),
            ("rule", &self.rule),
            ("department", &self.department),
            ("person", &self.person),
            ("from", &self.from),
            ("to", &self.to),
        ] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query
    }

    fn address(&self, page: i64, size: i64) -> String {
        let mut query = self.query();
        query.append_pair("page", &page.to_string());
        query.append_pair("size", &size.to_string());
        format!("/alerts?{}", query.finish())
    }
}

/// `GET /alerts`
pub(super) async fn show(visit: Visit, Query(asked): Query<Asked>) -> Result<Response, Failure> {
    let shared = visit.console.shared.clone();
    let language = visit.language;
    let pseudonyms = visit.pseudonyms().await?;
    let filter = asked.filter(&visit, &pseudonyms);
    let size = asked.size();
    let number = asked.page.parse::<i64>().unwrap_or(1).clamp(1, 1_000_000);
    let mut listed =
        access::list_findings(&shared, &visit.viewer, &filter, size, (number - 1) * size).await?;
    let mut number = number;
    if listed.findings.is_empty() && number > 1 {
        // Beyond the end, perhaps because others worked: the first page says what there is.
        number = 1;
        listed = access::list_findings(&shared, &visit.viewer, &filter, size, 0).await?;
    }
    let mut rows = Vec::with_capacity(listed.findings.len());
    for finding in &listed.findings {
        rows.push(visit.row(finding, &pseudonyms).await?);
    }
    let last = ((listed.total + size - 1) / size).max(1);
    let pages = Pages {
        page: number,
        size,
        total_text: language.f("list.total", &[&listed.total.to_string()]),
        place_text: language.f("list.place", &[&number.to_string(), &last.to_string()]),
        previous: (number > 1).then(|| asked.address(number - 1, size)),
        next: (number < last).then(|| asked.address(number + 1, size)),
        sizes: SIZES
            .iter()
            .map(|size| (*size, asked.address(1, *size)))
            .collect(),
    };
    let (departments, rules) = choices(&visit, &asked).await?;
    page(&AlertsPage {
        shell: visit.shell("/alerts").await?,
        states: state_choices(&visit, &asked),
        levels: level_choices(&visit, &asked),
        departments,
        rules,
        stream: format!("/alerts/stream?{}", asked.query().finish()),
        asked,
        rows,
        pages,
    })
}

fn state_choices(visit: &Visit, asked: &Asked) -> Vec<Choice> {
    let language = visit.language;
    let chosen = if asked.state.is_empty() {
        OPEN
    } else {
        &asked.state
    };
    let mut choices = vec![
        (OPEN, language.t("alerts.open")),
        (ALL, language.t("list.all")),
    ];
    choices.extend(
        State::VARIANTS
            .iter()
            .map(|state| (state.name(), language.word("state", state.name()))),
    );
    choices
        .into_iter()
        .map(|(value, text)| Choice {
            value: value.to_owned(),
            text: text.to_owned(),
            chosen: value == chosen,
        })
        .collect()
}

fn level_choices(visit: &Visit, asked: &Asked) -> Vec<Choice> {
    Level::VARIANTS
        .iter()
        .rev()
        .map(|level| Choice {
            value: level.name().to_owned(),
            text: visit.language.word("level", level.name()).to_owned(),
            chosen: level.name() == asked.level,
        })
        .collect()
}

async fn choices(visit: &Visit, asked: &Asked) -> Result<(Vec<Choice>, Vec<Choice>)> {
    let reach = access::reach_of(&visit.viewer)?;
    let mut departments: Vec<_> = people::list(&visit.console.shared.db)
        .await?
        .into_iter()
        .map(|person| person.department)
        .filter(|department| reach.holds("", department))
        .collect();
    departments.sort();
    departments.dedup();
    let departments = departments
        .into_iter()
        .map(|department| Choice {
            chosen: department == asked.department,
            text: department.clone(),
            value: department,
        })
        .collect();
    let rules = visit.console.shared.rules();
    let rules = rules
        .rules()
        .map(|rule| Choice {
            value: rule.id.clone(),
            text: super::rules::title(rule, visit.language).to_owned(),
            chosen: rule.id == asked.rule,
        })
        .collect();
    Ok((departments, rules))
}
