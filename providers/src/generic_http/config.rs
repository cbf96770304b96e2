//! Settings of kind `http`.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use reqwest::Url;
use serde_json::Value;
use tidings_core::{attempt::Outcome, redact::Redacted};

use super::{
    KIND,
    body::{Body, Format},
    receipt::ReceiptReader,
    response::{ResponseReader, Statuses},
};
use crate::{ReceiptStatus, SettingError, Settings, settings::Reader};

pub const NAMES: &[&str] = &[
    "url",
    "endpoint",
    "method",
    "content_type",
    "headers",
    "from",
    "body",
    "success_status",
    "message_id",
    "error_code",
    "errors",
    "receipt",
    "receipt_token",
];
const RECEIPT_NAMES: &[&str] = &["message_id", "reference", "status", "error_code", "map"];
const RECEIPT_STATUSES: [ReceiptStatus; 3] = [ReceiptStatus::Delivered, ReceiptStatus::Undelivered, ReceiptStatus::Submitted];

#[derive(Debug)]
pub struct Config {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub from: Redacted<String>,
    pub body: Body,
    pub response: ResponseReader,
    pub receipt: ReceiptReader,
}

impl Config {
    pub fn read(settings: &Settings) -> Result<Self, Vec<SettingError>> {
        let mut read = Reader::new(settings, &KIND);
        let url = address(&mut read);
        let format = match read.one_of("content_type", &["json", "form"]) {
            "form" => Format::Form,
            _ => Format::Json,
        };
        let method = match read.one_of("method", &["POST", "PUT", "PATCH"]) {
            "PUT" => Method::PUT,
            "PATCH" => Method::PATCH,
            _ => Method::POST,
        };
        let body = read.string("body").and_then(|source| match Body::from_template(format, source) {
            Ok(body) => Some(body),
            Err(problem) => {
                read.wrong("body", problem);
                None
            }
        });
        let config = Self {
            method,
            headers: headers(&mut read, format),
            from: Redacted::new(read.string("from").unwrap_or_default()),
            body: body.unwrap_or(Body::Default(format)),
            response: ResponseReader {
                success: success(&mut read),
                message_id: pointer(&mut read, "message_id"),
                error_code: pointer(&mut read, "error_code"),
                errors: read.words("errors", Outcome::ALL, Outcome::as_str),
            },
            receipt: receipt(&mut read),
            url,
        };
        read.finish(config)
    }
}

/// `url`, its scheme, host and port replaced by those of `endpoint`.
fn address(read: &mut Reader<'_>) -> Url {
    let url = read.url("url");
    if url.is_none() {
        read.required("url");
    }
    let endpoint = read.url("endpoint");
    // The error list refuses the settings wherever this stands in.
    let mut url = url.unwrap_or_else(nowhere);
    if let Some(endpoint) = endpoint {
        let moved =
            url.set_scheme(endpoint.scheme()).is_ok() && url.set_host(endpoint.host_str()).is_ok() && url.set_port(endpoint.port()).is_ok();
        if !moved {
            read.wrong("endpoint", "must be a scheme, a host and perhaps a port");
        }
    }
    url
}

fn nowhere() -> Url {
    Url::parse("http://127.0.0.1:1/").expect("a constant address")
}

fn headers(read: &mut Reader<'_>, format: Format) -> HeaderMap {
    let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()))]);
    for (name, value) in read.strings("headers") {
        let (parsed, value) = (HeaderName::try_from(&name), HeaderValue::try_from(value));
        match (parsed, value) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
            _ => read.wrong(&format!("headers.{name}"), "is not a header"),
        }
    }
    headers
}

fn success(read: &mut Reader<'_>) -> Statuses {
    match read.value("success_status") {
        None => Statuses::Any2xx,
        Some(Value::String(text)) if text == "2xx" => Statuses::Any2xx,
        Some(Value::Array(list)) if !list.is_empty() => {
            let statuses: Vec<u16> = list
                .iter()
                .filter_map(Value::as_u64)
                .filter_map(|status| u16::try_from(status).ok())
                .filter(|status| (200..600).contains(status))
                .collect();
            if statuses.len() < list.len() {
                read.wrong("success_status", "must hold statuses from 200 to 599");
            }
            Statuses::Listed(statuses)
        }
        Some(_) => {
            read.wrong("success_status", "must be \"2xx\" or a list of statuses");
            Statuses::Any2xx
        }
    }
}

fn pointer(read: &mut Reader<'_>, name: &str) -> Option<String> {
    let pointer = read.string(name)?;
    if !pointer.starts_with('/') {
        read.wrong(name, "must be a JSON pointer such as /data/id");
    }
    Some(pointer)
}

fn receipt(read: &mut Reader<'_>) -> ReceiptReader {
    let token = read.string("receipt_token").map(Redacted::new);
    let empty = Settings::new();
    let table = read.table("receipt").unwrap_or(&empty);
    let mut inner = Reader::over(table, "settings.receipt", RECEIPT_NAMES);
    let mut field = |name: &str| inner.string(name).unwrap_or_else(|| name.to_owned()).into();
    let fields = [field("message_id"), field("reference"), field("status"), field("error_code")];
    let map = inner.words("map", &RECEIPT_STATUSES, ReceiptStatus::as_str);
    read.absorb(inner.errors());
    let [message_id, reference, status, error_code] = fields;
    ReceiptReader { token, message_id, reference, status, error_code, map }
}
