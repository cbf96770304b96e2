//! API keys: shown once, kept as a hash, scoped, expiring; several of an app are alive at once so that one can be rotated.
//!
//! A key's secret is 32 random characters and more, so one SHA-256 is the right hash: there is nothing to guess, and a
//! look-up costs under a microsecond.

use std::fmt;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use tidings_core::{
    id::{AppId, KeyId},
    time::Timestamp,
};

use super::{ActorId, Kind, Record};

/// Below this a secret could be guessed, and a plain hash of it would not do.
pub const MIN_SECRET_CHARS: usize = 32;
/// Longer ones are not ours: nothing is hashed for them.
const MAX_SECRET_CHARS: usize = 256;
const LIVE_PREFIX: &str = "tk_live_";
const TEST_PREFIX: &str = "tk_test_";

tidings_core::words! {
    /// What a key may be used for.
    Scope {
        MessagesSend = "messages:send",
        MessagesRead = "messages:read",
        Verifications = "verifications",
        TemplatesWrite = "templates:write",
        WebhooksWrite = "webhooks:write",
    }
}

/// A set of scopes, as small as a byte.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    pub fn all() -> Self {
        Scope::ALL.iter().copied().collect()
    }

    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & (1 << scope.index()) != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub const fn is_subset_of(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.iter().copied().filter(move |scope| self.contains(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | 1 << scope.index()))
    }
}

/// The space-separated form of RFC 6749.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({self})")
    }
}

impl Serialize for Scopes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Scope>::deserialize(deserializer)?.into_iter().collect())
    }
}

/// The SHA-256 of a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash([u8; 32]);

/// Not the secret of an API key by its shape. Says nothing of the text: it may be somebody's secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be tk_live_ or tk_test_ followed by at least {MIN_SECRET_CHARS} letters, digits, - or _")]
pub struct NotAKey;

impl KeyHash {
    pub fn of(secret: &str) -> Self {
        let digest = digest::digest(&digest::SHA256, secret.as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(digest.as_ref());
        Self(hash)
    }

    /// Compares without telling by its time where two hashes differ.
    pub fn is_same(&self, other: &Self) -> bool {
        subtle::ConstantTimeEq::ct_eq(&self.0[..], &other.0[..]).into()
    }

    /// Reads a secret's shape: whether it is a test key, and its hash.
    ///
    /// # Errors
    /// The text has not the shape of a key.
    pub fn read(secret: &str) -> Result<(Self, bool), NotAKey> {
        let (rest, test) = match (secret.strip_prefix(LIVE_PREFIX), secret.strip_prefix(TEST_PREFIX)) {
            (Some(rest), _) => (rest, false),
            (_, Some(rest)) => (rest, true),
            _ => return Err(NotAKey),
        };
        let letters = rest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if !letters || rest.len() < MIN_SECRET_CHARS || rest.len() > MAX_SECRET_CHARS {
            return Err(NotAKey);
        }
        Ok((Self::of(secret), test))
    }

    /// A new secret from 32 random bytes.
    pub fn secret(test: bool, random: [u8; 32]) -> String {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        format!("{}{}", if test { TEST_PREFIX } else { LIVE_PREFIX }, URL_SAFE_NO_PAD.encode(random))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

impl Serialize for KeyHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
        serializer.serialize_str(&STANDARD_NO_PAD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = STANDARD_NO_PAD.decode(text.as_bytes()).map_err(serde::de::Error::custom)?;
        bytes.try_into().map(Self).map_err(|_| serde::de::Error::custom("a hash has 32 bytes"))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    pub id: KeyId,
    pub app: AppId,
    /// Unique in the app.
    pub name: String,
    pub hash: KeyHash,
    /// The last four characters, to recognise it by.
    pub hint: String,
    pub scopes: Scopes,
    /// Reaches only simulated providers.
    #[serde(default)]
    pub test: bool,
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    #[serde(default)]
    pub revoked_at: Option<Timestamp>,
    pub created_at: Timestamp,
    /// Counts as one pair of eyes with the key: what the key asks for, its maker may not approve.
    pub created_by: ActorId,
}

impl ApiKey {
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }

    pub fn hint_of(secret: &str) -> String {
        let from = secret.len().saturating_sub(4);
        secret.get(from..).unwrap_or_default().to_owned()
    }
}

impl Record for ApiKey {
    const KIND: Kind = Kind::ApiKey;
    fn uuid(&self) -> uuid::Uuid {
        self.id.uuid()
    }
    fn scope(&self) -> String {
        self.app.to_string()
    }
    fn name(&self) -> String {
        self.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_secret_has_the_shape_of_a_key() {
        let secret = KeyHash::secret(true, [7; 32]);
        assert_eq!(KeyHash::read(&secret), Ok((KeyHash::of(&secret), true)));
        for text in
            ["", "tk_live_", "tk_live_short", "sk_live_0123456789abcdef0123456789abcdef", "tk_live_0123456789abcdef0123456789abcde "]
        {
            assert_eq!(KeyHash::read(text), Err(NotAKey), "{text}");
        }
    }

    #[test]
    fn scopes_read_back() {
        let scopes: Scopes = [Scope::MessagesRead, Scope::MessagesSend].into_iter().collect();
        assert_eq!(scopes.to_string(), "messages:send messages:read");
        assert_eq!(serde_json::from_str::<Scopes>(&serde_json::to_string(&scopes).unwrap()).unwrap(), scopes);
        assert!(scopes.is_subset_of(Scopes::all()) && !Scopes::all().is_subset_of(scopes));
    }
}
