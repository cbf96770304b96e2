//! `GET|POST /v1/admin/suppressions`, `DELETE /v1/admin/suppressions/{id}`

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Serialize;
use tidings_core::{
    id::{AppId, SuppressionId},
    time::Timestamp,
};
use utoipa::ToSchema;

use super::{Listing, Operator, Page, Viewer};
use crate::{
    api::{
        Api, Json,
        extract::{Body, Id, Object},
        problem::Problem,
    },
    control::model::Suppression,
};

/// A recipient that must not be written to. Only its hash and this masked form are kept.
#[derive(Serialize, ToSchema)]
#[schema(as = Suppression)]
pub(super) struct SuppressionView<'a> {
    #[schema(value_type = String, example = "sup_01h455vb4pex5vsknk084sn02q")]
    id: SuppressionId,
    #[schema(example = "+86138****8000")]
    to: &'a str,
    /// Null: by all apps.
    #[schema(value_type = Option<String>, required = true)]
    app: Option<AppId>,
    reason: &'a str,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    created_by: &'a str,
}

impl<'a> SuppressionView<'a> {
    fn of(suppression: &'a Suppression) -> Self {
        Self {
            id: suppression.id,
            to: &suppression.masked,
            app: suppression.app,
            reason: &suppression.reason,
            created_at: suppression.created_at,
            created_by: suppression.created_by.as_str(),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SuppressionRequest {
    #[schema(example = "+8613800138000")]
    to: String,
    /// Id or name; without it nobody writes to the recipient.
    app: Option<String>,
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// List suppressions
#[utoipa::path(
    get, path = "/v1/admin/suppressions", tag = "Control plane", operation_id = "list_suppressions",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "A page of suppressions", body = Page<SuppressionView>)), security(("bearer" = ["viewer"])),
)]
pub(super) async fn list_suppressions(_: Viewer, listing: Listing, State(api): State<Api>) -> Result<Json, Problem> {
    let snapshot = api.control.snapshot();
    Ok(Json::of(&listing.page(snapshot.suppressions(), |one| one.id.uuid(), |one| SuppressionView::of(one))))
}

/// Suppress a recipient
#[utoipa::path(
    post, path = "/v1/admin/suppressions", tag = "Control plane", operation_id = "create_suppression",
    request_body(content = SuppressionRequest),
    responses((status = 201, description = "The suppression", body = SuppressionView)), security(("bearer" = ["operator"])),
)]
pub(super) async fn create_suppression(
    staff: Operator,
    State(api): State<Api>,
    body: Result<Body<Object>, Problem>,
) -> Result<Response, Problem> {
    let Body(Object(fields)) = body?;
    let made = api.control.create_suppression(&staff.actor, &fields).await?;
    Ok((StatusCode::CREATED, Json::of(&SuppressionView::of(&made))).into_response())
}

/// Let a recipient be written to again
#[utoipa::path(
    delete, path = "/v1/admin/suppressions/{id}", tag = "Control plane", operation_id = "delete_suppression",
    params(("id" = String, Path)), responses((status = 204, description = "It is gone")), security(("bearer" = ["operator"])),
)]
pub(super) async fn delete_suppression(
    staff: Operator,
    id: Result<Id<SuppressionId>, Problem>,
    State(api): State<Api>,
) -> Result<StatusCode, Problem> {
    api.control.delete_suppression(&staff.actor, id?.0).await?;
    Ok(StatusCode::NO_CONTENT)
}
