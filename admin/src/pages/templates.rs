//! Templates and signatures of all apps, as they may be sent.

use askama::Template;
use axum::{extract::State, response::Response};

use crate::{
    page::{self, Layout},
    router::App,
    views,
    visit::{Refusal, Visit},
};

#[derive(Template)]
#[template(path = "pages/templates.html")]
pub struct Page {
    pub layout: Layout,
    pub templates: Vec<views::Template>,
    pub signatures: Vec<views::Signature>,
}

pub async fn get(State(app): State<App>, visit: Visit) -> Result<Response, Refusal> {
    let (templates, signatures) = (app.backend.templates().await?, app.backend.signatures().await?);
    Ok(page::ok(&Page { layout: visit.layout("templates", "Templates and signatures"), templates, signatures }))
}
