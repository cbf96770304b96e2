//! The road for volume: messages on PostgreSQL, Redis and Kafka, any one of which may be away.
//!
//! To its callers it is a store like any other. Accepting reserves the idempotency key in Redis and publishes; taking reads what
//! Kafka brought and what is due in the store; the right to submit is a claim in Redis, or the row while Redis is away; the end
//! of a message is first written to its claim, then published as a fact (or written to the store, if Kafka is away), and only
//! then is its record finished. A crash between any two of these repeats a step that may be repeated.

mod accept;
mod beside;
mod depth;
mod hands;
mod keys;
mod put_off;
mod settle;
mod take;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use tidings_core::{
    attempt::Attempt,
    id::{AppId, MessageId},
    message::{Category, Lane, Message, Recipient},
    time::Timestamp,
};

use self::{
    beside::Beside,
    hands::{Authority, Hands},
};
use super::{
    Envelopes, Fact, Settled,
    breaker::Breaker,
    kafka::{Brokers, Consumer, KafkaError, Members, Pace, Producer, Publish, Token, Topics},
};
use crate::{
    clock::Clock,
    delivery::Intake,
    shared::{ClaimAnswer, ClaimWrite, Redis, Shared},
    store::{
        Accepting, Cancelling, Erased, Error, Filter, Forgotten, Group, Idempotency, Joined, Lease, LeaseOwner, Messages, NewMessage,
        Opening, Page, ReceiptFact, ReceiptMatch, Record, Releasing, Repeat, Settlement, Settling, SweepMark, Taken, Waiting,
        postgres::PostgresStore,
    },
};

/// How long a GET waits for the recorder, for a message that is younger than [`YOUNG`].
const WAIT_FOR_RECORDER: Duration = Duration::from_secs(2);
const YOUNG: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const LOOK_FOR_KAFKA: Duration = Duration::from_millis(500);
/// A broker that is away takes nothing with it that two others have: there is time to hear of it.
const LOOK_AT_BROKERS: Duration = Duration::from_secs(2);
const LOOK_FOR_STORE: Duration = Duration::from_millis(250);
/// People need about as long.
const RIGHTS_ARE_GIVEN: Duration = Duration::from_secs(30);
/// Batches of claims that are under way at once, and claims in one.
const CLAIMING: usize = 2;
const CLAIMED_AT_ONCE: usize = 256;
/// A claim outlives its message by this much, so that nobody who comes late finds none.
const CLAIM_OUTLIVES: Duration = Duration::from_hours(1);

/// What the road is made of.
pub struct Parts {
    pub store: Arc<PostgresStore>,
    pub shared: Arc<Redis>,
    pub producer: Producer,
    pub topics: Topics,
    pub envelopes: Envelopes,
    pub clock: Clock,
    pub brokers: String,
    pub group: String,
    /// The recorder's consumer group.
    pub recorder: String,
}

/// [`Messages`] on all three services.
pub struct Road {
    parts: Parts,
    kafka: Breaker,
    brokers: ArcSwapOption<Brokers>,
    /// Kafka is away for want of rights.
    forbidden: AtomicBool,
    store_answers: Breaker,
    hands: Mutex<Hands>,
    beside: Beside,
    consumer: OnceLock<Consumer>,
    wake: OnceLock<Intake>,
    keys: keys::Keys,
    depth: depth::Depth,
    /// Claims that are written at the same time go to Redis together.
    claims: Group<ClaimWrite, ClaimAnswer>,
    /// The ends of messages that Redis was not there to be told: their claims still say that somebody has them.
    owed: Mutex<Vec<ClaimWrite>>,
}

impl Road {
    pub fn new(parts: Parts) -> Arc<Self> {
        let claims = Group::start(CLAIMING, CLAIMED_AT_ONCE, {
            let shared = Arc::clone(&parts.shared);
            move |writes: Arc<Vec<ClaimWrite>>| {
                let shared = Arc::clone(&shared);
                async move { shared.claim(&writes).await.map_err(|away| Error::Unavailable(away.into())) }
            }
        });
        Arc::new(Self {
            claims,
            parts,
            kafka: Breaker::default(),
            brokers: ArcSwapOption::empty(),
            forbidden: AtomicBool::new(false),
            store_answers: Breaker::default(),
            hands: Mutex::default(),
            beside: Beside::default(),
            consumer: OnceLock::new(),
            wake: OnceLock::new(),
            keys: keys::Keys::default(),
            depth: depth::Depth::default(),
            owed: Mutex::default(),
        })
    }

    /// Nobody answered at the start: until somebody does, nothing is published.
    pub fn begin_without_kafka(&self) {
        self.kafka.failed(self.parts.clock.moment());
    }

