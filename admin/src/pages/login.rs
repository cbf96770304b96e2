//! Logging in and out, and the zone that times are shown in.

use askama::Template;
use axum::{
    extract::{Query, State},
    response::{IntoResponse, Redirect, Response},
};
use http::StatusCode;
use serde::Deserialize;
use tidings_core::redact::Secret;

use crate::{
    backend::Error,
    page::{self, Layout, fault},
    router::App,
    times,
    visit::{Anybody, Posted, Refusal, Visit, Visitor, set_cookie},
};

#[derive(Template)]
#[template(path = "pages/login.html")]
pub struct Page {
    pub layout: Layout,
    pub next: String,
    pub name: String,
    /// What the button of the single sign-on says, where there is one.
    pub single_sign_on: Option<String>,
}

#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub struct Entered {
    name: String,
    password: Secret,
    #[serde(default)]
    next: String,
}

pub async fn get(State(app): State<App>, Anybody(visitor): Anybody, Query(asked): Query<Asked>) -> Response {
    let next = page::local(&asked.next);
    if visitor.person.is_some() {
        return Redirect::to(next).into_response();
    }
    let single_sign_on = app.backend.single_sign_on();
    page::ok(&Page { layout: Layout::new(&visitor, "none", "Log in"), next: next.to_owned(), name: String::new(), single_sign_on })
}

pub async fn post(State(app): State<App>, Anybody(visitor): Anybody, Posted(entered): Posted<Entered>) -> Result<Response, Refusal> {
    let next = page::local(&entered.next);
    match app.backend.log_in(entered.name.trim(), entered.password, visitor.origin.address).await {
        Ok(signed_in) => {
            let mut response = Redirect::to(next).into_response();
            // A new token, whatever cookie the browser came with: a planted one stays worthless.
            set_cookie(&mut response, &app.cookie(signed_in.token.expose(), Some(signed_in.lasts.as_secs())));
            Ok(response)
        }
        Err(Error::WrongPassword) => {
            Ok(again(&app, &visitor, entered.name, next, StatusCode::UNAUTHORIZED, "Name and password do not go together."))
        }
        Err(Error::Throttled(wait)) => {
            let text = format!("Too many attempts. Wait {} and try again.", times::length(&wait));
            Ok(again(&app, &visitor, entered.name, next, StatusCode::TOO_MANY_REQUESTS, &text))
        }
        Err(error) => Err(error.into()),
    }
}

/// The page once more, with what went wrong.
pub fn again(app: &App, visitor: &Visitor, name: String, next: &str, status: StatusCode, text: &str) -> Response {
    let layout = Layout::new(visitor, "none", "Log in").with_faults(vec![fault("", text)]);
    page::with_status(status, &Page { layout, next: next.to_owned(), name, single_sign_on: app.backend.single_sign_on() })
}

#[derive(Deserialize)]
pub struct Nothing {}

pub async fn log_out(State(app): State<App>, visit: Visit, Posted(Nothing {}): Posted<Nothing>) -> Result<Response, Refusal> {
    app.backend.log_out(&visit.visitor.token).await?;
    let mut response = Redirect::to("/admin/login").into_response();
    set_cookie(&mut response, &app.cookie("", Some(0)));
    Ok(response)
}

#[derive(Deserialize)]
pub struct Zone {
    zone: String,
    #[serde(default)]
    back: String,
}

pub async fn zone(Anybody(visitor): Anybody, Posted(chosen): Posted<Zone>) -> Response {
    // What nobody knows as a zone becomes UTC, so the cookie holds only names of zones.
    let zone = times::Times::new(chosen.zone.trim(), visitor.times.now()).zone_name;
    let mut response = page::done(page::local(&chosen.back), "zone");
    set_cookie(&mut response, &format!("tidings_zone={zone}; Path=/admin; SameSite=Lax; Max-Age=31536000"));
    response
}
