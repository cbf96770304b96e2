//! The store on PostgreSQL: the same promises as on SQLite, for any number of processes.
//!
//! A commit is durable (`synchronous_commit` stays on), and what many callers ask for at once is one statement over arrays
//! ([`Group`]). Nothing here trusts the server to answer: every call has a deadline of its own, because a frozen server still
//! completes TCP connects, and a connection that missed its deadline is thrown away instead of going back to the pool.
//! Plans never depend on statistics: the settings of every connection leave the planner nothing but the indexes.

mod accept;
mod allowances;
mod connection;
mod control;
mod forget;
mod lost;
mod queue;
mod read;
mod receipts;
mod record;
mod schema;
mod settle;
mod steer;
mod unended;
mod waiting;
mod wake;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tidings_core::{
    attempt::Attempt,
    id::{AppId, MessageId},
    message::{Category, Lane, Message, Recipient},
    time::Timestamp,
};
use uuid::Uuid;

use self::{connection::run, queue::OpenRow, settle::SettleRow};
pub use self::{
    connection::{Connections, create_database},
    control::PostgresControl,
    schema::SchemaError,
    unended::{LOOKED_AT_AFTER, Looked},
};
use super::{
    Accepting, Cancelling, Erased, Error, Filter, Forgotten, Group, Idempotency, Joined, JoinedReceipts, Lease, LeaseOwner, Messages,
    NewMessage, Next, Opening, Page, ReceiptFact, ReceiptMatch, Record, Releasing, Repeat, Settlement, Settling, SweepMark, Taken, Waiting,
    codec::{Codec, NewRow, encode_attempts},
};
use crate::{clock::Clock, queue::Settled, seal::Keyring, shared::Reservation};

/// Rows of one batched statement, at most: bounds latency and memory of a burst.
const MOST: usize = 512;
/// Batches of one kind under way at once: two keep the server busy while the next one grows.
const LANES: usize = 2;

/// Messages on PostgreSQL.
pub struct PostgresStore {
    connections: Connections,
    codec: Arc<Codec>,
    clock: Clock,
    accepts: Group<Vec<NewRow>, Vec<Accepting>>,
    opens: Group<OpenRow, Opening>,
    settles: Group<SettleRow, Settling>,
    joined: Arc<JoinedReceipts>,
    wake: wake::Wake,
    lost: lost::Lost,
    counting: waiting::Counting,
}

impl PostgresStore {
    /// Opens the store of a database whose schema is up to date ([`Self::migrate`]). `keyring` must be the one that every
    /// other node uses.
    pub async fn open(connections: Connections, keyring: Arc<Keyring>, clock: Clock) -> Result<Self, SchemaError> {
        let calls = connections.clone();
        Self::open_with(connections, calls, keyring, clock).await
    }

    /// The same, with calls that are given up after another time than opening is.
    pub async fn open_within(connections: Connections, calls: Duration, keyring: Arc<Keyring>, clock: Clock) -> Result<Self, SchemaError> {
        let calls = connections.within(calls);
        Self::open_with(connections, calls, keyring, clock).await
    }

    async fn open_with(connections: Connections, calls: Connections, keyring: Arc<Keyring>, clock: Clock) -> Result<Self, SchemaError> {
        schema::check(&connections).await?;
        let codec = schema::keys(&connections, &keyring, clock).await?.codec(&keyring);
        schema::ensure_weeks(&connections, clock.now()).await?;
        Ok(Self::with(calls, Arc::new(codec), clock))
    }

    /// Brings the schema up to date.
    pub async fn migrate(connections: &Connections) -> Result<(), SchemaError> {
        schema::migrate(connections).await
    }

    fn with(connections: Connections, codec: Arc<Codec>, clock: Clock) -> Self {
        let accepts = Group::start(LANES, MOST, {
            let connections = connections.clone();
            move |batch: Arc<Vec<Vec<NewRow>>>| {
                let connections = connections.clone();
                async move { run!(connections, |connection| accept::all(connection, &batch).await) }
            }
        });
        let opens = Group::start(LANES, MOST, {
            let connections = connections.clone();
            move |batch: Arc<Vec<OpenRow>>| {
                let connections = connections.clone();
                async move { run!(connections, |connection| queue::open_all(connection, &batch).await) }
            }
        });
        let joined = Arc::<JoinedReceipts>::default();
        let settles = Group::start(LANES, MOST, {
            let (connections, joined) = (connections.clone(), Arc::clone(&joined));
            move |batch: Arc<Vec<SettleRow>>| {
                let (connections, joined) = (connections.clone(), Arc::clone(&joined));
                async move {
                    run!(connections, |connection| {
                        let mut settled = settle::all(connection, &batch).await?;
                        // A receipt may have been there first: our own facts are committed, now look for its.
                        receipts::join_early(connection, &batch, &mut settled, &joined).await?;
                        Ok(settled)
                    })
                }
            }
        });
        let wake = wake::Wake::start(connections.clone());
        Self {
            connections,
            codec,
            clock,
            accepts,
            opens,
            settles,
            joined,
            wake,
            lost: lost::Lost::default(),
            counting: waiting::Counting::default(),
        }
    }

