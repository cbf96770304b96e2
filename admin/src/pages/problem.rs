//! What a person sees instead of the page they asked for, with what they can do about it.

use askama::Template;
use axum::response::Response;

use crate::{
    backend::Error,
    page::{self, Layout},
    times,
    visit::{Refusal, Visit, Visitor},
};

#[derive(Template)]
#[template(path = "pages/problem.html")]
pub struct Page {
    pub layout: Layout,
    pub heading: &'static str,
    pub text: String,
}

impl Page {
    pub fn new(visitor: &Visitor, refusal: &Refusal) -> Self {
        let (heading, text) = words(refusal);
        Self { layout: Layout::new(visitor, "none", heading), heading, text }
    }
}

pub fn respond(visitor: &Visitor, refusal: &Refusal) -> Response {
    page::with_status(refusal.status(), &Page::new(visitor, refusal))
}

pub async fn nowhere(_: Visit) -> Refusal {
    Refusal::Backend(Error::NotFound)
}

fn words(refusal: &Refusal) -> (&'static str, String) {
    match refusal {
        Refusal::LogIn => ("Please log in", "This page is for people who are logged in.".to_owned()),
        Refusal::Forged => (
            "That form is too old",
            "It was made before you logged in, or does not come from this site. Nothing was changed. Go back, reload the page and try again.".to_owned(),
        ),
        Refusal::Unreadable => ("That form could not be read", "Something is missing in it, or it is too large. Nothing was changed.".to_owned()),
        Refusal::Backend(error) => error_words(error),
    }
}

fn error_words(error: &Error) -> (&'static str, String) {
    match error {
        Error::NotFound => ("Not found", "There is no such page, or what it showed is gone. Messages are deleted when their retention ends.".to_owned()),
        Error::Role(role) => ("You may not do this", format!("It takes the role {role} or a higher one. An admin can change your role under Users.")),
        Error::OwnRequest => ("Somebody else has to decide", "Nobody approves their own request. Ask another approver; they find it under Requests.".to_owned()),
        Error::Conflict(text) => ("It can no longer be done", text.clone()),
        Error::Invalid(faults) => {
            ("That cannot be used", faults.iter().map(|fault| fault.text.as_str()).collect::<Vec<_>>().join(" "))
        }
        Error::Throttled(wait) => ("Too many attempts", format!("Wait {} and try again.", times::length(wait))),
        Error::NotSignedOn(why) => ("Not signed on", (*why).to_owned()),
        Error::WrongPassword => ("Wrong name or password", "Name and password do not go together.".to_owned()),
        Error::Unavailable => (
            "The store does not answer",
            "What you asked for cannot be shown at the moment. Accepting and delivering messages goes on as far as it can; readyz says what is affected. Try again in a few seconds.".to_owned(),
        ),
    }
}
