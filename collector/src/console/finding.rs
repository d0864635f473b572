//! One finding: the rule in words, who, when, where; its text after a reason; what people did with it.
//!
//! Invariants: the text is rendered only from what `access` opened for this request; a reason holds for
//! one session and one finding; a link from elsewhere opens nothing; opening is not reviewing.

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use mingjing_proto::pb;
use serde::Deserialize;

use super::alerts::{Pseudonyms, Row};
use super::errors::Failure;
use super::format;
use super::letters::{self, ShownLetter};
use super::shell::{Shell, Visit, page};
use crate::access::{self, Opened};
use crate::error::{Error, Result};
use crate::findings::{self, Finding, FindingContent, State, Step, Taken};
use crate::people::{self, Role};

/// A piece of the text; the marked ones are the words found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) marked: bool,
}

/// What was opened, ready to show.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) pieces: Vec<Piece>,
    /// Label and value, such as the conversation's title.
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) lists: Vec<String>,
    pub(super) steps: Vec<ShownStep>,
    pub(super) answers: Vec<ShownLetter>,
}

/// A step as people read it.
#[derive(Debug)]
pub(super) struct ShownStep {
    pub(super) at: String,
    pub(super) actor: String,
    pub(super) action: &'static str,
    pub(super) assignee: String,
    pub(super) comment: String,
}

#[derive(Template)]
#[template(path = "finding.html")]
struct FindingPage {
    shell: Shell,
    row: Row,
    article: String,
    false_positives: String,
    owner: String,
    shown: Option<Shown>,
    reason: String,
    problem: Option<&'static str>,
    /// Steps the state allows: value and word.
    verdicts: Vec<(&'static str, &'static str)>,
    can_take: bool,
    can_escalate: bool,
    can_resolve: bool,
    colleagues: Vec<(String, String)>,
}

#[derive(Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    problem: String,
}

/// `GET /findings/{id}`: opens the text if this session has given its reason.
pub(super) async fn show(
    visit: Visit,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let problem = match asked.problem.as_str() {
        "reason" => Some(visit.language.t("finding.reason_short")),
        "comment" => Some(visit.language.t("finding.comment_short")),
        "state" => Some(visit.language.t("finding.state_moved")),
        _ => None,
    };
    render(&visit, &id, problem, from_here(&headers)).await
}

// A link on another site must not make somebody's browser leave a trace in the log.
fn from_here(headers: &HeaderMap) -> bool {
    headers
        .get("sec-fetch-site")
        .is_none_or(|site| site == "same-origin" || site == "none")
}

async fn render(
    visit: &Visit,
    id: &str,
    problem: Option<&'static str>,
    may_open: bool,
) -> Result<Response, Failure> {
    let shared = &visit.console.shared;
    let parsed = findings::parse_id(id)?;
    let pseudonyms = visit.pseudonyms().await?;
    let reason = visit.signed_in.reasons.get(id).cloned().unwrap_or_default();
    let (finding, shown) = if may_open && !reason.is_empty() {
        let mut opened = access::open_finding(shared, &visit.viewer, &parsed, &reason).await?;
        let shown = shown(visit, &mut opened, &pseudonyms);
        (opened.finding, Some(shown))
    } else {
        (
            access::load_finding(shared, &visit.viewer, &parsed).await?,
            None,
        )
    };
    let words = visit
        .console
        .rule_words
        .get(shared, &finding.rule_set, &finding.rule)
        .await?;
    let allowed = |step: &Step| step.after(finding.state).is_ok();
    let verdicts = [
        State::Compliant,
        State::NonCompliant,
        State::Questionable,
        State::FalsePositive,
    ];
    page(&FindingPage {
        shell: visit.shell("/alerts").await?,
        row: visit.row(&finding, &pseudonyms).await?,
        article: words.article.clone(),
        false_positives: words.false_positives.clone(),
        owner: words.owner.clone(),
        reason,
        problem,
        verdicts: verdicts
            .into_iter()
            .filter(|verdict| shown.is_some() && allowed(&Step::Mark(*verdict)))
            .map(|verdict| (verdict.name(), visit.language.word("step", verdict.name())))
            .collect(),
        can_take: allowed(&Step::Take) && finding.assignee != visit.signed_in.person,
        can_escalate: allowed(&Step::Escalate),
        can_resolve: allowed(&Step::Resolve),
        colleagues: colleagues(visit, &finding).await?,
        shown,
    })
}

// Whom the finding can be given to: those who could open it.
async fn colleagues(visit: &Visit, finding: &Finding) -> Result<Vec<(String, String)>> {
    if Step::Assign(String::new()).after(finding.state).is_err() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let db = &visit.console.shared.db;
    for person in people::with_either_role(db, Role::Reviewer, Role::Lead).await? {
        if person.person != visit.signed_in.person
            && access::could_handle(&visit.console.shared, &person.person, finding).await?
        {
            found.push((
                person.person,
                format!("{} · {}", person.pseudonym, person.department),
            ));
        }
    }
    Ok(found)
}

/// Makes an opened finding ready to show.
pub(super) fn shown(visit: &Visit, opened: &mut Opened, pseudonyms: &Pseudonyms) -> Shown {
    let answers = std::mem::take(&mut opened.answers);
    let mut lists: Vec<_> = opened
        .content
        .spans
        .iter()
        .map(|(_, _, list)| list.clone())
        .collect();
    lists.sort();
    lists.dedup();
    Shown {
        pieces: pieces(&opened.content),
        facts: facts(visit, &opened.content.activity),
        lists,
        steps: opened
            .steps
            .iter()
            .map(|step| shown_step(visit, step, pseudonyms))
            .collect(),
        answers: answers
            .into_iter()
            .map(|answer| letters::shown(visit, answer, pseudonyms))
            .collect(),
    }
}