    /// Looks for what is away, so that nobody's send and nobody's code is spent on finding out.
    pub async fn watch(self: Arc<Self>) {
        tokio::join!(keys::watch(&self), depth::watch(&self), self.watch_kafka(), self.watch_brokers(), self.watch_store());
    }

    async fn watch_brokers(self: &Arc<Self>) {
        loop {
            let (road, topic) = (Arc::clone(self), self.parts.topics.outcomes());
            let seen = tokio::task::spawn_blocking(move || road.parts.producer.brokers(&topic)).await;
            self.brokers.store(seen.ok().flatten().map(Arc::new));
            tokio::time::sleep(LOOK_AT_BROKERS).await;
        }
    }

    async fn watch_store(&self) {
        loop {
            tokio::time::sleep(LOOK_FOR_STORE).await;
            if self.store_answers.is_away() && self.parts.store.ping().await.is_ok() {
                self.store_answers.answered();
            }
        }
    }

    async fn watch_kafka(self: &Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_FOR_KAFKA).await;
            if self.kafka_is_up() {
                continue;
            }
            if self.forbidden.swap(false, Ordering::Relaxed) {
                // The brokers would answer, and only a send finds out whether somebody has given the right meanwhile.
                tokio::time::sleep(RIGHTS_ARE_GIVEN).await;
            }
            let road = Arc::clone(self);
            let topic = self.parts.topics.outcomes();
            let answers = tokio::task::spawn_blocking(move || road.parts.producer.answers(&topic)).await;
            if answers.unwrap_or(false) {
                self.kafka.answered();
            }
        }
    }

    /// Whether Redis alone can tell every key that was used.
    pub fn keys_are_complete(&self) -> bool {
        self.keys.complete()
    }

    /// Begins consuming for a worker.
    pub fn consume(self: &Arc<Self>, intake: Intake) -> Result<(), KafkaError> {
        let names = self.parts.topics.lanes().into_iter().map(|lane| vec![lane]).collect();
        let (woken, road) = (intake.clone(), Arc::downgrade(self));
        let arrived = move |topic: usize| {
            let Some(lane) = Lane::from_index(topic) else { return };
            woken.wake(lane);
            if lane == Lane::Urgent
                && let Some(road) = road.upgrade()
            {
                road.beside.arrived.notify_waiters();
            }
        };
        let consumer = Consumer::start(&self.parts.brokers, &self.parts.group, names, Pace::AtOnce, arrived)?;
        drop((self.wake.set(intake), self.consumer.set(consumer)));
        Ok(())
    }

    /// Who counts the workers that consume.
    pub fn members(&self) -> Result<Members, KafkaError> {
        Members::new(&self.parts.brokers, &self.parts.group)
    }

    /// Commits how far everything came and leaves the group.
    pub async fn stop(&self) {
        self.give_rows_back().await;
        if let Some(consumer) = self.consumer.get() {
            consumer.stop().await;
        }
        self.parts.producer.flush();
    }

    /// How the brokers stand, as last heard of.
    pub fn brokers(&self) -> Option<Arc<Brokers>> {
        self.brokers.load_full()
    }

    /// Whether Kafka acknowledged what was published last.
    pub fn kafka_is_up(&self) -> bool {
        !self.kafka.is_away()
    }

    fn hands(&self) -> MutexGuard<'_, Hands> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, tokens: &[Token]) {
        if let Some(consumer) = self.consumer.get() {
            tokens.iter().for_each(|token| consumer.finish(*token));
        }
    }

    /// Asks the store unless it is known to be away.
    async fn ask_store<A>(&self, call: impl Future<Output = Result<A, Error>> + Send) -> Result<A, Error> {
        if self.store_answers.is_away() {
            return Err(Error::Unavailable(anyhow::anyhow!("postgres is away")));
        }
        self.heard(call.await)
    }

    /// What an answer says of the store.
    fn heard<A>(&self, answer: Result<A, Error>) -> Result<A, Error> {
        match &answer {
            Err(error) if error.is_unavailable() => self.store_answers.failed(self.parts.clock.moment()),
            _ => self.store_answers.answered(),
        }
        answer
    }

    /// Publishes facts under their messages' keys, or without. In order, whether each was acknowledged.
    async fn publish(&self, topic: &str, facts: &[(Option<[u8; 8]>, Fact)], traceparent: Option<&str>) -> Vec<bool> {
        // Whether it is back, [`Self::watch`] finds out.
        if !self.kafka_is_up() {
            return vec![false; facts.len()];
        }
        let mut values = Vec::with_capacity(facts.len());
        for (_, fact) in facts {
            // Every fact is made of text and numbers: it can be written as JSON.
            values.push(self.parts.envelopes.write(fact).unwrap_or_default());
        }
        let records = facts.iter().zip(&values).map(|((key, _), value)| Publish {
            topic,
            key: key.as_ref().map(<[u8; 8]>::as_slice),
            value,
            traceparent,
            reason: None,
        });
        let published = self.parts.producer.publish(&records.collect::<Vec<_>>()).await;
        match published.iter().find_map(|result| result.as_ref().err()) {
            Some(error) if error.is_forbidden() => {
                tracing::error!(
                    topic,
                    error = error as &dyn std::error::Error,
                    "this program may not write to the topic: it goes on without Kafka"
                );
                self.forbidden.store(true, Ordering::Relaxed);
                self.kafka.failed(self.parts.clock.moment());
            }
            Some(error) => {
                tracing::warn!(error = error as &dyn std::error::Error, "kafka did not acknowledge");
                self.kafka.failed(self.parts.clock.moment());
            }
            None => self.kafka.answered(),
        }
        published.iter().map(Result::is_ok).collect()
    }

    /// Makes a fact durable: in the outcomes topic, or in the store.
    async fn tell(&self, settled: Settled) -> Result<(), Error> {
        // In any order and any partition: it carries its message.
        let facts = [(None, Fact::Settled(settled))];
        if self.publish(&self.parts.topics.outcomes(), &facts, None).await[0] {
            return Ok(());
        }
        let [(_, Fact::Settled(settled))] = facts else { return Ok(()) };
        let new = settled.new.clone();
        // Boxed, as whatever is large and seldom: it would be a part of every message's future, and copied with it.
        Box::pin(self.ask_store(self.parts.store.record(&(new, Some(settled))))).await
    }

    fn keep(&self, message: &Message) -> Duration {
        message.expires_at.since(self.parts.clock.now()) + CLAIM_OUTLIVES
    }
}

