//! `POST /v1/messages/{id}/cancel` and `POST /v1/messages/cancel`

use axum::extract::State;
use serde::Serialize;
use tidings_core::id::MessageId;
use utoipa::ToSchema;

use super::{
    Api,
    answer::Json,
    extract::{Body, Caller, Id},
    get::own,
    problem::{Code, FieldError, Problem},
    view::DetailView,
};
use crate::{
    accept::{
        Refusal,
        draft::{MAX_REFERENCE_CHARS, escape},
        given::{FromJson, Given, Stray, object},
    },
    control::model::Scope,
    store::Cancelling,
};

/// Cancel a message
///
/// Possible until the first submission and between two attempts; after that 409 `too_late` with `message_status`.
#[utoipa::path(
    post, path = "/v1/messages/{id}/cancel", tag = "Messages", operation_id = "cancel_message",
    params(("id" = String, Path, description = "The message", pattern = "^msg_[0-7][0-9a-hjkmnp-tv-z]{25}$")),
    responses((status = 200, description = "The message", body = DetailView)),
    security(("bearer" = ["messages:send"])),
)]
pub(super) async fn cancel_message(caller: Caller, id: Result<Id<MessageId>, Problem>, State(api): State<Api>) -> Result<Json, Problem> {
    let sender = caller.with(Scope::MessagesSend)?;
    let Id(id) = id?;
    match api.messages.cancel(Some(sender.app.id), id, api.clock.now()).await? {
        Cancelling::Cancelled => Ok(Json::of(&DetailView::of(&own(&api, sender.app.id, id).await?))),
        Cancelling::TooLate(status) => Err(Refusal::TooLate(status).into()),
        Cancelling::NotFound => Err(Code::NotFound.into()),
    }
}

object! {
    /// Which messages to cancel.
    pub struct ReferenceFields {
        reference: String,
    }
}

/// Which messages to cancel.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CancelRequest {
    #[schema(max_length = 128, pattern = "^[^\\u0000]*$", example = "order-8812")]
    reference: String,
}

/// How many were cancelled, and how many could not be.
#[derive(Serialize, ToSchema)]
pub(super) struct Cancelled {
    cancelled: u64,
    too_late: u64,
}

/// Cancel all messages with a reference
#[utoipa::path(
    post, path = "/v1/messages/cancel", tag = "Messages", operation_id = "cancel_by_reference",
    request_body(content = CancelRequest),
    responses((status = 200, description = "How many were cancelled", body = Cancelled)),
    security(("bearer" = ["messages:send"])),
)]
pub(super) async fn cancel_by_reference(
    caller: Caller,
    State(api): State<Api>,
    body: Result<Body<ReferenceFields>, Problem>,
) -> Result<Json, Problem> {
    let sender = caller.with(Scope::MessagesSend)?;
    let Body(fields) = body?;
    let reference = reference(fields)?;
    let (cancelled, too_late) = api.messages.cancel_by_reference(sender.app.id, &reference, api.clock.now()).await?;
    Ok(Json::of(&Cancelled { cancelled, too_late }))
}

fn reference(fields: ReferenceFields) -> Result<String, Problem> {
    let mut errors: Vec<FieldError> = fields
        .stray
        .iter()
        .map(|stray| match stray {
            Stray::Unknown(name) => FieldError::at(format!("/{}", escape(name)), "unknown", "is not a field"),
            Stray::Duplicate(name) => FieldError::at(format!("/{name}"), "duplicate", "is given twice"),
        })
        .collect();
    let mut wrong = |code, detail: String| errors.push(FieldError::at("/reference", code, detail));
    let reference = match fields.reference {
        Given::Is(reference) if reference.chars().count() > MAX_REFERENCE_CHARS => {
            wrong("length", format!("must have at most {MAX_REFERENCE_CHARS} characters"));
            None
        }
        Given::Is(reference) => Some(reference),
        Given::Wrong(misfit) => {
            wrong(misfit.code(), format!("must be {}", String::EXPECTED));
            None
        }
        Given::Absent | Given::Null => {
            wrong("required", "is required".to_owned());
            None
        }
    };
    match reference {
        Some(reference) if errors.is_empty() => Ok(reference),
        _ => Err(Problem::invalid(errors)),
    }
}
