//! Who did what, when, from where, and why.

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use serde::Deserialize;

use crate::{
    page::{self, Layout, encode_query},
    router::App,
    views::{AuditLine, AuditSearch, Listing},
    visit::{Refusal, Visit},
};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    pub actor: String,
    pub action: String,
    pub object: String,
    pub from: String,
    pub until: String,
    pub before: String,
}

#[derive(Template)]
#[template(path = "pages/audit.html")]
pub struct Page {
    pub layout: Layout,
    pub asked: Asked,
    pub listing: Listing<AuditLine>,
}

impl Page {
    fn next(&self) -> Option<String> {
        let before = self.listing.next.as_deref()?;
        let asked = &self.asked;
        let fields =
            [("actor", &asked.actor), ("action", &asked.action), ("object", &asked.object), ("from", &asked.from), ("until", &asked.until)];
        let kept = fields.into_iter().filter(|(_, value)| !value.is_empty());
        let query: String = kept.map(|(name, value)| format!("{name}={}&", encode_query(value))).collect();
        Some(format!("/admin/audit?{query}before={}", encode_query(before)))
    }

    fn narrowed(&self) -> bool {
        let asked = &self.asked;
        [&asked.actor, &asked.action, &asked.object, &asked.from, &asked.until].into_iter().any(|value| !value.is_empty())
    }
}

pub async fn get(State(app): State<App>, visit: Visit, Query(asked): Query<Asked>) -> Result<Response, Refusal> {
    let text = |value: &str| (!value.trim().is_empty()).then(|| value.trim().to_owned());
    let search = AuditSearch {
        actor: text(&asked.actor),
        action: text(&asked.action),
        object: text(&asked.object),
        from: visit.times().read(&asked.from),
        until: visit.times().read(&asked.until),
    };
    let listing = app.backend.audit(&visit.actor(), &search, text(&asked.before).as_deref()).await?;
    Ok(page::ok(&Page { layout: visit.layout("audit", "Audit"), asked, listing }))
}
