//! What pages before the login need: the language, the token of their form, where the caller is.
//!
//! Invariant: these pages write nothing to the store merely by being looked at.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use askama::Template;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use tower_sessions::Session;

use super::errors::Failure;
use super::words::Language;
use super::{Console, guard, language};
use crate::error::Error;

/// A request of somebody who need not be logged in.
#[derive(Debug)]
pub(super) struct Door {
    /// What the pages share.
    pub(super) console: Arc<Console>,
    /// The browser's session, if it has one.
    pub(super) session: Session,
    /// Language of the page.
    pub(super) language: Language,
    /// Where the request comes from, for limits only.
    pub(super) address: IpAddr,
    /// The token its form carries.
    pub(super) csrf: String,
    cookie: Option<HeaderValue>,
}

impl FromRequestParts<Arc<Console>> for Door {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        console: &Arc<Console>,
    ) -> Result<Self, Response> {
        let session = Session::from_request_parts(parts, console)
            .await
            .map_err(IntoResponse::into_response)?;
        let (csrf, cookie) = guard::form_token(&session, &parts.headers)
            .await
            .map_err(|error| Failure(error).into_response())?;
        // A caller that tells no address shares one limit.
        let address = parts
            .extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map_or(IpAddr::from([0, 0, 0, 0]), |info| info.0.ip());
        Ok(Self {
            console: console.clone(),
            session,
            language: language::of(&parts.headers, None),
            address,
            csrf,
            cookie,
        })
    }
}

impl Door {
    /// Renders a page and sets the form's cookie.
    pub(super) fn page(
        &self,
        status: StatusCode,
        template: &impl Template,
    ) -> Result<Response, Failure> {
        let html = template
            .render()
            .map_err(|_| Error::Unavailable("a page can't be rendered"))?;
        let mut response = (status, Html(html)).into_response();
        if let Some(cookie) = &self.cookie {
            response
                .headers_mut()
                .append(header::SET_COOKIE, cookie.clone());
        }
        Ok(response)
    }
}
