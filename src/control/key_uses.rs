//! When keys were last used: noted with every call, written down twice a minute, shown to operators.

use std::{
    collections::HashMap,
    sync::{
        Arc, RwLock,
        atomic::{AtomicI64, Ordering},
    },
};

use tidings_core::{id::KeyId, time::Timestamp};

use super::{
    Control, Error,
    node::{COMMIT_TIMEOUT, READ_TIMEOUT, within},
};

/// This node's own calls since they were last written down.
pub(super) type KeyUses = RwLock<HashMap<KeyId, Arc<AtomicI64>>>;

impl Control {
    /// Notes that a key was used; written down twice a minute.
    pub fn key_used(&self, key: KeyId, now: Timestamp) {
        let known = |uses: &HashMap<KeyId, Arc<AtomicI64>>| uses.get(&key).map(|slot| slot.fetch_max(now.as_millis(), Ordering::Relaxed));
        if let Ok(uses) = self.uses.read()
            && known(&uses).is_some()
        {
            return;
        }
        if let Ok(mut uses) = self.uses.write() {
            uses.entry(key).or_default().fetch_max(now.as_millis(), Ordering::Relaxed);
        }
    }

    /// When a key was last used, as far as this node knows from its own calls and from the store.
    ///
    /// # Errors
    /// The store is away.
    pub async fn key_uses(&self) -> Result<HashMap<KeyId, Timestamp>, Error> {
        let mut uses: HashMap<KeyId, Timestamp> = within(READ_TIMEOUT, self.store.key_uses()).await?.into_iter().collect();
        for (key, at) in self.own_uses() {
            let known = uses.entry(key).or_insert(at);
            *known = (*known).max(at);
        }
        Ok(uses)
    }

    fn own_uses(&self) -> Vec<(KeyId, Timestamp)> {
        let Ok(uses) = self.uses.read() else { return Vec::new() };
        uses.iter().map(|(key, at)| (*key, Timestamp::from_millis(at.load(Ordering::Relaxed)))).collect()
    }

    pub(super) async fn write_uses(&self) {
        let uses = self.own_uses();
        if uses.is_empty() {
            return;
        }
        match within(COMMIT_TIMEOUT, self.store.record_key_uses(&uses)).await {
            // Idle keys leave the map; a key in use comes back with its next call.
            Ok(()) => {
                if let Ok(mut kept) = self.uses.write() {
                    let written: HashMap<KeyId, Timestamp> = uses.into_iter().collect();
                    kept.retain(|key, at| written.get(key).is_none_or(|written| at.load(Ordering::Relaxed) > written.as_millis()));
                }
            }
            Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "last uses of keys are not written yet"),
        }
    }
}
