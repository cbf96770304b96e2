//! What is told to the store of messages, and what it answers: the words of its port.
//!
//! They say what happened and what is wanted, never how a backend keeps it, so that every backend is asked the same.

use std::{sync::Arc, time::Duration};

use tidings_core::{
    attempt::{Attempt, Opened},
    id::{AppId, MessageId},
    message::{Category, Channel, Lane, Message, Status},
    time::Timestamp,
};

/// Who holds a lease: one running process, drawn at its start.
pub type LeaseOwner = i64;

/// A claim on messages for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub owner: LeaseOwner,
    pub until: Timestamp,
}

/// An idempotency key and what was sent with it, both as hashes (of app and key; of the canonical JSON).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idempotency {
    pub key: [u8; 16],
    pub body: [u8; 16],
}

/// A message to make durable.
#[derive(Clone, Debug)]
pub struct NewMessage {
    pub message: Arc<Message>,
    pub idempotency: Option<Idempotency>,
    /// Set when a worker of this process takes it as soon as it is durable: it is born leased.
    pub lease: Option<Lease>,
    /// Set when that worker has chosen a provider already: its first attempt is opened by the write that accepts it.
    pub opened: Option<Opened>,
}

impl NewMessage {
    /// One that waits for whoever takes it.
    pub fn waiting(message: impl Into<Arc<Message>>) -> Self {
        Self { message: message.into(), idempotency: None, lease: None, opened: None }
    }
}

/// What became of a message that was to be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepting {
    New,
    /// The same key and body were accepted before, as this message; nothing was written.
    Repeated(MessageId),
    /// The key was used for another body.
    Mismatch,
}

/// What was accepted with an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    pub id: MessageId,
    pub body: [u8; 16],
}

/// A message that a worker holds: everything that delivery needs to go on with it.
#[derive(Clone, Debug)]
pub struct Taken {
    pub message: Arc<Message>,
    pub status: Status,
    /// All attempts so far; the last is open if a worker died during it.
    pub attempts: Vec<Attempt>,
    pub lease: Lease,
}

/// Answer to [`Messages::open`](super::Messages::open).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// The attempt is on disk; the wire may be touched.
    Opened,
    /// The lease is another's, or the message is closed (cancelled meanwhile): submit nothing.
    Lost,
}

/// What happens to a message after its attempt ended, or instead of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It stays with the worker, which goes on to the next provider.
    Continue,
    /// It waits until then, with nobody.
    Wait(Timestamp),
    /// It reached this status.
    Close(Status),
}

/// The end of an attempt, or a decision without one.
#[derive(Clone, Debug)]
pub struct Settlement {
    pub id: MessageId,
    pub lane: Lane,
    pub owner: LeaseOwner,
    /// All attempts, the last one ended. A worker holds them all, so it writes them all: twice is as good as once.
    pub attempts: Vec<Attempt>,
    pub next: Next,
    pub at: Timestamp,
}

/// Answer to [`Messages::settle`](super::Messages::settle).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settling {
    /// Written; this is the status now (a receipt may have been there first).
    Settled(Status),
    /// The lease was lost meanwhile. The attempt's end was recorded all the same, and moved the status if it could.
    Late(Status),
    /// No such message.
    Missing,
}

/// What a provider says became of a message. Also the row of the timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptFact {
    pub provider: String,
    pub provider_message_id: Option<String>,
    /// Our own reference, where the provider gives it back.
    pub reference: Option<MessageId>,
    /// `Delivered`, `Undelivered` or `Submitted`.
    pub status: Status,
    pub vendor_status: String,
    pub error_code: Option<String>,
    /// When it came in.
    pub at: Timestamp,
}

/// Answer to [`Messages::receipt`](super::Messages::receipt).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiptMatch {
    /// It belongs to this message. `moved` tells whether the status changed by it; `submitted_at` is the start of the
    /// attempt that it confirms, for the provider's health.
    Known { id: MessageId, app: AppId, status: Status, moved: bool, contradicts: bool, submitted_at: Option<Timestamp> },
    /// The same receipt was there before.
    Duplicate(MessageId),
    /// Nobody knows it yet: it is kept, and joined when the submission's answer comes.
    Early,
    /// It is durable, and applied by whoever records: what it means is told there.
    Published,
}

/// Answer to [`Messages::cancel`](super::Messages::cancel).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelling {
    Cancelled,
    TooLate(Status),
    NotFound,
}

/// Answer to [`Messages::release`](super::Messages::release).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Releasing {
    /// Released into this status: `Accepted` or `Scheduled`.
    Released(Status),
    NotHeld(Status),
    NotFound,
}

/// Everything known about a message.
#[derive(Clone, Debug)]
pub struct Record {
    pub message: Message,
    pub status: Status,
    pub attempts: Vec<Attempt>,
    pub receipts: Vec<ReceiptFact>,
    pub released_at: Option<Timestamp>,
    pub closed_at: Option<Timestamp>,
    /// When somebody looks at it next, while it is open.
    pub due_at: Option<Timestamp>,
}

/// Which messages to list; `None` does not restrict.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub app: Option<AppId>,
    pub to: Option<tidings_core::message::Recipient>,
    pub status: Option<Status>,
    pub channel: Option<Channel>,
    pub category: Option<Category>,
    pub reference: Option<String>,
    /// Name, and version if one is meant.
    pub template: Option<(String, Option<u32>)>,
    /// The provider of the last attempt.
    pub provider: Option<String>,
    pub test: Option<bool>,
    /// By `accepted_at`: from, inclusive.
    pub from: Option<Timestamp>,
    /// By `accepted_at`: until, exclusive.
    pub until: Option<Timestamp>,
}

/// A page of a listing, newest first.
#[derive(Clone, Debug)]
pub struct Page {
    pub rows: Vec<Record>,
    /// Where the next page begins: pass it as `before`.
    pub next: Option<MessageId>,
}

/// How much waits in one lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Open messages: accepted, held, scheduled and delivering.
    pub messages: u64,
    /// How long the oldest message that is due and held by nobody has been due.
    pub oldest: Duration,
}

/// What one step of forgetting did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Messages that were deleted.
    pub messages: u64,
    /// Pass it as `after` to go on; `None`: whatever is old enough was looked at.
    pub next: Option<MessageId>,
}

/// How far a sweep of look-ups came: pass it to go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepMark {
    pub(super) kind: i64,
    pub(super) hash: i64,
    pub(super) id: uuid::Uuid,
}

/// What became of one recipient's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    pub messages: u64,
    /// Those that are not closed: they stay.
    pub under_way: u64,
}
