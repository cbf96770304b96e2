//! Who is calling: API keys and access tokens, decided from the snapshot alone.
//!
//! A key costs one SHA-256 and one look-up, a token one HMAC and two small parses: no store is asked. Every reason for a
//! refusal is the same [`Unauthorized`], so the answer tells nobody whether a key ever existed. A token names its family;
//! a family is refused once it is revoked, not while it is unknown, because a token may arrive at another node before
//! that node has heard of it, and revoked families are kept until nothing of them can be valid any more.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidings_core::{
    id::{KeyId, UserId},
    time::Timestamp,
};
use uuid::Uuid;

use super::{
    model::{ActorId, ApiKey, App, KeyHash, Role, Scope, Scopes, User},
    snapshot::{Kept, Snapshot},
};

/// Nothing we issue is longer; nothing longer is read.
const MAX_TOKEN_CHARS: usize = 2_048;

/// Not somebody we know. One answer for every reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unauthorized")]
pub struct Unauthorized;

/// Who is calling.
#[derive(Clone, Debug)]
pub enum Principal {
    Machine(Machine),
    Person(Person),
}

/// A team's system.
#[derive(Clone, Debug)]
pub struct Machine {
    pub app: Arc<Kept<App>>,
    pub key: Arc<Kept<ApiKey>>,
    /// What this call may do: the key's scopes, or fewer for a token that asked for fewer.
    pub scopes: Scopes,
}

impl Machine {
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(scope)
    }

    /// Reaches only simulated providers.
    pub fn is_test(&self) -> bool {
        self.key.test
    }
}

/// An operator, by a session of theirs.
#[derive(Clone, Debug)]
pub struct Person {
    pub user: Arc<Kept<User>>,
    /// The session's token family, which a log-out ends.
    pub family: Uuid,
}

impl Person {
    pub fn role(&self) -> Role {
        self.user.role
    }

    pub fn actor(&self) -> ActorId {
        ActorId::user(&self.user)
    }
}

/// What an access token says. Short names: it travels with every call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// A user's or a key's id.
    pub sub: String,
    /// The token family.
    pub fam: Uuid,
    /// Seconds since 1970, as RFC 7519 wants it.
    pub iat: i64,
    pub exp: i64,
    /// Milliseconds of the issue: a password changed in the same second must end it.
    pub ms: i64,
    /// Space-separated; empty for people.
    #[serde(default)]
    pub scope: String,
}

/// Tells who a bearer token belongs to.
///
/// # Errors
/// Nobody that may come in now.
pub fn verify(snapshot: &Snapshot, token: &str, now: Timestamp) -> Result<Principal, Unauthorized> {
    if token.len() > MAX_TOKEN_CHARS {
        return Err(Unauthorized);
    }
    if token.starts_with("tk_") { verify_key(snapshot, token, now) } else { verify_token(snapshot, token, now) }
}

fn verify_key(snapshot: &Snapshot, token: &str, now: Timestamp) -> Result<Principal, Unauthorized> {
    let (hash, _) = KeyHash::read(token).map_err(|_| Unauthorized)?;
    let key = snapshot.key_by_hash(&hash).ok_or(Unauthorized)?;
    machine(snapshot, key, key.scopes, now)
}

fn machine(snapshot: &Snapshot, key: &Arc<Kept<ApiKey>>, scopes: Scopes, now: Timestamp) -> Result<Principal, Unauthorized> {
    if !key.is_alive(now) || snapshot.is_revoked(key.id.uuid()) {
        return Err(Unauthorized);
    }
    let app = snapshot.app(key.app).ok_or(Unauthorized)?;
    Ok(Principal::Machine(Machine { app: app.clone(), key: key.clone(), scopes }))
}

fn verify_token(snapshot: &Snapshot, token: &str, now: Timestamp) -> Result<Principal, Unauthorized> {
    let claims = read_claims(snapshot, token, now)?;
    let ended = snapshot.family(claims.fam).is_some_and(|family| family.revoked || family.expires_at <= now);
    if ended || snapshot.is_revoked(claims.fam) {
        return Err(Unauthorized);
    }
    if let Ok(id) = claims.sub.parse::<KeyId>() {
        let key = snapshot.key(id).ok_or(Unauthorized)?;
        let asked: Scopes = claims.scope.split(' ').filter_map(|word| word.parse::<Scope>().ok()).collect();
        return machine(snapshot, key, asked.intersection(key.scopes), now);
    }
    let id: UserId = claims.sub.parse().map_err(|_| Unauthorized)?;
    let user = snapshot.user(id).ok_or(Unauthorized)?;
    if user.disabled || claims.ms < user.valid_from.as_millis() {
        return Err(Unauthorized);
    }
    Ok(Principal::Person(Person { user: user.clone(), family: claims.fam }))
}

/// What a token that we signed says, while it is good.
pub(super) fn read_claims(snapshot: &Snapshot, token: &str, now: Timestamp) -> Result<Claims, Unauthorized> {
    let claims = snapshot.opened().claims(token, now).ok_or(Unauthorized)?;
    let claims: Claims = serde_json::from_slice(&claims).map_err(|_| Unauthorized)?;
    if claims.exp.saturating_mul(1_000) <= now.as_millis() { Err(Unauthorized) } else { Ok(claims) }
}

/// Signs an access token; `None` while the installation has no signing key.
pub fn sign(snapshot: &Snapshot, claims: &Claims, now: Timestamp) -> Option<String> {
    let (_, key) = snapshot.opened().signing(now)?;
    serde_json::to_vec(claims).ok().map(|claims| key.sign(&claims))
}
