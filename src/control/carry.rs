//! The control plane's documents and audit log, carried into the store of the next rung.
//!
//! Ids and the installation's own secrets stay what they are: carried messages find their app, API keys and tokens stay
//! valid, an idempotency key and a recipient have the same hashes as before, and the audit log goes on where it was. Secrets
//! are sealed again with the master key that is the first one now.
//!
//! Where somebody has begun on the new store already, its documents stay and nothing is carried: then an app of the same
//! name is the same app.

use std::collections::{HashMap, HashSet};

use tidings_core::{id::AppId, time::Timestamp};

use super::{
    audit::{ChainKey, Entry, Head},
    model::{App, Kind, Record, SealedSecret},
    secrets::{self, OpenSecrets},
    snapshot::Unreadable,
};
use crate::{
    seal::{self, Keyring},
    store::{
        self,
        control::{Change, Commit, ControlStore, Document},
    },
};

/// Documents of one commit: an installation that has more is carried in several.
const DOCUMENTS: usize = 2_000;
/// Entries of the audit log in one commit.
const ENTRIES: u32 = 500;

/// What the new store knows now.
pub struct Carried {
    pub documents: usize,
    /// Every app of the old store, and which one it is in the new store.
    apps: HashMap<AppId, AppId>,
    /// Whether hashes of idempotency keys mean the same in both.
    pub same_hashes: bool,
}

impl Carried {
    /// The app that this one is in the new store.
    pub fn app(&self, app: AppId) -> Option<AppId> {
        self.apps.get(&app).copied()
    }
}

/// Why it could not be carried.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    #[error(transparent)]
    Store(#[from] store::control::Error),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("a document cannot be read: was it written by a newer version?")]
    Body(#[from] serde_json::Error),
    #[error(transparent)]
    Sealed(#[from] seal::Error),
}

/// Carries what `target` lacks, if it holds nothing of its own. `keyring` opens both stores' secrets and seals the new one's.
///
/// # Errors
/// A store is away, or a document cannot be read.
pub async fn carry(source: &dyn ControlStore, target: &dyn ControlStore, keyring: &Keyring, now: Timestamp) -> Result<Carried, CarryError> {
    let (ours, theirs) = (alive(source).await?, alive(target).await?);
    let here: HashSet<_> = ours.iter().map(|document| (document.kind, document.id)).collect();
    let mut documents = 0;
    if theirs.iter().all(|document| here.contains(&(document.kind, document.id))) {
        let there: HashSet<_> = theirs.iter().map(|document| (document.kind, document.id)).collect();
        let missing = ours.iter().filter(|document| !there.contains(&(document.kind, document.id)));
        let changes = missing.map(|document| change(document, keyring)).collect::<Result<Vec<_>, CarryError>>()?;
        documents = changes.len();
        if let Some(key) = chain_key(&ours, keyring)? {
            carry_log(source, target, &key, now).await?;
            for some in changes.chunks(DOCUMENTS) {
                target.commit(Commit { changes: some.to_vec(), audit: Vec::new(), key: key.clone(), at: now }).await?;
            }
        }
    }
    let theirs = alive(target).await?;
    let lookup = |documents: &[Document]| {
        documents.iter().find(|document| document.kind == Kind::Secret && document.name == secrets::LOOKUP).map(|document| document.id)
    };
    Ok(Carried { documents, apps: same_apps(&ours, &theirs), same_hashes: lookup(&ours).is_some() && lookup(&ours) == lookup(&theirs) })
}

async fn alive(store: &dyn ControlStore) -> Result<Vec<Document>, store::control::Error> {
    let (_, documents) = store.changes_since(0).await?;
    Ok(documents.into_iter().filter(|document| document.body.is_some()).collect())
}

fn change(document: &Document, keyring: &Keyring) -> Result<Change, CarryError> {
    let Document { kind, id, scope, name, body, .. } = document.clone();
    let body = match (kind, &body) {
        (Kind::Secret, Some(text)) => {
            let secret: SealedSecret = serde_json::from_str(text)?;
            match secrets::seal_again(&secret, keyring)? {
                Some(again) => Some(serde_json::to_string(&again)?),
                None => body,
            }
        }
        _ => body,
    };
    Ok(Change { kind, id, scope, name, expected: 0, body })
}

fn chain_key(documents: &[Document], keyring: &Keyring) -> Result<Option<ChainKey>, CarryError> {
    let bodies = documents.iter().filter(|document| document.kind == SealedSecret::KIND).filter_map(|document| document.body.as_deref());
    let kept = bodies.map(serde_json::from_str::<SealedSecret>).collect::<Result<Vec<_>, _>>()?;
    Ok(OpenSecrets::open(kept.iter(), keyring)?.audit().cloned())
}

/// The entries in their order, so that their links come out the same.
async fn carry_log(source: &dyn ControlStore, target: &dyn ControlStore, key: &ChainKey, at: Timestamp) -> Result<(), CarryError> {
    let Head { mut count, hash } = target.audit_head().await?;
    // A move that was interrupted is taken up where it stopped; a log of the target's own stays as it is.
    if count > 0 && source.audit_chain(count - 1, 1).await?.first().is_none_or(|last| last.hash != hash) {
        return Ok(());
    }
    loop {
        let some = source.audit_chain(count, ENTRIES).await?;
        let Some(last) = some.last() else { return Ok(()) };
        count = last.number;
        let audit = some.iter().map(|linked| serde_json::from_str::<Entry>(&linked.body)).collect::<Result<Vec<_>, _>>()?;
        target.commit(Commit { changes: Vec::new(), audit, key: key.clone(), at }).await?;
    }
}

/// By their ids, else by their names.
fn same_apps(ours: &[Document], theirs: &[Document]) -> HashMap<AppId, AppId> {
    fn apps(documents: &[Document]) -> impl Iterator<Item = &Document> {
        documents.iter().filter(|document| document.kind == App::KIND)
    }
    let same = |app: &Document| {
        let by_id = apps(theirs).find(|other| other.id == app.id);
        let same = by_id.or_else(|| apps(theirs).find(|other| other.name == app.name))?;
        Some((AppId::from_uuid(app.id), AppId::from_uuid(same.id)))
    };
    apps(ours).filter_map(same).collect()
}