#[async_trait]
impl Messages for Road {
    async fn accept(&self, messages: Vec<NewMessage>) -> Result<Vec<Accepting>, Error> {
        self.accept_all(messages).await
    }

    /// Accepting asks Redis and, where that is not enough, the store.
    async fn repeats_of(&self, keys: &[[u8; 16]], _now: Timestamp) -> Result<Vec<Option<Repeat>>, Error> {
        Ok(vec![None; keys.len()])
    }

    async fn accepted_with(&self, key: [u8; 16], now: Timestamp) -> Result<Option<Repeat>, Error> {
        self.ask_store(self.parts.store.repeat_of(key, now)).await
    }

    async fn keep_answer(&self, idempotency: Idempotency, answer: Vec<u8>, now: Timestamp) -> Result<(), Error> {
        self.ask_store(self.parts.store.keep_answer(idempotency, answer, now)).await
    }

    async fn kept_answer(&self, key: [u8; 16], now: Timestamp) -> Result<Option<([u8; 16], Vec<u8>)>, Error> {
        self.ask_store(self.parts.store.kept_answer(key, now)).await
    }

    async fn lease(&self, lane: Lane, lease: Lease, now: Timestamp, most: usize) -> Result<Vec<Taken>, Error> {
        match lane {
            Lane::Urgent => self.take_codes(lease, now, most).await,
            Lane::Normal | Lane::Bulk => self.take(lane, lease, now, most).await,
        }
    }

    async fn next_due(&self, lane: Lane) -> Result<Option<Timestamp>, Error> {
        let (put_off, has_room) = {
            let hands = self.hands();
            (hands.put_off.next(lane), hands.put_off.has_room(lane))
        };
        let waits = has_room && self.consumer.get().is_some_and(|consumer| consumer.waiting(lane.index()) > 0);
        let ours = if waits { Some(self.parts.clock.now()) } else { put_off };
        let stored = self.ask_store(self.parts.store.next_due(lane)).await.unwrap_or(None);
        Ok([ours, stored].into_iter().flatten().min())
    }

    fn let_go(&self, id: MessageId) {
        self.give_up(id, None);
    }

    async fn hand_back(&self, ids: Vec<MessageId>, owner: LeaseOwner, now: Timestamp) -> Result<(), Error> {
        let (mut rows, mut over) = (Vec::new(), Vec::new());
        for id in ids {
            let held = self.hands().held.remove(&id);
            match held {
                // What Kafka brought is not finished: it is looked at again here, or by whoever gets the partition.
                Some(held) if held.authority == Authority::Claim && !held.tokens.is_empty() => self.look_again(held),
                held => {
                    // Where the row is the authority it says all that a record could.
                    over.extend(held.map_or_else(Vec::new, |held| held.tokens));
                    rows.push(id);
                }
            }
        }
        self.finish(&over);
        if rows.is_empty() { Ok(()) } else { self.ask_store(self.parts.store.hand_back(rows, owner, now)).await }
    }

    async fn open(&self, id: MessageId, lane: Lane, lease: Lease, attempts: Vec<Attempt>) -> Result<Opening, Error> {
        self.open_attempt(id, lane, lease, attempts).await
    }

    async fn settle(&self, settlement: Settlement) -> Result<Settling, Error> {
        self.settle_message(settlement).await
    }

