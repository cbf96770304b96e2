//! `POST /v1/messages/{id}/release`

use axum::extract::State;
use tidings_core::{id::MessageId, message::Status};

use super::{
    Api,
    answer::Json,
    extract::{Caller, Id},
    get::own,
    problem::{Code, Problem},
    view::DetailView,
};
use crate::{accept::Refusal, control::model::Scope, store::Releasing};

/// Let a held message go
///
/// With a `send_at` in the future it becomes `scheduled`.
#[utoipa::path(
    post, path = "/v1/messages/{id}/release", tag = "Messages", operation_id = "release_message",
    params(("id" = String, Path, description = "The message", pattern = "^msg_[0-7][0-9a-hjkmnp-tv-z]{25}$")),
    responses((status = 200, description = "The message", body = DetailView)),
    security(("bearer" = ["messages:send"])),
)]
pub(super) async fn release_message(caller: Caller, id: Result<Id<MessageId>, Problem>, State(api): State<Api>) -> Result<Json, Problem> {
    let sender = caller.with(Scope::MessagesSend)?;
    let Id(id) = id?;
    match api.messages.release(Some(sender.app.id), id, api.clock.now()).await? {
        Releasing::Released(status) => {
            let record = own(&api, sender.app.id, id).await?;
            if status == Status::Accepted {
                api.accept.intake.wake(record.message.lane());
            }
            Ok(Json::of(&DetailView::of(&record)))
        }
        Releasing::NotHeld(status) => Err(Refusal::NotHeld(status).into()),
        Releasing::NotFound => Err(Code::NotFound.into()),
    }
}
