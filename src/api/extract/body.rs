//! Bodies: bounded in size, in depth and in time, UTF-8, JSON, and read straight into typed fields.

use std::time::Duration;

use axum::{
    body::{BodyDataStream, HttpBody},
    extract::{FromRequest, OptionalFromRequest, Request},
};
use futures_util::StreamExt;
use http::{HeaderMap, header};
use serde::Deserialize;

use crate::{
    accept::given::{FromJson, Given},
    api::{
        Api,
        problem::{Code, FieldError, Problem},
    },
};

/// Deeper bodies are nobody's message.
const MAX_DEPTH: usize = 64;
/// A client that sends too much is heard to its end up to here, so that it reads our answer instead of a broken pipe.
const MAX_DISCARDED: usize = 32 * 1024 * 1024;
const MAX_DISCARDING: Duration = Duration::from_secs(5);

/// A JSON object with known fields, at most `[http] max_body_bytes` long.
pub struct Body<T>(pub T);

impl<T: FromJson> FromRequest<Api> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let bytes = read_json(request, api.http.max_body_bytes, api.http.body_timeout).await?;
        parse(&bytes).map(Self)
    }
}

/// For operations whose body may be left out altogether.
impl<T: FromJson> OptionalFromRequest<Api> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Option<Self>, Problem> {
        let nothing = request.body().size_hint().exact() == Some(0) && !request.headers().contains_key(header::CONTENT_TYPE);
        if nothing { Ok(None) } else { <Self as FromRequest<Api>>::from_request(request, api).await.map(Some) }
    }
}

/// The bytes of a JSON body.
pub async fn read_json(request: Request, most: usize, patience: Duration) -> Result<Vec<u8>, Problem> {
    if !is_json(request.headers()) {
        discard(request).await;
        return Err(Problem::new(Code::UnsupportedMediaType));
    }
    if declared_length(request.headers()).is_some_and(|length| length > most as u64) {
        discard(request).await;
        return Err(Problem::new(Code::TooLarge).because(format!("the body may have at most {most} bytes")));
    }
    let expected = declared_length(request.headers()).and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let reading = read(request, most, expected);
    tokio::time::timeout(patience, reading).await.map_err(|_| Problem::new(Code::RequestTimeout))?
}

async fn read(request: Request, most: usize, expected: usize) -> Result<Vec<u8>, Problem> {
    let mut body = request.into_body().into_data_stream();
    let mut bytes = Vec::with_capacity(expected.min(most));
    while let Some(data) = body.next().await {
        let data = data.map_err(|_| Problem::new(Code::MalformedJson).because("the body ended early"))?;
        if bytes.len() + data.len() > most {
            discard_body(body).await;
            return Err(Problem::new(Code::TooLarge).because(format!("the body may have at most {most} bytes")));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

async fn discard(request: Request) {
    discard_body(request.into_body().into_data_stream()).await;
}

async fn discard_body(mut body: BodyDataStream) {
    let discarding = async {
        let mut discarded = 0;
        while let Some(Ok(data)) = body.next().await {
            discarded += data.len();
            if discarded > MAX_DISCARDED {
                return;
            }
        }
    };
    // Whoever is slower than this has lost interest in the answer.
    let _ = tokio::time::timeout(MAX_DISCARDING, discarding).await;
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// `application/json`, with nothing or UTF-8 as its charset.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    if value == "application/json" {
        return true;
    }
    let mut parts = value.split(';').map(str::trim);
    let json = parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"));
    json && parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8"),
        _ => true,
    })
}

/// Reads an object with known fields.
fn parse<T: FromJson>(bytes: &[u8]) -> Result<T, Problem> {
    match parse_any(bytes)? {
        Given::Is(value) => Ok(value),
        _ => Err(Problem::invalid(vec![FieldError::at("", "type", format!("the body must be {}", T::EXPECTED))])),
    }
}

/// Reads any JSON, and keeps it if it is what `T` expects.
pub fn parse_any<T: FromJson>(bytes: &[u8]) -> Result<Given<T>, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|_| Problem::new(Code::MalformedJson).because("the body is not UTF-8"))?;
    if is_too_deep(bytes) {
        return Err(Problem::new(Code::MalformedJson).because(format!("the body is nested deeper than {MAX_DEPTH} levels")));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = Given::<T>::deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    // The parser's own words may quote the body.
    read.map_err(|error| {
        Problem::new(Code::MalformedJson).because(format!("the body is not JSON at line {}, column {}", error.line(), error.column()))
    })
}

/// Few bodies have as many brackets as would make them deep: only those are looked at closely.
fn is_too_deep(bytes: &[u8]) -> bool {
    let opening = |byte: &&u8| matches!(byte, b'{' | b'[');
    if bytes.iter().filter(opening).count() <= MAX_DEPTH {
        return false;
    }
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accept::MessageFields;

    fn code(body: &[u8]) -> Result<MessageFields, Code> {
        parse::<MessageFields>(body).map_err(|problem| problem.code())
    }

    #[test]
    fn what_is_no_json_is_malformed_and_what_is_no_object_is_invalid() {
        for body in
            [b"".as_slice(), b"{", b"{\"to\":\"\xff\"}", b"{} {}", b"{\"to\": \"\\ud800\"}", b"nul", b"{\"to\": 1e999}", b"{\"to\" \"x\"}"]
        {
            assert_eq!(code(body).unwrap_err(), Code::MalformedJson, "{}", String::from_utf8_lossy(body));
        }
        for body in [b"[]".as_slice(), b"null", b"\"text\"", b"1", b"[{\"to\": 1}]"] {
            assert_eq!(code(body).unwrap_err(), Code::Invalid);
        }
    }

    #[test]
    fn depth_is_bounded_wherever_it_is() {
        let nested = |depth: usize| format!("{{\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(code(nested(MAX_DEPTH - 1).as_bytes()).is_ok());
        assert_eq!(code(nested(MAX_DEPTH).as_bytes()).unwrap_err(), Code::MalformedJson);
        assert_eq!(code(nested(100_000).as_bytes()).unwrap_err(), Code::MalformedJson);
        assert!(code(format!("{{\"x\":\"{}\"}}", "[".repeat(500)).as_bytes()).is_ok(), "brackets in a text do not nest");
    }

    #[test]
    fn content_types_are_json_in_utf8() {
        let is = |value: &str| is_json(&HeaderMap::from_iter([(header::CONTENT_TYPE, value.parse().unwrap())]));
        assert!(is("application/json") && is("Application/JSON; charset=UTF-8") && is("application/json;charset=\"utf-8\""));
        assert!(!is("text/json") && !is("application/x-www-form-urlencoded") && !is("application/json; charset=latin1"));
        assert!(!is_json(&HeaderMap::new()));
    }
}
