//! The port to where the control plane's documents and the audit log are kept.
//!
//! Documents are small and few, so every node holds all of them ([`crate::control::Snapshot`]) and asks only for what
//! changed since the sequence it knows. A commit changes several documents and appends to the audit log in one
//! transaction or does nothing; it names the revision of each document that it was planned on, so two people who change
//! the same thing at once cannot lose each other's work. Commits follow one another: sequence and audit chain have no gaps.

pub(super) mod rows;

use async_trait::async_trait;
use tidings_core::{id::KeyId, time::Timestamp};
use uuid::Uuid;

use crate::control::{
    audit::{ChainKey, Entry, Filter, Head},
    model::Kind,
};

/// One document as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Document {
    pub kind: Kind,
    pub id: Uuid,
    pub scope: String,
    pub name: String,
    /// Counts from 1 with every change of this document.
    pub revision: i64,
    /// The commit that it was last changed by.
    pub sequence: i64,
    /// JSON; `None` once it was deleted.
    pub body: Option<String>,
}

/// One change of one document.
#[derive(Clone, Debug)]
pub struct Change {
    pub kind: Kind,
    pub id: Uuid,
    pub scope: String,
    pub name: String,
    /// The revision that the change was planned on; 0: it must not exist yet.
    pub expected: i64,
    /// `None` deletes it.
    pub body: Option<String>,
}

/// What happens together or not at all.
#[derive(Clone, Debug)]
pub struct Commit {
    pub changes: Vec<Change>,
    pub audit: Vec<Entry>,
    pub key: ChainKey,
    pub at: Timestamp,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else changed it since the plan was made: look again and plan again.
    #[error("the {kind} was changed by somebody else meanwhile")]
    Conflict { kind: Kind },
    /// The name is taken within its scope.
    #[error("a {kind} of this name exists")]
    Exists { kind: Kind },
    #[error(transparent)]
    Store(#[from] super::Error),
}

#[async_trait]
pub trait ControlStore: Send + Sync {
    /// Every document whose last change is after `sequence` (0: all there are), oldest first, and the newest sequence.
    /// Deleted ones are among them for a day at least.
    async fn changes_since(&self, sequence: i64) -> Result<(i64, Vec<Document>), Error>;

    /// Commits and returns the new sequence.
    async fn commit(&self, commit: Commit) -> Result<i64, Error>;

    /// Returns when another node may have committed. Backends that cannot tell never return; polling does without.
    async fn wait_for_change(&self) {
        std::future::pending().await
    }

    /// Forgets documents that were deleted before.
    async fn forget_deleted(&self, before: Timestamp) -> Result<u64, Error>;

    /// The audit log, newest first: entries before `before` (exclusive) in the order of the chain.
    async fn audit(&self, filter: &Filter, before: Option<i64>, limit: u32) -> Result<Vec<Linked>, Error>;

    /// The chain in its own order, for its verification.
    async fn audit_chain(&self, after: i64, limit: u32) -> Result<Vec<Linked>, Error>;

    async fn audit_head(&self) -> Result<Head, Error>;

    /// When keys were last used: kept beside the documents, since it changes with every message.
    async fn key_uses(&self) -> Result<Vec<(KeyId, Timestamp)>, Error>;

    async fn record_key_uses(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), Error>;
}

/// An entry as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// Its place, counting from 1 without gaps.
    pub number: i64,
    /// The very bytes that were linked.
    pub body: String,
    pub hash: Vec<u8>,
    /// What the look-up columns say, to be held against the body.
    pub columns: Columns,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    pub at: Timestamp,
    pub actor: String,
    pub action: String,
    pub object: String,
}
