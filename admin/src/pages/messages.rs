//! Finding messages: by what a person was told, not by what the system calls it.
//!
//! The form is posted; a number in it is sealed (`crate::sealed`) before it becomes part of an address. Everything else is
//! in the address as it is, so a list can be reloaded, kept and paged.

use askama::Template;
use axum::{
    extract::{Query, State},
    response::{IntoResponse, Redirect, Response},
};
use serde::{Deserialize, Serialize};
use tidings_core::{id::MessageId, message::Status, redact::Redacted};

use crate::{
    page::{self, Layout, encode_query},
    router::App,
    sealed,
    search::{self, Meaning},
    times::{SPANS, Times},
    views::{Listing, MessageRow, Search},
    visit::{Posted, Refusal, Visit},
};

/// Rows of a page: a screenful on a desk, a few thumbs on a phone.
const ROWS: usize = 50;

/// The search as the form sends it and the address keeps it; `find` is sealed there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Asked {
    pub find: String,
    pub app: String,
    pub provider: String,
    pub status: String,
    pub template: String,
    pub when: String,
    pub from: String,
    pub until: String,
    pub before: String,
}

impl Asked {
    fn fields(&self) -> [(&'static str, &str); 9] {
        [
            ("find", &self.find),
            ("app", &self.app),
            ("provider", &self.provider),
            ("status", &self.status),
            ("template", &self.template),
            ("when", &self.when),
            ("from", &self.from),
            ("until", &self.until),
            ("before", &self.before),
        ]
    }

    fn address(&self) -> String {
        let filled = self.fields().into_iter().filter(|(_, value)| !value.trim().is_empty());
        let query: Vec<String> = filled.map(|(name, value)| format!("{name}={}", encode_query(value.trim()))).collect();
        if query.is_empty() { "/admin/messages".to_owned() } else { format!("/admin/messages?{}", query.join("&")) }
    }

    /// Whether anything but the free field narrows the list.
    pub fn narrowed(&self) -> bool {
        self.fields()[1..8].iter().any(|(_, value)| !value.trim().is_empty())
    }

    fn search(&self, meaning: &Meaning, times: &Times) -> Search {
        let text = |value: &str| (!value.trim().is_empty()).then(|| value.trim().to_owned());
        let span = times.span(&self.when);
        Search {
            to: match meaning {
                Meaning::Recipient(candidates) => candidates.iter().cloned().map(Redacted::new).collect(),
                _ => Vec::new(),
            },
            reference: match meaning {
                Meaning::Reference(reference) => Some(reference.clone()),
                _ => None,
            },
            app: text(&self.app),
            provider: text(&self.provider),
            status: self.status.parse::<Status>().ok(),
            template: text(&self.template),
            from: times.read(&self.from).or(span.map(|(from, _)| from)),
            until: times.read(&self.until).or(span.and_then(|(_, until)| until)),
        }
    }
}

#[derive(Template)]
#[template(path = "pages/messages.html")]
pub struct Page {
    pub layout: Layout,
    /// With `find` in the clear, for the form's field.
    pub asked: Asked,
    pub listing: Listing<MessageRow>,
    pub next: Option<String>,
    /// How the free field was read, when that is worth saying.
    pub read_as: Option<&'static str>,
    pub providers: Vec<String>,
    pub apps: Vec<String>,
}

impl Page {
    fn statuses(&self) -> &'static [Status] {
        Status::ALL
    }

    fn spans(&self) -> &'static [(&'static str, &'static str)] {
        &SPANS
    }
}

pub async fn search(State(app): State<App>, visit: Visit, Posted(mut asked): Posted<Asked>) -> Response {
    asked.before.clear();
    if let Meaning::Message(id) = search::read(&asked.find, &app.settings.calling_codes) {
        return Redirect::to(&format!("/admin/messages/{id}")).into_response();
    }
    if !asked.find.trim().is_empty() {
        asked.find = sealed::seal(&visit.visitor.token, asked.find.trim()).unwrap_or_default();
    }
    Redirect::to(&asked.address()).into_response()
}

pub async fn get(State(app): State<App>, visit: Visit, Query(mut asked): Query<Asked>) -> Result<Response, Refusal> {
    let sealed_find = std::mem::take(&mut asked.find);
    asked.find = sealed::open(&visit.visitor.token, &sealed_find).unwrap_or_default();
    let meaning = search::read(&asked.find, &app.settings.calling_codes);
    let search = asked.search(&meaning, visit.times());
    let before = asked.before.parse::<MessageId>().ok();
    let mut listing = app.backend.messages(&search, before, ROWS).await?;
    let mut read_as = match &meaning {
        Meaning::Recipient(candidates) if candidates.len() > 1 => {
            Some("Read as a number without its country; every country this installation sends to was tried.")
        }
        _ => None,
    };
    // Digits can be somebody's order number as well: an empty answer as a number is asked again as a reference.
    if listing.rows.is_empty() && before.is_none() && matches!(meaning, Meaning::Recipient(_)) {
        let reference = Search { to: Vec::new(), reference: Some(asked.find.clone()), ..search };
        listing = app.backend.messages(&reference, None, ROWS).await?;
        read_as = (!listing.rows.is_empty()).then_some("No message to such a number; these have it as their reference.");
    }
    let next = listing.next.take().map(|before| Asked { find: sealed_find, before, ..asked.clone() }.address());
    let providers = app.backend.providers().await?.into_iter().map(|provider| provider.name).collect();
    let apps = app.backend.apps().await?.into_iter().map(|app| app.name).collect();
    Ok(page::ok(&Page { layout: visit.layout("messages", "Messages"), asked, listing, next, read_as, providers, apps }))
}
