//! The header `traceparent`: the trace that a request is part of, as W3C Trace Context writes it.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;

/// The header, if it is there and has the right shape; whatever else it says is no concern of the sender's.
pub struct Traceparent(pub Option<String>);

impl<S: Sync> FromRequestParts<S> for Traceparent {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let given = parts.headers.get("traceparent").and_then(|value| value.to_str().ok());
        Ok(Self(given.filter(|text| is_traceparent(text)).map(str::to_owned)))
    }
}

/// Version, trace, span, flags.
fn is_traceparent(text: &str) -> bool {
    let mut parts = text.split('-');
    let hex =
        |part: Option<&str>, length| part.is_some_and(|part| part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit()));
    text.len() == 55 && hex(parts.next(), 2) && hex(parts.next(), 32) && hex(parts.next(), 16) && hex(parts.next(), 2)
}
