//! The sealed copy of the control plane in `data_dir`: last known rights for a start while the store is away.
//!
//! Written after changes, and otherwise twice a minute so that its age says when the rights were last confirmed. It is
//! sealed with the master key: it holds hashes of keys and passwords and whom the installation writes to.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tidings_core::time::Timestamp;

use super::node::Documents;
use crate::{seal::Keyring, store::control::Document};

const FILE: &str = "control.snapshot";
const PURPOSE: &str = "control snapshot";
/// Without changes the copy is written anew when it is older than this.
const CONFIRM_EVERY_MS: i64 = 30_000;

#[derive(Serialize, Deserialize)]
struct Contents {
    confirmed_at: Timestamp,
    sequence: i64,
    documents: Vec<Document>,
}

/// All documents, and the file that they are kept in.
#[derive(Debug)]
pub struct LocalCopy {
    file: PathBuf,
    sequence: i64,
    documents: Documents,
    written: Option<(i64, Timestamp)>,
}

impl LocalCopy {
    pub fn new(data_dir: &Path) -> Self {
        Self { file: data_dir.join(FILE), sequence: 0, documents: Documents::new(), written: None }
    }

    pub const fn sequence(&self) -> i64 {
        self.sequence
    }

    pub fn documents(&self) -> Vec<Document> {
        self.documents.values().cloned().collect()
    }

    pub fn apply(&mut self, sequence: i64, changed: Vec<Document>) {
        self.sequence = sequence;
        for document in changed {
            let key = (document.kind, document.id);
            if document.body.is_some() {
                self.documents.insert(key, document);
            } else {
                self.documents.remove(&key);
            }
        }
    }

    /// Reads the file if it was confirmed after `oldest`, and says when that was.
    pub async fn read(&mut self, keyring: &Keyring, oldest: Timestamp) -> Option<Timestamp> {
        let sealed = tokio::fs::read(&self.file).await.ok()?;
        let plain = keyring.open(PURPOSE, &sealed).ok()?;
        let contents: Contents = serde_json::from_slice(&plain).ok()?;
        if contents.confirmed_at < oldest {
            return None;
        }
        self.apply(contents.sequence, contents.documents);
        Some(contents.confirmed_at)
    }

    /// Writes the file if it is not what is known now. A failure is only logged: the next try comes within a second.
    pub async fn write(&mut self, keyring: &Keyring, confirmed_at: Timestamp) {
        let fresh = self
            .written
            .is_some_and(|(sequence, at)| sequence == self.sequence && confirmed_at.as_millis() - at.as_millis() < CONFIRM_EVERY_MS);
        if fresh || self.sequence == 0 {
            return;
        }
        let contents = Contents { confirmed_at, sequence: self.sequence, documents: self.documents() };
        let Ok(plain) = serde_json::to_vec(&contents) else { return };
        match replace(&self.file, keyring.seal(PURPOSE, &plain)).await {
            Ok(()) => self.written = Some((self.sequence, confirmed_at)),
            Err(error) => tracing::warn!(%error, file = %self.file.display(), "the local copy of the rights cannot be written"),
        }
    }
}

/// Whole or not at all, and readable by nobody else.
async fn replace(file: &Path, bytes: Vec<u8>) -> std::io::Result<()> {
    use tokio::io::AsyncWriteExt;
    let beside = file.with_extension("snapshot.new");
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    options.mode(0o600);
    let mut opened = options.open(&beside).await?;
    opened.write_all(&bytes).await?;
    opened.sync_all().await?;
    tokio::fs::rename(&beside, file).await
}
