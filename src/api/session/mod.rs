//! `POST|DELETE /v1/admin/session`: people log in and out.

use std::time::Duration;

use axum::{extract::State, response::Response};
use http::StatusCode;
use serde::Serialize;
use tidings_core::redact::Secret;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api, Json,
    admin::{Origin, Viewer},
    extract::{Body, NoParameters, Object},
    problem::{Code, Problem},
};
use crate::accept::Reached;
use crate::control::{
    Error, MAX_WRONG_PASSWORDS,
    fields::Fields,
    model::{ActorId, Role},
    tokens::{Issued, NoToken},
};

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(log_in, log_out))
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LogInRequest {
    name: String,
    password: String,
}

/// A session. Refreshed at `/v1/oauth/token`.
#[derive(Serialize, ToSchema)]
struct Session<'a> {
    access_token: &'a str,
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds.
    expires_in: u64,
    refresh_token: &'a str,
    #[schema(value_type = Option<String>)]
    role: Option<Role>,
}

impl<'a> Session<'a> {
    fn of(issued: &'a Issued) -> Self {
        Self {
            access_token: issued.access_token.expose(),
            token_type: "Bearer",
            expires_in: issued.expires_in.as_secs(),
            refresh_token: issued.refresh_token.expose(),
            role: issued.role,
        }
    }
}

/// Log in
///
/// From the sixth wrong password in a minute, for a name or from an address, nobody gets in until the minute ends.
#[utoipa::path(
    post, path = "/v1/admin/session", tag = "Tokens and sessions", operation_id = "log_in", request_body(content = LogInRequest),
    responses((status = 200, description = "A session", body = Session)), security(()),
)]
async fn log_in(origin: Origin, _: NoParameters, State(api): State<Api>, body: Result<Body<Object>, Problem>) -> Result<Response, Problem> {
    let Body(Object(body)) = body?;
    let mut faults = Vec::new();
    let mut fields = Fields::new("", &body, &mut faults);
    let name = fields.required("name", Fields::text).map(str::to_owned);
    let password = fields.required("password", Fields::text).map(|text| Secret::new(text.to_owned()));
    fields.finish();
    let (Some(name), Some(password), []) = (name, password, faults.as_slice()) else { return Err(Error::Invalid(faults).into()) };
    // The log-in itself is the actor once it is known who it is.
    match api.control.log_in(&name, &password, &origin.actor(ActorId::system())).await {
        Ok(issued) => Ok(Json::of(&Session::of(&issued)).not_stored()),
        Err(NoToken::Throttled(closed)) => Err(throttled(closed.retry_after)),
        Err(NoToken::Control(error)) => Err(error.into()),
        Err(_) => Err(Code::Unauthorized.into()),
    }
}

fn throttled(retry_after: Duration) -> Problem {
    let reached = Reached { name: "login", limit: MAX_WRONG_PASSWORDS, remaining: 0, reset: retry_after, retry_after };
    Problem::new(Code::RateLimited).with_limit(&reached)
}

/// Log out
///
/// The session's tokens are refused on every node within seconds.
#[utoipa::path(
    delete, path = "/v1/admin/session", tag = "Tokens and sessions", operation_id = "log_out",
    responses((status = 204, description = "The session has ended")), security(("bearer" = ["viewer"])),
)]
async fn log_out(staff: Viewer, State(api): State<Api>) -> Result<StatusCode, Problem> {
    api.control.log_out(&staff.person, &staff.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}
