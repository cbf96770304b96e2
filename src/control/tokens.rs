//! Tokens: a key or a password is exchanged for a short access token and a rotating refresh token.
//!
//! A refresh token names its family and generation and is authenticated by a key of the installation's own, so a forged one
//! is told from a used one: the used one proves that two parties hold the family, and ends it. Everything that matters to
//! other nodes (a family's end, its generation) is a document like any other and reaches them within a poll.

use std::time::Duration;

use tidings_core::{id::KeyId, redact::Secret, time::Timestamp};
use uuid::Uuid;

use super::{
    Actor, Control, Error, Plan, Scene, Snapshot,
    auth::{self, Claims, Principal},
    model::{ActorId, KeyHash, Role, Scopes, TokenFamily},
    plan::Said,
    refresh,
    revocations::Revocation,
    snapshot::Kept,
    throttle::Closed,
};

/// What an exchange, a log-in or a refresh gives.
#[derive(Clone, Debug)]
pub struct Issued {
    pub access_token: Secret,
    pub expires_in: Duration,
    pub refresh_token: Secret,
    pub scopes: Scopes,
    /// For people.
    pub role: Option<Role>,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum NoToken {
    /// Unknown client, wrong secret, dead key.
    #[error("the client is not known")]
    InvalidClient,
    /// A scope that the key does not have, or that was not granted at first.
    #[error("these scopes were not granted")]
    InvalidScope,
    /// Forged, used, ended, or of another client.
    #[error("the refresh token is not valid")]
    InvalidGrant,
    /// Wrong name or password; which of the two is not said.
    #[error("name and password do not fit")]
    WrongPassword,
    #[error("too many wrong passwords")]
    Throttled(Closed),
    #[error(transparent)]
    Control(#[from] Error),
}

/// Who a family belongs to.
pub(super) enum Holder {
    Key { id: KeyId, app: tidings_core::id::AppId, scopes: Scopes },
    User { id: tidings_core::id::UserId, role: Role },
}

impl Control {
    /// Exchanges a key for tokens (RFC 6749, 4.4). Without `scopes` the token has all of the key's.
    ///
    /// # Errors
    /// The client is not known, asks for too much, or the store is away.
    pub async fn exchange(&self, client: KeyId, secret: &Secret, scopes: Option<Scopes>, origin: &Actor) -> Result<Issued, NoToken> {
        let key = match self.client(client, secret) {
            Err(NoToken::InvalidClient) if self.look_again().await => self.client(client, secret)?,
            other => other?,
        };
        let scopes = scopes.unwrap_or(key.scopes);
        if !scopes.is_subset_of(key.scopes) || scopes.is_empty() {
            return Err(NoToken::InvalidScope);
        }
        let actor = Actor { id: ActorId::key(client), ..origin.clone() };
        let holder = Holder::Key { id: client, app: key.app, scopes };
        self.key_used(client, self.clock.now());
        self.issue(&holder, &actor).await
    }

    /// Whether this secret is the client's, and the client alive.
    ///
    /// # Errors
    /// It is not.
    pub fn client(&self, client: KeyId, secret: &Secret) -> Result<std::sync::Arc<Kept<super::model::ApiKey>>, NoToken> {
        let snapshot = self.snapshot();
        let shown = KeyHash::of(secret.expose());
        match snapshot.key(client) {
            Some(key) if key.hash.is_same(&shown) && key.is_alive(self.clock.now()) && !snapshot.is_revoked(client.uuid()) => {
                Ok(key.clone())
            }
            _ => Err(NoToken::InvalidClient),
        }
    }

    pub(super) async fn issue(&self, holder: &Holder, actor: &Actor) -> Result<Issued, NoToken> {
        let issued = self
            .change(|scene| {
                let mut family = TokenFamily {
                    id: scene.uuid(),
                    user: None,
                    key: None,
                    app: None,
                    scopes: Scopes::default(),
                    generation: 0,
                    revoked: false,
                    expires_at: scene.now + self.options.refresh_token,
                    created_at: scene.now,
                };
                match holder {
                    Holder::Key { id, app, scopes } => (family.key, family.app, family.scopes) = (Some(*id), Some(*app), *scopes),
                    Holder::User { id, .. } => family.user = Some(*id),
                }
                let mut plan = Plan::default();
                plan.create(&family);
                let action = if family.user.is_some() { "session.created" } else { "token.issued" };
                plan.log(scene, actor, Said { action, object: family.id.to_string(), ..Default::default() });
                Ok((plan, self.tokens(scene, &family, family.scopes)?))
            })
            .await?;
        Ok(Issued {
            role: match holder {
                Holder::User { role, .. } => Some(*role),
                Holder::Key { .. } => None,
            },
            ..issued
        })
    }

    /// Exchanges a refresh token for the next pair. `client` is who proved to be one with this request, if anybody did.
    /// `scopes` may narrow the access token (RFC 6749, 6); the next refresh token is as good as the one before.
    ///
    /// # Errors
    /// The token is not good; if it was used before, its family has ended now. Or it asks for more than was granted, and stays good.
    pub async fn refresh_token(
        &self,
        token: &Secret,
        client: Option<KeyId>,
        scopes: Option<Scopes>,
        origin: &Actor,
    ) -> Result<Issued, NoToken> {
        // What other nodes did to the family must be known before it is judged.
        self.refresh().await?;
        self.change(|scene| {
            let Some((family, generation)) = refresh::read(scene.snapshot, token) else {
                return Ok((Plan::default(), Err(NoToken::InvalidGrant)));
            };
            let Some(kept) = scene.snapshot.family(family).filter(|kept| is_alive(scene.snapshot, kept, scene.now)) else {
                return Ok((Plan::default(), Err(NoToken::InvalidGrant)));
            };
            if client.is_some() && kept.key != client {
                return Ok((Plan::default(), Err(NoToken::InvalidGrant)));
            }
            let mut plan = Plan::default();
            if generation != kept.generation {
                plan.update(kept, &TokenFamily { revoked: true, ..kept.value.clone() });
                let said = Said {
                    action: "token.reused",
                    object: family.to_string(),
                    reason: Some("a used refresh token came again: the family has ended"),
                    ..Default::default()
                };
                plan.log(scene, &Actor { id: holder_of(scene.snapshot, kept), ..origin.clone() }, said);
                return Ok((plan, Err(NoToken::InvalidGrant)));
            }
            let scopes = scopes.unwrap_or(kept.scopes);
            if !scopes.is_subset_of(kept.scopes) || (scopes.is_empty() && kept.key.is_some()) {
                return Ok((Plan::default(), Err(NoToken::InvalidScope)));
            }
            let next = TokenFamily { generation: generation + 1, expires_at: scene.now + self.options.refresh_token, ..kept.value.clone() };
            plan.update(kept, &next);
            let role = next.user.and_then(|user| scene.snapshot.user(user)).map(|user| user.role);
            let issued = Issued { role, ..self.tokens(scene, &next, scopes)? };
            Ok((plan, Ok(issued)))
        })
        .await?
    }

    /// Ends the family that a refresh or access token belongs to (RFC 7009). Says which key it was of, if it was one's.
    ///
    /// # Errors
    /// The token is another client's, or the store is away.
    pub async fn revoke_token(&self, token: &Secret, client: Option<KeyId>, origin: &Actor) -> Result<(), NoToken> {
        self.refresh().await?;
        let Some(id) = self.family_of(token) else { return Ok(()) };
        let snapshot = self.snapshot.load_full();
        let Some(family) = snapshot.family(id) else { return Ok(()) };
        if family.key.is_some() && client.is_none() {
            return Err(NoToken::InvalidClient);
        }
        if client.is_some() && family.key != client {
            return Ok(());
        }
        let actor = Actor { id: holder_of(&snapshot, family), ..origin.clone() };
        Ok(self.end_family(id, &actor, "token.revoked").await?)
    }

    fn family_of(&self, token: &Secret) -> Option<Uuid> {
        let snapshot = self.snapshot();
        if let Some((family, _)) = refresh::read(&snapshot, token) {
            return Some(family);
        }
        auth::read_claims(&snapshot, token.expose(), self.clock.now()).ok().map(|claims| claims.fam)
    }

    /// Ends a family in the store, or, while that is away, in what nodes share beside it.
    pub(super) async fn end_family(&self, id: Uuid, actor: &Actor, action: &'static str) -> Result<(), Error> {
        let ended = self.change(|scene| {
            let mut plan = Plan::default();
            if let Some(kept) = scene.snapshot.family(id).filter(|kept| !kept.revoked) {
                plan.update(kept, &TokenFamily { revoked: true, ..kept.value.clone() });
                plan.log(scene, actor, Said { action, object: id.to_string(), ..Default::default() });
            }
            Ok((plan, ()))
        });
        let ended = ended.await;
        self.revoked_by(ended, Revocation::family(id, actor)).await
    }

    /// Tells who a bearer token belongs to, looking for news once if nobody is known by it.
    ///
    /// # Errors
    /// Nobody that may come in now.
    pub async fn authenticate(&self, token: &str) -> Result<Principal, auth::Unauthorized> {
        let verified = auth::verify(&self.snapshot(), token, self.clock.now());
        if verified.is_err() && self.look_again().await {
            return auth::verify(&self.snapshot(), token, self.clock.now());
        }
        verified
    }

    fn tokens(&self, scene: &Scene<'_>, family: &TokenFamily, scopes: Scopes) -> Result<Issued, Error> {
        let lifetime = self.options.access_token;
        let now = scene.now.as_millis();
        let claims = Claims {
            sub: match (family.user, family.key) {
                (Some(user), _) => user.to_string(),
                (None, Some(key)) => key.to_string(),
                (None, None) => return Err(Error::NotFound),
            },
            fam: family.id,
            iat: now / 1_000,
            exp: (scene.now + lifetime).as_millis() / 1_000,
            ms: now,
            scope: scopes.to_string(),
        };
        let no_key = || Error::Store(crate::store::Error::Broken(anyhow::anyhow!("the installation has no signing key in force")));
        let access_token = auth::sign(scene.snapshot, &claims, scene.now).ok_or_else(no_key)?;
        let refresh_token = refresh::write(scene.snapshot, family).ok_or_else(no_key)?;
        Ok(Issued { access_token: access_token.into(), expires_in: lifetime, refresh_token, scopes, role: None })
    }
}

/// Ends every session and token of a person: with a new password, and when they are disabled.
pub(super) fn end_all(scene: &Scene<'_>, plan: &mut Plan, of: impl Fn(&TokenFamily) -> bool) {
    for kept in scene.snapshot.families().filter(|kept| !kept.revoked && of(kept)) {
        plan.update(kept, &TokenFamily { revoked: true, ..kept.value.clone() });
    }
}

fn is_alive(snapshot: &Snapshot, family: &TokenFamily, now: Timestamp) -> bool {
    let holder = match (family.user, family.key) {
        (Some(user), _) => snapshot.user(user).is_some_and(|user| !user.disabled && family.created_at >= user.valid_from),
        (None, Some(key)) => snapshot.key(key).is_some_and(|key| key.is_alive(now)),
        (None, None) => false,
    };
    holder && !family.revoked && !snapshot.is_revoked(family.id) && now < family.expires_at
}

fn holder_of(snapshot: &Snapshot, family: &TokenFamily) -> ActorId {
    match (family.user.and_then(|user| snapshot.user(user)), family.key) {
        (Some(user), _) => ActorId::user(user),
        (None, Some(key)) => ActorId::key(key),
        (None, None) => ActorId::system(),
    }
}
