//! Everything that the send path asks of the control plane, in memory and immutable.
//!
//! A node builds a new snapshot from the old one and the documents that changed; readers hold theirs through `ArcSwap` and
//! never wait. Maps are shared between snapshots until one of them changes, so a log-in does not copy the suppressions.
//! Look-ups cost a hash and allocate nothing.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use tidings_core::{
    id::{AppId, ApprovalId, KeyId, SignatureId, SuppressionId, TemplateId, UserId},
    message::Channel,
    template::Template as Compiled,
};
use uuid::Uuid;

use super::{
    model::{
        ApiKey, App, Approval, KeyHash, Kind, RecipientHash, Record, RoutingRevision, RoutingState, SealedSecret, Signature, Steering,
        Suppression, Template, TemplateVersion, TokenFamily, User, VersionStatus,
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

/// A template with each version's text read once.
#[derive(Debug)]
pub struct ReadyTemplate {
    pub template: Kept<Template>,
    compiled: Vec<Option<Compiled>>,
    compiled_subjects: Vec<Option<Compiled>>,
}

impl std::ops::Deref for ReadyTemplate {
    type Target = Template;
    fn deref(&self) -> &Template {
        &self.template.value
    }
}

/// A version that may be sent, ready to be rendered.
#[derive(Clone, Copy, Debug)]
pub struct Sendable<'a> {
    pub template: &'a ReadyTemplate,
    pub version: &'a TemplateVersion,
    pub text: &'a Compiled,
    pub subject: Option<&'a Compiled>,
}

/// Why a template or a signature cannot be sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSendable {
    #[error("the app has none of this name")]
    Unknown,
    #[error("it is not approved")]
    NotApproved,
}

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

/// The revisions in force.
#[derive(Clone, Debug, Default)]
pub struct Routing {
    pub base: Option<Arc<Kept<RoutingRevision>>>,
    /// The revision that is being tried, and for how many of a hundred recipients.
    pub trial: Option<(Arc<Kept<RoutingRevision>>, u8)>,
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
    secrets: Map<String, Kept<SealedSecret>>,
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

    /// The version that `name` or `name@version` stands for: the newest approved one in the locale, the template's own
    /// locale where none is named.
    ///
    /// # Errors
    /// There is none, or it must not be sent.
    pub fn sendable(&self, app: AppId, template: &str, locale: Option<&str>) -> Result<Sendable<'_>, NotSendable> {
        let (name, number) = match template.split_once('@') {
            Some((name, number)) => (name, Some(number.parse::<u32>().map_err(|_| NotSendable::Unknown)?)),
            None => (template, None),
        };
        let ready = self.template(app, name).ok_or(NotSendable::Unknown)?;
        if ready.archived {
            return Err(NotSendable::NotApproved);
        }
        let wanted = locale.or(ready.default_locale.as_deref());
        let approved = |version: &&TemplateVersion| version.status == VersionStatus::Approved;
        let version = match number {
            Some(number) => {
                let version = ready.version(number).ok_or(NotSendable::Unknown)?;
                if locale.is_some() && version.locale.as_deref() != locale {
                    return Err(NotSendable::Unknown);
                }
                Some(version).filter(approved)
            }
            None => {
                let mut of_locale = ready.versions.iter().rev().filter(|version| version.locale.as_deref() == wanted).peekable();
                of_locale.peek().ok_or(NotSendable::Unknown)?;
                of_locale.find(approved)
            }
        };
        let version = version.ok_or(NotSendable::NotApproved)?;
        let index = version.version as usize - 1;
        let text = ready.compiled[index].as_ref().ok_or(NotSendable::NotApproved)?;
        Ok(Sendable { template: ready, version, text, subject: ready.compiled_subjects[index].as_ref() })
    }

    pub fn signature(&self, app: AppId, name: &str) -> Option<&Arc<Kept<Signature>>> {
        self.signature_names.get(&app)?.get(name)
    }

    pub fn signature_by_id(&self, id: SignatureId) -> Option<&Arc<Kept<Signature>>> {
        self.signatures.get(&id)
    }

    /// Whether the app may send under this signature on this channel.
    ///
    /// # Errors
    /// There is none of this name for the channel, or it is not approved.
    pub fn may_sign(&self, app: AppId, name: &str, channel: Channel) -> Result<(), NotSendable> {
        let signature = self.signature(app, name).filter(|signature| signature.channel.is_none_or(|own| own == channel));
        match signature.ok_or(NotSendable::Unknown)?.status {
            VersionStatus::Approved => Ok(()),
            _ => Err(NotSendable::NotApproved),
        }
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

    pub fn secrets(&self) -> impl Iterator<Item = &Arc<Kept<SealedSecret>>> {
        self.secrets.values()
    }
}

