//! All providers side by side: who carries the traffic, who is ill.

use askama::Template;
use axum::{extract::State, response::Response};

use crate::{
    page::{self, Layout},
    router::App,
    views::ProviderRow,
    visit::{Refusal, Visit},
};

#[derive(Template)]
#[template(path = "pages/providers.html")]
pub struct Page {
    pub layout: Layout,
    pub providers: Vec<ProviderRow>,
}

pub async fn get(State(app): State<App>, visit: Visit) -> Result<Response, Refusal> {
    let providers = app.backend.providers().await?;
    Ok(page::ok(&Page { layout: visit.layout("providers", "Providers"), providers }))
}
