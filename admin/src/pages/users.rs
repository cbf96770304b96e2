//! People who may log in.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use http::StatusCode;
use serde::Deserialize;
use tidings_core::redact::Secret;

use crate::{
    backend::Fault,
    page::{self, Layout, fault},
    router::App,
    views::{NewUser, Role, User, UserChange},
    visit::{Posted, Refusal, Visit},
};

#[derive(Template)]
#[template(path = "pages/users.html")]
pub struct Page {
    pub layout: Layout,
    pub users: Vec<User>,
    pub name: String,
}

impl Page {
    fn roles(&self) -> &'static [Role] {
        Role::ALL
    }
}

async fn render(app: &App, visit: &Visit, faults: Vec<Fault>, name: String) -> Result<Response, Refusal> {
    let users = app.backend.users(&visit.actor()).await?;
    let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let layout = visit.layout("users", "Users").with_faults(faults);
    Ok(page::with_status(status, &Page { layout, users, name }))
}

pub async fn get(State(app): State<App>, visit: Visit) -> Result<Response, Refusal> {
    render(&app, &visit, Vec::new(), String::new()).await
}

#[derive(Deserialize)]
pub struct Add {
    name: String,
    role: String,
    password: Secret,
}

pub async fn add(State(app): State<App>, visit: Visit, Posted(form): Posted<Add>) -> Result<Response, Refusal> {
    let name = form.name.trim().to_owned();
    let Some(role) = Role::parse(&form.role) else { return Err(Refusal::Unreadable) };
    if name.is_empty() {
        return render(&app, &visit, vec![fault("name", "A name to log in with.")], name).await;
    }
    match page::faults(app.backend.create_user(&visit.actor(), NewUser { name: name.clone(), role, password: form.password }).await)? {
        Ok(()) => Ok(page::done("/admin/users", "user_added")),
        Err(faults) => render(&app, &visit, faults, name).await,
    }
}

#[derive(Deserialize)]
pub struct Change {
    action: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    password: Secret,
}

pub async fn change(
    State(app): State<App>,
    visit: Visit,
    Path(id): Path<String>,
    Posted(form): Posted<Change>,
) -> Result<Response, Refusal> {
    let change = match form.action.as_str() {
        "disable" => UserChange { disabled: Some(true), ..UserChange::default() },
        "enable" => UserChange { disabled: Some(false), ..UserChange::default() },
        "role" => UserChange { role: Some(Role::parse(&form.role).ok_or(Refusal::Unreadable)?), ..UserChange::default() },
        "password" => UserChange { password: Some(form.password), ..UserChange::default() },
        _ => return Err(Refusal::Unreadable),
    };
    match page::faults(app.backend.change_user(&visit.actor(), &id, change).await)? {
        Ok(()) => Ok(page::done("/admin/users", "user_changed")),
        Err(faults) => render(&app, &visit, faults, String::new()).await,
    }
}