/// How documents become maps: for each kind, take out what was there under the id, then put in what is there now.
impl Snapshot {
    fn apply(&mut self, document: &Document) -> Result<(), serde_json::Error> {
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
            Kind::Secret => drop(replace(&mut self.secrets, document.name.clone(), kept(document)?)),
        }
        Ok(())
    }

    fn apply_template(&mut self, document: &Document) -> Result<(), serde_json::Error> {
        let id = TemplateId::from_uuid(document.id);
        let read = |text: &str| Compiled::parse(text).ok();
        let new = match read_body::<Template>(document)? {
            Some(template) => {
                let compiled = template.versions.iter().map(|version| read(&version.text)).collect();
                let compiled_subjects = template.versions.iter().map(|version| version.subject.as_deref().and_then(read)).collect();
                let template = Kept { value: template, revision: document.revision };
                Some(Arc::new(ReadyTemplate { template, compiled, compiled_subjects }))
            }
            None => None,
        };
        let names = Arc::make_mut(&mut self.template_names);
        if let Some(old) = replace(&mut self.templates, id, new.clone()) {
            names.entry(old.app).or_default().remove(&old.name);
        }
        if let Some(new) = new {
            names.entry(new.app).or_default().insert(new.name.clone(), new);
        }
        Ok(())
    }

    fn routing_in_force(&self) -> Routing {
        let Some(state) = &self.routing_state else { return Routing::default() };
        Routing {
            base: self.revisions.get(&state.base).cloned(),
            trial: state.trial.and_then(|number| Some((self.revisions.get(&number)?.clone(), state.percent))),
        }
    }
}

impl Routing {
    /// The revision that this recipient's messages are routed by; `None` while nothing is configured.
    pub fn for_recipient(&self, to: &str) -> Option<&Arc<Kept<RoutingRevision>>> {
        match &self.trial {
            Some((trial, percent)) if bucket(to) < *percent => Some(trial),
            _ => self.base.as_ref(),
        }
    }

    /// Those in force, the one for everybody first.
    pub fn in_force(&self) -> impl Iterator<Item = &Arc<Kept<RoutingRevision>>> {
        self.base.iter().chain(self.trial.iter().map(|(revision, _)| revision))
    }
}

/// 0 to 99 by the recipient: the same on every node and in every version of the program (FNV-1a, then a finaliser, since
/// numbers differ in their last digits only).
pub fn bucket(to: &str) -> u8 {
    let mut hash = to.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    (hash % 100) as u8
}

fn read_body<T: Record>(document: &Document) -> Result<Option<T>, serde_json::Error> {
    document.body.as_deref().map(serde_json::from_str).transpose()
}

fn kept<T: Record>(document: &Document) -> Result<Option<Arc<Kept<T>>>, serde_json::Error> {
    Ok(read_body(document)?.map(|value| Arc::new(Kept { value, revision: document.revision })))
}

fn replace<K: Eq + Hash + Clone, V>(map: &mut Map<K, V>, key: K, value: Option<Arc<V>>) -> Option<Arc<V>> {
    let map = Arc::make_mut(map);
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    }
}
