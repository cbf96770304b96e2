//! Who may send what: apps, keys, people, templates, approvals, routing revisions, and the log of every change.
//!
//! [`Control`] is the one door. Reading goes to an immutable [`Snapshot`] that every node holds whole; changing goes through
//! a use case that takes the [`Actor`], plans on the snapshot, and commits the changed documents together with their audit
//! entries. A plan names the revisions it was made on; if somebody else was faster it is made again on what is there now.
//!
//! Snapshots are refreshed after each commit of this node, when the store says that another node committed, and every
//! second. Last known rights are good for `Control::max_stale` without the store, also across a restart, by a sealed
//! copy in `data_dir`.

pub mod approvals;
pub mod apps;
pub mod audit;
pub mod auth;
mod bootstrap;
pub mod carry;
pub mod content;
pub mod diff;
pub mod erasures;
pub mod fields;
mod housekeeping;
mod jwt;
mod key_uses;
pub mod keys;
mod local;
mod log_in;
pub mod model;
mod node;
mod notes;
mod password;
pub mod people;
mod plan;
mod refresh;
pub mod revisions;
mod revocations;
pub mod routing;
pub mod secrets;
pub mod sign_on;
mod signatures;
pub mod snapshot;
pub mod steering;
mod suppressions;
pub mod templates;
mod throttle;
pub mod tokens;

use std::time::Duration;

use tidings_core::{id::AuditId, time::Timestamp};

pub use self::{
    bootstrap::{Applied, Bootstrap, Demo, Faults, demo},
    node::{Control, OpenError, Options},
    plan::Plan,
    snapshot::Snapshot,
};
use self::{
    fields::Fault,
    model::{ActorId, Kind, RequestStatus, Role},
};
use crate::store;

/// How often a node asks for changes that no notice told it of.
pub const POLL: Duration = Duration::from_secs(1);

/// Wrong passwords in a minute, for a name or from an address, before nobody gets in until it ends.
pub const MAX_WRONG_PASSWORDS: u64 = throttle::MAX_WRONG as u64;

/// Who acts, and from where: what the audit log keeps.
#[derive(Clone, Debug)]
pub struct Actor {
    pub id: ActorId,
    /// `None` for machines and for the installation's own hands.
    pub role: Option<Role>,
    /// Who made the key, if a key acts: together they are one pair of eyes.
    pub maker: Option<ActorId>,
    pub address: Option<String>,
    pub request_id: Option<String>,
}

impl Actor {
    /// The installation's own hands, which nobody needs to allow anything.
    pub const fn own(id: ActorId) -> Self {
        Self { id, role: None, maker: None, address: None, request_id: None }
    }
}

/// Why a use case did nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no such thing, or it belongs to somebody else")]
    NotFound,
    #[error("a {0} of this name exists")]
    Exists(Kind),
    #[error("what was asked for is not valid")]
    Invalid(Vec<Fault>),
    #[error("nobody decides their own request")]
    OwnRequest,
    #[error("the request is {0}")]
    NotPending(RequestStatus),
    /// It is not in the state that this step starts from.
    #[error("{0}")]
    NotApproved(&'static str),
    /// Others changed the same thing again and again.
    #[error("too many changes at once")]
    Busy,
    #[error("what is kept cannot be read")]
    Unreadable(#[from] snapshot::Unreadable),
    #[error(transparent)]
    Seal(#[from] crate::seal::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    /// One field is wrong.
    pub fn invalid(pointer: &str, code: &'static str, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![Fault::new(pointer, code, detail)])
    }
}

/// What a plan is made on: the moment, the snapshot, and randomness.
pub struct Scene<'a> {
    pub snapshot: &'a Snapshot,
    pub now: Timestamp,
    pub clock: &'a crate::clock::Clock,
    /// The master keys.
    pub keyring: &'a crate::seal::Keyring,
}

impl Scene<'_> {
    /// What documents' own secrets are sealed with.
    fn sealing(&self) -> &crate::seal::Keyring {
        self.snapshot.opened().data().map_or(self.keyring, |data| data)
    }

    fn audit_id(&self) -> AuditId {
        AuditId::new(self.now, self.clock.random())
    }

    /// A new UUIDv7 for documents whose id has no prefix.
    pub fn uuid(&self) -> uuid::Uuid {
        tidings_core::id::uuid_v7(self.now, self.clock.random())
    }
}

impl From<store::control::Error> for Error {
    fn from(error: store::control::Error) -> Self {
        match error {
            store::control::Error::Store(error) => Self::Store(error),
            store::control::Error::Conflict { .. } => Self::Busy,
            store::control::Error::Exists { kind } => Self::Exists(kind),
        }
    }
}