fn shown_step(visit: &Visit, step: &Taken, pseudonyms: &Pseudonyms) -> ShownStep {
    let called = |person: &str| pseudonyms.get(person).cloned().unwrap_or_default();
    ShownStep {
        at: format::time(step.at_ms, &visit.console.zone),
        actor: called(&step.actor),
        action: visit.language.word("step", &step.action),
        assignee: called(&step.assignee),
        comment: step.comment.clone(),
    }
}

fn facts(visit: &Visit, activity: &pb::Activity) -> Vec<(&'static str, String)> {
    let language = visit.language;
    let mut facts = Vec::new();
    let mut add = |label: &'static str, value: String| {
        if !value.is_empty() {
            facts.push((label, value));
        }
    };
    if let Some(conversation) = &activity.conversation {
        add(
            language.t("finding.conversation"),
            conversation.title.clone(),
        );
    }
    add(language.t("finding.peer"), activity.peer.clone());
    add(language.t("finding.sender"), activity.sender.clone());
    add(language.t("finding.target"), activity.target.clone());
    add(
        language.t("finding.members"),
        activity.members.join(language.t("list.comma")),
    );
    if !activity.content.is_empty() {
        add(
            language.t("finding.content"),
            language.word_or_name("content", &activity.content),
        );
    }
    if let Some(fen) = activity.amount_fen {
        add(language.t("finding.amount"), format::yuan(fen));
    }
    facts
}

/// Cuts the text at the marked words; overlapping marks are one.
fn pieces(content: &FindingContent) -> Vec<Piece> {
    let text = content.activity.text.as_str();
    let mut spans: Vec<_> = content
        .spans
        .iter()
        .map(|(from, to, _)| (*from, *to))
        .collect();
    spans.sort_unstable();
    let mut pieces = Vec::new();
    let mut at = 0;
    for (from, to) in spans {
        let from = from.max(at);
        // A span that does not fit the text marks nothing, rather than failing the page.
        let (Some(before), Some(found)) = (text.get(at..from), text.get(from..to)) else {
            continue;
        };
        for (text, marked) in [(before, false), (found, true)] {
            if !text.is_empty() {
                pieces.push(Piece {
                    text: text.to_owned(),
                    marked,
                });
            }
        }
        at = to;
    }
    if let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        pieces.push(Piece {
            text: rest.to_owned(),
            marked: false,
        });
    }
    pieces
}

#[derive(Deserialize)]
pub(super) struct Reason {
    #[serde(default)]
    reason: String,
}

/// `POST /findings/{id}/open`: remembers the reason for this session and shows the text.
pub(super) async fn give_reason(
    mut visit: Visit,
    Path(id): Path<String>,
    Form(form): Form<Reason>,
) -> Result<Response, Failure> {
    let parsed = findings::parse_id(&id)?;
    access::load_finding(&visit.console.shared, &visit.viewer, &parsed).await?;
    if access::check_reason(Some(&form.reason)).is_err() {
        let problem = Some(visit.language.t("finding.reason_short"));
        let mut response = render(&visit, &id, problem, false).await?;
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(response);
    }
    visit.signed_in.remember_reason(id.clone(), &form.reason);
    visit.signed_in.save(&visit.session).await?;
    Ok(Redirect::to(&format!("/findings/{id}")).into_response())
}

#[derive(Deserialize)]
pub(super) struct StepForm {
    step: String,
    #[serde(default)]
    assignee: String,
    #[serde(default)]
    comment: String,
}

/// `POST /findings/{id}/steps`
pub(super) async fn take_step(
    visit: Visit,
    Path(id): Path<String>,
    Form(form): Form<StepForm>,
) -> Result<Response, Failure> {
    let parsed = findings::parse_id(&id)?;
    let step = match form.step.as_str() {
        "take" => Step::Take,
        "assign" => Step::Assign(form.assignee),
        "escalate" => Step::Escalate,
        "resolve" => Step::Resolve,
        verdict => Step::Mark(State::from_name(verdict)?),
    };
    // Who has not read it can't judge it.
    if matches!(step, Step::Mark(_)) && !visit.signed_in.reasons.contains_key(&id) {
        return Err(Failure(Error::Forbidden(
            "a verdict needs the text opened first",
        )));
    }
    let shared = &visit.console.shared;
    let problem = match access::act(shared, &visit.viewer, &parsed, &step, &form.comment).await {
        Ok(()) => "",
        Err(Error::Invalid(_)) => "?problem=comment",
        Err(Error::Conflict(_)) => "?problem=state",
        Err(error) => return Err(error.into()),
    };
    Ok(Redirect::to(&format!("/findings/{id}{problem}")).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, spans: &[(usize, usize)], expected: &[(&str, bool)]) {
        let content = FindingContent {
            activity: pb::Activity {
                text: text.to_owned(),
                ..pb::Activity::default()
            },
            spans: spans
                .iter()
                .map(|(from, to)| (*from, *to, String::new()))
                .collect(),
        };
        let pieces = pieces(&content);
        let got: Vec<_> = pieces
            .iter()
            .map(|it| (it.text.as_str(), it.marked))
            .collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn marks_stand_where_the_words_are() {
        check(
            "abcdef",
            &[(1, 3)],
            &[("a", false), ("bc", true), ("def", false)],
        );
        check(
            "abcdef",
            &[(2, 4), (0, 3)],
            &[("abc", true), ("d", true), ("ef", false)],
        );
        check("abc", &[(0, 3), (1, 2)], &[("abc", true)]);
        // Beyond the end, or inside a character: no mark, and nothing lost.
        check("货款", &[(1, 3), (0, 99)], &[("货款", false)]);
        check("", &[], &[]);
    }
}
