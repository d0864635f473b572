//! The page on which an invited person sets a password.
//!
//! Invariants: the code is typed or filled in from the address's fragment by the script, so no server
//! and no proxy ever logs it; guesses are limited as logins are.

use askama::Template;
use axum::Form;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::door::Door;
use super::errors::{Failure, status};
use super::words::Language;
use super::{assets, login};
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
pub(super) async fn show(door: Door) -> Result<Response, Failure> {
    page(&door, None, StatusCode::OK)
}

fn page(
    door: &Door,
    problem: Option<&'static str>,
    status: StatusCode,
) -> Result<Response, Failure> {
    let page = InvitationPage {
        language: door.language,
        company: &door.console.shared.config.company.name,
        csrf: &door.csrf,
        problem,
        back: "/invitation",
        assets: assets::version(),
    };
    door.page(status, &page)
}

#[derive(Deserialize)]
pub(super) struct Acceptance {
    code: String,
    password: String,
    again: String,
}

/// `POST /invitation`: sets the password and logs in.
pub(super) async fn submit(door: Door, Form(form): Form<Acceptance>) -> Result<Response, Failure> {
    // Guesses of codes share one place per address.
    const GUESSING: &str = "\u{0}invitation";
    let Door {
        console,
        address,
        language,
        ..
    } = &door;
    let again = |problem, status| page(&door, Some(problem), status);
    let now_ms = console.shared.clock.now_ms();
    if let Err(error) = console.attempts.check(GUESSING, *address, now_ms) {
        return again(language.t("login.wait"), status(&error));
    }
    if form.password != form.again {
        return again(language.t("invitation.differ"), StatusCode::BAD_REQUEST);
    }
    match people::accept_invitation(&console.shared, &form.code, &form.password).await {
        Ok(person) => {
            let person = people::load(console.shared.db.reader(), &person).await?;
            login::begin(console, &door.session, &person).await?;
            Ok(Redirect::to("/").into_response())
        }
        Err(Error::Invalid(_)) => again(language.t("invitation.weak"), StatusCode::BAD_REQUEST),
        Err(error @ Error::NotFound(_)) => {
            console.attempts.failed(GUESSING, *address, now_ms);
            tracing::warn!(%address, "an invitation was refused");
            again(language.t("invitation.refused"), status(&error))
        }
        Err(error) => Err(error.into()),
    }
}
