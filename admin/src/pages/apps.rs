//! Apps and their keys. Narrowing acts at once; widening becomes a request that somebody else approves.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use http::StatusCode;
use serde::Deserialize;

use crate::{
    backend::{Error, Fault},
    page::{self, Layout, fault},
    router::App as Pages,
    views::{App, AppChange, AppDetail, NewApp, NewKey, SCOPES, ShownKey},
    visit::{Posted, Refusal, Visit},
};

#[derive(Template)]
#[template(path = "pages/apps.html")]
pub struct ListPage {
    pub layout: Layout,
    pub apps: Vec<App>,
    pub name: String,
}

#[derive(Template)]
#[template(path = "pages/app.html")]
pub struct Page {
    pub layout: Layout,
    pub detail: AppDetail,
    /// A key that was just made: its only appearance.
    pub shown: Option<ShownKey>,
}

impl Page {
    fn scopes(&self) -> &'static [&'static str] {
        &SCOPES
    }
}

pub async fn list(State(app): State<Pages>, visit: Visit) -> Result<Response, Refusal> {
    let apps = app.backend.apps().await?;
    Ok(page::ok(&ListPage { layout: visit.layout("apps", "Apps"), apps, name: String::new() }))
}

#[derive(Deserialize)]
pub struct Create {
    name: String,
    #[serde(default)]
    live: String,
    #[serde(default)]
    free_text: String,
}

pub async fn create(State(app): State<Pages>, visit: Visit, Posted(form): Posted<Create>) -> Result<Response, Refusal> {
    let asked = NewApp { name: form.name.trim().to_owned(), live: !form.live.is_empty(), free_text: !form.free_text.is_empty() };
    match page::faults(app.backend.request_app(&visit.actor(), asked).await)? {
        Ok(request) => Ok(page::done(&format!("/admin/requests/{request}"), "requested")),
        Err(faults) => {
            let apps = app.backend.apps().await?;
            let page = ListPage { layout: visit.layout("apps", "Apps").with_faults(faults), apps, name: form.name };
            Ok(page::with_status(StatusCode::UNPROCESSABLE_ENTITY, &page))
        }
    }
}

async fn render(app: &Pages, visit: &Visit, id: &str, faults: Vec<Fault>, shown: Option<ShownKey>) -> Result<Response, Refusal> {
    let detail = app.backend.app(id).await?.ok_or(Refusal::Backend(Error::NotFound))?;
    let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let layout = visit.layout("apps", detail.app.name.clone()).with_faults(faults);
    Ok(page::with_status(status, &Page { layout, detail, shown }))
}

