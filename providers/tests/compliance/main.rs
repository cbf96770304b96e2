//! The same cases over every kind: what a provider does on the wire, and what an adapter must call it.
//!
//! [`vendor`] is a server that does to a connection whatever a case asks, [`cases`] lists what happens and what it means,
//! [`kinds`] says of every kind how it is configured and how its vendor says yes. A new kind is one row there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cases;
mod kinds;
mod vendor;
