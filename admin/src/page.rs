//! What every page has in common, and how it becomes an answer.

use askama::Template;
use axum::response::{Html, IntoResponse, Redirect, Response};
use http::StatusCode;
use tidings_core::time::Timestamp;

use crate::{
    backend::{Error, Fault},
    times::Times,
    views::{Person, Role},
    visit::{Refusal, Visit, Visitor},
};

/// The sections of the navigation: address, name.
pub const SECTIONS: [(&str, &str); 10] = [
    ("", "Home"),
    ("messages", "Messages"),
    ("providers", "Providers"),
    ("requests", "Requests"),
    ("apps", "Apps"),
    ("templates", "Templates"),
    ("routing", "Routing"),
    ("suppressions", "Suppressions"),
    ("users", "Users"),
    ("audit", "Audit"),
];

/// What a change says on the page that follows it. A closed set: the word in the address chooses, it is never shown.
const NOTICES: [(&str, &str); 21] = [
    ("cancelled", "The message is cancelled."),
    ("paused", "The provider is paused. Its traffic moves to the others."),
    ("resumed", "The provider is resumed."),
    ("pinned", "The provider is pinned."),
    ("unpinned", "The provider is no longer pinned."),
    ("weighted", "The weight is changed."),
    ("approved", "The request is approved and in force."),
    ("rejected", "The request is rejected. Its author sees the reason."),
    ("commented", "Your comment stands with the request."),
    ("withdrawn", "The request is taken back."),
    ("requested", "The request is filed. Somebody else has to approve it."),
    ("changed", "The change is in force."),
    ("revoked", "The key is revoked. Every node refuses it within five seconds."),
    ("drafted", "The revision is a draft. Submit it to have it approved."),
    ("submitted", "The revision waits for approval."),
    ("activated", "The revision is active."),
    ("suppressed", "The recipient is suppressed."),
    ("lifted", "The suppression is lifted."),
    ("user_added", "The person can log in now."),
    ("user_changed", "The person's account is changed."),
    ("zone", "Times are shown in the zone you chose."),
];

/// The frame around every page.
pub struct Layout {
    pub title: String,
    /// Address part of the section that is highlighted.
    pub section: &'static str,
    pub person: Option<Person>,
    pub form_token: String,
    pub nonce: String,
    pub times: Times,
    pub notice: Option<&'static str>,
    pub faults: Vec<Fault>,
    /// Path and query of the page, for forms that come back to it.
    pub here: String,
}

impl Layout {
    pub fn new(visitor: &Visitor, section: &'static str, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            section,
            person: visitor.person.clone(),
            form_token: visitor.form_token(),
            nonce: visitor.nonce.clone(),
            times: visitor.times.clone(),
            notice: notice(&visitor.path),
            faults: Vec::new(),
            here: visitor.path.split("done=").next().unwrap_or_default().trim_end_matches(['?', '&']).to_owned(),
        }
    }

    #[must_use]
    pub fn with_faults(mut self, faults: Vec<Fault>) -> Self {
        self.faults = faults;
        self
    }

    /// What is wrong with a field, if anything.
    pub fn fault(&self, field: &str) -> Option<&str> {
        self.faults.iter().find(|fault| fault.field == field).map(|fault| fault.text.as_str())
    }

    pub fn sections(&self) -> &'static [(&'static str, &'static str)] {
        &SECTIONS
    }

    pub fn may(&self, role: Role) -> bool {
        self.person.as_ref().is_some_and(|person| person.role >= role)
    }

    pub fn may_operate(&self) -> bool {
        self.may(Role::Operator)
    }

    pub fn may_approve(&self) -> bool {
        self.may(Role::Approver)
    }

    pub fn may_administer(&self) -> bool {
        self.may(Role::Admin)
    }

    /// Machine-readable form of a time, for `<time datetime>`.
    pub fn iso(&self, at: &Timestamp) -> String {
        at.to_string()
    }
}

fn notice(path: &str) -> Option<&'static str> {
    let word = path.split(['?', '&']).find_map(|part| part.strip_prefix("done="))?;
    NOTICES.iter().find(|(name, _)| *name == word).map(|(_, text)| *text)
}

/// Renders a page with this status.
pub fn with_status(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

pub fn ok(page: &impl Template) -> Response {
    with_status(StatusCode::OK, page)
}

/// To a page of ours, with a notice on it. `path` begins with `/admin`.
pub fn done(path: &str, word: &'static str) -> Response {
    debug_assert!(NOTICES.iter().any(|(name, _)| *name == word), "{word} is not a notice");
    let join = if path.contains('?') { '&' } else { '?' };
    Redirect::to(&format!("{path}{join}done={word}")).into_response()
}

/// The faults of what was entered, to be shown beside the form; any other error goes on.
pub fn faults<T>(result: Result<T, Error>) -> Result<Result<T, Vec<Fault>>, Refusal> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Error::Invalid(faults)) => Ok(Err(faults)),
        Err(Error::Conflict(text)) => Ok(Err(vec![Fault { field: String::new(), text }])),
        Err(error) => Err(error.into()),
    }
}

pub fn fault(field: &str, text: &str) -> Fault {
    Fault { field: field.to_owned(), text: text.to_owned() }
}

/// `path` if it leads to a page of ours, else home: nobody is sent elsewhere by a link that looks like us.
pub fn local(path: &str) -> &str {
    let ours = path == "/admin" || path.starts_with("/admin/") || path.starts_with("/admin?");
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let straight = !path.contains("//") && !path.contains("..") && !path.starts_with("/admin/login");
    if ours && plain && straight { path } else { "/admin" }
}

/// Percent-encodes everything that means something in a query.
pub fn encode_query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

impl Visit {
    pub fn layout(&self, section: &'static str, title: impl Into<String>) -> Layout {
        Layout::new(&self.visitor, section, title)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_are_gone_back_to() {
        for path in ["/admin", "/admin/messages?status=failed", "/admin/providers/a"] {
            assert_eq!(local(path), path);
        }
        for path in [
            "https://evil.example",
            "//evil.example",
            "/admin//evil.example",
            "/\\evil.example",
            "/administrator",
            "/admin/../x",
            "/admin/login",
            "javascript:alert(1)",
            "/admin/\r\nx",
        ] {
            assert_eq!(local(path), "/admin", "{path}");
        }
    }

    #[test]
    fn a_notice_is_chosen_by_a_known_word_only() {
        assert!(notice("/admin/providers/a?done=paused").is_some());
        assert_eq!(notice("/admin/providers/a?done=<script>"), None);
    }
}
