//! What the control plane knows, as plain values: apps and their keys, templates, signatures, people, requests for
//! approval, suppressions, routing revisions.
//!
//! Each of them is one *document*: it has an id, a name that is unique within a scope (the app, or nothing), and it is
//! replaced as a whole. Nothing here decides who may change what; that is the use cases' work. Secrets are never in a
//! document in the clear: keys and passwords are hashes, credentials are sealed.

mod app;
mod approval;
mod erasure;
mod identity;
mod key;
mod routing;
mod steering;
mod suppression;
mod template;

use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

pub use self::{
    app::{App, RecipientCap},
    approval::{Approval, Comment, Decision, NotPending, RequestKind, RequestStatus, Target},
    erasure::Erasure,
    identity::{Role, SealedSecret, TokenFamily, User},
    key::{ApiKey, KeyHash, MIN_SECRET_CHARS, NotAKey, Scope, Scopes},
    routing::{Match, Provider, Route, RoutingDocument, RoutingRevision, RoutingState, SettingValue},
    steering::{Hand, Steering},
    suppression::{RecipientHash, Suppression},
    template::{Signature, Template, TemplateVersion, VersionStatus},
};

tidings_core::words! {
    /// The kinds of document.
    Kind {
        App = "app",
        ApiKey = "api_key",
        Template = "template",
        Signature = "signature",
        User = "user",
        Approval = "approval",
        Suppression = "suppression",
        RoutingRevision = "routing_revision",
        RoutingState = "routing_state",
        /// What people said about a provider.
        Steering = "steering",
        /// A log-in or a client's exchange: the rotating refresh token and everything signed with it.
        TokenFamily = "token_family",
        /// A recipient whose data is to be deleted.
        Erasure = "erasure",
        /// A sealed secret of the installation's own: signing keys, the key of the audit chain, the key of look-ups.
        Secret = "secret",
    }
}

/// A value that is kept as a document.
pub trait Record: Serialize + DeserializeOwned + Send + Sync + 'static {
    const KIND: Kind;

    fn uuid(&self) -> Uuid;

    /// Within what the name is unique: an app's id, or nothing.
    fn scope(&self) -> String {
        String::new()
    }

    fn name(&self) -> String;
}

/// Who did something: a person's name, a key's id, or one of the installation's own hands (`bootstrap`, `command`, `system`).
///
/// People's names are unique, never change and cannot be any of the others' (see [`User::is_name`]).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ActorId(String);

impl ActorId {
    pub fn bootstrap() -> Self {
        Self("bootstrap".to_owned())
    }

    /// Somebody at the command line of the installation itself.
    pub fn command() -> Self {
        Self("command".to_owned())
    }

    /// The service itself, by a rule and not by a person.
    pub fn system() -> Self {
        Self("system".to_owned())
    }

    pub fn user(user: &User) -> Self {
        Self(user.name.clone())
    }

    pub fn key(key: tidings_core::id::KeyId) -> Self {
        Self(key.to_string())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ActorId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
