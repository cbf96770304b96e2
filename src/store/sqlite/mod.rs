//! Messages in SQLite: the embedded rung, where one file is store and queue.
//!
//! One connection writes ([`writer`]), a few read. The write-ahead log is synced with every commit (`synchronous=FULL`): what
//! is answered has reached the disk. The file belongs to one process; leases of a process that died are void at once.

mod accept;
mod checkpoint;
mod control;
mod derive;
mod forget;
mod inbox;
mod lookups;
mod many;
mod queue;
mod read;
mod receipts;
mod settle;
mod start;
mod steer;
mod write;
mod writer;

use std::sync::{Arc, atomic::Ordering};

use async_trait::async_trait;
use sqlx::{Row, SqlitePool};
use tidings_core::{
    attempt::Attempt,
    id::{AppId, MessageId},
    message::{Category, Lane, Recipient},
    time::Timestamp,
};
use tokio::{sync::oneshot, task::JoinHandle};

use self::inbox::Outbox;
use self::write::{Answer, CancelWhich, OpenRow, Request, SettleRow, Write};
pub use self::{control::SqliteControl, writer::Tick};
use super::{
    Accepting, Cancelling, Erased, Error, Filter, Forgotten, IDEMPOTENCY_LASTS, Idempotency, Joined, Lease, LeaseOwner, Messages,
    NewMessage, Opening, Page, ReceiptFact, ReceiptMatch, Record, Releasing, Repeat, Settlement, Settling, SweepMark, Taken, Waiting,
    codec::{Lookup, encode_attempts},
};
use crate::shared::Reservation;

/// The embedded store. Cheap to clone; the writer ends when the last clone is gone.
#[derive(Clone)]
pub struct Sqlite {
    requests: Outbox,
    readers: SqlitePool,
    shared: Arc<writer::Shared>,
}

/// Takes one kind of answer out of [`Answer`].
macro_rules! ask {
    ($self:expr, $write:expr, $kind:ident) => {
        match $self.write($write).await? {
            Answer::$kind(answer) => Ok(answer),
            _ => Err(Error::Broken(anyhow::anyhow!(concat!("the writer did not answer with ", stringify!($kind))))),
        }
    };
}

