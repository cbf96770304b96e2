//! The queue: two sources, one worker.
//!
//! On the embedded and the PostgreSQL rung a message's row is its queue entry, and the store alone is the queue. With Kafka,
//! [`Road`] stands in the store's place: accepting publishes, taking consumes, the right to submit is a claim in Redis, and
//! what happened is published as facts which the recorder folds into the store. Each durable service stands in for the
//! other: what Kafka cannot take goes into the store's queue, what the store cannot take waits in Kafka, and while Redis is
//! away a message is claimed by its row.

mod breaker;
mod envelope;
pub mod kafka;
mod offsets;
mod road;

pub use self::{
    envelope::{Envelopes, Fact, Settled, Unreadable},
    offsets::Offsets,
    road::{Parts, Road},
};