    fn take_joined(&self) -> Vec<Joined> {
        self.parts.store.take_joined()
    }

    /// Published, and written by the recorder with everything else about its message; by the store at once if Kafka is away.
    async fn receipt(&self, receipt: ReceiptFact) -> Result<ReceiptMatch, Error> {
        let facts = [(None, Fact::Receipt(receipt))];
        if self.publish(&self.parts.topics.outcomes(), &facts, None).await[0] {
            return Ok(ReceiptMatch::Published);
        }
        let [(_, Fact::Receipt(receipt))] = facts else { return Ok(ReceiptMatch::Published) };
        self.ask_store(self.parts.store.receipt(receipt)).await
    }

    async fn cancel(&self, app: Option<AppId>, id: MessageId, now: Timestamp) -> Result<Cancelling, Error> {
        let Some(record) = self.get(id).await? else { return Ok(Cancelling::NotFound) };
        if app.is_some_and(|app| app != record.message.app) {
            return Ok(Cancelling::NotFound);
        }
        // Whoever has the claim decides; without Redis the row does.
        if let Ok(false) = self.parts.shared.cancel(id, self.keep(&record.message)).await {
            return Ok(Cancelling::TooLate(record.status));
        }
        self.ask_store(self.parts.store.cancel(app, id, now)).await
    }

    async fn cancel_by_reference(&self, app: AppId, reference: &str, now: Timestamp) -> Result<(u64, u64), Error> {
        let filter = Filter { app: Some(app), reference: Some(reference.to_owned()), ..Filter::default() };
        let (mut cancelled, mut too_late, mut before) = (0, 0, None);
        loop {
            let page = self.ask_store(self.parts.store.list(&filter, before, 200)).await?;
            for row in &page.rows {
                match self.cancel(Some(app), row.message.id, now).await? {
                    Cancelling::Cancelled => cancelled += 1,
                    Cancelling::TooLate(_) => too_late += 1,
                    Cancelling::NotFound => {}
                }
            }
            before = page.next;
            if before.is_none() {
                return Ok((cancelled, too_late));
            }
        }
    }

    async fn release(&self, app: Option<AppId>, id: MessageId, now: Timestamp) -> Result<Releasing, Error> {
        self.ask_store(self.parts.store.release(app, id, now)).await
    }

    async fn get(&self, id: MessageId) -> Result<Option<Record>, Error> {
        let until = self.parts.clock.moment() + WAIT_FOR_RECORDER;
        loop {
            let found = self.ask_store(self.parts.store.get(id)).await?;
            let young = self.parts.clock.now().since(id.made_at()) < YOUNG;
            if found.is_some() || !young || self.parts.clock.moment() >= until {
                return Ok(found);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn list(&self, filter: &Filter, before: Option<MessageId>, limit: usize) -> Result<Page, Error> {
        self.ask_store(self.parts.store.list(filter, before, limit)).await
    }

    async fn forget(&self, category: Category, before: Timestamp, after: Option<MessageId>) -> Result<Forgotten, Error> {
        self.ask_store(self.parts.store.forget(category, before, after)).await
    }

    async fn forget_span(&self, before: Timestamp) -> Result<bool, Error> {
        self.ask_store(self.parts.store.forget_span(before)).await
    }

    async fn sweep(&self, after: Option<SweepMark>, now: Timestamp) -> Result<Option<SweepMark>, Error> {
        self.ask_store(self.parts.store.sweep(after, now)).await
    }

    async fn all_recorded(&self) -> bool {
        self.kafka_is_up() && keys::passed(self, self.parts.topics.recorded()).await
    }

    async fn erase(&self, to: &Recipient) -> Result<Erased, Error> {
        self.ask_store(self.parts.store.erase(to)).await
    }

    async fn count_accepted(&self, app: AppId, since: Timestamp) -> Result<u64, Error> {
        self.ask_store(self.parts.store.count_accepted(app, since)).await
    }

    /// What is due in the store, and what waits in Kafka: the row of a message that Kafka brings is not due, as long as it is young.
    async fn waiting(&self, now: Timestamp) -> Result<[Waiting; 3], Error> {
        let mut lanes = self.ask_store(self.parts.store.waiting(now)).await?;
        for (lane, waiting) in lanes.iter_mut().enumerate() {
            let published = self.consumer.get().and_then(|consumer| consumer.oldest(lane)).map(Timestamp::from_millis);
            waiting.messages += self.depth.of(lane);
            waiting.oldest = waiting.oldest.max(published.map(|at| now.since(at)).unwrap_or_default());
        }
        Ok(lanes)
    }

    async fn ping(&self) -> Result<(), Error> {
        if self.kafka_is_up() {
            return Ok(());
        }
        self.ask_store(self.parts.store.ping()).await
    }
}
