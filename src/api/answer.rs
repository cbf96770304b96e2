//! Answers as bytes: written before the handler returns, so that they may borrow what they show.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, header};
use serde::Serialize;

/// What most answers fit into.
const USUAL_BYTES: usize = 512;

/// A JSON answer.
pub struct Json(pub Bytes);

impl Json {
    pub fn of<T: Serialize>(value: &T) -> Self {
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        serde_json::to_writer(&mut bytes, value).expect("views have string keys and serialise to memory");
        Self(bytes.into())
    }
}

impl Json {
    /// With a secret in it: nobody on the way keeps a copy. `Pragma` because RFC 6749, 5.1 asks for both.
    pub fn not_stored(self) -> Response {
        let mut response = self.into_response();
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.headers_mut().insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        response
    }
}

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        const JSON: HeaderValue = HeaderValue::from_static("application/json");
        ([(header::CONTENT_TYPE, JSON)], self.0).into_response()
    }
}
