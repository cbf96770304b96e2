//! Who is looking, and whether a form really came from our own page.
//!
//! One middleware, [`admit`], stands before every page: it finds the session, makes the page's nonce, turns a refusal into
//! a page and sets the headers. Handlers get a [`Visit`] (signed in, or sent to the log-in page) and, for anything that
//! changes something, [`Posted`], the only way to read a form: it checks that the browser says "same origin" and that the
//! form carries the session's token. A cookie is never kept across a log-in, so one that was planted is worth nothing.

use std::{net::IpAddr, sync::Arc};

use axum::{
    body::Bytes,
    extract::{Form, FromRequest, FromRequestParts, Request, State},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use serde::{Deserialize, de::DeserializeOwned};
use tidings_core::redact::Secret;

use crate::{
    backend::{Actor, Error},
    guard, pages,
    router::App,
    sealed,
    times::Times,
    views::Person,
};

const ZONE_COOKIE: &str = "tidings_zone";
const DEFAULT_ZONE: &str = "UTC";
/// No cookie of ours is longer; a longer one is not looked up.
const MAX_TOKEN: usize = 4_096;

/// Where a request comes from, put into its extensions by whoever knows which proxies to trust and names requests.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    pub address: Option<IpAddr>,
    pub request_id: Option<String>,
}

/// Everything known about a request before its handler runs.
#[derive(Clone)]
pub struct Visitor {
    pub person: Option<Person>,
    /// The cookie's value; before a log-in a random one that only protects the log-in form.
    pub token: Secret,
    pub nonce: String,
    pub times: Times,
    pub path: String,
    pub origin: Origin,
    /// The visitor came without a cookie and gets `token`.
    fresh: bool,
}

impl Visitor {
    pub fn form_token(&self) -> String {
        sealed::form_token(&self.token)
    }
}

/// Somebody who is logged in.
#[derive(Clone)]
pub struct Visit {
    pub visitor: Arc<Visitor>,
    pub person: Person,
}

impl Visit {
    pub fn actor(&self) -> Actor {
        Actor { person: self.person.clone(), address: self.visitor.origin.address, request_id: self.visitor.origin.request_id.clone() }
    }

    pub fn times(&self) -> &Times {
        &self.visitor.times
    }
}

/// Why a request was not served as asked.
#[derive(Debug)]
pub enum Refusal {
    /// Not logged in: to the log-in page and back.
    LogIn,
    /// The form did not come from our own page, or from an older session.
    Forged,
    /// The form cannot be read.
    Unreadable,
    Backend(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Backend(error)
    }
}

impl Refusal {
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::LogIn => StatusCode::SEE_OTHER,
            Self::Forged | Self::Backend(Error::Role(_) | Error::OwnRequest) => StatusCode::FORBIDDEN,
            Self::Unreadable => StatusCode::BAD_REQUEST,
            Self::Backend(Error::NotFound) => StatusCode::NOT_FOUND,
            Self::Backend(Error::Conflict(_)) => StatusCode::CONFLICT,
            Self::Backend(Error::Invalid(_)) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Backend(Error::Throttled(_)) => StatusCode::TOO_MANY_REQUESTS,
            Self::Backend(Error::WrongPassword | Error::NotSignedOn(_)) => StatusCode::UNAUTHORIZED,
            Self::Backend(Error::Unavailable) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Carries the refusal to [`admit`], which knows the visitor and makes a page of it.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// Finds out who is looking, runs the handler, and makes the answer presentable and safe.
pub async fn admit(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let mut visitor = stranger(&app, &request);
    if !visitor.fresh {
        match app.backend.person(&visitor.token).await {
            Ok(person) => visitor.person = person,
            Err(error) => {
                let mut response = pages::problem::respond(&visitor, &Refusal::Backend(error));
                guard::page(&mut response, &visitor.nonce);
                return response;
            }
        }
    }
    let visitor = Arc::new(visitor);
    request.extensions_mut().insert(Arc::clone(&visitor));
    let mut response = next.run(request).await;
    if let Some(refusal) = response.extensions_mut().remove::<Arc<Refusal>>() {
        response = match *refusal {
            Refusal::LogIn => Redirect::to(&log_in_address(&visitor.path)).into_response(),
            _ => pages::problem::respond(&visitor, &refusal),
        };
    }
    if visitor.fresh && !response.headers().contains_key(header::SET_COOKIE) {
        set_cookie(&mut response, &app.cookie(visitor.token.expose(), None));
    }
    guard::page(&mut response, &visitor.nonce);
    response
}

/// What the request itself says.
fn stranger(app: &App, request: &Request) -> Visitor {
    let headers = request.headers();
    let token = cookie(headers, app.settings.cookie_name()).filter(|token| !token.is_empty() && token.len() <= MAX_TOKEN);
    Visitor {
        person: None,
        fresh: token.is_none(),
        token: Secret::new(token.map_or_else(|| sealed::encode(&app.backend.random()), ToOwned::to_owned)),
        nonce: sealed::encode(&app.backend.random()[..16]),
        times: Times::new(cookie(headers, ZONE_COOKIE).unwrap_or(DEFAULT_ZONE), app.backend.now()),
        path: request.uri().path_and_query().map_or_else(|| "/admin".to_owned(), ToString::to_string),
        origin: request.extensions().get::<Origin>().cloned().unwrap_or_default(),
    }
}

fn log_in_address(path: &str) -> String {
    if path == "/admin" { "/admin/login".to_owned() } else { format!("/admin/login?next={}", crate::page::encode_query(path)) }
}

/// The value of a cookie of this name.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
}

pub fn set_cookie(response: &mut Response, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

fn here(parts: &Parts) -> Arc<Visitor> {
    let visitor = parts.extensions.get::<Arc<Visitor>>();
    Arc::clone(visitor.expect("every page is behind the admit middleware, which inserts the visitor"))
}

/// A page that can be seen without being logged in.
pub struct Anybody(pub Arc<Visitor>);

impl FromRequestParts<App> for Anybody {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refusal> {
        Ok(Self(here(parts)))
    }
}

impl FromRequestParts<App> for Visit {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refusal> {
        let visitor = here(parts);
        let person = visitor.person.clone().ok_or(Refusal::LogIn)?;
        Ok(Self { visitor, person })
    }
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    form_token: String,
}

/// A form of our own pages, from the browser that holds the session.
pub struct Posted<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Posted<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let visitor = here(&parts);
        if !same_origin(&parts.headers) {
            return Err(Refusal::Forged);
        }
        let again = |bytes: Bytes| Request::from_parts(parts.clone(), axum::body::Body::from(bytes));
        let bytes = Bytes::from_request(Request::from_parts(parts.clone(), body), app).await.map_err(|_| Refusal::Unreadable)?;
        let Form(token) = Form::<Token>::from_request(again(bytes.clone()), app).await.map_err(|_| Refusal::Unreadable)?;
        if aws_lc_rs::constant_time::verify_slices_are_equal(token.form_token.as_bytes(), visitor.form_token().as_bytes()).is_err() {
            return Err(Refusal::Forged);
        }
        let Form(form) = Form::<T>::from_request(again(bytes), app).await.map_err(|_| Refusal::Unreadable)?;
        Ok(Self(form))
    }
}

/// What the browser says about where the form came from. Browsers too old to say are held by the form's token alone.
fn same_origin(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()) else { return true };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    origin.split_once("://").is_some_and(|(_, origin)| origin == host)
}
