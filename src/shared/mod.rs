//! What nodes share besides the store: claims, idempotency keys, health summaries, revocations, budgets.
//!
//! [`Shared`] is never the only copy of anything: it is fast and may be away, empty or behind. Whatever is read and then
//! written is one script with the server's own time, so that no two nodes decide on different clocks. Keys are made so
//! that a cluster can spread them: one call touches one key.
//!
//! A *claim* is the right to submit one message: `{owner, lease until, attempts, state}`. It is what keeps two workers from
//! calling a provider for the same message, and what tells the next one how far the last one came.

pub mod allowance;
mod in_process;
mod local;
mod redis;
mod scripts;

use std::time::Duration;

use async_trait::async_trait;
use tidings_core::id::MessageId;
use uuid::Uuid;

pub use self::{in_process::InProcess, local::Local, redis::Redis};
use crate::store::LeaseOwner;

/// The shared service could not be asked, or did not answer in time.
#[derive(Debug, thiserror::Error)]
#[error("the shared service is away")]
pub struct Away(#[source] pub anyhow::Error);

/// How far a claimed message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimState {
    /// An attempt is on the wire, or its worker died.
    Open,
    /// The last attempt ended and the owner goes on with the message.
    Between,
    /// What follows was decided, and is kept with the claim until everybody knows.
    Done,
    /// Nobody may submit it any more.
    Cancelled,
}

impl ClaimState {
    const ALL: [Self; 4] = [Self::Open, Self::Between, Self::Done, Self::Cancelled];

    const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Between => "between",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// A claim as somebody else sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub owner: LeaseOwner,
    pub state: ClaimState,
    /// What is left of its lease, by the server's clock; zero when it is over.
    pub lease_left: Duration,
    /// The last attempt's number.
    pub number: u32,
    /// What the owner wrote down: sealed, opaque here.
    pub body: Vec<u8>,
}

/// What to write into a claim.
#[derive(Clone, Debug)]
pub struct ClaimWrite {
    pub id: MessageId,
    pub owner: LeaseOwner,
    pub state: ClaimState,
    /// The writer knows of no claim: if there is one, even its own, nothing is written.
    pub unseen: bool,
    /// Of the last attempt.
    pub number: u32,
    pub lease: Duration,
    /// How long the claim is remembered: longer than anybody may come back to the message.
    pub keep: Duration,
    pub body: Vec<u8>,
}

/// What came of a [`ClaimWrite`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimAnswer {
    Written,
    /// Another's lease runs, another came further, or the message was cancelled: do nothing.
    Lost,
}

/// What came of reserving an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    New,
    /// Reserved before, for this message with this body hash.
    Known(MessageId, [u8; 16]),
}

/// An idempotency key for a message.
#[derive(Clone, Copy, Debug)]
pub struct Reservation {
    pub key: [u8; 16],
    pub body: [u8; 16],
    pub id: MessageId,
}

/// A share of a contract for one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// How many nodes spend from this budget, this one included. A dead one counts for a while.
    pub nodes: u32,
}

/// What came of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    Counted,
    /// There were too many; what is left of the window.
    Closed(Duration),
}

/// The port.
#[async_trait]
pub trait Shared: Send + Sync {
    /// The claims on these messages, in order.
    async fn claims(&self, ids: &[MessageId]) -> Result<Vec<Option<Claim>>, Away>;

    /// Writes claims, each only if its owner may: nobody else holds it, or the other's lease is over and did not come
    /// further than the writer knows.
    async fn claim(&self, writes: &[ClaimWrite]) -> Result<Vec<ClaimAnswer>, Away>;

    /// Takes the claim away from whoever might submit. `false` if an attempt is out or everything was decided.
    async fn cancel(&self, id: MessageId, keep: Duration) -> Result<bool, Away>;

    /// Reserves idempotency keys: the first to come wins.
    async fn reserve(&self, reservations: &[Reservation], keep: Duration) -> Result<Vec<Reserved>, Away>;

    /// Reserves keys as somebody says who knows it from the store, over whatever was reserved.
    async fn correct(&self, reservations: &[Reservation], keep: Duration) -> Result<(), Away>;

    /// Since when no idempotency key can be missing, in milliseconds since 1970; `None` if nobody knows.
    async fn complete_since(&self) -> Result<Option<i64>, Away>;

    async fn set_complete_since(&self, millis: i64) -> Result<(), Away>;

    /// Tells the others something under a name, for a while.
    async fn tell(&self, topic: &str, name: &str, value: &[u8], keep: Duration) -> Result<(), Away>;

    /// What everybody told under a topic and has not been forgotten, by name.
    async fn told(&self, topic: &str) -> Result<Vec<(String, Vec<u8>)>, Away>;

    /// Registers this node as one that spends from `budget`, and counts all that did within `alive`.
    async fn register(&self, budget: &str, node: Uuid, alive: Duration) -> Result<Registered, Away>;

    /// Counts a try under a name, unless `most` were counted since the first of them: then says how long until `window` has
    /// passed since that one.
    async fn try_once(&self, name: &str, most: u32, window: Duration) -> Result<Tried, Away>;

    /// Takes a counted try back.
    async fn take_back(&self, name: &str) -> Result<(), Away>;

    async fn ping(&self) -> Result<(), Away>;
}
