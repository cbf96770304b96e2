//! `GET|POST /v1/signatures`, `POST /v1/signatures/{name}/submit|withdraw`

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Serialize;
use tidings_core::{
    id::{AppId, SignatureId},
    message::Channel,
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
use crate::control::model::{Scope, Signature, VersionStatus};

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_signatures, create_signature))
        .routes(routes!(submit_signature))
        .routes(routes!(withdraw_signature))
}

/// A name that messages come under.
#[derive(Serialize, ToSchema)]
#[schema(as = Signature)]
pub struct SignatureView<'a> {
    #[schema(value_type = String, example = "sig_01h455vb4pex5vsknk084sn02q")]
    id: SignatureId,
    #[schema(value_type = String)]
    app: AppId,
    name: &'a str,
    /// Null: for all.
    #[schema(value_type = Option<schema::Channel>, required = true)]
    channel: Option<Channel>,
    /// `draft`, `pending`, `approved`, `rejected`, `withdrawn`
    #[schema(value_type = String)]
    status: VersionStatus,
    #[schema(required = true)]
    reason: Option<&'a str>,
    author: &'a str,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl<'a> SignatureView<'a> {
    pub fn of(signature: &'a Signature) -> Self {
        Self {
            id: signature.id,
            app: signature.app,
            name: &signature.name,
            channel: signature.channel,
            status: signature.status,
            reason: signature.reason.as_deref(),
            author: signature.author.as_str(),
            created_at: signature.created_at,
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SignatureRequest {
    #[schema(min_length = 1, max_length = 32, example = "Acme")]
    name: String,
    channel: Option<schema::Channel>,
}

/// List signatures
#[utoipa::path(
    get, path = "/v1/signatures", tag = "Templates and signatures", operation_id = "list_signatures",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "A page of the app's own signatures", body = Page<SignatureView>)),
    security(("bearer" = ["templates:write"])),
)]
async fn list_signatures(caller: Caller, listing: Result<Listing, Problem>, State(api): State<Api>) -> Result<Json, Problem> {
    let app = caller.with(Scope::TemplatesWrite)?.app.id;
    let listing = listing?;
    let snapshot = api.control.snapshot();
    let own = snapshot.signatures().filter(|signature| signature.app == app);
    Ok(Json::of(&listing.page(own, |signature| signature.id.uuid(), |signature| SignatureView::of(signature))))
}

/// Make a signature
///
/// As a draft; submit it for approval next.
#[utoipa::path(
    post, path = "/v1/signatures", tag = "Templates and signatures", operation_id = "create_signature",
    request_body(content = SignatureRequest), responses((status = 201, description = "The signature", body = SignatureView)),
    security(("bearer" = ["templates:write"])),
)]
async fn create_signature(
    caller: Caller,
    origin: Origin,
    State(api): State<Api>,
    body: Result<Body<Object>, Problem>,
) -> Result<Response, Problem> {
    let machine = caller.with(Scope::TemplatesWrite)?;
    let Body(Object(fields)) = body?;
    let signature = api.control.create_signature(&origin.machine(&machine), machine.app.id, &fields).await?;
    Ok((StatusCode::CREATED, Json::of(&SignatureView::of(&signature))).into_response())
}

/// Submit a signature for approval
#[utoipa::path(
    post, path = "/v1/signatures/{name}/submit", tag = "Templates and signatures", operation_id = "submit_signature",
    params(("name" = String, Path)),
    responses((status = 202, description = "The request", body = RequestView)), security(("bearer" = ["templates:write"])),
)]
async fn submit_signature(caller: Caller, origin: Origin, Path(name): Path<String>, State(api): State<Api>) -> Result<Response, Problem> {
    let machine = caller.with(Scope::TemplatesWrite)?;
    let request = api.control.submit_signature(&origin.machine(&machine), machine.app.id, &name).await?;
    Ok((StatusCode::ACCEPTED, Json::of(&RequestView::of(&request))).into_response())
}

/// Take a pending signature back
#[utoipa::path(
    post, path = "/v1/signatures/{name}/withdraw", tag = "Templates and signatures", operation_id = "withdraw_signature",
    params(("name" = String, Path)),
    responses((status = 200, description = "The signature", body = SignatureView)), security(("bearer" = ["templates:write"])),
)]
async fn withdraw_signature(caller: Caller, origin: Origin, Path(name): Path<String>, State(api): State<Api>) -> Result<Json, Problem> {
    let machine = caller.with(Scope::TemplatesWrite)?;
    api.control.withdraw_signature(&origin.machine(&machine), machine.app.id, &name).await?;
    let snapshot = api.control.snapshot();
    Ok(Json::of(&SignatureView::of(snapshot.signature(machine.app.id, &name).ok_or(Code::NotFound)?)))
}
