//! What a worker has in its hands: messages that it took and has not finished, and by whose word it may submit them.
//!
//! A message comes as a record, as a row, or as both. Its records' tokens are kept with it, and are finished when it is: closed,
//! parked, or decided in a published fact.

use std::collections::HashMap;

use tidings_core::{
    attempt::{self, Attempt},
    id::MessageId,
    time::Timestamp,
};

use super::{Token, put_off::PutOff};
use crate::store::{Lease, NewMessage};

/// Who says that this process may submit a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Authority {
    Claim,
    Row,
}

/// A message in this process's hands.
pub(super) struct Held {
    pub(super) new: NewMessage,
    pub(super) authority: Authority,
    /// Until when nobody else may take its row, where that is leased.
    pub(super) leased_until: Timestamp,
    /// Records that are finished once the message is.
    pub(super) tokens: Vec<Token>,
    /// Whether a claim of ours may stand in Redis, whoever is the authority now.
    pub(super) claimed: bool,
    /// It was taken because it had no claim: the first that is written finds out whether that is still so.
    pub(super) unseen: bool,
    /// The number of the attempt that was opened last. Whoever hands the message back has not sent it.
    pub(super) opened: Option<u32>,
    /// How far its row had come, if it is the row that was leased.
    pub(super) row: Option<usize>,
}

impl Held {
    /// A message that Kafka brought.
    pub(super) fn record(arrived: Arrived, authority: Authority, lease: Lease) -> Self {
        Self { tokens: vec![arrived.token], row: None, ..Self::row(arrived.new, authority, lease, &[]) }
    }

    /// A message whose row we lease, which says so much of it.
    pub(super) fn row(new: NewMessage, authority: Authority, lease: Lease, attempts: &[Attempt]) -> Self {
        let row = Some(attempt::steps(attempts));
        Self { new, authority, leased_until: lease.until, tokens: Vec::new(), claimed: false, unseen: false, opened: None, row }
    }
}

/// A message that Kafka brought.
pub(super) struct Arrived {
    pub(super) new: NewMessage,
    pub(super) token: Token,
    /// Probably nobody has claimed it: the first claim that is written finds out.
    pub(super) fresh: bool,
    /// The number of an attempt that may stand open in the claim and was never sent by us.
    pub(super) unsent: Option<u32>,
    /// The attempts that this process knows of; the claim or the row may know more.
    pub(super) attempts: Vec<Attempt>,
}

#[derive(Default)]
pub(super) struct Hands {
    pub(super) held: HashMap<MessageId, Held>,
    /// Looked at again later: another's lease runs, or a service that must be asked is away.
    pub(super) put_off: PutOff<Arrived>,
}
