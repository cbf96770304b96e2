//! `GET|POST /v1/templates` and what a team does with its own: write, submit, withdraw, archive.

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Serialize;
use tidings_core::{
    id::{AppId, TemplateId},
    message::{Category, Channel},
    time::Timestamp,
};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api, Json,
    admin::{Listing, Origin, Page, RequestView},
    extract::{Body, Caller, Object},
    problem::{Code, Problem},
    schema,
};
use crate::control::model::{Scope, Template, TemplateVersion, VersionStatus};

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_templates, create_template))
        .routes(routes!(get_template))
        .routes(routes!(create_version))
        .routes(routes!(submit_version))
        .routes(routes!(withdraw_version))
        .routes(routes!(archive_template))
}

/// A template with all its versions.
#[derive(Serialize, ToSchema)]
#[schema(as = Template)]
pub struct TemplateView<'a> {
    #[schema(value_type = String, example = "tpl_01h455vb4pex5vsknk084sn02q")]
    id: TemplateId,
    #[schema(value_type = String)]
    app: AppId,
    name: &'a str,
    #[schema(value_type = schema::Channel)]
    channel: Channel,
    #[schema(value_type = schema::Category)]
    category: Category,
    /// What is sent when a message names none.
    #[schema(required = true)]
    locale: Option<&'a str>,
    archived: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Oldest first.
    versions: Vec<VersionView<'a>>,
}

/// A version. Its text never changes.
#[derive(Serialize, ToSchema)]
#[schema(as = TemplateVersion)]
pub struct VersionView<'a> {
    version: u32,
    /// `draft`, `pending`, `approved`, `rejected`, `withdrawn`
    #[schema(value_type = String)]
    status: VersionStatus,
    #[schema(required = true)]
    locale: Option<&'a str>,
    text: &'a str,
    #[schema(required = true)]
    subject: Option<&'a str>,
    /// Taken from the text.
    params: &'a [String],
    /// Why it was rejected.
    #[schema(required = true)]
    reason: Option<&'a str>,
    author: &'a str,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl<'a> TemplateView<'a> {
    pub fn of(template: &'a Template) -> Self {
        Self {
            id: template.id,
            app: template.app,
            name: &template.name,
            channel: template.channel,
            category: template.category,
            locale: template.default_locale.as_deref(),
            archived: template.archived,
            created_at: template.created_at,
            versions: template.versions.iter().map(VersionView::of).collect(),
        }
    }
}

impl<'a> VersionView<'a> {
    fn of(version: &'a TemplateVersion) -> Self {
        Self {
            version: version.version,
            status: version.status,
            locale: version.locale.as_deref(),
            text: &version.text,
            subject: version.subject.as_deref(),
            params: &version.params,
            reason: version.reason.as_deref(),
            author: version.author.as_str(),
            created_at: version.created_at,
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "login-code", "channel": "sms", "category": "otp", "text": "Your code is {{ code }}."}))]
struct TemplateRequest {
    /// Unique in the app.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$")]
    name: String,
    channel: schema::Channel,
    category: schema::Category,
    #[schema(example = "de")]
    locale: Option<String>,
    #[schema(min_length = 1)]
    text: String,
    subject: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct VersionRequest {
    #[schema(example = "de")]
    locale: Option<String>,
    #[schema(min_length = 1)]
    text: String,
    subject: Option<String>,
}

/// List templates
#[utoipa::path(
    get, path = "/v1/templates", tag = "Templates and signatures", operation_id = "list_templates",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "A page of the app's own templates", body = Page<TemplateView>)),
    security(("bearer" = ["templates:write"])),
)]
async fn list_templates(caller: Caller, listing: Result<Listing, Problem>, State(api): State<Api>) -> Result<Json, Problem> {
    let app = caller.with(Scope::TemplatesWrite)?.app.id;
    let listing = listing?;
    let snapshot = api.control.snapshot();
    let own = snapshot.templates().filter(|template| template.app == app);
    Ok(Json::of(&listing.page(own, |template| template.id.uuid(), |template| TemplateView::of(template))))
}

/// Make a template
///
/// With version 1 as a draft; submit it for approval next.
#[utoipa::path(
    post, path = "/v1/templates", tag = "Templates and signatures", operation_id = "create_template",
    request_body(content = TemplateRequest), responses((status = 201, description = "The template", body = TemplateView)),
    security(("bearer" = ["templates:write"])),
)]
async fn create_template(
    caller: Caller,
    origin: Origin,
    State(api): State<Api>,
    body: Result<Body<Object>, Problem>,
) -> Result<Response, Problem> {
    let machine = caller.with(Scope::TemplatesWrite)?;
    let Body(Object(fields)) = body?;
    let template = api.control.create_template(&origin.machine(&machine), machine.app.id, &fields).await?;
    Ok((StatusCode::CREATED, Json::of(&TemplateView::of(&template))).into_response())
}

