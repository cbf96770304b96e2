//! `/v1/admin/routing/revisions`: what is routed where, as immutable numbered documents.

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use tidings_core::time::Timestamp;
use utoipa::ToSchema;

use super::{Approver, Listing, Operator, Page, RequestView};
use crate::{
    api::{
        Api, Json,
        extract::{Body, Object, Query},
        problem::{Code, Problem},
    },
    control::{
        Snapshot,
        diff::FieldChange,
        model::{RoutingRevision, VersionStatus},
        revisions,
    },
};

/// A routing revision.
#[derive(Serialize, ToSchema)]
#[schema(as = RoutingRevision)]
pub(super) struct RevisionView<'a> {
    number: u32,
    /// `draft`, `pending`, `approved`, `rejected`, `withdrawn`
    #[schema(value_type = String)]
    status: VersionStatus,
    author: &'a str,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// The share of recipients that it is in force for.
    #[schema(maximum = 100)]
    percent: u8,
    /// Providers and routes; secrets are named, never shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    document: Option<Value>,
}

impl<'a> RevisionView<'a> {
    fn row(snapshot: &Snapshot, revision: &'a RoutingRevision) -> Self {
        Self {
            number: revision.number,
            status: revision.status,
            author: revision.author.as_str(),
            created_at: revision.created_at,
            percent: snapshot.routing_state().map_or(0, |state| state.percent_of(revision.number)),
            document: None,
        }
    }

    fn whole(snapshot: &Snapshot, revision: &'a RoutingRevision) -> Self {
        Self { document: Some(revisions::shown(&revision.document)), ..Self::row(snapshot, revision) }
    }
}

/// What differs between two revisions.
#[derive(Serialize, ToSchema)]
#[schema(as = RevisionDiff)]
pub(super) struct DiffView {
    /// Null: nothing was in force.
    #[schema(required = true)]
    from: Option<u32>,
    to: u32,
    #[schema(value_type = Vec<Object>)]
    changes: Vec<FieldChange>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevisionRequest {
    /// As in the bootstrap file. A secret that is left out keeps its value.
    #[schema(value_type = Vec<Object>)]
    providers: Vec<Value>,
    /// First match wins; none at all: every provider of the channel.
    #[schema(value_type = Option<Vec<Object>>)]
    routes: Option<Vec<Value>>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ActivateRequest {
    #[schema(minimum = 1, maximum = 100)]
    percent: u8,
}

fn number(path: &Path<String>) -> Result<u32, Problem> {
    path.0.parse().map_err(|_| Code::NotFound.into())
}

/// List revisions
#[utoipa::path(
    get, path = "/v1/admin/routing/revisions", tag = "Control plane", operation_id = "list_revisions",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "A page of revisions", body = Page<RevisionView>)), security(("bearer" = ["operator"])),
)]
pub(super) async fn list_revisions(_: Operator, listing: Listing, State(api): State<Api>) -> Result<Json, Problem> {
    let snapshot = api.control.snapshot();
    Ok(Json::of(&listing.page(snapshot.revisions(), |revision| revision.id, |revision| RevisionView::row(&snapshot, revision))))
}

/// Make the next revision
///
/// Validated as a whole: everything that is wrong is said at once.
#[utoipa::path(
    post, path = "/v1/admin/routing/revisions", tag = "Control plane", operation_id = "create_revision",
    request_body(content = RevisionRequest),
    responses((status = 201, description = "The revision, a draft", body = RevisionView)), security(("bearer" = ["operator"])),
)]
pub(super) async fn create_revision(
    staff: Operator,
    State(api): State<Api>,
    body: Result<Body<Object>, Problem>,
) -> Result<Response, Problem> {
    let Body(Object(document)) = body?;
    let revision = api.control.create_revision(&staff.actor, &document).await?;
    let snapshot = api.control.snapshot();
    Ok((StatusCode::CREATED, Json::of(&RevisionView::whole(&snapshot, &revision))).into_response())
}

/// Look a revision up
#[utoipa::path(
    get, path = "/v1/admin/routing/revisions/{number}", tag = "Control plane", operation_id = "get_revision",
    params(("number" = u32, Path)),
    responses((status = 200, description = "The revision", body = RevisionView)), security(("bearer" = ["operator"])),
)]
pub(super) async fn get_revision(_: Operator, path: Path<String>, State(api): State<Api>) -> Result<Json, Problem> {
    let snapshot = api.control.snapshot();
    let revision = snapshot.revision(number(&path)?).ok_or(Code::NotFound)?;
    Ok(Json::of(&RevisionView::whole(&snapshot, revision)))
}

/// Compare revisions
///
/// With the one in force, or with `from`. Secrets show only as changed or not.
#[utoipa::path(
    get, path = "/v1/admin/routing/revisions/{number}/diff", tag = "Control plane", operation_id = "diff_revision",
    params(("number" = u32, Path), ("from" = Option<u32>, Query)),
    responses((status = 200, description = "What differs", body = DiffView)), security(("bearer" = ["operator"])),
)]
pub(super) async fn diff_revision(_: Operator, path: Path<String>, mut query: Query, State(api): State<Api>) -> Result<Json, Problem> {
    let (to, from) = (number(&path)?, query.number("from"));
    query.finish()?;
    let (from, changes) = api.control.diff_revisions(from, to)?;
    Ok(Json::of(&DiffView { from, to, changes }))
}

/// Submit a revision for approval
#[utoipa::path(
    post, path = "/v1/admin/routing/revisions/{number}/submit", tag = "Control plane", operation_id = "submit_revision",
    params(("number" = u32, Path)),
    responses((status = 202, description = "The request", body = RequestView)), security(("bearer" = ["operator"])),
)]
pub(super) async fn submit_revision(staff: Operator, path: Path<String>, State(api): State<Api>) -> Result<Response, Problem> {
    let request = api.control.submit_revision(&staff.actor, number(&path)?).await?;
    Ok((StatusCode::ACCEPTED, Json::of(&RequestView::of(&request))).into_response())
}

/// Put an approved revision into force
///
/// For a share of the recipients, by a hash of their address; an older one again is the rollback. Not one's own.
#[utoipa::path(
    post, path = "/v1/admin/routing/revisions/{number}/activate", tag = "Control plane", operation_id = "activate_revision",
    params(("number" = u32, Path)), request_body(content = ActivateRequest),
    responses((status = 200, description = "The revision", body = RevisionView)), security(("bearer" = ["approver"])),
)]
pub(super) async fn activate_revision(
    staff: Approver,
    path: Path<String>,
    State(api): State<Api>,
    body: Result<Body<Object>, Problem>,
) -> Result<Json, Problem> {
    let number = number(&path)?;
    let Body(Object(fields)) = body?;
    let revision = api.control.activate_revision(&staff.actor, number, &fields).await?;
    let snapshot = api.control.snapshot();
    Ok(Json::of(&RevisionView::whole(&snapshot, &revision)))
}