    /// Is notified when any process may have put a message that is due at once.
    pub fn woken(&self) -> Arc<tokio::sync::Notify> {
        self.wake.woken()
    }

    /// Folds what happened into the rows: `Fact::Accepted` and `Fact::Settled` of one message are one entry.
    pub async fn record(&self, fact: &(NewMessage, Option<Settled>)) -> Result<(), Error> {
        self.fold(&[record::Recorded::of(&self.codec, fact, self.clock.now())?]).await
    }

    /// The same for many. Sealing thousands is work for a thread that nobody else waits for.
    pub async fn record_all(&self, facts: Arc<Vec<(NewMessage, Option<Settled>)>>) -> Result<(), Error> {
        let (codec, now) = (Arc::clone(&self.codec), self.clock.now());
        let recorded = move || facts.iter().map(|fact| record::Recorded::of(&codec, fact, now)).collect::<Result<Vec<_>, Error>>();
        let recorded = tokio::task::spawn_blocking(recorded).await.map_err(|died| Error::Broken(died.into()))??;
        self.fold(&recorded).await
    }

    async fn fold(&self, recorded: &[record::Recorded]) -> Result<(), Error> {
        run!(self.connections, |connection| record::fold(connection, recorded, &self.joined).await)
    }

    /// Looks at some of the rows that were accepted [`LOOKED_AT_AFTER`] before `now`: those that nobody ended are due when they expire.
    /// Where nobody ever looked it does nothing unless it may begin.
    pub async fn look_for_unended(&self, now: Timestamp, begins: bool) -> Result<Looked, Error> {
        run!(self.connections, |connection| unended::step(connection, now, begins).await)
    }

    /// Makes rows of messages that came from Kafka and leases those that nobody holds: their right is the row's from now on.
    pub async fn adopt(&self, messages: &[NewMessage], lease: Lease) -> Result<Vec<Taken>, Error> {
        let rows = messages.iter().map(|new| self.codec.row(new)).collect::<Result<Vec<_>, _>>()?;
        run!(self.connections, |connection| record::adopt(connection, &self.codec, &rows, lease).await)
    }

    /// The idempotency keys used since a time, newest first.
    pub async fn keys_since(&self, since: Timestamp, most: usize) -> Result<Vec<Reservation>, Error> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        run!(self.connections, |connection| record::keys_since(connection, since, most).await)
    }

    /// Keeps idempotency keys that were used on another rung, with when each counts from.
    pub async fn remember(&self, keys: &[(Reservation, Timestamp)]) -> Result<(), Error> {
        run!(self.connections, |connection| accept::remember(connection, keys.to_vec()).await)
    }

    /// Notes that a worker lives; how many were seen within a time, this one included.
    pub async fn register_worker(&self, node: Uuid, seen: Duration) -> Result<u32, Error> {
        run!(self.connections, |connection| queue::register_worker(connection, node, seen).await)
    }

    /// The key that a message's records are published under: the same for the same recipient.
    pub fn record_key(&self, message: &Message) -> [u8; 8] {
        self.codec.recipient(&message.to).to_be_bytes()
    }
}

#[async_trait]
impl Messages for PostgresStore {
    async fn accept(&self, messages: Vec<NewMessage>) -> Result<Vec<Accepting>, Error> {
        let rows = messages.iter().map(|new| self.codec.row(new)).collect::<Result<Vec<_>, _>>()?;
        let unleased = rows.iter().any(|row| row.owner.is_none());
        let accepted = self.accepts.ask(rows).await?;
        if unleased {
            self.wake.wake();
        }
        Ok(accepted)
    }

    fn take_joined(&self) -> Vec<Joined> {
        self.joined.take()
    }

    async fn repeats_of(&self, keys: &[[u8; 16]], now: Timestamp) -> Result<Vec<Option<Repeat>>, Error> {
        run!(self.connections, |connection| accept::repeats_of(connection, keys, now).await)
    }

    async fn keep_answer(&self, idempotency: Idempotency, answer: Vec<u8>, now: Timestamp) -> Result<(), Error> {
        let sealed = self.codec.seal_answer(&answer);
        run!(self.connections, |connection| accept::keep_answer(connection, idempotency, &sealed, now).await)
    }

    async fn kept_answer(&self, key: [u8; 16], now: Timestamp) -> Result<Option<([u8; 16], Vec<u8>)>, Error> {
        let kept = run!(self.connections, |connection| accept::kept_answer(connection, key, now).await)?;
        kept.map(|(body, sealed)| Ok((body, self.codec.open_answer(&sealed)?))).transpose()
    }

    async fn lease(&self, lane: Lane, lease: Lease, now: Timestamp, most: usize) -> Result<Vec<Taken>, Error> {
        let mut lost = self.lost.of(lane, lease.owner, now);
        let mut tries = 0;
        let taken = run!(self.connections, |connection| {
            tries += 1;
            // A try before this one may have taken what it could not tell.
            if tries == 2 {
                lost.push(lease.until);
            }
            queue::lease(connection, &self.codec, (lane, most), lease, now, &lost).await
        });
        if taken.is_err() {
            self.lost.note(lane, lease.owner, lease.until, now);
        }
        taken
    }

