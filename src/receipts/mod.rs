//! Receipts: what providers say became of messages, from any side, on one way into the store.
//!
//! [`Intake`] takes what came over HTTP: it lets the provider verify and read it. [`Confirm`] makes receipts durable,
//! whoever brought them (also providers inside the process, as their `ReceiptSink`), and tells what they meant to whoever
//! watches. Matching, keeping what came too early and moving the status forward only is one transaction in the store, so
//! duplicates and any order are fine, and "ok" is said only for what is on disk.

mod confirm;
mod intake;

pub use self::{
    confirm::{Confirm, Confirmed, Observer},
    intake::{Accounts, Intake, Refusal},
};
