//! The provider over the wire: its description, its keys, and the exchange of a code.
//!
//! What it publishes is kept for an hour; an ID token signed by a key that is not among those kept makes one more look, at most
//! once a minute. Every call has a deadline and a bound, and redirects are not followed.

use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use reqwest::{Client, Url, redirect::Policy};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use tidings_core::{
    redact::Secret,
    time::{Moment, Timestamp},
};
use tokio::sync::Mutex;

use super::id_token::{self, Claims, Expected, NotGenuine};
use crate::clock::Clock;

const TIMEOUT: Duration = Duration::from_secs(5);
/// What is published is some kilobytes.
const MAX_ANSWER_BYTES: usize = 512 * 1024;
const KEPT_FOR: Duration = Duration::from_hours(1);
/// A token with an unknown key makes us look again, but not for everybody who invents one.
const LOOK_AGAIN_AFTER: Duration = Duration::from_mins(1);

/// Why the provider cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    #[error("it does not answer")]
    Away(#[source] reqwest::Error),
    #[error("it answered {0}")]
    Status(u16),
    #[error("its answer is too large")]
    TooLarge,
    #[error("its answer cannot be read")]
    Unreadable(#[source] serde_json::Error),
    #[error("its description names another issuer")]
    OtherIssuer,
    #[error("its description names an address that is not https")]
    Insecure,
    #[error("it does not take the code")]
    CodeRefused,
}

#[derive(Clone, Debug, Deserialize)]
struct Description {
    issuer: String,
    #[serde(deserialize_with = "address")]
    authorization_endpoint: Url,
    #[serde(deserialize_with = "address")]
    token_endpoint: Url,
    #[serde(deserialize_with = "address")]
    jwks_uri: Url,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
}

fn address<'de, D: Deserializer<'de>>(from: D) -> Result<Url, D::Error> {
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}

#[derive(Deserialize)]
struct Tokens {
    id_token: Secret,
}

#[derive(Clone)]
struct Published {
    description: Description,
    keys: JwkSet,
    at: Moment,
}

pub struct Provider {
    issuer: String,
    client_id: String,
    client_secret: Option<Secret>,
    http: Client,
    clock: Clock,
    published: Mutex<Option<Published>>,
}

impl Provider {
    pub fn new(issuer: &str, client_id: &str, client_secret: Option<Secret>, clock: Clock) -> Result<Self, reqwest::Error> {
        let http = Client::builder().redirect(Policy::none()).timeout(TIMEOUT).build()?;
        let (issuer, client_id) = (issuer.to_owned(), client_id.to_owned());
        Ok(Self { issuer, client_id, client_secret, http, clock, published: Mutex::default() })
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    pub async fn authorization_endpoint(&self) -> Result<Url, ProviderError> {
        Ok(self.published(KEPT_FOR).await?.description.authorization_endpoint)
    }

    /// The ID token for a code.
    pub async fn exchange(&self, code: &Secret, verifier: &str, redirect_uri: &str) -> Result<Secret, ProviderError> {
        let description = self.published(KEPT_FOR).await?.description;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", redirect_uri),
            ("code_verifier", verifier),
        ];
        let mut request = self.http.post(description.token_endpoint.clone());
        // OpenID Connect Discovery 1.0, 3: without a list it is Basic.
        let methods = &description.token_endpoint_auth_methods_supported;
        let basic = methods.is_empty() || methods.iter().any(|method| method == "client_secret_basic");
        match &self.client_secret {
            Some(secret) if basic => request = request.basic_auth(encoded(&self.client_id), Some(encoded(secret.expose()))),
            Some(secret) => form.extend([("client_id", self.client_id.as_str()), ("client_secret", secret.expose())]),
            None => form.push(("client_id", &self.client_id)),
        }
        match read::<Tokens>(request.form(&form)).await {
            Ok(tokens) => Ok(tokens.id_token),
            Err(ProviderError::Status(400 | 401)) => Err(ProviderError::CodeRefused),
            Err(error) => Err(error),
        }
    }

    /// What the ID token says, once it is to be believed.
    pub async fn verified(&self, token: &Secret, nonce: &str, now: Timestamp) -> Result<Claims, super::Error> {
        let expected = Expected { issuer: &self.issuer, client_id: &self.client_id, nonce };
        let published = self.published(KEPT_FOR).await?;
        match id_token::verify(token.expose(), &published.keys, &expected, now) {
            Err(NotGenuine::UnknownKey) => {
                let again = self.published(LOOK_AGAIN_AFTER).await?;
                Ok(id_token::verify(token.expose(), &again.keys, &expected, now)?)
            }
            verdict => Ok(verdict?),
        }
    }

    /// What the provider publishes, no older than `most`.
    async fn published(&self, most: Duration) -> Result<Published, ProviderError> {
        let mut kept = self.published.lock().await;
        let now = self.clock.moment();
        if let Some(published) = kept.as_ref().filter(|published| now.since(published.at) < most) {
            return Ok(published.clone());
        }
        let address = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let description: Description = read(self.http.get(address)).await?;
        if description.issuer != self.issuer {
            return Err(ProviderError::OtherIssuer);
        }
        let addresses = [&description.authorization_endpoint, &description.token_endpoint, &description.jwks_uri];
        // An issuer on plain http is one of a test or of this machine; a secure one must not send us elsewhere.
        if self.issuer.starts_with("https://") && addresses.iter().any(|address| address.scheme() != "https") {
            return Err(ProviderError::Insecure);
        }
        let keys = read(self.http.get(description.jwks_uri.clone())).await?;
        let published = Published { description, keys, at: now };
        *kept = Some(published.clone());
        Ok(published)
    }
}

/// RFC 6749, 2.3.1: both parts are form-encoded before they are joined.
fn encoded(text: &str) -> String {
    let mut url = Url::parse("a:/").expect("a constant that is an address");
    url.query_pairs_mut().append_key_only(text);
    url.query().unwrap_or_default().to_owned()
}

async fn read<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<T, ProviderError> {
    let mut response = request.header(http::header::ACCEPT, "application/json").send().await.map_err(away)?;
    if !response.status().is_success() {
        return Err(ProviderError::Status(response.status().as_u16()));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(away)? {
        if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(ProviderError::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&bytes).map_err(ProviderError::Unreadable)
}

/// Addresses may carry what is secret; the cause is enough.
fn away(error: reqwest::Error) -> ProviderError {
    ProviderError::Away(error.without_url())
}
