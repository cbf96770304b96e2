//! The recorder: writes what happened into the store, in batches.
//!
//! On the Kafka rung it alone writes the rows of messages that go by Kafka, from the same topics in a consumer group of its own.
//! So the store's speed never bounds accepting, and the store away is no special path, only lag: records stay in Kafka
//! until they are written, and are committed only then.

mod unended;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tidings_core::id::MessageId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    queue::{
        Envelopes, Fact, Settled,
        kafka::{Consumer, Pace, Record, Topics},
    },
    receipts::Confirm,
    store::{Error, Messages, NewMessage, ReceiptFact, postgres::PostgresStore},
    telemetry::Metrics,
};

pub use self::unended::watch as look_for_unended;

/// Facts of one topic in one transaction, at most.
const BATCH: usize = 1_000;
/// Where so many come at once more do within a moment, and then a message and its end are often one row, written once.
const MANY: usize = 100;
const GATHER: Duration = Duration::from_millis(60);
/// After the store failed.
const PAUSE: Duration = Duration::from_millis(250);
/// How far it is behind is told as often when nothing comes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is known of a message of a batch.
type Entry = (NewMessage, Option<Settled>);

/// Consumes and writes until it is stopped.
pub struct Recorder {
    consumer: Consumer,
    arrived: Arc<Notify>,
    topics: usize,
    envelopes: Envelopes,
    store: Arc<PostgresStore>,
    told: Arc<OnceLock<Arc<Confirm>>>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl Recorder {
    /// `told` hears what receipts meant, once it is there.
    pub fn start(
        brokers: &str,
        group: &str,
        topics: &Topics,
        envelopes: Envelopes,
        store: Arc<PostgresStore>,
        told: Arc<OnceLock<Arc<Confirm>>>,
        (metrics, clock): (Arc<Metrics>, Clock),
    ) -> Result<Self, crate::queue::kafka::KafkaError> {
        let names = topics.recorded();
        let arrived = Arc::new(Notify::new());
        let woken = Arc::clone(&arrived);
        let count = names.len();
        let consumer = Consumer::start(brokers, group, vec![names], Pace::Gathering, move |_| woken.notify_one())?;
        Ok(Self { consumer, arrived, topics: count, envelopes, store, told, metrics, clock })
    }

    /// Runs until `stop`; what was not written by then comes again.
    pub async fn run(self, stop: CancellationToken) {
        let mut last = 0;
        loop {
            if (MANY..BATCH).contains(&last) {
                // What is there already is written before this ends.
                drop(tokio::time::timeout(GATHER, stop.cancelled()).await);
            }
            let records: Arc<Vec<Record>> = Arc::new((0..self.topics).flat_map(|topic| self.consumer.take(topic, BATCH)).collect());
            last = records.len();
            self.metrics.recorder.lag.set(self.consumer.lag());
            if records.is_empty() {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = self.arrived.notified() => continue,
                    () = tokio::time::sleep(LOOK_EVERY) => continue,
                }
            }
            let began = self.clock.moment();
            if !self.write(&records, &stop).await {
                break;
            }
            self.metrics.recorder.batch(records.len(), self.clock.moment().since(began));
            records.iter().for_each(|record| self.consumer.finish(record.token));
        }
        self.consumer.stop().await;
    }

    /// Writes until the store has taken it. False when told to stop before.
    async fn write(&self, records: &Arc<Vec<Record>>, stop: &CancellationToken) -> bool {
        let (envelopes, records) = (self.envelopes.clone(), Arc::clone(records));
        // Opening thousands takes a tenth of a second, and whatever stands behind this task would wait for it: a code, too.
        let folded = tokio::task::spawn_blocking(move || fold(&envelopes, &records)).await;
        let Ok((messages, receipts)) =
            folded.inspect_err(|died| tracing::error!(error = died as &dyn std::error::Error, "records could not be read"))
        else {
            return false;
        };
        loop {
            let Err(error) = self.try_write(&messages, &receipts).await else { return true };
            if !error.is_unavailable() {
                // A fact that cannot be written must not hold up the others: each goes alone, and what is broken is told.
                self.one_by_one(&messages, &receipts).await;
                return true;
            }
            tracing::warn!(error = &error as &dyn std::error::Error, "the recorder waits for the store");
            self.metrics.recorder.lag.set(self.consumer.lag());
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    async fn try_write(&self, messages: &Arc<Vec<Entry>>, receipts: &[ReceiptFact]) -> Result<(), Error> {
        if !messages.is_empty() {
            self.store.record_all(Arc::clone(messages)).await?;
        }
        self.try_receipts(receipts).await
    }

    async fn try_receipts(&self, receipts: &[ReceiptFact]) -> Result<(), Error> {
        for receipt in receipts {
            let matched = self.store.receipt(receipt.clone()).await?;
            if let Some(told) = self.told.get() {
                told.recorded(receipt, &matched);
            }
        }
        Ok(())
    }

    async fn one_by_one(&self, messages: &[Entry], receipts: &[ReceiptFact]) {
        for message in messages {
            if let Err(error) = self.store.record(message).await {
                tracing::error!(message = %message.0.message.id, error = &error as &dyn std::error::Error, "a fact cannot be recorded");
            }
        }
        for receipt in receipts {
            if let Err(error) = self.try_receipts(std::slice::from_ref(receipt)).await {
                tracing::error!(provider = receipt.provider, error = &error as &dyn std::error::Error, "a receipt cannot be recorded");
            }
        }
    }
}

/// One entry a message, with the fact that came furthest, in the order of their ids: they are neighbours in the table, and two
/// recorders never wait for each other in a circle.
fn fold(envelopes: &Envelopes, records: &[Record]) -> (Arc<Vec<Entry>>, Vec<ReceiptFact>) {
    let mut messages: BTreeMap<MessageId, Entry> = BTreeMap::new();
    let mut receipts = Vec::new();
    for record in records {
        match envelopes.read(&record.value) {
            Ok(Fact::Accepted(new)) => {
                messages.entry(new.message.id).or_insert((new, None));
            }
            Ok(Fact::Settled(settled)) => {
                let entry = messages.entry(settled.new.message.id).or_insert_with(|| (settled.new.clone(), None));
                if entry.1.as_ref().is_none_or(|known| known.came_as_far_as(&settled)) {
                    entry.1 = Some(settled);
                }
            }
            Ok(Fact::Receipt(receipt)) => receipts.push(receipt),
            // The worker that meets it puts it among the dead letters.
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "a record cannot be read"),
        }
    }
    (Arc::new(messages.into_values().collect()), receipts)
}
