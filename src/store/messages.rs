//! The port to messages: accepted, waiting, being delivered, closed.
//!
//! A message's row is its queue entry too. While somebody has to look at it again, the row has a *due* time; a lease moves
//! that time into the future and names an owner, so that a worker that dies gives its messages back by doing nothing.
//! Leases mean nothing else: what protects against a double submission is the *open attempt*, which is written before the
//! wire is touched, by the owner only. After a crash an open attempt is ambiguous, a lease is not.
//!
//! A status is never overwritten: every write asks the transition table of `core`.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tidings_core::{
    attempt::{Attempt, Opened},
    id::{AppId, MessageId},
    message::{Category, Channel, Lane, Message, Status},
    time::Timestamp,
};

use super::{Error, Joined};

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

/// Answer to [`Messages::open`].
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

/// Answer to [`Messages::settle`].
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

/// Answer to [`Messages::receipt`].
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

/// Answer to [`Messages::cancel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelling {
    Cancelled,
    TooLate(Status),
    NotFound,
}

/// Answer to [`Messages::release`].
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

/// Messages, durable.
#[async_trait]
pub trait Messages: Send + Sync {
    /// Makes messages durable, all in one write, and answers for each in order.
    async fn accept(&self, messages: Vec<NewMessage>) -> Result<Vec<Accepting>, Error>;

    /// What was accepted with each of these idempotency keys, in the last 24 hours (or since 24 hours after its `send_at`), in
    /// their order.
    async fn repeats_of(&self, keys: &[[u8; 16]], now: Timestamp) -> Result<Vec<Option<Repeat>>, Error>;

    /// The same for one key.
    async fn repeat_of(&self, key: [u8; 16], now: Timestamp) -> Result<Option<Repeat>, Error> {
        Ok(self.repeats_of(&[key], now).await?.pop().flatten())
    }

    /// Keeps the whole answer to a batch under the batch's own idempotency key.
    async fn keep_answer(&self, idempotency: Idempotency, answer: Vec<u8>, now: Timestamp) -> Result<(), Error>;

    /// The answer kept under a batch's idempotency key in the last 24 hours, with the hash of the batch.
    async fn kept_answer(&self, key: [u8; 16], now: Timestamp) -> Result<Option<([u8; 16], Vec<u8>)>, Error>;

    /// Takes up to `most` messages of a lane that are due, oldest due time first.
    async fn lease(&self, lane: Lane, lease: Lease, now: Timestamp, most: usize) -> Result<Vec<Taken>, Error>;

    /// When the next message of a lane becomes due, if any waits.
    async fn next_due(&self, lane: Lane) -> Result<Option<Timestamp>, Error>;

    /// Gives leased messages back untouched, due at once.
    async fn hand_back(&self, ids: Vec<MessageId>, owner: LeaseOwner, now: Timestamp) -> Result<(), Error>;

    /// Writes down that an attempt begins. Only the lease's owner may, on an open message, and the lease then lasts `until`.
    async fn open(&self, id: MessageId, lease: Lease, attempts: Vec<Attempt>) -> Result<Opening, Error>;

    /// Writes down how an attempt ended and what follows.
    async fn settle(&self, settlement: Settlement) -> Result<Settling, Error>;

    /// Applies a receipt, or keeps it until its message is known.
    async fn receipt(&self, receipt: ReceiptFact) -> Result<ReceiptMatch, Error>;

    /// Receipts of [`ReceiptMatch::Early`] that were applied since the last time, because their submission was settled.
    fn take_joined(&self) -> Vec<Joined>;

    /// Cancels a message that has no attempt under way and none that was taken. `app` restricts to one's own.
    async fn cancel(&self, app: Option<AppId>, id: MessageId, now: Timestamp) -> Result<Cancelling, Error>;

    /// Cancels all messages of an app with a reference: how many were, and how many were too late.
    async fn cancel_by_reference(&self, app: AppId, reference: &str, now: Timestamp) -> Result<(u64, u64), Error>;

    /// Lets a held message go.
    async fn release(&self, app: Option<AppId>, id: MessageId, now: Timestamp) -> Result<Releasing, Error>;

    async fn get(&self, id: MessageId) -> Result<Option<Record>, Error>;

    /// Lists messages, newest first, older than `before`; receipts are left out.
    async fn list(&self, filter: &Filter, before: Option<MessageId>, limit: usize) -> Result<Page, Error>;

    /// Deletes closed messages of a category that were accepted, and due to be sent, before `before`, with their receipts:
    /// one bounded step through the ids after `after`. A message that is not closed stays, however old it is.
    async fn forget(&self, category: Category, before: Timestamp, after: Option<MessageId>) -> Result<Forgotten, Error>;

    /// Drops the oldest whole span of messages if all of it is closed and from before `before`, where the backend keeps spans.
    /// Says whether it did something, so that it is asked again.
    async fn forget_span(&self, _before: Timestamp) -> Result<bool, Error> {
        Ok(false)
    }

    /// Deletes what was kept beside messages and is of no use at `now`: look-ups that lead nowhere, keys and answers that
    /// nobody may repeat any more, receipts that nobody claimed. One bounded step; `None` is the end.
    async fn sweep(&self, after: Option<SweepMark>, now: Timestamp) -> Result<Option<SweepMark>, Error>;

    /// Whether everything that was accepted before this call is in the store by now. Where a queue stands before it, that takes
    /// as long as the queue is; a queue that cannot be asked says no.
    async fn all_recorded(&self) -> bool {
        true
    }

    /// Deletes all closed messages of one recipient, with their receipts and whatever leads to them.
    async fn erase(&self, to: &tidings_core::message::Recipient) -> Result<Erased, Error>;

    /// How many messages of an app were accepted since a time.
    async fn count_accepted(&self, app: AppId, since: Timestamp) -> Result<u64, Error>;

    /// How much waits, by lane.
    async fn waiting(&self, now: Timestamp) -> Result<[Waiting; 3], Error>;

    /// Whether the store answers.
    async fn ping(&self) -> Result<(), Error>;
}
