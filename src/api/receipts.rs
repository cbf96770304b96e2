//! `GET|POST /v1/receipts/{provider}`: what providers call.

use axum::{
    extract::{Path, RawQuery, Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use tidings_core::redact::Redacted;
use tidings_providers::ReceiptRequest;

use super::{
    Api,
    problem::{Code, Problem},
};
use crate::receipts::Refusal;

/// Report what became of a message (for providers)
///
/// Verified the provider's own way. Duplicates and any order are fine; 200 says that everything in it is durable.
#[utoipa::path(
    post, path = "/v1/receipts/{provider}", tag = "Receipts", operation_id = "report",
    params(("provider" = String, Path, description = "The provider's name in the routing revision")),
    responses((status = 200, description = "Durable", body = String, content_type = "text/plain")), security(()),
)]
pub(super) async fn report(state: State<Api>, provider: Path<String>, query: RawQuery, request: Request) -> Result<Response, Problem> {
    take(state, provider, query, request).await
}

/// The same for providers that report in the address
#[utoipa::path(
    get, path = "/v1/receipts/{provider}", tag = "Receipts", operation_id = "report_by_get",
    params(("provider" = String, Path, description = "The provider's name in the routing revision")),
    responses((status = 200, description = "Durable", body = String, content_type = "text/plain")), security(()),
)]
pub(super) async fn report_by_get(
    state: State<Api>,
    provider: Path<String>,
    query: RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    take(state, provider, query, request).await
}

async fn take(
    State(api): State<Api>,
    Path(provider): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let reading = axum::body::to_bytes(body, api.http.max_body_bytes);
    let body = match tokio::time::timeout(api.http.body_timeout, reading).await {
        Err(_) => return Err(Problem::new(Code::RequestTimeout)),
        Ok(Err(_)) => return Err(Problem::new(Code::TooLarge)),
        Ok(Ok(body)) => body,
    };
    let called = ReceiptRequest {
        method: parts.method,
        address: format!("{}{}", api.http.public_url.trim_end_matches('/'), parts.uri.path()),
        query: Redacted::new(query.unwrap_or_default()),
        headers: parts.headers,
        body: Redacted::new(body),
    };
    match api.receipts.take(&provider, &called).await {
        Ok(answer) => {
            let mut response = (StatusCode::OK, answer.body).into_response();
            let kind = answer.content_type.unwrap_or("text/plain; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            Ok(response)
        }
        Err(Refusal::NoSuchProvider) => Err(Problem::new(Code::NotFound)),
        Err(Refusal::Unverified) => Err(Problem::new(Code::Unauthorized)),
        Err(Refusal::Malformed) => Err(Problem::new(Code::MalformedJson)),
        Err(Refusal::NotDurable(error)) => {
            tracing::warn!(provider, error = &error as &dyn std::error::Error, "a receipt could not be made durable");
            Err(Problem::new(Code::Unavailable))
        }
    }
}
