//! Whether an ID token is to be believed (OpenID Connect Core 1.0, 3.1.3.7), decided from the token, the provider's keys and
//! the moment alone.
//!
//! Only signatures of a key pair count: with `none` or an HMAC anybody who knows the client's secret, or nothing, could vouch.

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    jwk::{Jwk, JwkSet, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;
use tidings_core::time::Timestamp;

/// Clocks of two parties may differ by this much.
const LEEWAY_S: i64 = 60;
/// A token issued longer ago was not made for this log-in.
const OLDEST_S: i64 = 3_600;
/// Larger ones are not read; groups make them some kilobytes.
const MAX_TOKEN_BYTES: usize = 64 * 1024;

const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// What must be in the token.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    pub nonce: &'a str,
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotGenuine {
    #[error("it is not a token")]
    Malformed,
    #[error("it is signed by an algorithm that is not taken")]
    Algorithm,
    /// Perhaps a new one: the keys are read again once.
    #[error("it is signed by a key that the provider does not publish")]
    UnknownKey,
    #[error("its signature is wrong")]
    Signature,
    #[error("it is another issuer's")]
    Issuer,
    #[error("it is for somebody else")]
    Audience,
    #[error("it belongs to another log-in")]
    Nonce,
    #[error("it has expired, is too old, or is from the future")]
    Time,
}

/// What a token that is believed says.
#[derive(Clone, Debug, Deserialize)]
pub struct Claims {
    iss: String,
    pub sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: i64,
    iat: i64,
    nonce: Option<String>,
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Claims {
    fn is_for(&self, client: &str) -> bool {
        let named = match &self.aud {
            Audience::One(one) => one == client,
            // Several: then it must say which of them it was made for.
            Audience::Many(many) => many.iter().any(|one| one == client) && (many.len() == 1 || self.azp.is_some()),
        };
        named && self.azp.as_deref().is_none_or(|party| party == client)
    }
}

/// What the token says, if it is to be believed.
///
/// # Errors
/// It is not.
pub fn verify(token: &str, keys: &JwkSet, expected: &Expected<'_>, now: Timestamp) -> Result<Claims, NotGenuine> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(NotGenuine::Malformed);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| NotGenuine::Malformed)?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(NotGenuine::Algorithm);
    }
    let key = key_of(keys, header.kid.as_deref(), header.alg).ok_or(NotGenuine::UnknownKey)?;
    let decoding = DecodingKey::from_jwk(key).map_err(|_| NotGenuine::UnknownKey)?;
    let mut validation = Validation::new(header.alg);
    // Time, audience and issuer are looked at below, each with a reason of its own.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let claims = jsonwebtoken::decode::<Claims>(token, &decoding, &validation).map_err(|error| match error.kind() {
        jsonwebtoken::errors::ErrorKind::InvalidSignature => NotGenuine::Signature,
        jsonwebtoken::errors::ErrorKind::InvalidAlgorithm => NotGenuine::Algorithm,
        _ => NotGenuine::Malformed,
    })?;
    let claims = claims.claims;
    let now_s = now.as_millis() / 1_000;
    if claims.iss != expected.issuer {
        return Err(NotGenuine::Issuer);
    }
    if !claims.is_for(expected.client_id) || claims.sub.is_empty() {
        return Err(NotGenuine::Audience);
    }
    let same: bool = claims.nonce.as_deref().unwrap_or_default().as_bytes().ct_eq(expected.nonce.as_bytes()).into();
    if !same {
        return Err(NotGenuine::Nonce);
    }
    let expired = claims.exp.saturating_add(LEEWAY_S) <= now_s;
    let from_the_future = claims.iat.saturating_sub(LEEWAY_S) > now_s;
    let too_old = claims.iat.saturating_add(OLDEST_S) <= now_s;
    if expired || from_the_future || too_old { Err(NotGenuine::Time) } else { Ok(claims) }
}

/// The key that the header names; without a name, the only one that could have signed it.
fn key_of<'a>(keys: &'a JwkSet, kid: Option<&str>, algorithm: Algorithm) -> Option<&'a Jwk> {
    let signs = |key: &&Jwk| {
        let for_signatures = !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption));
        let same =
            key.common.key_algorithm.is_none_or(|named| named.to_string().parse() == Ok::<_, jsonwebtoken::errors::Error>(algorithm));
        for_signatures && same
    };
    match kid {
        Some(kid) => keys.keys.iter().filter(signs).find(|key| key.common.key_id.as_deref() == Some(kid)),
        None => {
            let mut all = keys.keys.iter().filter(signs);
            all.next().filter(|_| all.next().is_none())
        }
    }
}
