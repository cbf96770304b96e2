//! `POST /v1/oauth/token` (RFC 6749), `POST /v1/oauth/revoke` (RFC 7009): the two addresses whose errors are as those
//! documents say, because client libraries read them.

use axum::{
    body::Body,
    extract::{FromRequest, Request, State},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use tidings_core::{id::KeyId, redact::Secret};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api, Json,
    admin::Origin,
    problem::{Code, Problem},
};
use crate::control::{
    model::{ActorId, Scope, Scopes},
    tokens::{Issued, NoToken},
};

/// A form here is a few hundred bytes.
const MAX_FORM_BYTES: usize = 16 * 1024;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(token)).routes(routes!(revoke))
}

/// A short access token and a refresh token that is good once.
#[derive(Serialize, ToSchema)]
struct TokenAnswer<'a> {
    access_token: &'a str,
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds.
    expires_in: u64,
    refresh_token: &'a str,
    /// Space-separated; empty for a person's session.
    scope: String,
}

#[derive(Serialize, ToSchema)]
struct TokenRequest {
    /// `client_credentials` or `refresh_token`
    grant_type: String,
    client_id: Option<String>,
    client_secret: Option<String>,
    scope: Option<String>,
    refresh_token: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct RevokeRequest {
    token: String,
    token_type_hint: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
}

/// RFC 6749, 5.2.
#[derive(Serialize, ToSchema)]
struct OAuthError {
    /// `invalid_request`, `invalid_client`, `invalid_grant`, `unsupported_grant_type`, `invalid_scope`
    error: &'static str,
    error_description: &'static str,
}

/// An error as these two addresses give it.
enum Refused {
    Request(&'static str),
    Client,
    /// The client is known; what it asks for is not given.
    Grant(&'static str),
    GrantType,
    Scope,
    Problem(Problem),
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (error, error_description) = match self {
            Self::Problem(problem) => return problem.into_response(),
            Self::Client => {
                let body = Json::of(&OAuthError { error: "invalid_client", error_description: "the client is not known" });
                let challenge = HeaderValue::from_static("Basic realm=\"tidings\"");
                return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)], body.not_stored()).into_response();
            }
            Self::Request(why) => ("invalid_request", why),
            Self::Grant(why) => ("invalid_grant", why),
            Self::GrantType => ("unsupported_grant_type", "grant_type is client_credentials or refresh_token"),
            Self::Scope => ("invalid_scope", "these scopes were not granted"),
        };
        (StatusCode::BAD_REQUEST, Json::of(&OAuthError { error, error_description }).not_stored()).into_response()
    }
}

impl From<NoToken> for Refused {
    fn from(error: NoToken) -> Self {
        match error {
            NoToken::InvalidClient => Self::Client,
            NoToken::InvalidScope => Self::Scope,
            NoToken::InvalidGrant | NoToken::WrongPassword | NoToken::Throttled(_) => Self::Grant("the refresh token is not valid"),
            NoToken::Control(error) => Self::Problem(error.into()),
        }
    }
}

/// The fields of a form; a repeated one is an error (RFC 6749, 3.2).
struct Form(Vec<(String, Secret)>);

impl Form {
    async fn read(request: Request, api: &Api) -> Result<Self, Refused> {
        let (parts, body) = request.into_parts();
        let reading = axum::body::to_bytes(body, MAX_FORM_BYTES);
        let read = tokio::time::timeout(api.http.body_timeout, reading).await;
        let bytes =
            read.map_err(|_| Refused::Problem(Code::RequestTimeout.into()))?.map_err(|_| Refused::Problem(Code::TooLarge.into()))?;
        let whole = Request::from_parts(parts, Body::from(bytes));
        let form = axum::Form::<Vec<(String, Secret)>>::from_request(whole, &()).await;
        let axum::Form(pairs) = form.map_err(|_| Refused::Request("the body is a form (application/x-www-form-urlencoded)"))?;
        let mut names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Refused::Request("a parameter is given twice"));
        }
        Ok(Self(pairs))
    }

    fn get(&self, name: &str) -> Option<&Secret> {
        self.0.iter().find(|(known, value)| known == name && !value.expose().is_empty()).map(|(_, value)| value)
    }

    /// Who proves to be a client: by HTTP Basic or in the form, not by both.
    fn client(&self, headers: &HeaderMap) -> Result<Option<(KeyId, Secret)>, Refused> {
        let in_form = match (self.get("client_id"), self.get("client_secret")) {
            (Some(id), Some(secret)) => Some((id.clone(), secret.clone())),
            (_, None) => None,
            (None, Some(_)) => return Err(Refused::Request("client_id is missing")),
        };
        let given = match (basic(headers), in_form) {
            (Err(()), _) => return Err(Refused::Client),
            (Ok(Some(_)), Some(_)) => return Err(Refused::Request("the client authenticates twice")),
            (Ok(Some(pair)), None) | (Ok(None), Some(pair)) => pair,
            (Ok(None), None) => return Ok(None),
        };
        let id = given.0.expose().parse().map_err(|_| Refused::Client)?;
        Ok(Some((id, given.1)))
    }
}

