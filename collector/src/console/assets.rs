//! The style sheet, the script and the icon, compiled in.
//!
//! Invariant: their address changes with their bytes, so browsers may keep them.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use mingjing_proto::chain::sha256;

use super::errors::Failure;
use crate::error::Error;

const STYLE: &str = include_str!("../../static/app.css");
const SCRIPT: &str = include_str!("../../static/app.js");
const ICON: &str = include_str!("../../static/icon.svg");

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut digits = hex::encode(sha256([STYLE, SCRIPT, ICON].concat().as_bytes()));
    digits.truncate(12);
    digits
});

/// What templates append to the address of an asset.
pub(super) fn version() -> &'static str {
    &VERSION
}

/// `GET /static/{file}`
pub(super) async fn serve(Path(file): Path<String>) -> Response {
    let (kind, text) = match file.as_str() {
        "app.css" => ("text/css; charset=utf-8", STYLE),
        "app.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => return Failure(Error::NotFound("page")).into_response(),
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, text).into_response()
}
