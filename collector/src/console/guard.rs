//! What stands before every page: headers, and the token that each form carries.
//!
//! Invariants: no POST reaches a handler without the token of its session, or of the form cookie where
//! nobody is logged in yet; every response has the same policy; no page is cached.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use subtle::ConstantTimeEq;
use tower_sessions::Session;

use super::errors::Failure;
use super::login::SignedIn;
use super::{Console, LARGEST_FORM};
use crate::error::{Error, Result};

/// Cookie of forms that are filled in before anybody is logged in.
const FORM_COOKIE: &str = "__Host-mj-form";

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The headers of every response.
pub(super) async fn headers(
    State(console): State<Arc<Console>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=()",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Where the name is only this machine's, the promise would bind other programs on it.
    if console.shared.config.public.names[0] != "localhost" {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000"),
        );
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    csrf: String,
}

/// Refuses a POST without its token.
pub(super) async fn check_form(session: Session, request: Request, next: Next) -> Response {
    match *request.method() {
        Method::GET | Method::HEAD => return next.run(request).await,
        Method::POST => {}
        _ => return Failure(Error::NotFound("page")).into_response(),
    }
    let expected = match SignedIn::of(&session).await {
        Ok(Some(signed_in)) => signed_in.csrf,
        Ok(None) => cookie(request.headers(), FORM_COOKIE)
            .unwrap_or_default()
            .to_owned(),
        Err(error) => return Failure(error).into_response(),
    };
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_FORM).await else {
        return Failure(Error::Invalid("the form is too large".into())).into_response();
    };
    let given = form::<Token>(&body).map_or_else(String::new, |token| token.csrf);
    let same: bool = given.as_bytes().ct_eq(expected.as_bytes()).into();
    if expected.len() < TOKEN_DIGITS || !same {
        tracing::warn!(
            path = parts.uri.path(),
            "a form without its token was refused"
        );
        return Failure(Error::Forbidden("the form's token is missing or old")).into_response();
    }
    next.run(Request::from_parts(parts, Body::from(body))).await
}

fn form<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Option<T> {
    let pairs: serde_json::Map<String, serde_json::Value> = url::form_urlencoded::parse(body)
        .map(|(name, value)| (name.into_owned(), value.into_owned().into()))
        .collect();
    serde_json::from_value(pairs.into()).ok()
}

const TOKEN_DIGITS: usize = 32;

/// A new token.
pub(super) fn new_token() -> String {
    let mut bytes = [0; TOKEN_DIGITS / 2];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    hex::encode(bytes)
}

/// The value of a cookie.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}

/// The token of a form that also stands before the login, and the cookie to set if it is new.
pub(super) async fn form_token(
    session: &Session,
    headers: &HeaderMap,
) -> Result<(String, Option<HeaderValue>)> {
    if let Some(signed_in) = SignedIn::of(session).await? {
        return Ok((signed_in.csrf, None));
    }
    if let Some(token) = cookie(headers, FORM_COOKIE)
        && token.len() == TOKEN_DIGITS
        && token.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return Ok((token.to_owned(), None));
    }
    let token = new_token();
    let cookie = format!("{FORM_COOKIE}={token}; Path=/; Secure; HttpOnly; SameSite=Strict");
    let cookie = HeaderValue::from_str(&cookie).expect("hexadecimal digits are a header value");
    Ok((token, Some(cookie)))
}