pub async fn get(State(app): State<Pages>, visit: Visit, Path(id): Path<String>) -> Result<Response, Refusal> {
    render(&app, &visit, &id, Vec::new(), None).await
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
pub struct Change {
    /// `suspend`, `resume` or `save`.
    action: String,
    live: String,
    free_text: String,
    max_per_s: String,
    daily_quota: String,
    channels: String,
    countries: String,
}

impl Change {
    /// What differs from `now`, or what is wrong.
    fn read(&self, now: &App) -> Result<AppChange, Vec<Fault>> {
        match self.action.as_str() {
            "suspend" => return Ok(AppChange { suspended: Some(true), ..AppChange::default() }),
            "resume" => return Ok(AppChange { suspended: Some(false), ..AppChange::default() }),
            _ => {}
        }
        let mut faults = Vec::new();
        let mut whole = |field: &str, text: &str| {
            text.trim().parse::<u64>().unwrap_or_else(|_| {
                faults.push(fault(field, "A whole number, 0 for no limit."));
                0
            })
        };
        let max_per_s = whole("max_per_s", &self.max_per_s);
        let daily_quota = whole("daily_quota", &self.daily_quota);
        let max_per_s = u32::try_from(max_per_s).unwrap_or(u32::MAX);
        if !faults.is_empty() {
            return Err(faults);
        }
        let list =
            |text: &str| text.split([',', ' ']).map(str::trim).filter(|item| !item.is_empty()).map(ToOwned::to_owned).collect::<Vec<_>>();
        let (live, free_text) = (!self.live.is_empty(), !self.free_text.is_empty());
        let (channels, countries) = (list(&self.channels), list(&self.countries));
        let change = AppChange {
            live: (live != now.live).then_some(live),
            free_text: (free_text != now.free_text).then_some(free_text),
            max_per_s: (max_per_s != now.max_per_s).then_some(max_per_s),
            daily_quota: (daily_quota != now.daily_quota).then_some(daily_quota),
            channels: (channels != now.channels).then_some(channels),
            countries: (countries != now.countries).then_some(countries),
            suspended: None,
        };
        let nothing = change.live.or(change.free_text).is_none()
            && change.max_per_s.is_none()
            && change.daily_quota.is_none()
            && change.channels.as_ref().or(change.countries.as_ref()).is_none();
        if nothing { Err(vec![fault("", "Nothing was changed.")]) } else { Ok(change) }
    }
}

pub async fn change(
    State(app): State<Pages>,
    visit: Visit,
    Path(id): Path<String>,
    Posted(form): Posted<Change>,
) -> Result<Response, Refusal> {
    let now = app.backend.app(&id).await?.ok_or(Refusal::Backend(Error::NotFound))?;
    let change = match form.read(&now.app) {
        Ok(change) => change,
        Err(faults) => return render(&app, &visit, &id, faults, None).await,
    };
    match page::faults(app.backend.change_app(&visit.actor(), &id, change).await)? {
        Ok(Some(request)) => Ok(page::done(&format!("/admin/requests/{request}"), "requested")),
        Ok(None) => Ok(page::done(&format!("/admin/apps/{id}"), "changed")),
        Err(faults) => render(&app, &visit, &id, faults, None).await,
    }
}

#[derive(Deserialize)]
pub struct CreateKey {
    name: String,
    #[serde(default)]
    test: String,
    #[serde(default)]
    expires_at: String,
    #[serde(flatten)]
    rest: std::collections::HashMap<String, String>,
}

pub async fn create_key(
    State(app): State<Pages>,
    visit: Visit,
    Path(id): Path<String>,
    Posted(form): Posted<CreateKey>,
) -> Result<Response, Refusal> {
    let scopes: Vec<String> = SCOPES.iter().filter(|scope| form.rest.contains_key(**scope)).map(|scope| (*scope).to_owned()).collect();
    let mut faults = Vec::new();
    if form.name.trim().is_empty() {
        faults.push(fault("name", "Give the key a name that tells who uses it."));
    }
    if scopes.is_empty() {
        faults.push(fault("scopes", "Choose at least one thing that the key may do."));
    }
    let expires_at = match form.expires_at.trim() {
        "" => None,
        text => {
            let read = visit.times().read(text).filter(|at| *at > visit.times().now());
            if read.is_none() {
                faults.push(fault("expires_at", "A time in the future, or leave it empty."));
            }
            read
        }
    };
    if !faults.is_empty() {
        return render(&app, &visit, &id, faults, None).await;
    }
    let key = NewKey { name: form.name.trim().to_owned(), scopes, test: !form.test.is_empty(), expires_at };
    // Answered at once, not by a redirect: the secret must not be in an address, and a reload must not show it again.
    match page::faults(app.backend.create_key(&visit.actor(), &id, key).await)? {
        Ok(shown) => render(&app, &visit, &id, Vec::new(), Some(shown)).await,
        Err(faults) => render(&app, &visit, &id, faults, None).await,
    }
}

#[derive(Deserialize)]
pub struct Nothing {}

pub async fn revoke_key(
    State(app): State<Pages>,
    visit: Visit,
    Path((id, key)): Path<(String, String)>,
    Posted(Nothing {}): Posted<Nothing>,
) -> Result<Response, Refusal> {
    app.backend.revoke_key(&visit.actor(), &id, &key).await?;
    Ok(Redirect::to(&format!("/admin/apps/{id}?done=revoked")).into_response())
}
