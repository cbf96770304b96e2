//! Keys that make a request repeatable: who is in progress in this process, and what is hashed.
//!
//! The store is the authority: it accepts a key once and says so atomically. Here only the requests are kept that have
//! not been answered yet, so that fifty at once cost one look-up and one write. A guard that is dropped, for whatever
//! reason, releases its key.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
};

use tidings_core::id::AppId;

use super::refusal::Refusal;
use crate::{seal::LookupKey, store::Idempotency};

/// Locks that share the keys, so that requests on different cores seldom meet.
const SHARDS: usize = 32;

type Shard = Mutex<HashMap<[u8; 16], [u8; 16]>>;

/// Keys of requests that are under way.
#[derive(Clone)]
pub struct InProgress(Arc<[Shard; SHARDS]>);

impl Default for InProgress {
    fn default() -> Self {
        Self(Arc::new(std::array::from_fn(|_| Shard::default())))
    }
}

/// A key that belongs to one request until it is answered.
pub struct Guard {
    keys: InProgress,
    key: [u8; 16],
}

impl InProgress {
    fn shard(&self, key: &[u8; 16]) -> &Shard {
        &self.0[key[0] as usize % SHARDS]
    }

    /// Claims a key, or says that somebody has it.
    pub fn claim(&self, idempotency: Idempotency) -> Result<Guard, Refusal> {
        let mut held = self.shard(&idempotency.key).lock().unwrap_or_else(PoisonError::into_inner);
        match held.entry(idempotency.key) {
            Entry::Occupied(entry) if *entry.get() == idempotency.body => Err(Refusal::IdempotencyInProgress),
            Entry::Occupied(_) => Err(Refusal::IdempotencyMismatch),
            Entry::Vacant(entry) => {
                entry.insert(idempotency.body);
                Ok(Guard { keys: self.clone(), key: idempotency.key })
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.keys.shard(&self.key).lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// Which key is meant: they belong to the app, and to its test or its live half alike.
#[derive(Clone, Copy, Debug)]
pub enum KeyName<'a> {
    /// Of a message, sent alone or in a batch.
    Message(&'a str),
    /// Of a batch as a whole.
    Batch(&'a str),
    /// Of an item without a key in a batch with one.
    Item(&'a str, usize),
}

impl KeyName<'_> {
    pub fn hash(self, app: AppId, lookup: &LookupKey) -> [u8; 16] {
        let app = app.uuid();
        match self {
            Self::Message(key) => lookup.hash(&[b"idempotency", app.as_bytes(), key.as_bytes()]),
            Self::Batch(key) => lookup.hash(&[b"idempotency of a batch", app.as_bytes(), key.as_bytes()]),
            Self::Item(key, index) => {
                lookup.hash(&[b"idempotency of an item", app.as_bytes(), key.as_bytes(), &(index as u64).to_le_bytes()])
            }
        }
    }
}

/// Whether `text` may be a key: 1 to 255 visible ASCII characters.
pub fn is_key(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn idempotency(key: u8, body: u8) -> Idempotency {
        Idempotency { key: [key; 16], body: [body; 16] }
    }

    #[test]
    fn a_key_belongs_to_one_request_until_its_guard_is_gone() {
        let keys = InProgress::default();
        let guard = keys.claim(idempotency(1, 1)).unwrap();
        assert!(matches!(keys.claim(idempotency(1, 1)), Err(Refusal::IdempotencyInProgress)));
        assert!(matches!(keys.claim(idempotency(1, 2)), Err(Refusal::IdempotencyMismatch)));
        assert!(keys.claim(idempotency(2, 1)).is_ok());
        drop(guard);
        assert!(keys.claim(idempotency(1, 2)).is_ok());
    }

    #[test]
    fn keys_are_one_space_for_messages_and_another_for_batches() {
        let lookup = LookupKey::new(&[1; 32]);
        let app = AppId::from_uuid(uuid::Uuid::nil());
        assert_eq!(KeyName::Message("k").hash(app, &lookup), KeyName::Message("k").hash(app, &lookup));
        assert_ne!(KeyName::Message("k").hash(app, &lookup), KeyName::Batch("k").hash(app, &lookup));
        assert_ne!(KeyName::Item("k", 0).hash(app, &lookup), KeyName::Item("k", 1).hash(app, &lookup));
        assert_ne!(KeyName::Message("k").hash(app, &lookup), KeyName::Message("k").hash(AppId::from_uuid(uuid::Uuid::max()), &lookup));
    }

    #[test]
    fn a_key_is_visible_ascii() {
        assert!(is_key("a") && is_key(&"k".repeat(255)));
        for text in ["", &"k".repeat(256), "a b", "ü", "tab\t"] {
            assert!(!is_key(text), "{text:?}");
        }
    }
}
