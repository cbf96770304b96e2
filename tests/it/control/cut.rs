//! A store of the control plane whose wire can be cut, and that counts what it is asked.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use async_trait::async_trait;
use tidings::{
    control::audit::{Filter, Head},
    store::{
        self,
        control::{Commit, ControlStore, Document, Error, Linked},
    },
};
use tidings_core::{id::KeyId, time::Timestamp};

pub struct Cut {
    store: Arc<dyn ControlStore>,
    away: AtomicBool,
    asked: AtomicU64,
}

impl Cut {
    pub fn around(store: Arc<dyn ControlStore>) -> Arc<Self> {
        Arc::new(Self { store, away: AtomicBool::new(false), asked: AtomicU64::new(0) })
    }

    pub fn away(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }

    /// How often anything was asked of the store.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    fn wire(&self) -> Result<&dyn ControlStore, Error> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.away.load(Ordering::Relaxed) {
            true => Err(store::Error::Unavailable(anyhow::anyhow!("the wire is cut")).into()),
            false => Ok(&*self.store),
        }
    }
}

#[async_trait]
impl ControlStore for Cut {
    async fn changes_since(&self, sequence: i64) -> Result<(i64, Vec<Document>), Error> {
        self.wire()?.changes_since(sequence).await
    }
    async fn commit(&self, commit: Commit) -> Result<i64, Error> {
        self.wire()?.commit(commit).await
    }
    async fn forget_deleted(&self, before: Timestamp) -> Result<u64, Error> {
        self.wire()?.forget_deleted(before).await
    }
    async fn audit(&self, filter: &Filter, before: Option<i64>, limit: u32) -> Result<Vec<Linked>, Error> {
        self.wire()?.audit(filter, before, limit).await
    }
    async fn audit_chain(&self, after: i64, limit: u32) -> Result<Vec<Linked>, Error> {
        self.wire()?.audit_chain(after, limit).await
    }
    async fn audit_head(&self) -> Result<Head, Error> {
        self.wire()?.audit_head().await
    }
    async fn key_uses(&self) -> Result<Vec<(KeyId, Timestamp)>, Error> {
        self.wire()?.key_uses().await
    }
    async fn record_key_uses(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), Error> {
        self.wire()?.record_key_uses(uses).await
    }
}
