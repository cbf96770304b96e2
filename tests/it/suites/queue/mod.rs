//! Messages as a queue, by the real clock: what was accepted is taken, by one, until it is closed. Every case on every
//! backend, listed once; with Kafka what was accepted comes a moment later, so cases wait for it.

pub mod cases;

use std::{any::Any, future::Future, sync::Arc};

use tempfile::TempDir;
use tidings::{
    clock::Clock,
    delivery::Intake,
    queue::{
        Envelopes, Parts, Road,
        kafka::{Producer, Topics},
    },
    recorder::Recorder,
    seal::Keyring,
    shared::Redis,
    store::{
        Messages, Sqlite,
        postgres::{Connections, PostgresStore},
    },
    telemetry::Metrics,
};
use tokio_util::sync::CancellationToken;

use crate::servers;

/// A queue under test; dropping it removes whatever it lives in.
pub struct Backend {
    pub queue: Arc<dyn Messages>,
    _home: Box<dyn Any + Send>,
}

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

fn keyring() -> Arc<Keyring> {
    Arc::new(Keyring::parse(&Keyring::line(&[7; 32])).unwrap())
}

async fn sqlite() -> Option<Backend> {
    let folder = TempDir::new().unwrap();
    let (store, _writer) = Sqlite::open(&folder.path().join("tidings.db"), keyring(), Clock::system(), |_| {}).await.unwrap();
    Some(Backend { queue: Arc::new(store), _home: Box::new(folder) })
}

async fn store_on(database: &str) -> PostgresStore {
    let connections = Connections::new(database).unwrap();
    PostgresStore::migrate(&connections).await.unwrap();
    PostgresStore::open(connections, keyring(), Clock::system()).await.unwrap()
}

async fn postgres() -> Option<Backend> {
    Some(Backend { queue: Arc::new(store_on(&servers::database().await?).await), _home: Box::new(()) })
}

async fn kafka() -> Option<Backend> {
    let on_kafka = on_kafka().await?;
    Some(Backend { queue: Arc::clone(&on_kafka.road) as _, _home: Box::new(on_kafka) })
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
    Some(on_servers(Arc::new(store_on(&database).await), &redis, brokers).await)
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

fn run<F: Future<Output = Option<Backend>>, C: Future<Output = ()>>(
    backend: impl FnOnce() -> F,
    case: impl FnOnce(Arc<dyn Messages>) -> C,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let Some(backend) = backend().await else { return };
        case(Arc::clone(&backend.queue)).await;
    });
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
