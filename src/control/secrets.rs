//! The installation's own secrets: made once, kept sealed in the store, opened once per node and change.
//!
//! The keys of look-ups, refresh tokens, documents' data and the audit chain never change: what is written or handed out depends
//! on them. They are what the master key seals, so a new master key seals them again and nothing else (envelope encryption).
//! Signing keys come and go by `kid`: a new one is published a while before it signs, an old one verifies until the last
//! token it signed has expired.

use std::{collections::HashMap, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use tidings_core::time::Timestamp;
use uuid::Uuid;

use super::{
    audit::ChainKey,
    jwt::{SigningKey, Token},
    model::SealedSecret,
    snapshot::Unreadable,
};
use crate::seal::{Keyring, LookupKey};

pub const AUDIT: &str = "audit";
/// Seals what documents hold: providers' credentials, recipients of orders.
pub const DATA: &str = "data";
pub const LOOKUP: &str = "lookup";
/// Authenticates refresh tokens.
pub const REFRESH: &str = "refresh";
/// Before the `kid` in a signing key's name.
pub const SIGNING: &str = "signing.";
const PURPOSE: &str = "installation secret";
/// A node hears of a new signing key by polling every second at the latest; ten leave room for one that is slow.
pub const SIGNING_LEAD: Duration = Duration::from_secs(10);

/// All of them, ready for use.
#[derive(Default)]
pub struct OpenSecrets {
    signing: HashMap<String, SigningKey>,
    lookup: Option<LookupKey>,
    refresh: Option<LookupKey>,
    audit: Option<ChainKey>,
    data: Option<Arc<Keyring>>,
}

impl std::fmt::Debug for OpenSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenSecrets({} signing keys)", self.signing.len())
    }
}

impl OpenSecrets {
    /// Opens what is kept.
    ///
    /// # Errors
    /// Something was sealed with a key that this node does not have.
    pub fn open<'a>(kept: impl Iterator<Item = &'a SealedSecret>, keyring: &Keyring) -> Result<Self, Unreadable> {
        let mut opened = Self::default();
        for secret in kept {
            let plain = open(secret, keyring).map_err(|source| Unreadable::Sealed { name: secret.name.clone(), source })?;
            match secret.name.as_str() {
                DATA => opened.data = <&[u8; 32]>::try_from(plain.as_slice()).ok().map(|key| Arc::new(keyring.with_data_key(key))),
                AUDIT => opened.audit = Some(ChainKey::new(&plain)),
                LOOKUP => opened.lookup = <&[u8; 32]>::try_from(plain.as_slice()).ok().map(LookupKey::new),
                REFRESH => opened.refresh = <&[u8; 32]>::try_from(plain.as_slice()).ok().map(LookupKey::new),
                name => {
                    let Some(kid) = name.strip_prefix(SIGNING) else { continue };
                    let key = SigningKey::new(kid, &plain, secret.active_from, secret.retires_at);
                    opened.signing.insert(kid.to_owned(), key);
                }
            }
        }
        Ok(opened)
    }

    pub const fn lookup(&self) -> Option<&LookupKey> {
        self.lookup.as_ref()
    }

    pub const fn refresh(&self) -> Option<&LookupKey> {
        self.refresh.as_ref()
    }

    pub const fn audit(&self) -> Option<&ChainKey> {
        self.audit.as_ref()
    }

    /// What documents' own secrets are sealed with: the data key first, then the master keys, which earlier versions used.
    pub const fn data(&self) -> Option<&Arc<Keyring>> {
        self.data.as_ref()
    }

    /// The claims of a token that one of the keys signed which verify at `now`.
    pub fn claims(&self, token: &str, now: Timestamp) -> Option<Vec<u8>> {
        let token = Token::split(token)?;
        // There are a handful: the one that signs, and those before it whose tokens have not ended.
        let key = self.signing.values().find(|key| key.has_header(token.header))?;
        key.verifies(now).then(|| key.open(&token))?
    }

    /// The newest key that may sign at `now`, with its `kid`.
    pub fn signing(&self, now: Timestamp) -> Option<(&str, &SigningKey)> {
        self.signing
            .iter()
            .filter(|(_, key)| key.may_sign(now))
            .max_by_key(|(kid, key)| (key.active_from, kid.as_str()))
            .map(|(kid, key)| (kid.as_str(), key))
    }
}

/// A new secret, sealed.
pub fn seal(name: &str, id: Uuid, plain: &[u8; 32], active_from: Timestamp, keyring: &Keyring) -> SealedSecret {
    SealedSecret { id, name: name.to_owned(), sealed: STANDARD.encode(keyring.seal(&purpose(name), plain)), active_from, retires_at: None }
}

/// The same secret sealed with the first master key; `None` if it is already.
///
/// # Errors
/// It was sealed with a key that this node does not have.
pub fn seal_again(secret: &SealedSecret, keyring: &Keyring) -> Result<Option<SealedSecret>, crate::seal::Error> {
    let blob = STANDARD.decode(&secret.sealed).map_err(|_| crate::seal::Error::Corrupt)?;
    if keyring.is_current(&blob) {
        return Ok(None);
    }
    let plain = keyring.open(&purpose(&secret.name), &blob)?;
    Ok(Some(SealedSecret { sealed: STANDARD.encode(keyring.seal(&purpose(&secret.name), &plain)), ..secret.clone() }))
}

fn open(secret: &SealedSecret, keyring: &Keyring) -> Result<Vec<u8>, crate::seal::Error> {
    let blob = STANDARD.decode(&secret.sealed).map_err(|_| crate::seal::Error::Corrupt)?;
    keyring.open(&purpose(&secret.name), &blob)
}

/// A secret sealed under one name does not open under another.
fn purpose(name: &str) -> String {
    format!("{PURPOSE} {name}")
}
