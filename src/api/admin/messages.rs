//! `GET /v1/admin/messages` and what operators do with a message. Recipients are masked and texts hidden; whoever needs
//! them says why, and the audit log keeps it before the answer leaves.

use axum::extract::State;
use serde::Serialize;
use tidings_core::{
    id::{AppId, KeyId, MessageId},
    redact::mask,
};
use utoipa::ToSchema;

use super::{Operator, Page, Viewer, requests::text};
use crate::{
    accept::Refusal,
    api::{
        Api, Json,
        extract::{Body, Id, Object, Query, cursor, limit},
        list::filter,
        problem::{Code, Problem},
        view::{DetailView, ListedView, MessageView},
    },
    store::{Cancelling, Record},
};

/// A message of any app in a listing.
#[derive(Serialize, ToSchema)]
#[schema(as = AnyMessage)]
pub(super) struct AnyListed<'a> {
    #[schema(value_type = String)]
    app: AppId,
    #[serde(flatten)]
    message: ListedView<'a>,
}

/// A message of any app with everything that happened to it.
#[derive(Serialize, ToSchema)]
#[schema(as = AnyMessageDetails)]
pub(super) struct AnyDetail<'a> {
    #[schema(value_type = String)]
    app: AppId,
    /// The key that it was accepted by.
    #[schema(value_type = Option<String>, required = true)]
    key: Option<KeyId>,
    #[serde(flatten)]
    message: DetailView<'a>,
}

fn masked<'a>(view: MessageView<'a>, to: &'a str) -> MessageView<'a> {
    MessageView { to, ..view }
}

fn listed<'a>(record: &'a Record, to: &'a str) -> AnyListed<'a> {
    let view = ListedView::of(record);
    AnyListed { app: record.message.app, message: ListedView { message: masked(view.message, to), ..view } }
}

fn detailed(record: &Record) -> Json {
    let to = mask(record.message.to.expose());
    let view = DetailView::of(record);
    let message = DetailView { message: masked(view.message, &to), ..view };
    Json::of(&AnyDetail { app: record.message.app, key: record.message.key, message })
}

async fn record(api: &Api, id: MessageId) -> Result<Record, Problem> {
    api.messages.get(id).await?.ok_or_else(|| Code::NotFound.into())
}

/// List the messages of all apps
#[utoipa::path(
    get, path = "/v1/admin/messages", tag = "Control plane", operation_id = "list_all_messages",
    params(("app" = Option<String>, Query, description = "Id or name"), ("to" = Option<String>, Query), ("status" = Option<String>, Query),
           ("channel" = Option<String>, Query), ("category" = Option<String>, Query), ("reference" = Option<String>, Query),
           ("template" = Option<String>, Query), ("provider" = Option<String>, Query), ("test" = Option<bool>, Query),
           ("from" = Option<String>, Query, format = DateTime), ("until" = Option<String>, Query, format = DateTime),
           ("limit" = Option<u32>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "A page of messages", body = Page<AnyListed>)), security(("bearer" = ["viewer"])),
)]
pub(super) async fn list_all_messages(_: Viewer, mut query: Query, State(api): State<Api>) -> Result<Json, Problem> {
    let app = query.text("app");
    let known = app.as_deref().map(|app| api.control.snapshot().app_by(app).map(|app| app.id));
    let filter = filter(&mut query, known.flatten());
    let (limit, before) = (limit(&mut query), cursor(&mut query));
    query.finish()?;
    if known == Some(None) {
        // An app that does not exist has no messages.
        return Ok(Json::of(&Page::<AnyListed<'_>> { data: Vec::new(), next_cursor: None }));
    }
    let page = api.messages.list(&filter, before, limit).await?;
    let masks: Vec<String> = page.rows.iter().map(|record| mask(record.message.to.expose())).collect();
    let data = page.rows.iter().zip(&masks).map(|(record, to)| listed(record, to)).collect();
    Ok(Json::of(&Page { data, next_cursor: page.next.map(|next| next.to_string()) }))
}

/// Look any message up
#[utoipa::path(
    get, path = "/v1/admin/messages/{id}", tag = "Control plane", operation_id = "get_any_message", params(("id" = String, Path)),
    responses((status = 200, description = "The message, its recipient masked", body = AnyDetail)), security(("bearer" = ["viewer"])),
)]
pub(super) async fn get_any_message(_: Viewer, id: Result<Id<MessageId>, Problem>, State(api): State<Api>) -> Result<Json, Problem> {
    Ok(detailed(&record(&api, id?.0).await?))
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevealRequest {
    #[schema(min_length = 1, max_length = 2000)]
    reason: String,
}

/// What is hidden elsewhere.
#[derive(Serialize, ToSchema)]
pub(super) struct Revealed<'a> {
    to: &'a str,
    text: &'a str,
}

/// Reveal a message's recipient and text
///
/// The audit log keeps who did it and why.
#[utoipa::path(
    post, path = "/v1/admin/messages/{id}/reveal", tag = "Control plane", operation_id = "reveal_message",
    params(("id" = String, Path)), request_body(content = RevealRequest),
    responses((status = 200, description = "Recipient and text", body = Revealed)), security(("bearer" = ["operator"])),
)]
pub(super) async fn reveal_message(
    staff: Operator,
    id: Result<Id<MessageId>, Problem>,
    State(api): State<Api>,
    body: Result<Body<Object>, Problem>,
) -> Result<Json, Problem> {
    let Id(id) = id?;
    let reason = text(&body?.0, "reason", true)?.unwrap_or_default();
    let record = record(&api, id).await?;
    api.control.note_reveal(&staff.actor, id, &reason).await?;
    Ok(Json::of(&Revealed { to: record.message.to.expose(), text: record.message.text.expose() }))
}

/// Cancel any message
#[utoipa::path(
    post, path = "/v1/admin/messages/{id}/cancel", tag = "Control plane", operation_id = "cancel_any_message",
    params(("id" = String, Path)),
    responses((status = 200, description = "The message, its recipient masked", body = AnyDetail)), security(("bearer" = ["operator"])),
)]
pub(super) async fn cancel_any_message(
    staff: Operator,
    id: Result<Id<MessageId>, Problem>,
    State(api): State<Api>,
) -> Result<Json, Problem> {
    let Id(id) = id?;
    match api.messages.cancel(None, id, api.clock.now()).await? {
        Cancelling::Cancelled => {
            api.control.note(&staff.actor, "message.cancelled", id.to_string()).await?;
            Ok(detailed(&record(&api, id).await?))
        }
        Cancelling::TooLate(status) => Err(Refusal::TooLate(status).into()),
        Cancelling::NotFound => Err(Code::NotFound.into()),
    }
}
