//! `GET /v1/admin/requests`, `GET /v1/admin/requests/{id}` and what happens to a request.

use axum::extract::State;
use serde::Serialize;
use tidings_core::{
    id::{AppId, ApprovalId},
    time::Timestamp,
};
use utoipa::ToSchema;

use super::{Approver, Listing, Operator, Page, Viewer};
use crate::{
    api::{
        Api, Json,
        extract::{Body, Id, Object, Query},
        problem::Problem,
    },
    control::{
        fields::Fields,
        model::{Approval, Decision, RequestKind, RequestStatus},
    },
};

/// A request for approval.
#[derive(Serialize, ToSchema)]
#[schema(as = ApprovalRequest)]
pub struct RequestView<'a> {
    #[schema(value_type = String, example = "req_01h455vb4pex5vsknk084sn02q")]
    id: ApprovalId,
    /// `app`, `app_change`, `template_version`, `signature`, `routing_revision`
    #[schema(value_type = String)]
    kind: RequestKind,
    /// `pending`, `approved`, `rejected`, `withdrawn`
    #[schema(value_type = String)]
    status: RequestStatus,
    #[schema(value_type = Option<String>, required = true)]
    app: Option<AppId>,
    author: &'a str,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// What would change: `from`, `to`, and for texts a `diff` by lines.
    #[schema(value_type = Object)]
    change: &'a serde_json::Value,
    #[schema(required = true)]
    decided_by: Option<&'a str>,
    #[schema(value_type = Option<String>, required = true, format = DateTime)]
    decided_at: Option<Timestamp>,
    #[schema(required = true)]
    reason: Option<&'a str>,
    comments: Vec<CommentView<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Comment)]
struct CommentView<'a> {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    by: &'a str,
    text: &'a str,
}

impl<'a> RequestView<'a> {
    pub fn of(request: &'a Approval) -> Self {
        let comments = request.comments.iter();
        Self {
            id: request.id,
            kind: request.target.kind(),
            status: request.status,
            app: request.app,
            author: request.author.as_str(),
            created_at: request.created_at,
            change: &request.change,
            decided_by: request.decided_by.as_ref().map(|actor| actor.as_str()),
            decided_at: request.decided_at,
            reason: request.reason.as_deref(),
            comments: comments.map(|comment| CommentView { at: comment.at, by: comment.by.as_str(), text: &comment.text }).collect(),
        }
    }
}

/// List requests
#[utoipa::path(
    get, path = "/v1/admin/requests", tag = "Control plane", operation_id = "list_requests",
    params(("status" = Option<String>, Query), ("kind" = Option<String>, Query),
           ("limit" = Option<u32>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "A page of requests", body = Page<RequestView>)), security(("bearer" = ["viewer"])),
)]
pub(super) async fn list_requests(_: Viewer, mut query: Query, State(api): State<Api>) -> Result<Json, Problem> {
    let (status, kind) = (query.parsed::<RequestStatus>("status"), query.parsed::<RequestKind>("kind"));
    let listing = Listing::read(&mut query);
    query.finish()?;
    let snapshot = api.control.snapshot();
    let wanted = snapshot
        .approvals()
        .filter(|request| status.is_none_or(|status| request.status == status) && kind.is_none_or(|kind| request.target.kind() == kind));
    Ok(Json::of(&listing.page(wanted, |request| request.id.uuid(), |request| RequestView::of(request))))
}

