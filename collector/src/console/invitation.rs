//! The page on which an invited person sets a password.
//!
//! Invariants: the code is typed or filled in from the address's fragment by the script, so no server
//! and no proxy ever logs it; guesses are limited as logins are.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;
use tower_sessions::Session;

use super::errors::{Failure, status};
use super::login::{self, Address};
use super::words::Language;
use super::{Console, assets, guard, language};
use crate::error::Error;
use crate::people;

#[derive(Template)]
#[template(path = "invitation.html")]
struct InvitationPage<'a> {
    language: Language,
    company: &'a str,
    csrf: &'a str,
    problem: Option<&'static str>,
    back: &'static str,
    assets: &'static str,
}

/// `GET /invitation`
pub(super) async fn show(
    State(console): State<Arc<Console>>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    page(&console, &headers, None, StatusCode::OK)
}

fn page(
    console: &Console,
    headers: &HeaderMap,
    problem: Option<&'static str>,
    status: StatusCode,
) -> Result<Response, Failure> {
    let (csrf, cookie) = guard::form_token(headers);
    let language = language::of(headers, None);
    let html = InvitationPage {
        language,
        company: &console.shared.config.company.name,
        csrf: &csrf,
        problem,
        back: "/invitation",
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
pub(super) struct Acceptance {
    code: String,
    password: String,
    again: String,
}

/// `POST /invitation`: sets the password and logs in.
pub(super) async fn submit(
    State(console): State<Arc<Console>>,
    session: Session,
    Address(address): Address,
    headers: HeaderMap,
    Form(form): Form<Acceptance>,
) -> Result<Response, Failure> {
    // Guesses of codes share one place per address.
    const GUESSING: &str = "\u{0}invitation";
    let language = language::of(&headers, None);
    let again = |problem, status| page(&console, &headers, Some(problem), status);
    let now_ms = console.shared.clock.now_ms();
    if let Err(error) = console.attempts.check(GUESSING, address, now_ms) {
        return again(language.t("login.wait"), status(&error));
    }
    if form.password != form.again {
        return again(language.t("invitation.differ"), StatusCode::BAD_REQUEST);
    }
    match people::accept_invitation(&console.shared, &form.code, &form.password).await {
        Ok(person) => {
            let person = people::load(&console.shared.db, &person).await?;
            login::begin(&console, &session, &person).await?;
            Ok(Redirect::to("/").into_response())
        }
        Err(Error::Invalid(_)) => again(language.t("invitation.weak"), StatusCode::BAD_REQUEST),
        Err(error @ Error::NotFound(_)) => {
            console.attempts.failed(GUESSING, address, now_ms);
            tracing::warn!(%address, "an invitation was refused");
            again(language.t("invitation.refused"), status(&error))
        }
        Err(error) => Err(error.into()),
    }
}
