//! `GET|POST /v1/admin/users`, `GET|PATCH /v1/admin/users/{id}`

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Serialize;
use tidings_core::{id::UserId, time::Timestamp};
use utoipa::ToSchema;

use super::{Admin, Listing, Page};
use crate::{
    api::{
        Api, Json,
        extract::{Body, Object},
        problem::{Code, Problem},
    },
    control::{
        Snapshot,
        model::{Role, User},
        snapshot::Kept,
    },
};

/// A person.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub(super) struct UserView<'a> {
    #[schema(value_type = String, example = "usr_01h455vb4pex5vsknk084sn02q")]
    id: UserId,
    name: &'a str,
    /// `viewer`, `operator`, `approver`, `admin`
    #[schema(value_type = String)]
    role: Role,
    disabled: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    created_by: &'a str,
}

impl<'a> UserView<'a> {
    fn of(user: &'a User) -> Self {
        Self {
            id: user.id,
            name: &user.name,
            role: user.role,
            disabled: user.disabled,
            created_at: user.created_at,
            created_by: user.created_by.as_str(),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserRequest {
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9@._-]+$")]
    name: String,
    #[schema(example = "operator")]
    role: String,
    #[schema(min_length = 8, max_length = 256)]
    password: String,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserChange {
    role: Option<String>,
    /// Ends all sessions of the person.
    #[schema(min_length = 8, max_length = 256)]
    password: Option<String>,
    /// Ends all sessions of the person.
    disabled: Option<bool>,
}

fn user_of<'a>(snapshot: &'a Snapshot, path: &Path<String>) -> Result<&'a Kept<User>, Problem> {
    let by_id = path.0.parse().ok().and_then(|id| snapshot.user(id));
    by_id.or_else(|| snapshot.user_named(&path.0)).map(|user| &**user).ok_or_else(|| Code::NotFound.into())
}

/// List people
#[utoipa::path(
    get, path = "/v1/admin/users", tag = "Control plane", operation_id = "list_users",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "A page of people", body = Page<UserView>)), security(("bearer" = ["admin"])),
)]
pub(super) async fn list_users(_: Admin, listing: Listing, State(api): State<Api>) -> Result<Json, Problem> {
    let snapshot = api.control.snapshot();
    Ok(Json::of(&listing.page(snapshot.users(), |user| user.id.uuid(), |user| UserView::of(user))))
}

/// Make a person
#[utoipa::path(
    post, path = "/v1/admin/users", tag = "Control plane", operation_id = "create_user", request_body(content = UserRequest),
    responses((status = 201, description = "The person", body = UserView)), security(("bearer" = ["admin"])),
)]
pub(super) async fn create_user(staff: Admin, State(api): State<Api>, body: Result<Body<Object>, Problem>) -> Result<Response, Problem> {
    let Body(Object(fields)) = body?;
    let user = api.control.create_user(&staff.actor, &fields).await?;
    Ok((StatusCode::CREATED, Json::of(&UserView::of(&user))).into_response())
}

/// Look a person up
#[utoipa::path(
    get, path = "/v1/admin/users/{id}", tag = "Control plane", operation_id = "get_user",
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, description = "The person", body = UserView)), security(("bearer" = ["admin"])),
)]
pub(super) async fn get_user(_: Admin, path: Path<String>, State(api): State<Api>) -> Result<Json, Problem> {
    let snapshot = api.control.snapshot();
    Ok(Json::of(&UserView::of(user_of(&snapshot, &path)?)))
}

/// Change a person
///
/// There is always an admin left.
#[utoipa::path(
    patch, path = "/v1/admin/users/{id}", tag = "Control plane", operation_id = "change_user",
    params(("id" = String, Path, description = "Id or name")), request_body(content = UserChange),
    responses((status = 200, description = "The person", body = UserView)), security(("bearer" = ["admin"])),
)]
pub(super) async fn change_user(
    staff: Admin,
    path: Path<String>,
    State(api): State<Api>,
    body: Result<Body<Object>, Problem>,
) -> Result<Json, Problem> {
    let id = user_of(&api.control.snapshot(), &path)?.id;
    let Body(Object(fields)) = body?;
    Ok(Json::of(&UserView::of(&api.control.change_user(&staff.actor, id, &fields).await?)))
}
