//! Logging in and out. Owns the table `web_sessions`.
//!
//! Invariants: an unknown login and a wrong password get one answer at one cost; a login begins a
//! session with a new id, whatever the browser sent; guesses are slowed down before any hash is made;
//! nothing typed here is logged.

mod attempts;
mod sessions;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::{Deserialize, Serialize};
use tower_sessions::Session;

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
pub(super) async fn show(
    State(console): State<Arc<Console>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    page(&console, &headers, &asked.next, "", None, StatusCode::OK)
}

fn page(
    console: &Console,
    headers: &HeaderMap,
    next: &str,
    login: &str,
    problem: Option<&'static str>,
    status: StatusCode,
) -> Result<Response, Failure> {
    let (csrf, cookie) = guard::form_token(headers);
    let language = language::of(headers, None);
    let html = LoginPage {
        language,
        company: &console.shared.config.company.name,
        csrf: &csrf,
        next: language::local(next),
        login,
        problem,
        back: "/login",
        assets: assets::version(),
    }
    .render()
    .map_err(|_| Error::Unavailable("a page can't be rendered"))?;
    let mut response = (status, Html(html)).into_response();
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
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
    State(console): State<Arc<Console>>,
    session: Session,
    Address(address): Address,
    headers: HeaderMap,
    Form(credentials): Form<Credentials>,
) -> Result<Response, Failure> {
    let login = credentials.login.trim().to_lowercase();
    let language = language::of(&headers, None);
    let again = |problem, status| {
        page(
            &console,
            &headers,
            &credentials.next,
            &login,
            Some(problem),
            status,
        )
    };
    let now_ms = console.shared.clock.now_ms();
    if let Err(error) = console.attempts.check(&login, address, now_ms) {
        tracing::warn!(%address, "a login was refused: too many attempts");
        let mut response = again(language.t("login.wait"), status(&error))?;
        if let Error::RateLimited { retry_after_s } = error {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, retry_after_s.into());
        }
        return Ok(response);
    }
    match authenticate(&console, &login, &credentials.password).await? {
        Some(person) => {
            console.attempts.forget(&login, address);
            begin(&console, &session, &person).await?;
            Ok(Redirect::to(language::local(&credentials.next)).into_response())
        }
        None => {
            console.attempts.failed(&login, address, now_ms);
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
    let right = people::verify_password(&console.shared, id, password).await?;
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
    Ok(Redirect::to("/login").into_response())
}

/// Where a request comes from, for limits only.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address(pub(super) IpAddr);

impl<S: Sync> axum::extract::FromRequestParts<S> for Address {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        _: &S,
    ) -> std::result::Result<Self, Self::Rejection> {
        // A caller that tells no address shares one limit.
        let address = parts
            .extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map_or(IpAddr::from([0, 0, 0, 0]), |info| info.0.ip());
        Ok(Self(address))
    }
}

/// Where to go after logging in: the page that was asked for.
pub(super) fn redirect(request_path: &str) -> Redirect {
    let next: String = url::form_urlencoded::byte_serialize(request_path.as_bytes()).collect();
    Redirect::to(&format!("/login?next={next}"))
}

/// The path and query of a request.
pub(super) fn path_of(uri: &axum::http::Uri) -> String {
    uri.path_and_query()
        .map_or_else(|| "/".to_owned(), ToString::to_string)
}
