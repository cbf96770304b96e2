//! Sessions of the pages: a token of the person's own, as good as any other session and ended like one.
//!
//! A browser cannot rotate a refresh token (two tabs would use the same one and end the family), so the cookie holds one
//! token for the working day. It belongs to the family that the log-in made: a log-out, a disabled account and a new
//! password end it on every node within a poll.

use std::{net::IpAddr, time::Duration};

use tidings_admin::{
    Actor, Error,
    backend::SignedIn,
    views::{Person, Role},
};
use tidings_core::redact::Secret;

use super::{AdminBackend, errors};
use crate::control::{
    self,
    auth::{self, Claims, Principal},
    model::{self, ActorId},
    tokens::{Issued, NoToken},
};

/// A working day: nobody logs in twice before lunch, and a forgotten browser is closed by tomorrow.
const LASTS: Duration = Duration::from_secs(12 * 3_600);

pub fn role(role: model::Role) -> Role {
    match role {
        model::Role::Viewer => Role::Viewer,
        model::Role::Operator => Role::Operator,
        model::Role::Approver => Role::Approver,
        model::Role::Admin => Role::Admin,
    }
}

pub fn shown(person: &auth::Person) -> Person {
    Person { id: person.actor().as_str().to_owned(), name: person.user.name.clone(), role: role(person.role()) }
}

impl AdminBackend {
    pub(super) async fn begin_session(&self, name: &str, password: &Secret, from: Option<IpAddr>) -> Result<SignedIn, Error> {
        let origin = control::Actor { address: from.map(|address| address.to_string()), ..control::Actor::own(ActorId::system()) };
        let issued = self.control.log_in(name, password, &origin).await.map_err(|error| match error {
            NoToken::Throttled(closed) => Error::Throttled(closed.retry_after),
            NoToken::Control(error) => errors::control(error),
            _ => Error::WrongPassword,
        })?;
        self.page_session(&issued)
    }

    /// The token for a browser, of the family that a log-in has just made.
    pub(super) fn page_session(&self, issued: &Issued) -> Result<SignedIn, Error> {
        let snapshot = self.control.snapshot();
        let now = self.clock.now();
        let Ok(Principal::Person(person)) = auth::verify(&snapshot, issued.access_token.expose(), now) else {
            return Err(Error::WrongPassword);
        };
        let lasts = snapshot.family(person.family).map_or(LASTS, |family| LASTS.min(family.expires_at.since(now)));
        let claims = Claims {
            sub: person.user.id.to_string(),
            fam: person.family,
            iat: now.as_millis() / 1_000,
            exp: (now + lasts).as_millis() / 1_000,
            ms: now.as_millis(),
            scope: String::new(),
        };
        let token = auth::sign(&snapshot, &claims, now).ok_or(Error::Unavailable)?;
        Ok(SignedIn { token: Secret::new(token), lasts })
    }

    pub(super) async fn holder_of(&self, token: &Secret) -> Option<auth::Person> {
        match self.control.authenticate(token.expose()).await {
            Ok(Principal::Person(person)) => Some(person),
            Ok(Principal::Machine(_)) | Err(_) => None,
        }
    }

    pub(super) async fn end_session(&self, token: &Secret) -> Result<(), Error> {
        let Some(person) = self.holder_of(token).await else { return Ok(()) };
        let actor = control::Actor { role: Some(person.role()), ..control::Actor::own(person.actor()) };
        self.control.log_out(&person, &actor).await.map_err(errors::control)
    }

    /// The person behind a page, as use cases and the audit log know them.
    pub(super) fn acting(&self, actor: &Actor) -> Result<control::Actor, Error> {
        let snapshot = self.control.snapshot();
        let user = snapshot.user_named(&actor.person.name).ok_or(Error::NotFound)?;
        Ok(control::Actor {
            id: ActorId::user(user),
            role: Some(user.role),
            maker: None,
            address: actor.address.map(|address| address.to_string()),
            request_id: actor.request_id.clone(),
        })
    }
}
