//! `GET|POST /v1/admin/apps/{id}/keys`, `DELETE /v1/admin/apps/{id}/keys/{key}`

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Serialize;
use tidings_core::{
    id::{AppId, KeyId},
    time::Timestamp,
};
use utoipa::ToSchema;

use super::{Listing, Operator, Page, Viewer, apps::app_of};
use crate::{
    api::{
        Api, Json,
        extract::{Body, Object},
        problem::{Code, Problem},
    },
    control::model::{ApiKey, Scopes},
};

/// An API key. Its secret is shown once, when it is made.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(super) struct KeyView<'a> {
    /// The `client_id` of token exchanges.
    #[schema(value_type = String, example = "key_01h455vb4pex5vsknk084sn02q")]
    id: KeyId,
    #[schema(value_type = String)]
    app: AppId,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
    /// The last characters of the secret.
    hint: &'a str,
    #[schema(value_type = Vec<String>)]
    scopes: Scopes,
    test: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    created_by: &'a str,
    #[schema(value_type = Option<String>, required = true, format = DateTime)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, required = true, format = DateTime)]
    revoked_at: Option<Timestamp>,
    /// At most a minute old; null if never.
    #[schema(value_type = Option<String>, required = true, format = DateTime)]
    last_used_at: Option<Timestamp>,
}

impl<'a> KeyView<'a> {
    fn of(key: &'a ApiKey, last_used_at: Option<Timestamp>) -> Self {
        Self {
            id: key.id,
            app: key.app,
            name: &key.name,
            secret: None,
            hint: &key.hint,
            scopes: key.scopes,
            test: key.test,
            created_at: key.created_at,
            created_by: key.created_by.as_str(),
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            last_used_at,
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyRequest {
    /// Unique in the app.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    #[schema(min_items = 1, example = json!(["messages:send", "messages:read"]))]
    scopes: Vec<String>,
    /// Reaches only simulated providers.
    test: Option<bool>,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// List an app's keys
#[utoipa::path(
    get, path = "/v1/admin/apps/{id}/keys", tag = "Control plane", operation_id = "list_keys",
    params(("id" = String, Path, description = "Id or name"), ("limit" = Option<u32>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "A page of keys", body = Page<KeyView>)), security(("bearer" = ["viewer"])),
)]
pub(super) async fn list_keys(_: Viewer, path: Path<String>, listing: Listing, State(api): State<Api>) -> Result<Json, Problem> {
    let uses = api.control.key_uses().await?;
    let snapshot = api.control.snapshot();
    let app = app_of(&snapshot, &path)?.id;
    let keys = snapshot.keys().filter(|key| key.app == app);
    Ok(Json::of(&listing.page(keys, |key| key.id.uuid(), |key| KeyView::of(key, uses.get(&key.id).copied()))))
}

/// Make a key
///
/// Its secret is in this answer and nowhere else.
#[utoipa::path(
    post, path = "/v1/admin/apps/{id}/keys", tag = "Control plane", operation_id = "create_key",
    params(("id" = String, Path, description = "Id or name")), request_body(content = KeyRequest),
    responses((status = 201, description = "The key with its secret", body = KeyView)), security(("bearer" = ["operator"])),
)]
pub(super) async fn create_key(
    staff: Operator,
    path: Path<String>,
    State(api): State<Api>,
    body: Result<Body<Object>, Problem>,
) -> Result<Response, Problem> {
    let app = app_of(&api.control.snapshot(), &path)?.id;
    let Body(Object(fields)) = body?;
    let new = api.control.create_key(&staff.actor, app, &fields).await?;
    let view = KeyView { secret: Some(new.secret.expose()), ..KeyView::of(&new.key, None) };
    Ok((StatusCode::CREATED, Json::of(&view).not_stored()).into_response())
}

/// Revoke a key
///
/// It and every token exchanged for it are refused on every node within seconds.
#[utoipa::path(
    delete, path = "/v1/admin/apps/{id}/keys/{key}", tag = "Control plane", operation_id = "revoke_key",
    params(("id" = String, Path, description = "Id or name of the app"), ("key" = String, Path)),
    responses((status = 204, description = "It is revoked")), security(("bearer" = ["operator"])),
)]
pub(super) async fn revoke_key(
    staff: Operator,
    Path((app, key)): Path<(String, String)>,
    State(api): State<Api>,
) -> Result<StatusCode, Problem> {
    let app = app_of(&api.control.snapshot(), &Path(app))?.id;
    let key = key.parse().map_err(|_| Problem::new(Code::NotFound))?;
    api.control.revoke_key(&staff.actor, app, key).await?;
    Ok(StatusCode::NO_CONTENT)
}
