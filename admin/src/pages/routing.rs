//! Routing revisions: what is active, what would change, and going back.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use http::StatusCode;
use serde::Deserialize;
use tidings_core::redact::Text;

use crate::{
    backend::{Error, Fault},
    diff,
    page::{self, Layout, fault},
    router::App,
    views::{RevisionDetail, RevisionRow},
    visit::{Posted, Refusal, Visit},
};

#[derive(Template)]
#[template(path = "pages/routing.html")]
pub struct ListPage {
    pub layout: Layout,
    pub revisions: Vec<RevisionRow>,
    /// What the editor begins with: the active revision's document.
    pub document: String,
}

#[derive(Template)]
#[template(path = "pages/revision.html")]
pub struct Page {
    pub layout: Layout,
    pub revision: RevisionDetail,
    pub changes: Vec<diff::Line>,
}

impl Page {
    pub fn new(layout: Layout, revision: RevisionDetail) -> Self {
        let changes = revision.compared_with.as_ref().map(|(_, before)| diff::lines(before, &revision.document)).unwrap_or_default();
        Self { layout, revision, changes }
    }

    fn own(&self) -> bool {
        self.layout.person.as_ref().is_some_and(|person| person.id == self.revision.author_id)
    }

    fn unchanged(&self) -> bool {
        self.changes.iter().all(|line| matches!(line.mark, diff::Mark::Same | diff::Mark::Gap))
    }
}

async fn list_page(app: &App, visit: &Visit, document: Option<String>, faults: Vec<Fault>) -> Result<ListPage, Refusal> {
    let revisions = app.backend.revisions().await?;
    let active = revisions.iter().find(|revision| revision.percent == 100).or(revisions.first()).map(|revision| revision.number);
    let document = match (document, active) {
        (Some(document), _) => document,
        (None, Some(number)) => app.backend.revision(number).await?.map(|revision| revision.document).unwrap_or_default(),
        (None, None) => String::new(),
    };
    Ok(ListPage { layout: visit.layout("routing", "Routing").with_faults(faults), revisions, document })
}

pub async fn list(State(app): State<App>, visit: Visit) -> Result<Response, Refusal> {
    Ok(page::ok(&list_page(&app, &visit, None, Vec::new()).await?))
}

#[derive(Deserialize)]
pub struct Create {
    document: String,
}

pub async fn create(State(app): State<App>, visit: Visit, Posted(form): Posted<Create>) -> Result<Response, Refusal> {
    match page::faults(app.backend.create_revision(&visit.actor(), Text::new(form.document.clone())).await)? {
        Ok(number) => Ok(page::done(&format!("/admin/routing/{number}"), "drafted")),
        Err(faults) => {
            let page = list_page(&app, &visit, Some(form.document), faults).await?;
            Ok(page::with_status(StatusCode::UNPROCESSABLE_ENTITY, &page))
        }
    }
}

async fn render(app: &App, visit: &Visit, number: u32, faults: Vec<Fault>) -> Result<Response, Refusal> {
    let revision = app.backend.revision(number).await?.ok_or(Refusal::Backend(Error::NotFound))?;
    let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let layout = visit.layout("routing", format!("Revision {number}")).with_faults(faults);
    Ok(page::with_status(status, &Page::new(layout, revision)))
}

fn read(number: &str) -> Result<u32, Refusal> {
    number.parse().map_err(|_| Refusal::Backend(Error::NotFound))
}

pub async fn get(State(app): State<App>, visit: Visit, Path(number): Path<String>) -> Result<Response, Refusal> {
    render(&app, &visit, read(&number)?, Vec::new()).await
}

#[derive(Deserialize)]
pub struct Nothing {}

pub async fn submit(
    State(app): State<App>,
    visit: Visit,
    Path(number): Path<String>,
    Posted(Nothing {}): Posted<Nothing>,
) -> Result<Response, Refusal> {
    let number = read(&number)?;
    app.backend.submit_revision(&visit.actor(), number).await?;
    Ok(page::done(&format!("/admin/routing/{number}"), "submitted"))
}

#[derive(Deserialize)]
pub struct Activate {
    percent: String,
}

pub async fn activate(
    State(app): State<App>,
    visit: Visit,
    Path(number): Path<String>,
    Posted(form): Posted<Activate>,
) -> Result<Response, Refusal> {
    let number = read(&number)?;
    let Some(percent) = form.percent.trim().parse::<u8>().ok().filter(|percent| (1..=100).contains(percent)) else {
        return render(&app, &visit, number, vec![fault("percent", "A whole number from 1 to 100.")]).await;
    };
    app.backend.activate_revision(&visit.actor(), number, percent).await?;
    Ok(page::done(&format!("/admin/routing/{number}"), "activated"))
}
