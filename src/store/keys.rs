//! The keys that a store keeps for itself, sealed with the master key: one makes the hashes of look-ups, one seals bodies.
//!
//! A body is sealed with the store's data key, and only that with the master key (envelope encryption). So a new master key
//! means that two short blobs are sealed again and not a hundred million rows, and the old one may be thrown away at once.
//! What an earlier version sealed with the master key itself opens as long as that key is in the file.

use super::{Error, codec::Codec};
use crate::seal::{self, Keyring, LookupKey};

const KEY_BYTES: usize = 32;
const LOOKUP: &str = "lookup key";
const DATA: &str = "data key";

/// See the module.
pub struct StoreKeys {
    lookup: [u8; KEY_BYTES],
    data: [u8; KEY_BYTES],
}

/// As they lie in the store.
pub struct SealedKeys {
    pub lookup: Vec<u8>,
    pub data: Vec<u8>,
}

impl StoreKeys {
    pub fn new(random: impl Fn() -> [u8; KEY_BYTES]) -> Self {
        Self { lookup: random(), data: random() }
    }

    pub fn seal(&self, keyring: &Keyring) -> SealedKeys {
        SealedKeys { lookup: keyring.seal(LOOKUP, &self.lookup), data: keyring.seal(DATA, &self.data) }
    }

    /// What seals, opens and hashes with them.
    pub fn codec(&self, keyring: &Keyring) -> Codec {
        Codec::new(keyring.with_data_key(&self.data), LookupKey::new(&self.lookup))
    }
}

impl SealedKeys {
    /// # Errors
    /// They were sealed with a master key that is not in the file.
    pub fn open(&self, keyring: &Keyring) -> Result<StoreKeys, seal::Error> {
        let key = |purpose, blob: &[u8]| keyring.open(purpose, blob)?.try_into().map_err(|_| seal::Error::Corrupt);
        Ok(StoreKeys { lookup: key(LOOKUP, &self.lookup)?, data: key(DATA, &self.data)? })
    }

    /// Whether the first master key sealed both; others are to be sealed again.
    pub fn are_current(&self, keyring: &Keyring) -> bool {
        keyring.is_current(&self.lookup) && keyring.is_current(&self.data)
    }
}

impl From<seal::Error> for Error {
    fn from(error: seal::Error) -> Self {
        Self::Broken(error.into())
    }
}
