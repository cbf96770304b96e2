//! Who is calling. One answer for every reason of a refusal, and nothing of the token in it.

use axum::extract::FromRequestParts;
use http::{HeaderMap, header, request::Parts};
use tidings_core::redact::Redacted;

use super::no_parameters;
use crate::{
    api::{
        Api,
        problem::{Code, Problem},
    },
    control::{
        auth::{self, Machine, Principal},
        model::Scope,
    },
};

/// A team's system, and what its query has to say where there is nothing to say: that is told once it may call at all.
pub struct Caller {
    machine: Machine,
    query: Result<(), Problem>,
}

impl Caller {
    /// Goes on only with the scope.
    pub fn with(self, scope: Scope) -> Result<Machine, Problem> {
        if self.machine.may(scope) {
            return self.query.map(|()| self.machine);
        }
        Err(Problem::new(Code::InsufficientScope).because(format!("the scope {} is needed", scope.as_str())))
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        match principal(&parts.headers, api).await? {
            Principal::Machine(machine) => {
                api.control.key_used(machine.key.id, api.clock.now());
                Ok(Self { machine, query: no_parameters(parts) })
            }
            // Known, and without any of a machine's scopes.
            Principal::Person(_) => Err(Code::InsufficientScope.into()),
        }
    }
}

/// Whoever the bearer token belongs to. A token that this node does not know may be new: it looks once.
pub async fn principal(headers: &HeaderMap, api: &Api) -> Result<Principal, Problem> {
    let token = bearer(headers).ok_or(Code::Unauthorized)?;
    tracing::trace!(token = ?Redacted::new(token), "who is this?");
    if api.control.is_stale() {
        return Err(Code::Unavailable.into());
    }
    if let Ok(principal) = auth::verify(&api.control.snapshot(), token, api.clock.now()) {
        return Ok(principal);
    }
    if api.control.look_again().await
        && let Ok(principal) = auth::verify(&api.control.snapshot(), token, api.clock.now())
    {
        return Ok(principal);
    }
    Err(Code::Unauthorized.into())
}

/// The token of `Authorization: Bearer …`; the scheme in any case, as RFC 9110 says.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let value = given.next()?.to_str().ok()?;
    if given.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
