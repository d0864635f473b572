//! Phones for IT: state, holder, certificate, chain, alarms; confirming and revoking.
//!
//! Invariants: a state changes only after a page has asked “are you sure”; nothing here is content.

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use mingjing_proto::ids::DeviceId;

use super::errors::Failure;
use super::format;
use super::shell::{Shell, Visit, page};
use crate::access::{self, What};
use crate::devices::{self, Device, State};
use crate::error::{Error, Result};

/// Seen within this time counts as online.
const ONLINE_MS: i64 = 10 * 60_000;
const ALARMS_MS: i64 = 7 * 86_400_000;

#[derive(Debug)]
struct Row {
    id: String,
    short: String,
    state: &'static str,
    state_text: &'static str,
    holder: String,
    pseudonym: String,
    model: String,
    version: String,
    trust: String,
    evidence: String,
    proven: bool,
    seen: String,
    until: String,
    ends_soon: bool,
    head: String,
    code: String,
    pending: bool,
    revoked: bool,
}

#[derive(Debug)]
struct AlarmRow {
    at: String,
    short: String,
    kind: String,
    detail: String,
}

#[derive(Template)]
#[template(path = "phones.html")]
struct PhonesPage {
    shell: Shell,
    pending: Vec<Row>,
    rows: Vec<Row>,
    alarms: Vec<AlarmRow>,
    total: String,
}

#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmPage {
    shell: Shell,
    title: &'static str,
    question: String,
    code: String,
    action: String,
    cancel: &'static str,
    destructive: bool,
}

/// The word of a phone's state: pending, revoked, online or offline.
pub(super) fn state(device: &Device, now_ms: i64) -> &'static str {
    match device.state {
        State::Pending => "pending",
        State::Revoked => "revoked",
        State::Active if now_ms - device.last_seen_ms <= ONLINE_MS => "online",
        State::Active => "offline",
    }
}

/// `GET /phones`
pub(super) async fn show(visit: Visit) -> Result<Response, Failure> {
    access::decide(&visit.viewer, What::Phones, None)?;
    let shared = visit.console.shared.clone();
    let zone = &visit.console.zone;
    let language = visit.language;
    let now_ms = shared.clock.now_ms();
    let all = devices::list(&shared.db).await?;
    let holders = all.iter().map(|device| device.person.clone()).collect();
    let names = access::holder_names(&shared, &visit.viewer, holders).await?;
    let pseudonyms = visit.pseudonyms().await?;
    let row = |device: &Device| {
        let id = device.device.to_string();
        let state = state(device, now_ms);
        let trust: &str = &device.trust;
        Row {
            short: format::short(&id).to_owned(),
            id,
            state,
            state_text: language.word("phone", state),
            holder: names.get(&device.person).cloned().unwrap_or_default(),
            pseudonym: pseudonyms.get(&device.person).cloned().unwrap_or_default(),
            model: device.model.clone(),
            version: device.agent_version.clone(),
            trust: language.word_or_name("trust", trust),
            evidence: language.word_or_name("evidence", &device.attestation),
            proven: trust != "none",
            seen: format::time(device.last_seen_ms, zone),
            until: format::time(device.certificate_until_ms, zone),
            ends_soon: device.state == State::Active
                && device.certificate_until_ms - now_ms < 86_400_000,
            head: format!("{} / {}", device.head.epoch, device.head.seq),
            code: device.code.clone(),
            pending: device.state == State::Pending,
            revoked: device.state == State::Revoked,
        }
    };
    let alarms = devices::alarms(&shared.db, now_ms - ALARMS_MS).await?;
    page(&PhonesPage {
        shell: visit.shell("/phones").await?,
        pending: all
            .iter()
            .filter(|it| it.state == State::Pending)
            .map(row)
            .collect(),
        rows: all.iter().map(row).collect(),
        alarms: alarms
            .into_iter()
            .map(|alarm| AlarmRow {
                at: format::time(alarm.at_ms, zone),
                short: format::short(&alarm.device.to_string()).to_owned(),
                kind: language.word_or_name("alarm", &alarm.kind),
                detail: alarm.detail,
            })
            .collect(),
        total: language.f("list.total", &[&all.len().to_string()]),
    })
}

/// What can be done with a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Confirm,
    Revoke,
}

fn parse(id: &str, act: &str) -> Result<(DeviceId, Act)> {
    let id = id.parse().map_err(|_| Error::NotFound("phone"))?;
    match act {
        "confirm" => Ok((id, Act::Confirm)),
        "revoke" => Ok((id, Act::Revoke)),
        _ => Err(Error::NotFound("page")),
    }
}

/// `GET /phones/{id}/confirm` and `/phones/{id}/revoke`: asks.
pub(super) async fn ask(
    visit: Visit,
    Path((id, act)): Path<(String, String)>,
) -> Result<Response, Failure> {
    access::decide(&visit.viewer, What::ManagePhones, None)?;
    let (device, act) = parse(&id, &act)?;
    let shared = &visit.console.shared;
    let device = devices::load(shared.db.reader(), device).await?;
    let names = access::holder_names(shared, &visit.viewer, vec![device.person.clone()]).await?;
    let holder = names.get(&device.person).map_or("", String::as_str);
    let language = visit.language;
    let what = [holder, device.model.as_str()];
    let shell = visit.shell("/phones").await?;
    let dialog = match act {
        Act::Confirm => ConfirmPage {
            shell,
            title: language.t("phones.confirm_title"),
            question: language.f("phones.confirm_question", &what),
            code: device.code,
            action: format!("/phones/{id}/confirm"),
            cancel: "/phones",
            destructive: false,
        },
        Act::Revoke => ConfirmPage {
            shell,
            title: language.t("phones.revoke_title"),
            question: language.f("phones.revoke_question", &what),
            code: String::new(),
            action: format!("/phones/{id}/revoke"),
            cancel: "/phones",
            destructive: true,
        },
    };
    page(&dialog)
}

/// `POST /phones/{id}/confirm` and `/phones/{id}/revoke`
pub(super) async fn act(
    visit: Visit,
    Path((id, act)): Path<(String, String)>,
) -> Result<Response, Failure> {
    access::decide(&visit.viewer, What::ManagePhones, None)?;
    let (device, act) = parse(&id, &act)?;
    let shared = &visit.console.shared;
    match act {
        Act::Confirm => devices::confirm(shared, device, &visit.signed_in.person).await?,
        Act::Revoke => devices::revoke(shared, device, &visit.signed_in.person).await?,
    }
    Ok(Redirect::to("/phones").into_response())
}
