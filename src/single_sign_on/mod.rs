//! Single sign-on for people by OpenID Connect: authorization code with PKCE, against whatever provider is configured.
//!
//! Nothing is kept between the way out and the way back: state, nonce and PKCE verifier travel in a sealed cookie that only
//! this browser has and that is good for ten minutes, so any node may answer the callback. Who somebody is is believed from
//! the ID token alone, after its signature, issuer, audience, nonce and time ([`id_token`]); what they may do comes from a claim
//! ([`role`]). Every reason for a refusal is one page for the person and one log line for the operator, without any token.

mod id_token;
mod provider;
mod role;

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tidings_core::{redact::Secret, time::Timestamp};

pub use self::{
    id_token::{Expected, NotGenuine},
    provider::ProviderError,
};
use self::{provider::Provider, role::Roles};
use crate::{clock::Clock, config, control::sign_on::Identity, seal::Keyring};

/// Where the provider sends the browser back to, below `http.public_url`.
pub const CALLBACK: &str = "/admin/sso/callback";
/// How long somebody may take at the provider.
pub const LASTS: std::time::Duration = std::time::Duration::from_mins(10);
const PURPOSE: &str = "single sign-on";

/// Why somebody did not get in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No cookie, another browser's, or too late; or the state is not the one that went out.
    #[error("the answer does not belong to a log-in that this browser began within ten minutes")]
    NotOurs,
    /// The provider's own word, cut to what RFC 6749 allows in it.
    #[error("the provider refused: {0}")]
    Refused(String),
    #[error("the provider does not work as it should")]
    Provider(#[from] ProviderError),
    #[error("the ID token is not to be believed")]
    NotGenuine(#[from] NotGenuine),
    /// Known to the provider, but no claim gives a role here.
    #[error("no claim gives this person a role")]
    NoRole,
    #[error("no claim of the ID token can be a name here")]
    NoName,
}

/// The way out: where the browser goes, and what it must bring back.
pub struct Departure {
    pub address: String,
    pub cookie: Secret,
}

/// What the browser came back with.
#[derive(Debug, Default)]
pub struct Return {
    pub code: Option<Secret>,
    pub state: Option<Secret>,
    pub error: Option<String>,
}

/// Who came back, and where they wanted to go.
#[derive(Debug)]
pub struct Arrival {
    pub identity: Identity,
    pub next: String,
}

/// What the cookie holds, sealed.
#[derive(Serialize, Deserialize)]
struct Journey {
    state: String,
    nonce: String,
    verifier: String,
    next: String,
    until: Timestamp,
}

/// Single sign-on as it is configured.
pub struct SingleSignOn {
    provider: Provider,
    roles: Roles,
    label: String,
    client_id: String,
    redirect_uri: String,
    scopes: String,
    keyring: std::sync::Arc<Keyring>,
    clock: Clock,
}

impl SingleSignOn {
    /// `None` where no provider is configured.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn new(config: &config::Config, keyring: std::sync::Arc<Keyring>, clock: Clock) -> Result<Option<Self>, reqwest::Error> {
        let oidc = &config.oidc;
        let Some(issuer) = &oidc.issuer else { return Ok(None) };
        Ok(Some(Self {
            provider: Provider::new(issuer, &oidc.client_id, oidc.client_secret.clone(), clock)?,
            roles: Roles::new(oidc),
            label: oidc.label.clone(),
            client_id: oidc.client_id.clone(),
            redirect_uri: format!("{}{CALLBACK}", config.http.public_url),
            scopes: oidc.scopes.clone(),
            keyring,
            clock,
        }))
    }

    /// What the button says.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Sends a browser to the provider; it comes back to [`CALLBACK`] and then wants to go to `next`.
    ///
    /// # Errors
    /// The provider cannot be asked where its log-in page is.
    pub async fn depart(&self, next: &str) -> Result<Departure, Error> {
        let drawn = || URL_SAFE_NO_PAD.encode(self.clock.random::<32>());
        let until = self.clock.now() + LASTS;
        let journey = Journey { state: drawn(), nonce: drawn(), verifier: drawn(), next: next.to_owned(), until };
        let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, journey.verifier.as_bytes()));
        let mut address = self.provider.authorization_endpoint().await?;
        address.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("scope", &self.scopes),
            ("state", &journey.state),
            ("nonce", &journey.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let plain = serde_json::to_vec(&journey).expect("text and a time can be written as JSON");
        let cookie = Secret::new(URL_SAFE_NO_PAD.encode(self.keyring.seal(PURPOSE, &plain)));
        Ok(Departure { address: address.into(), cookie })
    }

    /// Finds out who came back.
    ///
    /// # Errors
    /// It does not belong to this browser, or the provider does not vouch for anybody who may come in.
    pub async fn arrive(&self, cookie: Option<&Secret>, back: &Return) -> Result<Arrival, Error> {
        let journey = cookie.and_then(|cookie| self.opened(cookie)).ok_or(Error::NotOurs)?;
        let state = back.state.as_ref().ok_or(Error::NotOurs)?;
        let same: bool = state.expose().as_bytes().ct_eq(journey.state.as_bytes()).into();
        if !same {
            return Err(Error::NotOurs);
        }
        if let Some(error) = &back.error {
            return Err(Error::Refused(error.chars().filter(|c| c.is_ascii_lowercase() || *c == '_').take(64).collect()));
        }
        let code = back.code.as_ref().ok_or(Error::NotOurs)?;
        let token = self.provider.exchange(code, &journey.verifier, &self.redirect_uri).await?;
        let claims = self.provider.verified(&token, &journey.nonce, self.clock.now()).await?;
        let role = self.roles.of(&claims)?;
        let name = role::name(&claims).ok_or(Error::NoName)?;
        let subject = format!("{} {}", self.provider.issuer(), claims.sub);
        Ok(Arrival { identity: Identity { subject, name, role }, next: journey.next })
    }

    fn opened(&self, cookie: &Secret) -> Option<Journey> {
        let sealed = URL_SAFE_NO_PAD.decode(cookie.expose()).ok()?;
        let plain = self.keyring.open(PURPOSE, &sealed).ok()?;
        let journey: Journey = serde_json::from_slice(&plain).ok()?;
        (self.clock.now() < journey.until).then_some(journey)
    }
}
