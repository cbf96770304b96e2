//! Everything that can be asked of the writer, and what it answers.

use std::collections::BTreeSet;

use tidings_core::{
    attempt::Attempt,
    id::{AppId, MessageId},
    message::{Lane, Recipient, Status},
    time::Timestamp,
};
use tokio::sync::oneshot;

use super::lookups::Pair;
use crate::store::{
    Accepting, Cancelling, Erased, Idempotency, Joined, Lease, LeaseOwner, Next, Opening, ReceiptFact, ReceiptMatch, Releasing, Settling,
    Taken, codec::NewRow,
};

/// An attempt that begins.
pub struct OpenRow {
    pub id: MessageId,
    pub lane: Lane,
    pub lease: Lease,
    pub provider: String,
    pub attempts: Vec<u8>,
}

/// An attempt that ended, or a decision without one.
pub struct SettleRow {
    pub id: MessageId,
    pub owner: LeaseOwner,
    pub category: i64,
    pub attempts: Vec<Attempt>,
    pub attempts_json: Option<Vec<u8>>,
    pub next: Next,
    pub at: Timestamp,
    /// Where receipts will look for it: the hash of the last attempt's provider and provider message id.
    pub submitted_hash: Option<i64>,
}

/// Which messages to cancel.
pub enum CancelWhich {
    One { app: Option<AppId>, id: MessageId },
    Reference { app: AppId, hash: i64 },
}

pub enum Write {
    Accept(Vec<NewRow>),
    KeepAnswer { idempotency: Idempotency, answer: Vec<u8>, now: Timestamp },
    Lease { lane: Lane, lease: Lease, now: Timestamp, most: usize },
    HandBack { ids: Vec<MessageId>, owner: LeaseOwner, now: Timestamp },
    Open(OpenRow),
    Settle(SettleRow),
    Receipt { fact: ReceiptFact, hash: Option<i64> },
    Cancel { which: CancelWhich, now: Timestamp },
    Release { app: Option<AppId>, id: MessageId, now: Timestamp },
    Forget { ids: Vec<MessageId> },
    Sweep { pairs: Vec<Pair>, now: Timestamp },
    Erase { ids: Vec<MessageId>, to: Recipient },
}

impl Write {
    /// Somebody outside waits for the answer, or a code does: not only a worker with much to do.
    pub const fn is_waited_for(&self) -> bool {
        match self {
            Self::Lease { lane, .. } | Self::Open(OpenRow { lane, .. }) => matches!(lane, Lane::Urgent),
            Self::HandBack { .. } | Self::Settle(_) | Self::Forget { .. } | Self::Sweep { .. } => false,
            _ => true,
        }
    }

    /// A code waits for it.
    pub fn is_for_a_code(&self) -> bool {
        match self {
            Self::Accept(rows) => rows.iter().any(|row| row.category == Lane::Urgent.index() as i64),
            Self::Lease { lane, .. } | Self::Open(OpenRow { lane, .. }) => *lane == Lane::Urgent,
            _ => false,
        }
    }
}

pub enum Answer {
    Accepted(Vec<Accepting>),
    Done,
    Leased(Vec<Taken>),
    Opened(Opening),
    Settled(Settling),
    Receipt(ReceiptMatch),
    /// One answer for [`CancelWhich::One`]; any number for a reference.
    Cancelled(Vec<Cancelling>),
    Released(Releasing),
    Forgotten(u64),
    Erased(Erased),
}

/// A write and whoever waits for its answer. When the writer drops `reply`, nothing of it was written.
pub struct Request {
    pub write: Write,
    pub reply: oneshot::Sender<Answer>,
}

/// What a tick changes in memory once it is on disk.
#[derive(Default)]
pub struct Moved {
    /// Open messages by lane.
    pub open: [i64; 3],
    /// Receipts that wait for their message.
    pub early: i64,
    pub pairs: Vec<Pair>,
    /// Pairs of messages that were erased.
    pub unlinked: BTreeSet<Pair>,
    /// Receipts that were kept and are applied.
    pub joined: Vec<Joined>,
}

impl Moved {
    pub fn entered(&mut self, category: i64) {
        self.change(category, 1);
    }

    pub fn closed(&mut self, category: i64) {
        self.change(category, -1);
    }

    fn change(&mut self, category: i64, by: i64) {
        if let Some(count) = usize::try_from(category).ok().and_then(|index| self.open.get_mut(index)) {
            *count += by;
        }
    }
}

/// The number that `messages.status` holds.
pub const fn number(status: Status) -> i64 {
    status.index() as i64
}