impl Sqlite {
    /// Hands a write to the writer and waits until it is on disk.
    async fn write(&self, write: Write) -> Result<Answer, Error> {
        let (reply, answer) = oneshot::channel();
        let gone = || Error::Unavailable(anyhow::anyhow!("the write did not reach the disk"));
        self.requests.send(Request { write, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }

    /// Ends the writer after what waits is written; resolves when the file is closed.
    pub async fn close(self, writer: JoinHandle<()>) {
        let Self { requests, readers, shared } = self;
        drop((requests, shared));
        readers.close().await;
        if let Err(error) = writer.await {
            tracing::error!(error = &error as &dyn std::error::Error, "the writer of the store died");
        }
    }

    /// The idempotency keys that count from later than `since`, with when each does, by id after `after`.
    pub async fn keys_since(
        &self,
        since: Timestamp,
        after: Option<MessageId>,
        most: usize,
    ) -> Result<Vec<(Reservation, Timestamp)>, Error> {
        read::keys_since(&self.readers, since, after, most).await
    }

    /// Where everything else of the embedded rung may keep its tables: reads go here.
    pub fn readers(&self) -> &SqlitePool {
        &self.readers
    }
}

#[async_trait]
impl Messages for Sqlite {
    async fn accept(&self, messages: Vec<NewMessage>) -> Result<Vec<Accepting>, Error> {
        let rows = messages.iter().map(|message| self.shared.codec.row(message)).collect::<Result<_, _>>()?;
        ask!(self, Write::Accept(rows), Accepted)
    }

    fn take_joined(&self) -> Vec<Joined> {
        self.shared.joined.take()
    }

    async fn repeats_of(&self, keys: &[[u8; 16]], now: Timestamp) -> Result<Vec<Option<Repeat>>, Error> {
        let mut repeats = vec![None; keys.len()];
        for (place, id) in lookups::by_key(&self.readers, &self.shared.recent, keys).await? {
            if repeats[place].is_none() {
                repeats[place] = read::repeat(&self.readers, id, keys[place], now).await?;
            }
        }
        Ok(repeats)
    }

    async fn keep_answer(&self, idempotency: Idempotency, answer: Vec<u8>, now: Timestamp) -> Result<(), Error> {
        let answer = self.shared.codec.seal_answer(&answer);
        self.write(Write::KeepAnswer { idempotency, answer, now }).await.map(drop)
    }

    async fn kept_answer(&self, key: [u8; 16], now: Timestamp) -> Result<Option<([u8; 16], Vec<u8>)>, Error> {
        let row = sqlx::query("SELECT body, answer FROM batch_answers WHERE key = ? AND at > ?")
            .bind(key.to_vec())
            .bind((now - IDEMPOTENCY_LASTS).as_millis())
            .fetch_optional(&self.readers)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let (body, answer): (Vec<u8>, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
        let body = body.try_into().map_err(|_| Error::Broken(anyhow::anyhow!("batch_answers.body does not hold 16 bytes")))?;
        Ok(Some((body, self.shared.codec.open_answer(&answer)?)))
    }

    async fn lease(&self, lane: Lane, lease: Lease, now: Timestamp, most: usize) -> Result<Vec<Taken>, Error> {
        ask!(self, Write::Lease { lane, lease, now, most }, Leased)
    }

    async fn next_due(&self, lane: Lane) -> Result<Option<Timestamp>, Error> {
        let row = sqlx::query(queue::NEXT_DUE).bind(lane.index() as i64).fetch_one(&self.readers).await?;
        Ok(row.try_get::<Option<i64>, _>(0)?.map(Timestamp::from_millis))
    }

    async fn hand_back(&self, ids: Vec<MessageId>, owner: LeaseOwner, now: Timestamp) -> Result<(), Error> {
        self.write(Write::HandBack { ids, owner, now }).await.map(drop)
    }

    async fn open(&self, id: MessageId, lane: Lane, lease: Lease, attempts: Vec<Attempt>) -> Result<Opening, Error> {
        let provider = attempts.last().map(|attempt| attempt.opened.provider.clone()).unwrap_or_default();
        let attempts = encode_attempts(&attempts)?;
        ask!(self, Write::Open(OpenRow { id, lane, lease, provider, attempts }), Opened)
    }

    async fn settle(&self, settlement: Settlement) -> Result<Settling, Error> {
        let Settlement { id, lane, owner, attempts, next, at } = settlement;
        let last = attempts.last().and_then(|last| Some((&last.opened.provider, last.ended.as_ref()?.provider_message_id.as_deref()?)));
        let submitted_hash = last.map(|(provider, id)| self.shared.codec.provider_message_id(provider, id));
        let attempts_json = if attempts.is_empty() { None } else { Some(encode_attempts(&attempts)?) };
        let row = SettleRow { id, owner, category: lane.index() as i64, attempts, attempts_json, next, at, submitted_hash };
        ask!(self, Write::Settle(row), Settled)
    }

    async fn receipt(&self, fact: ReceiptFact) -> Result<ReceiptMatch, Error> {
        let hash = fact.provider_message_id.as_deref().map(|id| self.shared.codec.provider_message_id(&fact.provider, id));
        ask!(self, Write::Receipt { fact, hash }, Receipt)
    }

    async fn cancel(&self, app: Option<AppId>, id: MessageId, now: Timestamp) -> Result<Cancelling, Error> {
        let answers = ask!(self, Write::Cancel { which: CancelWhich::One { app, id }, now }, Cancelled)?;
        Ok(answers.first().copied().unwrap_or(Cancelling::NotFound))
    }

    async fn cancel_by_reference(&self, app: AppId, reference: &str, now: Timestamp) -> Result<(u64, u64), Error> {
        let which = CancelWhich::Reference { app, hash: self.shared.codec.reference(reference) };
        let answers = ask!(self, Write::Cancel { which, now }, Cancelled)?;
        let count = |wanted: fn(&Cancelling) -> bool| answers.iter().filter(|answer| wanted(answer)).count() as u64;
        Ok((count(|answer| *answer == Cancelling::Cancelled), count(|answer| matches!(answer, Cancelling::TooLate(_)))))
    }

    async fn release(&self, app: Option<AppId>, id: MessageId, now: Timestamp) -> Result<Releasing, Error> {
        ask!(self, Write::Release { app, id, now }, Released)
    }

    async fn get(&self, id: MessageId) -> Result<Option<Record>, Error> {
        read::get(&self.readers, &self.shared, id).await
    }

    async fn list(&self, filter: &Filter, before: Option<MessageId>, limit: usize) -> Result<Page, Error> {
        read::list(&self.readers, &self.shared, filter, before, limit).await
    }

    async fn forget(&self, category: Category, before: Timestamp, after: Option<MessageId>) -> Result<Forgotten, Error> {
        let (ids, next) = forget::walk(&self.readers, category, before, after).await?;
        let messages = if ids.is_empty() { 0 } else { ask!(self, Write::Forget { ids }, Forgotten)? };
        Ok(Forgotten { messages, next })
    }

    async fn sweep(&self, after: Option<SweepMark>, now: Timestamp) -> Result<Option<SweepMark>, Error> {
        // Below every pair there can be.
        let after = after.unwrap_or(SweepMark { kind: -1, ..SweepMark::default() });
        let (pairs, next) = forget::dangling(&self.readers, after).await?;
        self.write(Write::Sweep { pairs, now }).await?;
        Ok(next)
    }

    async fn erase(&self, to: &Recipient) -> Result<Erased, Error> {
        let hash = self.shared.codec.recipient(to);
        let mut ids = self.shared.recent.find(Lookup::Recipient, hash);
        let mut below = MessageId::from_uuid(uuid::Uuid::max());
        loop {
            let stored = lookups::stored(&self.readers, Lookup::Recipient, hash, below, forget::STEP).await?;
            let Some(lowest) = stored.last() else { break };
            below = *lowest;
            ids.extend(stored);
        }
        ids.sort_unstable();
        ids.dedup();
        let mut all = Erased::default();
        for ids in ids.chunks(forget::ERASED_AT_ONCE) {
            let erased = ask!(self, Write::Erase { ids: ids.to_vec(), to: to.clone() }, Erased)?;
            all.messages += erased.messages;
            all.under_way += erased.under_way;
        }
        Ok(all)
    }

    async fn count_accepted(&self, app: AppId, since: Timestamp) -> Result<u64, Error> {
        read::count_accepted(&self.readers, app, since).await
    }

    async fn waiting(&self, now: Timestamp) -> Result<[Waiting; 3], Error> {
        let mut lanes = [Waiting::default(); 3];
        for (lane, waiting) in Lane::ALL.iter().zip(&mut lanes) {
            waiting.messages = u64::try_from(self.shared.open[lane.index()].load(Ordering::Relaxed)).unwrap_or(0);
            waiting.oldest = self.next_due(*lane).await?.map_or(std::time::Duration::ZERO, |due| now.since(due));
        }
        Ok(lanes)
    }

    async fn ping(&self) -> Result<(), Error> {
        self.hand_back(Vec::new(), 0, Timestamp::default()).await
    }
}
