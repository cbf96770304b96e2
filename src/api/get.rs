//! `GET /v1/messages/{id}`

use axum::extract::State;
use tidings_core::id::{AppId, MessageId};

use super::{
    Api,
    answer::Json,
    extract::{Caller, Id},
    problem::{Code, Problem},
    view::DetailView,
};
use crate::{control::model::Scope, store::Record};

/// Look a message up
///
/// With every attempt, why its provider was chosen, and what happened when. Never 404 after a 202.
#[utoipa::path(
    get, path = "/v1/messages/{id}", tag = "Messages", operation_id = "get_message",
    params(("id" = String, Path, description = "The message", pattern = "^msg_[0-7][0-9a-hjkmnp-tv-z]{25}$")),
    responses((status = 200, description = "The message", body = DetailView)),
    security(("bearer" = ["messages:read"])),
)]
pub(super) async fn get_message(caller: Caller, id: Result<Id<MessageId>, Problem>, State(api): State<Api>) -> Result<Json, Problem> {
    let reader = caller.with(Scope::MessagesRead)?;
    let Id(id) = id?;
    Ok(Json::of(&DetailView::of(&own(&api, reader.app.id, id).await?)))
}

/// The record of one of the app's own messages; another's does not exist.
pub(super) async fn own(api: &Api, app: AppId, id: MessageId) -> Result<Record, Problem> {
    let record = api.messages.get(id).await?;
    record.filter(|record| record.message.app == app).ok_or_else(|| Code::NotFound.into())
}