/// Look a request up
#[utoipa::path(
    get, path = "/v1/admin/requests/{id}", tag = "Control plane", operation_id = "get_request", params(("id" = String, Path)),
    responses((status = 200, description = "The request", body = RequestView)), security(("bearer" = ["viewer"])),
)]
pub(super) async fn get_request(_: Viewer, id: Result<Id<ApprovalId>, Problem>, State(api): State<Api>) -> Result<Json, Problem> {
    let snapshot = api.control.snapshot();
    let request = snapshot.approval(id?.0).ok_or(crate::control::Error::NotFound)?;
    Ok(Json::of(&RequestView::of(request)))
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApproveRequest {
    #[schema(min_length = 1, max_length = 2000)]
    comment: Option<String>,
}

/// Approve a request
///
/// Not one's own, nor one that was made with a key of one's own making. It is in force when the answer leaves.
#[utoipa::path(
    post, path = "/v1/admin/requests/{id}/approve", tag = "Control plane", operation_id = "approve_request",
    params(("id" = String, Path)), request_body(content = ApproveRequest),
    responses((status = 200, description = "The request", body = RequestView)), security(("bearer" = ["approver"])),
)]
pub(super) async fn approve_request(
    staff: Approver,
    id: Result<Id<ApprovalId>, Problem>,
    State(api): State<Api>,
    body: Result<Option<Body<Object>>, Problem>,
) -> Result<Json, Problem> {
    let Id(id) = id?;
    let comment = body?.map(|Body(body)| text(&body, "comment", false)).transpose()?.flatten();
    Ok(Json::of(&RequestView::of(&api.control.decide(&staff.actor, id, Decision::Approve { comment }).await?)))
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RejectRequest {
    #[schema(min_length = 1, max_length = 2000)]
    reason: String,
}

/// Reject a request
#[utoipa::path(
    post, path = "/v1/admin/requests/{id}/reject", tag = "Control plane", operation_id = "reject_request",
    params(("id" = String, Path)), request_body(content = RejectRequest),
    responses((status = 200, description = "The request", body = RequestView)), security(("bearer" = ["approver"])),
)]
pub(super) async fn reject_request(
    staff: Approver,
    id: Result<Id<ApprovalId>, Problem>,
    State(api): State<Api>,
    body: Result<Body<Object>, Problem>,
) -> Result<Json, Problem> {
    let Id(id) = id?;
    let reason = text(&body?.0, "reason", true)?.unwrap_or_default();
    Ok(Json::of(&RequestView::of(&api.control.decide(&staff.actor, id, Decision::Reject { reason }).await?)))
}

/// Withdraw one's own request
#[utoipa::path(
    post, path = "/v1/admin/requests/{id}/withdraw", tag = "Control plane", operation_id = "withdraw_request",
    params(("id" = String, Path)),
    responses((status = 200, description = "The request", body = RequestView)), security(("bearer" = ["operator"])),
)]
pub(super) async fn withdraw_request(
    staff: Operator,
    id: Result<Id<ApprovalId>, Problem>,
    State(api): State<Api>,
) -> Result<Json, Problem> {
    let Id(id) = id?;
    let decision = Decision::Withdraw { for_app: false };
    Ok(Json::of(&RequestView::of(&api.control.decide(&staff.actor, id, decision).await?)))
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CommentRequest {
    #[schema(min_length = 1, max_length = 2000)]
    comment: String,
}

/// Comment on a pending request
#[utoipa::path(
    post, path = "/v1/admin/requests/{id}/comments", tag = "Control plane", operation_id = "comment_request",
    params(("id" = String, Path)), request_body(content = CommentRequest),
    responses((status = 200, description = "The request", body = RequestView)), security(("bearer" = ["operator"])),
)]
pub(super) async fn comment_request(
    staff: Operator,
    id: Result<Id<ApprovalId>, Problem>,
    State(api): State<Api>,
    body: Result<Body<Object>, Problem>,
) -> Result<Json, Problem> {
    let Id(id) = id?;
    let comment = text(&body?.0, "comment", true)?.unwrap_or_default();
    Ok(Json::of(&RequestView::of(&api.control.comment(&staff.actor, id, &comment).await?)))
}

/// The only field of a small body.
pub(super) fn text(Object(body): &Object, name: &'static str, required: bool) -> Result<Option<String>, Problem> {
    let mut faults = Vec::new();
    let mut fields = Fields::new("", body, &mut faults);
    let text = if required { fields.required(name, Fields::text) } else { fields.text(name) }.map(str::to_owned);
    fields.finish();
    if faults.is_empty() { Ok(text) } else { Err(crate::control::Error::Invalid(faults).into()) }
}
