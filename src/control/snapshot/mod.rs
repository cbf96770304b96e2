//! Everything that the send path asks of the control plane, in memory and immutable.
//!
//! A node builds a new snapshot from the old one and the documents that changed; readers hold theirs through `ArcSwap` and
//! never wait. Maps are shared between snapshots until one of them changes, so a log-in does not copy the suppressions.
//! Look-ups cost a hash and allocate nothing.

mod apply;
mod routing;
mod sendable;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use tidings_core::id::{AppId, ApprovalId, KeyId, SignatureId, SuppressionId, TemplateId, UserId};
use uuid::Uuid;

pub use self::{
    routing::{Routing, bucket},
    sendable::{NotSendable, ReadyTemplate, Sendable},
};
use super::{
    model::{
        ApiKey, App, Approval, Erasure, KeyHash, Kind, RecipientHash, RoutingRevision, RoutingState, SealedSecret, Signature, Steering,
        Suppression, TokenFamily, User,
    },
    secrets::OpenSecrets,
};
use crate::{seal::Keyring, store::control::Document};

/// A document as it was read, with the revision that a change of it must name.
#[derive(Debug)]
pub struct Kept<T> {
    pub value: T,
    pub revision: i64,
}

impl<T> std::ops::Deref for Kept<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

type Map<K, V> = Arc<HashMap<K, Arc<V>>>;

/// A document that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("the {kind} {id} cannot be read: was it written by a newer version?")]
    Body {
        kind: Kind,
        id: Uuid,
        #[source]
        source: serde_json::Error,
    },
    #[error("the installation's secret {name} cannot be opened: is this the master key of this installation?")]
    Sealed {
        name: String,
        #[source]
        source: crate::seal::Error,
    },
}

/// An app's signatures by name.
type SignaturesByName = HashMap<String, Arc<Kept<Signature>>>;

#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    sequence: i64,
    apps: Map<AppId, Kept<App>>,
    app_names: Arc<HashMap<String, AppId>>,
    keys: Map<KeyId, Kept<ApiKey>>,
    key_hashes: Map<KeyHash, Kept<ApiKey>>,
    templates: Map<TemplateId, ReadyTemplate>,
    template_names: Arc<HashMap<AppId, HashMap<String, Arc<ReadyTemplate>>>>,
    signatures: Map<SignatureId, Kept<Signature>>,
    signature_names: Arc<HashMap<AppId, SignaturesByName>>,
    users: Map<UserId, Kept<User>>,
    user_names: Arc<HashMap<String, UserId>>,
    approvals: Map<ApprovalId, Kept<Approval>>,
    suppressions: Map<SuppressionId, Kept<Suppression>>,
    suppressed: Arc<HashMap<(Option<AppId>, RecipientHash), SuppressionId>>,
    revisions: Map<u32, Kept<RoutingRevision>>,
    routing_state: Option<Arc<Kept<RoutingState>>>,
    routing: Routing,
    steerings: Map<String, Kept<Steering>>,
    families: Map<Uuid, Kept<TokenFamily>>,
    erasures: Map<Uuid, Kept<Erasure>>,
    secrets: Map<String, Kept<SealedSecret>>,
    /// Keys and token families that were revoked by another way than their documents.
    revoked: Arc<BTreeSet<Uuid>>,
    opened: Arc<OpenSecrets>,
}

impl Snapshot {
    /// The commit that this snapshot shows.
    pub const fn sequence(&self) -> i64 {
        self.sequence
    }

    /// The snapshot that follows from this one by `documents`, in the order of their sequences.
    ///
    /// # Errors
    /// A document was written by a newer version of the program, or sealed with another installation's key.
    pub fn with(&self, sequence: i64, documents: &[Document], keyring: &Keyring) -> Result<Self, Unreadable> {
        let mut next = self.clone();
        for document in documents {
            next.apply(document).map_err(|source| Unreadable::Body { kind: document.kind, id: document.id, source })?;
        }
        if documents.iter().any(|document| document.kind == Kind::Secret) {
            next.opened = Arc::new(OpenSecrets::open(next.secrets.values().map(|secret| &secret.value), keyring)?);
        }
        next.sequence = sequence;
        next.routing = next.routing_in_force();
        Ok(next)
    }

    /// The same with these keys and families revoked.
    #[must_use]
    pub(super) fn with_revoked(&self, revoked: BTreeSet<Uuid>) -> Self {
        Self { revoked: Arc::new(revoked), ..self.clone() }
    }

    pub(super) fn revoked(&self) -> &BTreeSet<Uuid> {
        &self.revoked
    }

    pub(super) fn has_revoked(&self, revoked: &BTreeSet<Uuid>) -> bool {
        *self.revoked == *revoked
    }

    /// Whether a key or a family was revoked, whatever its document says.
    pub fn is_revoked(&self, id: Uuid) -> bool {
        self.revoked.contains(&id)
    }

    pub fn app(&self, id: AppId) -> Option<&Arc<Kept<App>>> {
        self.apps.get(&id)
    }

