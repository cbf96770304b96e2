//! `GET|POST /v1/admin/apps`, `GET|PATCH /v1/admin/apps/{id}`

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Serialize;
use tidings_core::{id::AppId, message::Channel, time::Timestamp};
use utoipa::ToSchema;

use super::{Listing, Operator, Page, RequestView, Viewer};
use crate::{
    api::{
        Api, Json,
        extract::{Body, Object},
        problem::{Code, Problem},
        schema,
    },
    control::{
        Snapshot,
        apps::Changed,
        model::{App, RecipientCap},
        snapshot::Kept,
    },
};

/// A team's application.
#[derive(Serialize, ToSchema)]
#[schema(as = App)]
pub struct AppView<'a> {
    #[schema(value_type = String, example = "app_01h455vb4pex5vsknk084sn02q")]
    id: AppId,
    name: &'a str,
    /// Has production access.
    live: bool,
    free_text: bool,
    suspended: bool,
    /// Empty: all.
    #[schema(value_type = Vec<schema::Channel>)]
    channels: &'a [Channel],
    /// Calling codes; empty: all.
    countries: &'a [String],
    /// Accepted messages a second; 0: no limit of its own.
    max_per_s: u32,
    daily_quota: u64,
    monthly_quota: u64,
    #[schema(value_type = Vec<RecipientCapView>)]
    recipient_caps: &'a [RecipientCap],
    link_domains: &'a [String],
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    created_by: &'a str,
}

/// At most `max` messages of a category to one recipient within a window.
#[derive(Serialize, ToSchema)]
#[schema(as = RecipientCap)]
struct RecipientCapView {
    category: schema::Category,
    max: u32,
    window_s: u32,
}

impl<'a> AppView<'a> {
    pub fn of(app: &'a App) -> Self {
        Self {
            id: app.id,
            name: &app.name,
            live: app.live,
            free_text: app.free_text,
            suspended: app.suspended,
            channels: &app.channels,
            countries: &app.countries,
            max_per_s: app.max_per_s,
            daily_quota: app.daily_quota,
            monthly_quota: app.monthly_quota,
            recipient_caps: &app.recipient_caps,
            link_domains: &app.link_domains,
            created_at: app.created_at,
            created_by: app.created_by.as_str(),
        }
    }
}

/// A body with the settings of an app beside fields of its own. Not flattened: two schemas that each allow no other fields
/// allow nothing together.
macro_rules! with_settings {
    ($(#[$about:meta])* $name:ident { $($(#[$own_about:meta])* $own:ident: $type:ty,)* }) => {
        $(#[$about])*
        #[derive(Serialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            $($(#[$own_about])* $own: $type,)*
            free_text: Option<bool>,
            live: Option<bool>,
            #[schema(value_type = Option<u64>, format = Int64, maximum = 4_294_967_295_u64)]
            max_per_s: Option<u32>,
            daily_quota: Option<u64>,
            monthly_quota: Option<u64>,
            channels: Option<Vec<schema::Channel>>,
            countries: Option<Vec<String>>,
            recipient_caps: Option<Vec<RecipientCapView>>,
            link_domains: Option<Vec<String>>,
        }
    };
}

with_settings! {
    /// A new app, and what it may do.
    AppRequest {
        #[schema(min_length = 1, max_length = 64)]
        name: String,
    }
}

with_settings! {
    /// What an app may do.
    AppSettings {
        suspended: Option<bool>,
    }
}

/// The app of an address, by id or name.
pub(super) fn app_of<'a>(snapshot: &'a Snapshot, path: &Path<String>) -> Result<&'a Kept<App>, Problem> {
    snapshot.app_by(&path.0).map(|app| &**app).ok_or_else(|| Code::NotFound.into())
}

/// List apps
#[utoipa::path(
    get, path = "/v1/admin/apps", tag = "Control plane", operation_id = "list_apps",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "A page of apps", body = Page<AppView>)), security(("bearer" = ["viewer"])),
)]
pub(super) async fn list_apps(_: Viewer, listing: Listing, State(api): State<Api>) -> Result<Json, Problem> {
    let snapshot = api.control.snapshot();
    Ok(Json::of(&listing.page(snapshot.apps(), |app| app.id.uuid(), |app| AppView::of(app))))
}

/// Ask for a new app
///
/// Files a request that somebody else approves; the app exists from then on.
#[utoipa::path(
    post, path = "/v1/admin/apps", tag = "Control plane", operation_id = "request_app", request_body(content = AppRequest),
    responses((status = 202, description = "The request", body = RequestView)), security(("bearer" = ["operator"])),
)]
pub(super) async fn request_app(staff: Operator, State(api): State<Api>, body: Result<Body<Object>, Problem>) -> Result<Response, Problem> {
    let Body(Object(fields)) = body?;
    let request = api.control.request_app(&staff.actor, &fields).await?;
    Ok((StatusCode::ACCEPTED, Json::of(&RequestView::of(&request))).into_response())
}

/// Look an app up
#[utoipa::path(
    get, path = "/v1/admin/apps/{id}", tag = "Control plane", operation_id = "get_app",
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, description = "The app", body = AppView)), security(("bearer" = ["viewer"])),
)]
pub(super) async fn get_app(_: Viewer, path: Path<String>, State(api): State<Api>) -> Result<Json, Problem> {
    let snapshot = api.control.snapshot();
    Ok(Json::of(&AppView::of(app_of(&snapshot, &path)?)))
}

/// Change an app
///
/// What narrows acts at once (200 with the app). What widens files a request (202 with it); what the same call narrows acts
/// at once all the same.
#[utoipa::path(
    patch, path = "/v1/admin/apps/{id}", tag = "Control plane", operation_id = "change_app",
    params(("id" = String, Path, description = "Id or name")), request_body(content = AppSettings),
    responses((status = 200, description = "The app", body = AppView), (status = 202, description = "The request", body = RequestView)),
    security(("bearer" = ["operator"])),
)]
pub(super) async fn change_app(
    staff: Operator,
    path: Path<String>,
    State(api): State<Api>,
    body: Result<Body<Object>, Problem>,
) -> Result<Response, Problem> {
    let id = app_of(&api.control.snapshot(), &path)?.id;
    let Body(Object(fields)) = body?;
    Ok(match api.control.change_app(&staff.actor, id, &fields).await? {
        Changed::Now(app) => Json::of(&AppView::of(&app)).into_response(),
        Changed::Requested(request) => (StatusCode::ACCEPTED, Json::of(&RequestView::of(&request))).into_response(),
    })
}
