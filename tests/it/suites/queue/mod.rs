//! Messages as a queue, by the real clock: what was accepted is taken, by one, until it is closed. Every case on every
//! backend, listed once; with Kafka what was accepted comes a moment later, so cases wait for it.

pub mod cases;

use std::sync::Arc;

use tidings::{
    clock::Clock,
    delivery::Intake,
    queue::{
        Envelopes, Parts, Road,
        kafka::{Producer, Topics},
    },
    recorder::Recorder,
    shared::Redis,
    store::postgres::PostgresStore,
    telemetry::Metrics,
};
use tokio_util::sync::CancellationToken;

use super::messages::{Backend, keyring, postgres, postgres_on, sqlite};
use crate::servers;

/// The road with everything behind it, and what a test must know to look behind it.
pub struct OnKafka {
    pub road: Arc<Road>,
    pub brokers: String,
    pub topics: Topics,
    pub metrics: Arc<Metrics>,
    pub store: Arc<PostgresStore>,
    recording: CancellationToken,
    recorder: Option<Recorder>,
}

impl OnKafka {
    /// From now on what Kafka holds is written into the store.
    pub fn record(&mut self) {
        let recorder = self.recorder.take().expect("it records already");
        tokio::spawn(recorder.run(self.recording.clone()));
    }
}

impl Drop for OnKafka {
    fn drop(&mut self) {
        self.recording.cancel();
    }
}

async fn kafka() -> Option<Backend> {
    let on_kafka = on_kafka().await?;
    Some((Arc::clone(&on_kafka.road) as _, Box::new(on_kafka)))
}

/// A worker's road on all three servers, under a name that nobody else uses.
pub async fn on_kafka() -> Option<OnKafka> {
    let mut on_kafka = on_kafka_unrecorded().await?;
    on_kafka.record();
    Some(on_kafka)
}

/// The same with a recorder that lags: it writes nothing until it is told to.
pub async fn on_kafka_unrecorded() -> Option<OnKafka> {
    let (database, redis, brokers) = (servers::database().await?, servers::redis()?, servers::kafka()?);
    Some(on_servers(Arc::new(postgres_on(&database).await), &redis, brokers).await)
}

/// The same on this store, and with a Redis that may be behind a wire.
pub async fn on_servers(store: Arc<PostgresStore>, redis: &str, brokers: String) -> OnKafka {
    let name = servers::fresh_name();
    let topics = Topics::new(&name);
    topics.ensure(&brokers, 2, 1).await.unwrap();
    let shared = Arc::new(Redis::connect(redis, &name).unwrap());
    shared.returns().wait_for(|count| *count > 0).await.unwrap();
    let (envelopes, recorder) = (Envelopes::new(keyring()), format!("{name}-recorder"));
    let recording = CancellationToken::new();
    let metrics = Arc::new(Metrics::new());
    let observed = (Arc::clone(&metrics), Clock::system());
    let writes = Recorder::start(&brokers, &recorder, &topics, envelopes.clone(), Arc::clone(&store), Arc::default(), observed).unwrap();
    let producer = Producer::new(&brokers, &topics).unwrap();
    let parts = Parts {
        store: Arc::clone(&store),
        shared,
        producer,
        topics: topics.clone(),
        envelopes,
        clock: Clock::system(),
        brokers: brokers.clone(),
        group: name,
        recorder,
    };
    let road = Road::new(parts);
    tokio::spawn(recording.clone().run_until_cancelled_owned(Arc::clone(&road).watch()));
    road.consume(Intake::default()).unwrap();
    OnKafka { road, brokers, topics, metrics, store, recording, recorder: Some(writes) }
}

crate::suites::suite! {
    backends: [sqlite, postgres, kafka],
    cases: [
        what_was_accepted_is_taken_once,
        what_was_settled_is_not_taken_again,
        what_waits_comes_back_when_it_is_due,
        what_finds_no_room_again_and_again_is_not_kept_by_its_lease,
        a_scheduled_message_is_not_taken_before_its_time,
        a_used_key_is_answered_with_the_first_message,
        a_cancelled_message_cannot_be_opened,
        a_message_is_found_right_after_it_was_accepted,
        a_receipt_reaches_its_message,
        a_held_message_goes_when_it_is_released,
    ]
}