    pub fn app_named(&self, name: &str) -> Option<&Arc<Kept<App>>> {
        self.apps.get(self.app_names.get(name)?)
    }

    /// An app by id or name, as the admin API takes both.
    pub fn app_by(&self, id_or_name: &str) -> Option<&Arc<Kept<App>>> {
        id_or_name.parse().ok().and_then(|id| self.app(id)).or_else(|| self.app_named(id_or_name))
    }

    pub fn key_by_hash(&self, hash: &KeyHash) -> Option<&Arc<Kept<ApiKey>>> {
        self.key_hashes.get(hash)
    }

    pub fn key(&self, id: KeyId) -> Option<&Arc<Kept<ApiKey>>> {
        self.keys.get(&id)
    }

    pub fn template(&self, app: AppId, name: &str) -> Option<&Arc<ReadyTemplate>> {
        self.template_names.get(&app)?.get(name)
    }

    pub fn template_by_id(&self, id: TemplateId) -> Option<&Arc<ReadyTemplate>> {
        self.templates.get(&id)
    }

    pub fn signature(&self, app: AppId, name: &str) -> Option<&Arc<Kept<Signature>>> {
        self.signature_names.get(&app)?.get(name)
    }

    pub fn signature_by_id(&self, id: SignatureId) -> Option<&Arc<Kept<Signature>>> {
        self.signatures.get(&id)
    }

    /// Whether this recipient must not be written to by this app.
    pub fn is_suppressed(&self, app: AppId, recipient: RecipientHash) -> bool {
        !self.suppressed.is_empty()
            && (self.suppressed.contains_key(&(Some(app), recipient)) || self.suppressed.contains_key(&(None, recipient)))
    }

    pub fn suppression(&self, id: SuppressionId) -> Option<&Arc<Kept<Suppression>>> {
        self.suppressions.get(&id)
    }

    pub fn user(&self, id: UserId) -> Option<&Arc<Kept<User>>> {
        self.users.get(&id)
    }

    pub fn user_named(&self, name: &str) -> Option<&Arc<Kept<User>>> {
        self.users.get(self.user_names.get(name)?)
    }

    pub fn approval(&self, id: ApprovalId) -> Option<&Arc<Kept<Approval>>> {
        self.approvals.get(&id)
    }

    pub fn revision(&self, number: u32) -> Option<&Arc<Kept<RoutingRevision>>> {
        self.revisions.get(&number)
    }

    pub const fn routing_state(&self) -> Option<&Arc<Kept<RoutingState>>> {
        self.routing_state.as_ref()
    }

    pub const fn routing(&self) -> &Routing {
        &self.routing
    }

    pub fn family(&self, id: Uuid) -> Option<&Arc<Kept<TokenFamily>>> {
        self.families.get(&id)
    }

    /// The installation's own secrets, opened.
    pub fn opened(&self) -> &OpenSecrets {
        &self.opened
    }

    /// The keyed hash that suppressions know a recipient by; `None` before the installation has its keys.
    pub fn recipient_hash(&self, to: &str) -> Option<RecipientHash> {
        self.opened.lookup().map(|key| RecipientHash::of(key, to))
    }

    pub fn secret(&self, name: &str) -> Option<&Arc<Kept<SealedSecret>>> {
        self.secrets.get(name)
    }

    pub fn apps(&self) -> impl Iterator<Item = &Arc<Kept<App>>> {
        self.apps.values()
    }

    pub fn keys(&self) -> impl Iterator<Item = &Arc<Kept<ApiKey>>> {
        self.keys.values()
    }

    pub fn templates(&self) -> impl Iterator<Item = &Arc<ReadyTemplate>> {
        self.templates.values()
    }

    pub fn signatures(&self) -> impl Iterator<Item = &Arc<Kept<Signature>>> {
        self.signatures.values()
    }

    pub fn users(&self) -> impl Iterator<Item = &Arc<Kept<User>>> {
        self.users.values()
    }

    pub fn approvals(&self) -> impl Iterator<Item = &Arc<Kept<Approval>>> {
        self.approvals.values()
    }

    pub fn suppressions(&self) -> impl Iterator<Item = &Arc<Kept<Suppression>>> {
        self.suppressions.values()
    }

    pub fn revisions(&self) -> impl Iterator<Item = &Arc<Kept<RoutingRevision>>> {
        self.revisions.values()
    }

    pub fn families(&self) -> impl Iterator<Item = &Arc<Kept<TokenFamily>>> {
        self.families.values()
    }

    pub fn steerings(&self) -> impl Iterator<Item = &Arc<Kept<Steering>>> {
        self.steerings.values()
    }

    /// What people said last about a provider.
    pub fn steering_of(&self, provider: &str) -> Option<&Arc<Kept<Steering>>> {
        self.steerings.get(provider)
    }

    /// Recipients whose data is to be deleted.
    pub fn erasures(&self) -> impl Iterator<Item = &Arc<Kept<Erasure>>> {
        self.erasures.values()
    }

    pub fn secrets(&self) -> impl Iterator<Item = &Arc<Kept<SealedSecret>>> {
        self.secrets.values()
    }
}
