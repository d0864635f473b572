//! Logging in and out. Owns the table `web_sessions`.
//!
//! Invariants: an unknown login and a wrong password get one answer at one cost; a login begins a
//! session with a new id, whatever the browser sent; guesses are slowed down before any hash is made;
//! nothing typed here is logged.

mod attempts;
mod sessions;

use std::collections::BTreeMap;

use askama::Template;
use axum::Form;
use axum::extract::Query;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use serde::{Deserialize, Serialize};
use tower_sessions::Session;

use super::door::Door;
use super::errors::{Failure, status};
use super::words::Language;
use super::{Console, assets, guard, language};
use crate::audit::Entry;
use crate::error::{Error, Result};
use crate::people::{self, Person};

pub(super) use attempts::Attempts;
pub(super) use sessions::{is_alive, sessions};

const KEY: &str = "signed_in";
/// A session is written again after this share of its life, to prolong it.
const PROLONG_AFTER_MS: i64 = 60_000;
const REASONS: usize = 200;

/// What a session remembers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SignedIn {
    /// Who.
    pub(super) person: String,
    /// The token of this session's forms.
    pub(super) csrf: String,
    /// Last use, Unix milliseconds.
    pub(super) seen_ms: i64,
    /// Reasons given in this session, by finding.
    pub(super) reasons: BTreeMap<String, String>,
}

impl SignedIn {
    /// The session's login, if there is one.
    pub(super) async fn of(session: &Session) -> Result<Option<Self>> {
        session
            .get(KEY)
            .await
            .map_err(|_| Error::Unavailable("sessions can't be read"))
    }

    /// Writes it back.
    pub(super) async fn save(&self, session: &Session) -> Result<()> {
        session
            .insert(KEY, self)
            .await
            .map_err(|_| Error::Unavailable("sessions can't be written"))
    }

    /// Notes that the session is in use, so that it lives on.
    pub(super) async fn touch(&mut self, session: &Session, now_ms: i64) -> Result<()> {
        if now_ms - self.seen_ms >= PROLONG_AFTER_MS {
            self.seen_ms = now_ms;
            self.save(session).await?;
        }
        Ok(())
    }

    /// Remembers why a finding is opened; the oldest are not kept beyond a bound.
    pub(super) fn remember_reason(&mut self, finding: String, reason: &str) {
        if self.reasons.len() >= REASONS {
            self.reasons.clear();
        }
        self.reasons.insert(finding, reason.trim().to_owned());
    }
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    language: Language,
    company: &'a str,
    csrf: &'a str,
    next: &'a str,
    login: &'a str,
    problem: Option<&'static str>,
    back: &'static str,
    assets: &'static str,
}

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    next: String,
}

/// `GET /login`
pub(super) async fn show(door: Door, Query(asked): Query<Asked>) -> Result<Response, Failure> {
    page(&door, &asked.next, "", None, StatusCode::OK)
}

fn page(
    door: &Door,
    next: &str,
    login: &str,
    problem: Option<&'static str>,
    status: StatusCode,
) -> Result<Response, Failure> {
    let page = LoginPage {
        language: door.language,
        company: &door.console.shared.config.company.name,
        csrf: &door.csrf,
        next: language::local(next),
        login,
        problem,
        back: "/login",
        assets: assets::version(),
    };
    door.page(status, &page)
}

#[derive(Deserialize)]
pub(super) struct Credentials {
    login: String,
    password: String,
    #[serde(default)]
    next: String,
}

/// `POST /login`
pub(super) async fn submit(
    door: Door,
    Form(credentials): Form<Credentials>,
) -> Result<Response, Failure> {
    let Door {
        console,
        address,
        language,
        ..
    } = &door;
    let login = credentials.login.trim().to_lowercase();
    let again = |problem, status| page(&door, &credentials.next, &login, Some(problem), status);
    let now_ms = console.shared.clock.now_ms();
    if let Err(error) = console.attempts.check(&login, *address, now_ms) {
        tracing::warn!(%address, "a login was refused: too many attempts");
        let mut response = again(language.t("login.wait"), status(&error))?;
        if let Error::RateLimited { retry_after_s } = error {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, retry_after_s.into());
        }
        return Ok(response);
    }
    match authenticate(console, &login, &credentials.password).await? {
        Some(person) => {
            console.attempts.forget(&login, *address);
            begin(console, &door.session, &person).await?;
            Ok(Redirect::to(language::local(&credentials.next)).into_response())
        }
        None => {
            console.attempts.failed(&login, *address, now_ms);
            tracing::warn!(%address, "a login was refused");
            again(language.t("login.refused"), StatusCode::UNAUTHORIZED)
        }
    }
}

async fn authenticate(console: &Console, login: &str, password: &str) -> Result<Option<Person>> {
    let db = &console.shared.db;
    let person = match people::by_login(db, login).await {
        Ok(person) => Some(person),
        Err(Error::NotFound(_)) => None,
        Err(error) => return Err(error),
    };
    let id = person.as_ref().map_or("", |person| &person.person);
    let right = people::verify_password(db, id, password).await?;
    Ok(person.filter(|person| right && person.left_ms.is_none()))
}

/// Begins a session for `person` under a new id.
pub(super) async fn begin(console: &Console, session: &Session, person: &Person) -> Result<()> {
    let failed = |_| Error::Unavailable("sessions can't be written");
    // What the browser brought is destroyed, and its id is not used again.
    session.flush().await.map_err(failed)?;
    session.cycle_id().await.map_err(failed)?;
    let signed_in = SignedIn {
        person: person.person.clone(),
        csrf: guard::new_token(),
        seen_ms: console.shared.clock.now_ms(),
        reasons: BTreeMap::new(),
    };
    signed_in.save(session).await?;
    let entry = Entry::new(&*person.person, "session.begin", &*person.person, "");
    console
        .shared
        .audit
        .append(&console.shared.db, entry)
        .await?;
    Ok(())
}

/// `POST /logout`
pub(super) async fn leave(session: Session) -> Result<Response, Failure> {
    session
        .flush()
        .await
        .map_err(|_| Error::Unavailable("sessions can't be written"))?;
    Ok((forgotten(), Redirect::to("/login")).into_response())
}

// The layer's own removal lacks `Secure`, without which browsers ignore it for this kind of cookie.
fn forgotten() -> AppendHeaders<[(HeaderName, String); 1]> {
    let cookie = format!(
        "{}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax",
        sessions::COOKIE
    );
    AppendHeaders([(header::SET_COOKIE, cookie)])
}

/// Where to go after logging in: the page that was asked for.
pub(super) fn redirect(request_path: &str) -> Response {
    let next: String = url::form_urlencoded::byte_serialize(request_path.as_bytes()).collect();
    (forgotten(), Redirect::to(&format!("/login?next={next}"))).into_response()
}

/// The path and query of a request.
pub(super) fn path_of(uri: &axum::http::Uri) -> String {
    uri.path_and_query()
        .map_or_else(|| "/".to_owned(), ToString::to_string)
}
