//! Errors as pages.
//!
//! Invariant: a page tells the class of an error and nothing of its inside.

use askama::Template;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};

use super::language;
use super::words::Language;
use crate::error::{Code, Error};

/// An error on its way to the browser.
#[derive(Debug)]
pub(super) struct Failure(pub(super) Error);

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// The HTTP status of an error.
pub(super) fn status(error: &Error) -> StatusCode {
    match error.code() {
        Code::Invalid => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Conflict | Code::Precondition => StatusCode::CONFLICT,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[derive(Clone, Copy)]
struct Unrendered;

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = status(&self.0);
        if status.is_server_error() {
            tracing::error!(error = &self.0 as &dyn std::error::Error, "a page failed");
        }
        let mut response = status.into_response();
        if let Error::RateLimited { retry_after_s } = self.0 {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(retry_after_s));
        }
        response.extensions_mut().insert(Unrendered);
        response
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    language: Language,
    status: u16,
    text: &'static str,
    assets: &'static str,
}

/// Renders what failed, in the language of the request.
pub(super) async fn show(request: Request, next: Next) -> Response {
    let language = language::of(request.headers(), None);
    let response = next.run(request).await;
    let plain_refusal = response.status().is_client_error()
        && !response.headers().contains_key(header::CONTENT_TYPE);
    if response.extensions().get::<Unrendered>().is_none() && !plain_refusal {
        return response;
    }
    let status = response.status();
    let text = match status.as_u16() {
        401 => language.t("error.401"),
        403 => language.t("error.403"),
        404 | 405 => language.t("error.404"),
        409 => language.t("error.409"),
        429 => language.t("error.429"),
        503 => language.t("error.503"),
        400..=499 => language.t("error.400"),
        _ => language.t("error.500"),
    };
    let page = ErrorPage {
        language,
        status: status.as_u16(),
        text,
        assets: super::assets::version(),
    };
    let (parts, _) = response.into_parts();
    match page.render() {
        Ok(html) => {
            let mut shown = (status, Html(html)).into_response();
            if let Some(wait) = parts.headers.get(header::RETRY_AFTER) {
                shown
                    .headers_mut()
                    .insert(header::RETRY_AFTER, wait.clone());
            }
            shown
        }
        Err(_) => Response::from_parts(parts, text.into()),
    }
}
