//! What is durable. The only folder that holds SQL.
//!
//! The ports ([`Messages`] here, one per concern) say what must be true after a call returns; every backend proves it by
//! the same conformance suite. A call that returns `Ok` is on disk. A call that returns [`Error::Unavailable`] may have
//! happened: each is idempotent, so that whoever asked may ask again.

mod codec;
pub mod control;
mod error;
mod facts;
mod group;
mod joined;
mod keys;
mod listing;
mod messages;
mod outcomes;
pub mod postgres;
mod rows;
mod sqlite;

pub use self::{
    error::Error,
    facts::{
        Accepting, Cancelling, Erased, Filter, Forgotten, Idempotency, Lease, LeaseOwner, NewMessage, Next, Opening, Page, ReceiptFact,
        ReceiptMatch, Record, Releasing, Repeat, Settlement, Settling, SweepMark, Taken, Waiting,
    },
    group::Group,
    joined::{Joined, JoinedReceipts},
    messages::Messages,
    sqlite::{Sqlite, SqliteControl, Tick},
};

/// How long an idempotency key is remembered: from acceptance, or from `send_at`.
pub const IDEMPOTENCY_LASTS: std::time::Duration = std::time::Duration::from_hours(24);
/// How long a receipt may still resolve an `unknown` message.
pub const UNKNOWN_RESOLVES: std::time::Duration = std::time::Duration::from_hours(72);
