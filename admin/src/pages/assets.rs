//! Stylesheet, script and icon: compiled in, asked for again only when they changed.

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    extract::Path,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::{guard, sealed};

pub const STYLE: &str = include_str!("../../assets/admin.css");
pub const SCRIPT: &str = include_str!("../../assets/admin.js");
const ICON: &str = include_str!("../../assets/icon.svg");

pub async fn get(Path(file): Path<String>, headers: HeaderMap) -> Response {
    let (kind, content) = match file.as_str() {
        "admin.css" => ("text/css; charset=utf-8", STYLE),
        "admin.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let tag = format!("\"{}\"", sealed::encode(&digest(&SHA256, content.as_bytes()).as_ref()[..12]));
    let mut response = if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, kind)], content).into_response()
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    guard::always(&mut response);
    response
}