    async fn next_due(&self, lane: Lane) -> Result<Option<Timestamp>, Error> {
        run!(self.connections, |connection| queue::next_due(connection, lane).await)
    }

    async fn hand_back(&self, ids: Vec<MessageId>, owner: LeaseOwner, now: Timestamp) -> Result<(), Error> {
        run!(self.connections, |connection| queue::hand_back(connection, &ids, owner, now).await)?;
        self.wake.wake();
        Ok(())
    }

    async fn open(&self, id: MessageId, _lane: Lane, lease: Lease, attempts: Vec<Attempt>) -> Result<Opening, Error> {
        let provider = attempts.last().map(|last| last.opened.provider.clone()).unwrap_or_default();
        self.opens.ask(OpenRow { id, lease, provider, attempts: encode_attempts(&attempts)?, progress: record::progress(&attempts) }).await
    }

    async fn settle(&self, settlement: Settlement) -> Result<Settling, Error> {
        let Settlement { id, owner, attempts, next, at, .. } = settlement;
        let attempts_json = if attempts.is_empty() { None } else { Some(encode_attempts(&attempts)?) };
        let submitted_hash = settle::submitted(&attempts).map(|(provider, id)| self.codec.provider_message_id(provider, id));
        let settling = self.settles.ask(SettleRow { id, owner, attempts, attempts_json, next, at, submitted_hash }).await?;
        if matches!(next, Next::Wait(until) if until <= at) {
            self.wake.wake();
        }
        Ok(settling)
    }

    async fn receipt(&self, receipt: ReceiptFact) -> Result<ReceiptMatch, Error> {
        let hash = receipt.provider_message_id.as_deref().map(|id| self.codec.provider_message_id(&receipt.provider, id));
        run!(self.connections, |connection| receipts::apply(connection, &receipt, hash).await)
    }

    async fn cancel(&self, app: Option<AppId>, id: MessageId, now: Timestamp) -> Result<Cancelling, Error> {
        run!(self.connections, |connection| steer::cancel(connection, app, id, now).await)
    }

    async fn cancel_by_reference(&self, app: AppId, reference: &str, now: Timestamp) -> Result<(u64, u64), Error> {
        let hash = self.codec.reference(reference);
        run!(self.connections, |connection| steer::cancel_by_reference(connection, app, hash, now).await)
    }

    async fn release(&self, app: Option<AppId>, id: MessageId, now: Timestamp) -> Result<Releasing, Error> {
        let released = run!(self.connections, |connection| steer::release(connection, app, id, now).await)?;
        self.wake.wake();
        Ok(released)
    }

    async fn get(&self, id: MessageId) -> Result<Option<Record>, Error> {
        run!(self.connections, |connection| read::get(connection, &self.codec, id).await)
    }

    async fn list(&self, filter: &Filter, before: Option<MessageId>, limit: usize) -> Result<Page, Error> {
        run!(self.connections, |connection| read::list(connection, &self.codec, self.clock, filter, before, limit).await)
    }

    async fn count_accepted(&self, app: AppId, since: Timestamp) -> Result<u64, Error> {
        run!(self.connections, |connection| read::count_accepted(connection, app, since).await)
    }

    async fn forget(&self, category: Category, before: Timestamp, after: Option<MessageId>) -> Result<Forgotten, Error> {
        run!(self.connections, |connection| forget::step(connection, category, before, after).await)
    }

    async fn forget_span(&self, before: Timestamp) -> Result<bool, Error> {
        run!(self.connections, |connection| forget::span(connection, before).await)
    }

    async fn sweep(&self, after: Option<SweepMark>, now: Timestamp) -> Result<Option<SweepMark>, Error> {
        // A process that runs for months must not run out of weeks; without one, rows go where none was made for.
        if after.is_none()
            && let Err(error) = schema::ensure_weeks(&self.connections, now).await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "the weeks to come could not be made");
        }
        run!(self.connections, |connection| forget::sweep(connection, after, now).await)
    }

    async fn erase(&self, to: &Recipient) -> Result<Erased, Error> {
        let (mut all, mut after) = (Erased::default(), Uuid::nil());
        loop {
            let (erased, next) = run!(self.connections, |connection| forget::erase(connection, &self.codec, to, after).await)?;
            all.messages += erased.messages;
            all.under_way += erased.under_way;
            match next {
                Some(next) => after = next,
                None => return Ok(all),
            }
        }
    }

    async fn waiting(&self, now: Timestamp) -> Result<[Waiting; 3], Error> {
        if let Some(recent) = self.counting.recent(now) {
            return Ok(recent);
        }
        let waiting = run!(self.connections, |connection| waiting::look(connection, now).await)?;
        self.counting.looked(now, waiting, &self.connections);
        Ok(waiting)
    }

    async fn ping(&self) -> Result<(), Error> {
        run!(self.connections, |connection| Ok(sqlx::query("SELECT 1").execute(connection).await.map(drop)?))
    }
}