/// `Authorization: Basic …` with both parts form-encoded, as RFC 6749, 2.3.1 has it; ids and secrets have no character that
/// the encoding would change.
fn basic(headers: &HeaderMap) -> Result<Option<(Secret, Secret)>, ()> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let (scheme, encoded) = value.to_str().map_err(|_| ())?.split_once(' ').ok_or(())?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(());
    }
    let decoded = STANDARD.decode(encoded.trim()).map_err(|_| ())?;
    let text = String::from_utf8(decoded).map_err(|_| ())?;
    let (id, secret) = text.split_once(':').ok_or(())?;
    Ok(Some((Secret::new(id.to_owned()), Secret::new(secret.to_owned()))))
}

/// Exchange a key or a refresh token for tokens
#[utoipa::path(
    post, path = "/v1/oauth/token", tag = "Tokens and sessions", operation_id = "token",
    request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "Tokens", body = TokenAnswer), (status = 400, description = "RFC 6749, 5.2", body = OAuthError),
              (status = 401, description = "`invalid_client`", body = OAuthError)), security(()),
)]
async fn token(origin: Origin, State(api): State<Api>, request: Request) -> Result<Response, Refused> {
    let headers = request.headers().clone();
    let form = Form::read(request, &api).await?;
    let client = form.client(&headers)?;
    let origin = origin.actor(ActorId::system());
    let issued = match form.get("grant_type").map(|grant| grant.expose().as_str()) {
        None => return Err(Refused::Request("grant_type is missing")),
        Some("client_credentials") => {
            let (id, secret) = client.ok_or(Refused::Client)?;
            api.control.exchange(id, &secret, scopes(form.get("scope"))?, &origin).await?
        }
        Some("refresh_token") => {
            let token = form.get("refresh_token").ok_or(Refused::Request("refresh_token is missing"))?;
            let client = known(&api, client).await?;
            api.control.refresh_token(token, client, scopes(form.get("scope"))?, &origin).await?
        }
        Some(_) => return Err(Refused::GrantType),
    };
    Ok(Json::of(&answer(&issued)).not_stored())
}

fn answer(issued: &Issued) -> TokenAnswer<'_> {
    TokenAnswer {
        access_token: issued.access_token.expose(),
        token_type: "Bearer",
        expires_in: issued.expires_in.as_secs(),
        refresh_token: issued.refresh_token.expose(),
        scope: issued.scopes.to_string(),
    }
}

fn scopes(given: Option<&Secret>) -> Result<Option<Scopes>, Refused> {
    let Some(given) = given else { return Ok(None) };
    let words = given.expose().split(' ').filter(|word| !word.is_empty());
    words.map(|word| word.parse::<Scope>().map_err(|_| Refused::Scope)).collect::<Result<Scopes, _>>().map(Some)
}

/// The client that was named, once it has proved to be it.
async fn known(api: &Api, client: Option<(KeyId, Secret)>) -> Result<Option<KeyId>, Refused> {
    let Some((id, secret)) = client else { return Ok(None) };
    if api.control.client(id, &secret).is_err() && api.control.look_again().await {
        api.control.client(id, &secret)?;
        return Ok(Some(id));
    }
    api.control.client(id, &secret)?;
    Ok(Some(id))
}

/// Revoke a token
///
/// A refresh or access token, and with it the whole family. A key's tokens need the key's own authentication.
#[utoipa::path(
    post, path = "/v1/oauth/revoke", tag = "Tokens and sessions", operation_id = "revoke",
    request_body(content = RevokeRequest, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "It is not valid any more"), (status = 400, description = "RFC 6749, 5.2", body = OAuthError),
              (status = 401, description = "`invalid_client`", body = OAuthError)), security(()),
)]
async fn revoke(origin: Origin, State(api): State<Api>, request: Request) -> Result<StatusCode, Refused> {
    let headers = request.headers().clone();
    let form = Form::read(request, &api).await?;
    let client = form.client(&headers)?;
    let client = known(&api, client).await?;
    let token = form.get("token").ok_or(Refused::Request("token is missing"))?;
    api.control.revoke_token(token, client, &origin.actor(ActorId::system())).await?;
    Ok(StatusCode::OK)
}
