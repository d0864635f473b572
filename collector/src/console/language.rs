//! Which language a page is in: what was chosen last, else the person's own, else what the browser asks.
//!
//! Invariant: the cookie holds one of the two tags and nothing else.

use axum::Form;
use axum::http::{HeaderMap, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::guard::cookie;
use super::words::Language;

const COOKIE: &str = "__Host-mj-lang";

/// The language of a request.
pub(super) fn of(headers: &HeaderMap, person: Option<&str>) -> Language {
    let asked = || {
        headers
            .get(header::ACCEPT_LANGUAGE)
            .and_then(|value| value.to_str().ok())
            .filter(|value| value.starts_with("en"))
            .map(|_| Language::English)
    };
    cookie(headers, COOKIE)
        .and_then(Language::from_tag)
        .or_else(|| person.and_then(Language::from_tag))
        .or_else(asked)
        .unwrap_or_default()
}

#[derive(Deserialize)]
pub(super) struct Choice {
    language: String,
    #[serde(default)]
    back: String,
}

/// `POST /language`: remembers the choice and goes back.
pub(super) async fn choose(Form(choice): Form<Choice>) -> Response {
    let tag = Language::from_tag(&choice.language)
        .unwrap_or_default()
        .tag();
    let cookie =
        format!("{COOKIE}={tag}; Path=/; Max-Age=31536000; Secure; SameSite=Lax; HttpOnly");
    (
        AppendHeaders([(header::SET_COOKIE, cookie)]),
        Redirect::to(local(&choice.back)),
    )
        .into_response()
}

/// A path of this console, whatever was asked for: never another host.
pub(super) fn local(path: &str) -> &str {
    let inside = path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains('\\')
        && !path.chars().any(char::is_control);
    if inside { path } else { "/" }
}
