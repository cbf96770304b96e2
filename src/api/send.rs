//! `POST /v1/messages`

use axum::extract::State;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::{
    Api,
    answer::Json,
    extract::{Body, Caller, IdempotencyKey, Traceparent},
    problem::Problem,
    schema,
    view::MessageView,
};
use crate::{
    accept::{MessageFields, Sent},
    control::model::Scope,
};

pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Send a message
///
/// Answered once the message is durable. With an `Idempotency-Key`, the same request may be repeated for 24 hours and gets
/// the same answer.
#[utoipa::path(
    post, path = "/v1/messages", tag = "Messages", operation_id = "send",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters", min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    request_body(content = schema::SendRequest),
    responses((status = 202, description = "Accepted: durable, and on its way", body = MessageView,
        headers(("Location" = String, description = "Where the message can be looked up"),
                ("Idempotent-Replayed" = Option<String>, description = "`true` if this is the answer to an earlier request")))),
    security(("bearer" = ["messages:send"])),
)]
pub(super) async fn send(
    caller: Caller,
    key: IdempotencyKey,
    Traceparent(traceparent): Traceparent,
    State(api): State<Api>,
    body: Result<Body<MessageFields>, Problem>,
) -> Result<(StatusCode, HeaderMap, Json), Problem> {
    let sender = caller.with(Scope::MessagesSend)?;
    let key = key.get()?;
    let Body(fields) = body?;
    // Boxed, because every layer around this handler would carry it along.
    let sending = Box::pin(api.accept.send(&sender, fields, key, traceparent));
    let Sent { message, replayed } = sending.await.inspect_err(|refusal| api.count_refusal(refusal))?;
    let mut headers = HeaderMap::with_capacity(3);
    if let Ok(location) = HeaderValue::try_from(format!("/v1/messages/{}", message.id)) {
        headers.insert(header::LOCATION, location);
    }
    if replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok((StatusCode::ACCEPTED, headers, Json::of(&MessageView::accepted(&message))))
}
