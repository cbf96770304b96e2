//! The port to messages: accepted, waiting, being delivered, closed.
//!
//! A message's row is its queue entry too. While somebody has to look at it again, the row has a *due* time; a lease moves
//! that time into the future and names an owner, so that a worker that dies gives its messages back by doing nothing.
//! Leases mean nothing else: what protects against a double submission is the *open attempt*, which is written before the
//! wire is touched, by the owner only. After a crash an open attempt is ambiguous, a lease is not.
//!
//! A status is never overwritten: every write asks the transition table of `core`.

use async_trait::async_trait;
use tidings_core::{
    attempt::Attempt,
    id::{AppId, MessageId},
    message::{Category, Lane},
    time::Timestamp,
};

use super::{
    Accepting, Cancelling, Erased, Error, Filter, Forgotten, Idempotency, Joined, Lease, LeaseOwner, NewMessage, Opening, Page,
    ReceiptFact, ReceiptMatch, Record, Releasing, Repeat, Settlement, Settling, SweepMark, Taken, Waiting,
};

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

    /// What was accepted with a key, where [`Self::repeats_of`] leaves that to accepting: asked before a message is refused,
    /// because a repeat has the first one's answer whatever has changed since.
    async fn accepted_with(&self, _key: [u8; 16], _now: Timestamp) -> Result<Option<Repeat>, Error> {
        Ok(None)
    }

    /// Keeps the whole answer to a batch under the batch's own idempotency key.
    async fn keep_answer(&self, idempotency: Idempotency, answer: Vec<u8>, now: Timestamp) -> Result<(), Error>;

    /// The answer kept under a batch's idempotency key in the last 24 hours, with the hash of the batch.
    async fn kept_answer(&self, key: [u8; 16], now: Timestamp) -> Result<Option<([u8; 16], Vec<u8>)>, Error>;

    /// Takes up to `most` messages of a lane that are due, oldest due time first.
    async fn lease(&self, lane: Lane, lease: Lease, now: Timestamp, most: usize) -> Result<Vec<Taken>, Error>;

    /// When the next message of a lane becomes due, if any waits.
    async fn next_due(&self, lane: Lane) -> Result<Option<Timestamp>, Error>;

    /// Nobody in this process carries the message any more. A queue that keeps what was taken in memory looks again at one that was
    /// neither settled nor handed back; where the lease is all there is, it runs out by itself.
    fn let_go(&self, _id: MessageId) {}

    /// Gives leased messages back untouched, due at once.
    async fn hand_back(&self, ids: Vec<MessageId>, owner: LeaseOwner, now: Timestamp) -> Result<(), Error>;

    /// Writes down that an attempt begins, a code's before others. Only the lease's owner may, on an open message, and the lease
    /// then lasts `until`.
    async fn open(&self, id: MessageId, lane: Lane, lease: Lease, attempts: Vec<Attempt>) -> Result<Opening, Error>;

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
