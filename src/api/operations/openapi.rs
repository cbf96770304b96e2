//! `GET /openapi.json`: the document that the handlers make, completed with what all of them have in common.

use std::collections::HashSet;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header;
use utoipa::{
    OpenApi,
    openapi::{
        ContentBuilder, OpenApi as Document, Ref, RefOr, ResponseBuilder,
        path::{Operation, ParameterIn},
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use crate::api::{problem::Code, schema};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tidings",
        description = "Send messages, and know what became of them. Errors are RFC 9457 problems with a stable `code`; every \
                       answer carries an `X-Request-Id`."
    ),
    components(schemas(schema::Problem)),
    tags((name = "Messages", description = "Send, look up, cancel"), (name = "Operations", description = "For those who run it")),
)]
pub(in crate::api) struct Base;

/// Problems that an operation may answer with beside its own.
const OF_EVERY_OPERATION: [Code; 3] = [Code::Unauthorized, Code::Invalid, Code::Unavailable];

/// Methods and routes of the operations that take query parameters.
pub(in crate::api) fn with_query(document: &Document) -> HashSet<(String, String)> {
    let described = |operation: &Operation| {
        operation
            .parameters
            .iter()
            .flatten()
            .any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query))
    };
    let mut found = HashSet::new();
    for (path, item) in &document.paths.paths {
        let operations = [("GET", &item.get), ("POST", &item.post), ("PUT", &item.put), ("PATCH", &item.patch), ("DELETE", &item.delete)];
        for (method, operation) in operations {
            if operation.as_ref().is_some_and(described) {
                found.insert((method.to_owned(), path.clone()));
            }
        }
    }
    found
}

/// Adds to each operation the problems that it can have, and the security scheme.
pub(in crate::api) fn complete(mut document: Document) -> Document {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API key (`tk_live_…`, `tk_test_…`), an access token, or a person's session token"));
    let components = document.components.get_or_insert_default();
    components.security_schemes.insert("bearer".to_owned(), RefOr::T(SecurityScheme::Http(bearer.build())));
    for (path, item) in &mut document.paths.paths {
        for operation in [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter().flatten() {
            add_problems(path, operation, true);
        }
        if let Some(operation) = &mut item.get {
            add_problems(path, operation, false);
        }
    }
    document
}

fn add_problems(path: &str, operation: &mut Operation, changes: bool) {
    if !path.starts_with("/v1/") {
        return;
    }
    let mut codes: Vec<Code> = OF_EVERY_OPERATION.to_vec();
    codes.push(Code::InsufficientScope);
    if operation.request_body.is_some() {
        codes.extend([Code::MalformedJson, Code::RequestTimeout, Code::TooLarge, Code::UnsupportedMediaType]);
    }
    if path.contains('{') {
        codes.push(Code::NotFound);
    }
    codes.extend(own_problems(operation.operation_id.as_deref().unwrap_or_default()));
    if path.starts_with("/v1/admin/") {
        codes.extend([Code::RoleRequired, Code::OwnRequest]);
    }
    if changes && !path.starts_with("/v1/messages") {
        codes.extend([Code::AlreadyExists, Code::NotPending, Code::NotApproved]);
    }
    let mut statuses: Vec<u16> = codes.iter().map(|code| code.status()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    for status in statuses {
        let of_status = |code: &&Code| code.status() == status;
        let mut words: Vec<String> = codes.iter().filter(of_status).map(|code| format!("`{}`: {}", code.as_str(), code.title())).collect();
        words.sort_unstable();
        words.dedup();
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response = ResponseBuilder::new().description(words.join("; ")).content("application/problem+json", content).build();
        operation.responses.responses.entry(status.to_string()).or_insert(RefOr::T(response));
    }
}

/// Problems of single operations.
fn own_problems(operation: &str) -> &'static [Code] {
    const SEND: &[Code] = &[
        Code::AppSuspended,
        Code::AppNotLive,
        Code::FreeTextNotAllowed,
        Code::ChannelNotAllowed,
        Code::CountryNotAllowed,
        Code::UnknownTemplate,
        Code::TemplateNotApproved,
        Code::UnknownSignature,
        Code::SignatureNotApproved,
        Code::RecipientSuppressed,
        Code::NoRoute,
        Code::IdempotencyMismatch,
        Code::IdempotencyInProgress,
        Code::RateLimited,
        Code::QuotaExceeded,
        Code::RecipientCapped,
        Code::Overloaded,
    ];
    match operation {
        "send" => SEND,
        "preview" => SEND.split_at(11).0,
        "send_batch" => &[Code::IdempotencyMismatch, Code::IdempotencyInProgress],
        "cancel_message" => &[Code::TooLate],
        "release_message" => &[Code::NotHeld],
        "log_in" => &[Code::RateLimited],
        "report" | "report_by_get" => &[Code::MalformedJson, Code::RequestTimeout, Code::TooLarge],
        _ => &[],
    }
}

/// The document as bytes, made once.
pub(in crate::api) fn served(document: &Document) -> impl Fn() -> std::future::Ready<Response> + Clone + Send + Sync + 'static {
    let bytes = Bytes::from(serde_json::to_vec(document).expect("the document has string keys"));
    move || std::future::ready(([(header::CONTENT_TYPE, "application/json")], bytes.clone()).into_response())
}
