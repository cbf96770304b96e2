//! What waits for somebody's decision, and what would change by it.

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use http::StatusCode;
use serde::Deserialize;

use crate::{
    backend::Error,
    diff,
    page::{self, Layout, encode_query, fault},
    router::App,
    views::{Listing, RequestDetail, RequestRow, RequestStatus},
    visit::{Posted, Refusal, Visit},
};

#[derive(Template)]
#[template(path = "pages/requests.html")]
pub struct ListPage {
    pub layout: Layout,
    pub status: Option<RequestStatus>,
    pub listing: Listing<RequestRow>,
}

impl ListPage {
    fn statuses(&self) -> &'static [RequestStatus] {
        RequestStatus::ALL
    }

    fn next(&self) -> Option<String> {
        let before = self.listing.next.as_deref()?;
        let status = self.status.map_or("all", RequestStatus::as_str);
        Some(format!("/admin/requests?status={status}&before={}", encode_query(before)))
    }
}

#[derive(Template)]
#[template(path = "pages/request.html")]
pub struct Page {
    pub layout: Layout,
    pub request: RequestDetail,
    pub changes: Vec<Change>,
    pub comment: String,
}

/// A changed field, its lines compared.
pub struct Change {
    pub name: String,
    pub lines: Vec<diff::Line>,
}

impl Page {
    pub fn new(layout: Layout, request: RequestDetail) -> Self {
        let changes = request.changes.iter().map(|change| Change {
            name: change.name.clone(),
            lines: diff::lines(change.before.as_deref().unwrap_or_default(), change.after.as_deref().unwrap_or_default()),
        });
        Self { layout, changes: changes.collect(), request, comment: String::new() }
    }

    fn own(&self) -> bool {
        self.layout.person.as_ref().is_some_and(|person| person.id == self.request.author_id)
    }

    fn pending(&self) -> bool {
        self.request.row.status == RequestStatus::Pending
    }
}

#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    status: String,
    before: Option<String>,
}

pub async fn list(State(app): State<App>, visit: Visit, Query(asked): Query<Asked>) -> Result<Response, Refusal> {
    // What waits is what one comes for; "all" is a choice.
    let status = if asked.status.is_empty() { Some(RequestStatus::Pending) } else { RequestStatus::parse(&asked.status) };
    let listing = app.backend.requests(status, asked.before.as_deref()).await?;
    Ok(page::ok(&ListPage { layout: visit.layout("requests", "Requests"), status, listing }))
}

async fn find(app: &App, id: &str) -> Result<RequestDetail, Refusal> {
    app.backend.request(id).await?.ok_or(Refusal::Backend(Error::NotFound))
}

pub async fn get(State(app): State<App>, visit: Visit, Path(id): Path<String>) -> Result<Response, Refusal> {
    let request = find(&app, &id).await?;
    Ok(page::ok(&Page::new(visit.layout("requests", request.row.title.clone()), request)))
}

#[derive(Deserialize)]
pub struct Decision {
    decision: String,
    #[serde(default)]
    comment: String,
}

pub async fn decide(
    State(app): State<App>,
    visit: Visit,
    Path(id): Path<String>,
    Posted(form): Posted<Decision>,
) -> Result<Response, Refusal> {
    let comment = form.comment.trim();
    let missing = match form.decision.as_str() {
        "reject" => Some("Say what has to change. The author reads it."),
        "comment" => Some("Write what you want to say."),
        _ => None,
    };
    if let Some(missing) = missing.filter(|_| comment.is_empty()) {
        let request = find(&app, &id).await?;
        let layout = visit.layout("requests", request.row.title.clone()).with_faults(vec![fault("comment", missing)]);
        return Ok(page::with_status(StatusCode::UNPROCESSABLE_ENTITY, &Page::new(layout, request)));
    }
    let word = match form.decision.as_str() {
        "approve" => {
            app.backend.approve(&visit.actor(), &id, comment).await?;
            "approved"
        }
        "reject" => {
            app.backend.reject(&visit.actor(), &id, comment).await?;
            "rejected"
        }
        "comment" => {
            app.backend.comment(&visit.actor(), &id, comment).await?;
            "commented"
        }
        "withdraw" => {
            app.backend.withdraw(&visit.actor(), &id).await?;
            "withdrawn"
        }
        _ => return Err(Refusal::Unreadable),
    };
    Ok(page::done(&format!("/admin/requests/{id}"), word))
}
