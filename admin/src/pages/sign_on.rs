//! To the single sign-on and back. What travels between the two lies sealed in a cookie of its own, which ends with the way back.

use axum::{
    extract::{Query, State},
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use tidings_core::redact::Secret;

use super::login;
use crate::{
    backend::{Error, Return},
    page,
    router::App,
    visit::{Anybody, Refusal, cookie, set_cookie},
};

#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    next: String,
}

/// What the provider sends the browser back with. More may come; it is of no use here.
#[derive(Deserialize)]
pub struct Answer {
    code: Option<Secret>,
    state: Option<Secret>,
    error: Option<String>,
}

pub async fn depart(State(app): State<App>, Anybody(visitor): Anybody, Query(asked): Query<Asked>) -> Result<Response, Refusal> {
    match app.backend.depart(page::local(&asked.next)).await {
        Ok(departure) => {
            let mut response = Redirect::to(&departure.address).into_response();
            set_cookie(&mut response, &app.journey_cookie(departure.cookie.expose(), departure.lasts.as_secs()));
            Ok(response)
        }
        Err(Error::NotSignedOn(why)) => {
            Ok(login::again(&app, &visitor, String::new(), page::local(&asked.next), StatusCode::BAD_GATEWAY, why))
        }
        Err(error) => Err(error.into()),
    }
}

pub async fn arrive(
    State(app): State<App>,
    Anybody(visitor): Anybody,
    headers: HeaderMap,
    Query(answer): Query<Answer>,
) -> Result<Response, Refusal> {
    let travelled = cookie(&headers, app.settings.journey_cookie_name()).map(|value| Secret::new(value.to_owned()));
    let back = Return { cookie: travelled, code: answer.code, state: answer.state, error: answer.error };
    let mut response = match app.backend.arrive(back, visitor.origin.address).await {
        Ok((signed_in, next)) => {
            let mut response = Redirect::to(page::local(&next)).into_response();
            set_cookie(&mut response, &app.cookie(signed_in.token.expose(), Some(signed_in.lasts.as_secs())));
            response
        }
        Err(Error::NotSignedOn(why)) => login::again(&app, &visitor, String::new(), "/admin", StatusCode::UNAUTHORIZED, why),
        Err(error) => return Err(error.into()),
    };
    set_cookie(&mut response, &app.journey_cookie("", 0));
    Ok(response)
}
