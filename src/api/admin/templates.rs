//! `GET /v1/admin/templates`, `GET /v1/admin/signatures`: those of all apps.

use axum::extract::State;

use super::{Listing, Page, Viewer};
use crate::api::{Api, Json, problem::Problem, signatures::SignatureView, templates::TemplateView};

/// List the templates of all apps
#[utoipa::path(
    get, path = "/v1/admin/templates", tag = "Control plane", operation_id = "list_all_templates",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "A page of templates", body = Page<TemplateView>)), security(("bearer" = ["viewer"])),
)]
pub(super) async fn list_all_templates(_: Viewer, listing: Listing, State(api): State<Api>) -> Result<Json, Problem> {
    let snapshot = api.control.snapshot();
    Ok(Json::of(&listing.page(snapshot.templates(), |template| template.id.uuid(), |template| TemplateView::of(template))))
}

/// List the signatures of all apps
#[utoipa::path(
    get, path = "/v1/admin/signatures", tag = "Control plane", operation_id = "list_all_signatures",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "A page of signatures", body = Page<SignatureView>)), security(("bearer" = ["viewer"])),
)]
pub(super) async fn list_all_signatures(_: Viewer, listing: Listing, State(api): State<Api>) -> Result<Json, Problem> {
    let snapshot = api.control.snapshot();
    Ok(Json::of(&listing.page(snapshot.signatures(), |signature| signature.id.uuid(), |signature| SignatureView::of(signature))))
}