/// Look a template up
#[utoipa::path(
    get, path = "/v1/templates/{name}", tag = "Templates and signatures", operation_id = "get_template", params(("name" = String, Path)),
    responses((status = 200, description = "The template with its versions", body = TemplateView)),
    security(("bearer" = ["templates:write"])),
)]
async fn get_template(caller: Caller, Path(name): Path<String>, State(api): State<Api>) -> Result<Json, Problem> {
    let app = caller.with(Scope::TemplatesWrite)?.app.id;
    let snapshot = api.control.snapshot();
    let template = snapshot.template(app, &name).ok_or(Code::NotFound)?;
    Ok(Json::of(&TemplateView::of(template)))
}

/// Make the next version
#[utoipa::path(
    post, path = "/v1/templates/{name}/versions", tag = "Templates and signatures", operation_id = "create_version",
    params(("name" = String, Path)), request_body(content = VersionRequest),
    responses((status = 201, description = "The version, a draft", body = VersionView)), security(("bearer" = ["templates:write"])),
)]
async fn create_version(
    caller: Caller,
    origin: Origin,
    Path(name): Path<String>,
    State(api): State<Api>,
    body: Result<Body<Object>, Problem>,
) -> Result<Response, Problem> {
    let machine = caller.with(Scope::TemplatesWrite)?;
    let Body(Object(fields)) = body?;
    let template = api.control.create_version(&origin.machine(&machine), machine.app.id, &name, &fields).await?;
    let version = template.versions.last().ok_or(Code::Internal)?;
    Ok((StatusCode::CREATED, Json::of(&VersionView::of(version))).into_response())
}

/// Submit a version for approval
#[utoipa::path(
    post, path = "/v1/templates/{name}/versions/{version}/submit", tag = "Templates and signatures", operation_id = "submit_version",
    params(("name" = String, Path), ("version" = u32, Path)),
    responses((status = 202, description = "The request", body = RequestView)), security(("bearer" = ["templates:write"])),
)]
async fn submit_version(
    caller: Caller,
    origin: Origin,
    Path((name, version)): Path<(String, String)>,
    State(api): State<Api>,
) -> Result<Response, Problem> {
    let machine = caller.with(Scope::TemplatesWrite)?;
    let request = api.control.submit_version(&origin.machine(&machine), machine.app.id, &name, number(&version)?).await?;
    Ok((StatusCode::ACCEPTED, Json::of(&RequestView::of(&request))).into_response())
}

/// Take a pending version back
#[utoipa::path(
    post, path = "/v1/templates/{name}/versions/{version}/withdraw", tag = "Templates and signatures", operation_id = "withdraw_version",
    params(("name" = String, Path), ("version" = u32, Path)),
    responses((status = 200, description = "The version", body = VersionView)), security(("bearer" = ["templates:write"])),
)]
async fn withdraw_version(
    caller: Caller,
    origin: Origin,
    Path((name, version)): Path<(String, String)>,
    State(api): State<Api>,
) -> Result<Json, Problem> {
    let machine = caller.with(Scope::TemplatesWrite)?;
    let number = number(&version)?;
    api.control.withdraw_version(&origin.machine(&machine), machine.app.id, &name, number).await?;
    let snapshot = api.control.snapshot();
    let template = snapshot.template(machine.app.id, &name).ok_or(Code::NotFound)?;
    Ok(Json::of(&VersionView::of(template.version(number).ok_or(Code::NotFound)?)))
}

/// End a template's use
#[utoipa::path(
    post, path = "/v1/templates/{name}/archive", tag = "Templates and signatures", operation_id = "archive_template",
    params(("name" = String, Path)),
    responses((status = 200, description = "The template", body = TemplateView)), security(("bearer" = ["templates:write"])),
)]
async fn archive_template(caller: Caller, origin: Origin, Path(name): Path<String>, State(api): State<Api>) -> Result<Json, Problem> {
    let machine = caller.with(Scope::TemplatesWrite)?;
    let template = api.control.archive_template(&origin.machine(&machine), machine.app.id, &name).await?;
    Ok(Json::of(&TemplateView::of(&template)))
}

fn number(text: &str) -> Result<u32, Problem> {
    text.parse().map_err(|_| Code::NotFound.into())
}
