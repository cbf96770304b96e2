//! The pages' side of the single sign-on: what a person is told, and the session at its end.

use std::net::IpAddr;

use tidings_admin::{
    Error,
    backend::{Departure, Return, SignedIn},
};

use super::{AdminBackend, errors};
use crate::{
    control::{self, model::ActorId, sign_on::NoEntry, tokens::NoToken},
    single_sign_on::{self, LASTS, SingleSignOn},
};

const AGAIN: &str = "The single sign-on did not end well. Try again.";
const AWAY: &str = "The single sign-on cannot be reached. Try again, or log in with a password.";
const NO_ROLE: &str = "You are known there, but have no role here. An admin of the single sign-on can give you one.";
const REFUSED: &str = "You are known there, but may not come in here. Ask an admin.";

impl AdminBackend {
    fn sign_on(&self) -> Result<&SingleSignOn, Error> {
        self.single_sign_on.as_ref().ok_or(Error::NotFound)
    }

    pub(super) async fn begin_sign_on(&self, next: &str) -> Result<Departure, Error> {
        let departure = self.sign_on()?.depart(next).await.map_err(told)?;
        Ok(Departure { address: departure.address, cookie: departure.cookie, lasts: LASTS })
    }

    pub(super) async fn finish_sign_on(&self, back: Return, from: Option<IpAddr>) -> Result<(SignedIn, String), Error> {
        let returned = single_sign_on::Return { code: back.code, state: back.state, error: back.error };
        let arrival = self.sign_on()?.arrive(back.cookie.as_ref(), &returned).await.map_err(told)?;
        let origin = control::Actor { address: from.map(|address| address.to_string()), ..control::Actor::own(ActorId::system()) };
        let issued = match self.control.sign_on(&arrival.identity, &origin).await {
            Ok(issued) => issued,
            Err(NoEntry::Token(NoToken::Control(error))) => return Err(errors::control(error)),
            Err(refused) => {
                tracing::warn!(error = &refused as &dyn std::error::Error, "somebody came by single sign-on and may not come in");
                return Err(Error::NotSignedOn(REFUSED));
            }
        };
        Ok((self.page_session(&issued)?, arrival.next))
    }
}

/// For the person a sentence, for the operator the reason.
fn told(error: single_sign_on::Error) -> Error {
    tracing::warn!(error = &error as &dyn std::error::Error, "a single sign-on did not end well");
    Error::NotSignedOn(match error {
        single_sign_on::Error::NoRole => NO_ROLE,
        single_sign_on::Error::NoName => REFUSED,
        single_sign_on::Error::Provider(_) => AWAY,
        single_sign_on::Error::NotOurs | single_sign_on::Error::Refused(_) | single_sign_on::Error::NotGenuine(_) => AGAIN,
    })
}
