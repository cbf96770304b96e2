//! Recipients that nothing is sent to.

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use http::StatusCode;
use serde::Deserialize;
use tidings_core::redact::Redacted;

use crate::{
    page::{self, Layout, encode_query, fault},
    router::App,
    search,
    views::{Listing, NewSuppression, Suppression},
    visit::{Posted, Refusal, Visit},
};

#[derive(Template)]
#[template(path = "pages/suppressions.html")]
pub struct Page {
    pub layout: Layout,
    pub listing: Listing<Suppression>,
    pub reason: String,
}

impl Page {
    fn next(&self) -> Option<String> {
        self.listing.next.as_deref().map(|before| format!("/admin/suppressions?before={}", encode_query(before)))
    }
}

#[derive(Deserialize)]
pub struct Asked {
    before: Option<String>,
}

pub async fn get(State(app): State<App>, visit: Visit, Query(asked): Query<Asked>) -> Result<Response, Refusal> {
    let listing = app.backend.suppressions(asked.before.as_deref()).await?;
    Ok(page::ok(&Page { layout: visit.layout("suppressions", "Suppressions"), listing, reason: String::new() }))
}

#[derive(Deserialize)]
pub struct Add {
    to: String,
    #[serde(default)]
    app: String,
    reason: String,
}

pub async fn add(State(app): State<App>, visit: Visit, Posted(form): Posted<Add>) -> Result<Response, Refusal> {
    let mut faults = Vec::new();
    let to = match search::read(&form.to, &[]) {
        search::Meaning::Recipient(mut found) => found.remove(0),
        _ => {
            faults.push(fault("to", "A telephone number with its country, such as +86 138 0013 8000, or an address."));
            String::new()
        }
    };
    if form.reason.trim().is_empty() {
        faults.push(fault("reason", "Say why; whoever lifts it later will want to know."));
    }
    if faults.is_empty() {
        let named = (!form.app.trim().is_empty()).then(|| form.app.trim().to_owned());
        let suppression = NewSuppression { to: Redacted::new(to), app: named, reason: form.reason.trim().to_owned() };
        match page::faults(app.backend.suppress(&visit.actor(), suppression).await)? {
            Ok(()) => return Ok(page::done("/admin/suppressions", "suppressed")),
            Err(mut found) => faults.append(&mut found),
        }
    }
    let listing = app.backend.suppressions(None).await?;
    let page = Page { layout: visit.layout("suppressions", "Suppressions").with_faults(faults), listing, reason: form.reason };
    Ok(page::with_status(StatusCode::UNPROCESSABLE_ENTITY, &page))
}

#[derive(Deserialize)]
pub struct Nothing {}

pub async fn lift(
    State(app): State<App>,
    visit: Visit,
    Path(id): Path<String>,
    Posted(Nothing {}): Posted<Nothing>,
) -> Result<Response, Refusal> {
    app.backend.lift_suppression(&visit.actor(), &id).await?;
    Ok(page::done("/admin/suppressions", "lifted"))
}
