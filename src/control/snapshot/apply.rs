//! How documents become maps: for each kind, take out what was there under the id, then put in what is there now.

use std::{hash::Hash, sync::Arc};

use tidings_core::id::{AppId, ApprovalId, KeyId, SignatureId, SuppressionId, UserId};

use super::{Kept, Map, Snapshot};
use crate::{
    control::model::{ApiKey, App, Kind, Record, RoutingRevision, Signature, Suppression, User},
    store::control::Document,
};

impl Snapshot {
    pub(super) fn apply(&mut self, document: &Document) -> Result<(), serde_json::Error> {
        match document.kind {
            Kind::App => {
                let new = kept::<App>(document)?;
                let names = Arc::make_mut(&mut self.app_names);
                if let Some(old) = replace(&mut self.apps, AppId::from_uuid(document.id), new.clone()) {
                    names.remove(&old.name);
                }
                if let Some(new) = new {
                    names.insert(new.name.clone(), new.id);
                }
            }
            Kind::ApiKey => {
                let new = kept::<ApiKey>(document)?;
                let hashes = Arc::make_mut(&mut self.key_hashes);
                if let Some(old) = replace(&mut self.keys, KeyId::from_uuid(document.id), new.clone()) {
                    hashes.remove(&old.hash);
                }
                if let Some(new) = new {
                    hashes.insert(new.hash, new);
                }
            }
            Kind::Template => self.apply_template(document)?,
            Kind::Signature => {
                let new = kept::<Signature>(document)?;
                let names = Arc::make_mut(&mut self.signature_names);
                if let Some(old) = replace(&mut self.signatures, SignatureId::from_uuid(document.id), new.clone()) {
                    names.entry(old.app).or_default().remove(&old.name);
                }
                if let Some(new) = new {
                    names.entry(new.app).or_default().insert(new.name.clone(), new);
                }
            }
            Kind::User => {
                let new = kept::<User>(document)?;
                let names = Arc::make_mut(&mut self.user_names);
                if let Some(old) = replace(&mut self.users, UserId::from_uuid(document.id), new.clone()) {
                    names.remove(&old.name);
                }
                if let Some(new) = new {
                    names.insert(new.name.clone(), new.id);
                }
            }
            Kind::Approval => drop(replace(&mut self.approvals, ApprovalId::from_uuid(document.id), kept(document)?)),
            Kind::Steering => drop(replace(&mut self.steerings, document.name.clone(), kept(document)?)),
            Kind::Suppression => {
                let new = kept::<Suppression>(document)?;
                let suppressed = Arc::make_mut(&mut self.suppressed);
                if let Some(old) = replace(&mut self.suppressions, SuppressionId::from_uuid(document.id), new.clone()) {
                    suppressed.remove(&(old.app, old.recipient));
                }
                if let Some(new) = new {
                    suppressed.insert((new.app, new.recipient), new.id);
                }
            }
            Kind::RoutingRevision => {
                // Revisions are never deleted and their number never changes.
                if let Some(new) = kept::<RoutingRevision>(document)? {
                    Arc::make_mut(&mut self.revisions).insert(new.number, new);
                }
            }
            Kind::RoutingState => self.routing_state = kept(document)?,
            Kind::TokenFamily => drop(replace(&mut self.families, document.id, kept(document)?)),
            Kind::Erasure => drop(replace(&mut self.erasures, document.id, kept(document)?)),
            Kind::Secret => drop(replace(&mut self.secrets, document.name.clone(), kept(document)?)),
        }
        Ok(())
    }
}

pub(super) fn read_body<T: Record>(document: &Document) -> Result<Option<T>, serde_json::Error> {
    document.body.as_deref().map(serde_json::from_str).transpose()
}

fn kept<T: Record>(document: &Document) -> Result<Option<Arc<Kept<T>>>, serde_json::Error> {
    Ok(read_body(document)?.map(|value| Arc::new(Kept { value, revision: document.revision })))
}

pub(super) fn replace<K: Eq + Hash + Clone, V>(map: &mut Map<K, V>, key: K, value: Option<Arc<V>>) -> Option<Arc<V>> {
    let map = Arc::make_mut(map);
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    }
}
