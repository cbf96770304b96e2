//! What a wire that goes silent at a bad moment leaves behind.

use std::{process::Command, sync::Arc, time::Duration};

use redis::AsyncCommands;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tidings::{
    clock::Clock,
    queue::kafka::{Consumer, Pace, Producer, Publish},
    seal::Keyring,
    store::{
        Accepting, Error, Idempotency, Lease, Messages, NewMessage,
        postgres::{Connections, PostgresStore},
    },
};
use tidings_core::{
    id::MessageId,
    message::{Category, Lane},
};

use super::node::{KEY, Node};
use crate::{
    patience::{eventually, within},
    servers,
    suites::queue::{
        self,
        cases::{message, new},
    },
    torture::{State, Wire},
};

/// Shorter than a lease, and than the test.
const CALL: Duration = Duration::from_secs(4);

/// The library counts every few seconds, and not before a group has formed and its members have fetched.
const COUNTED: Duration = Duration::from_secs(30);

/// More than a store that nobody else uses has.
const IDLE_CONNECTIONS: usize = 8;

/// The port of a database, and a wire to it.
pub async fn wire_to(database: &str) -> (u16, Wire) {
    let port = database.rsplit_once('/').unwrap().0.rsplit_once(':').unwrap().1.parse().unwrap();
    (port, Wire::to(port).await)
}

/// The store on this database, as another node reaches it by a wire.
pub async fn by_wire(database: &str, call: Duration) -> (Arc<PostgresStore>, Wire) {
    let (port, wire) = wire_to(database).await;
    let connections = Connections::new(&database.replace(&format!(":{port}/"), &format!(":{}/", wire.port))).unwrap();
    PostgresStore::migrate(&connections).await.unwrap();
    let keyring = Arc::new(Keyring::parse(&Keyring::line(&[7; 32])).unwrap());
    (Arc::new(PostgresStore::open_within(connections, call, keyring, Clock::system()).await.unwrap()), wire)
}

fn lease(seconds: u64) -> Lease {
    Lease { owner: 41, until: Clock::system().now() + Duration::from_secs(seconds) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_were_leased_by_a_lost_answer_are_taken_again_at_once() {
    let Some(database) = servers::database().await else { return };
    let (store, wire) = by_wire(&database, CALL).await;
    // Every idle connection knows the statement: what waits in the server then is its execution.
    for _ in 0..IDLE_CONNECTIONS {
        store.lease(Lane::Urgent, lease(600), Clock::system().now(), 10).await.unwrap();
    }
    let sent = message(Category::Otp);
    let id = sent.id;
    store.accept(vec![new(sent)]).await.unwrap();
    // The lease waits inside the server until the wire has gone silent.
    let mut connection = PgConnection::connect(&database).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE messages IN EXCLUSIVE MODE").execute(&mut connection).await.unwrap();
    let asking = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.lease(Lane::Urgent, lease(600), Clock::system().now(), 10).await }
    });
    let watching = tokio::sync::Mutex::new(PgConnection::connect(&database).await.unwrap());
    eventually(async || {
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut *watching.lock().await).await.unwrap() > 0
    })
    .await;
    wire.switch(State::Mute);
    sqlx::raw_sql("COMMIT").execute(&mut connection).await.unwrap();
    assert!(asking.await.unwrap().is_err(), "the answer is lost");
    wire.switch(State::Whole);
    let owner: Option<i64> = sqlx::query_scalar("SELECT owner FROM messages").fetch_one(&mut connection).await.unwrap();
    assert_eq!(owner, Some(41), "the lease was given all the same");
    let taken = std::sync::Mutex::new(Vec::new());
    eventually(async || {
        let now = store.lease(Lane::Urgent, lease(601), Clock::system().now(), 10).await.unwrap_or_default();
        taken.lock().unwrap().extend(now);
        !taken.lock().unwrap().is_empty()
    })
    .await;
    assert_eq!(taken.into_inner().unwrap()[0].message.id, id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_nobody_understands_is_put_aside_listed_and_replayed() {
    let Some(on_kafka) = queue::on_kafka().await else { return };
    let topic = on_kafka.topics.messages(Lane::Urgent);
    let producer = Producer::new(&on_kafka.brokers, &on_kafka.topics).unwrap();
    // What is not acknowledged in time may be there all the same.
    eventually(async || {
        let poison = Publish { topic: &topic, key: Some(b"key"), value: b"\x09poison", traceparent: None, reason: None };
        producer.publish(&[poison]).await[0].is_ok()
    })
    .await;
    on_kafka.road.accept(vec![new(message(Category::Otp))]).await.unwrap();

    let home = tempfile::TempDir::new().unwrap();
    let prefix = on_kafka.topics.dead();
    let settings = format!("[kafka]\nbrokers = \"{}\"\ntopic_prefix = \"{}\"\n", on_kafka.brokers, prefix.trim_end_matches(".dead"));
    std::fs::write(home.path().join("tidings.toml"), settings).unwrap();
    let dead = |what: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        let output = command.args(["dead", what, "--config"]).arg(home.path().join("tidings.toml")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let taken = std::sync::Mutex::new(0);
    let work =
        async || *taken.lock().unwrap() += on_kafka.road.lease(Lane::Urgent, lease(60), Clock::system().now(), 10).await.unwrap().len();
    eventually(async || {
        work().await;
        dead("list").contains(&format!("{topic}\tan envelope of version 9, which this program does not know"))
    })
    .await;
    eventually(async || {
        work().await;
        *taken.lock().unwrap() == 1
    })
    .await;
    let letters = dead("list").lines().count();
    // What a busy broker does not acknowledge in time is replayed once more: repeating one is harmless.
    eventually(async || {
        let told = dead("replay");
        let (published, refused) = told.split_once(" published again, ").unwrap();
        refused.starts_with("0 not acknowledged") && published.parse::<usize>().unwrap() >= letters
    })
    .await;
    eventually(async || {
        work().await;
        dead("list").lines().count() >= 2 * letters
    })
    .await;
}

/// Accepts one message after the other until one lies in Kafka alone: what is not acknowledged within a second, as may happen to
/// a producer's first, goes by the store.
pub async fn accepted_by_kafka(on_kafka: &queue::OnKafka, message: impl Fn(u8) -> NewMessage) -> (u8, MessageId) {
    for attempt in 0..=u8::MAX {
        let sent = message(attempt);
        let id = sent.message.id;
        assert_eq!(on_kafka.road.accept(vec![sent]).await.unwrap(), [Accepting::New]);
        if on_kafka.store.get(id).await.unwrap().is_none() {
            return (attempt, id);
        }
    }
    panic!("no publish was acknowledged in time");
}

/// Everything that Redis holds under a name is gone, and nobody's connection broke.
async fn emptied(name: &str) {
    let mut redis = redis::Client::open(servers::redis().unwrap()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = redis.keys(format!("{name}:*")).await.unwrap();
    let _: usize = redis.del(keys).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_redis_forgot_is_never_accepted_twice() {
    let Some(mut on_kafka) = queue::on_kafka_unrecorded().await else { return };
    let road = Arc::clone(&on_kafka.road);
    let keyed =
        |key, body| NewMessage { idempotency: Some(Idempotency { key: [key; 16], body: [body; 16] }), ..new(message(Category::Otp)) };
    // Nothing was recorded yet, and nothing was sent: all keys are known.
    eventually(async || road.keys_are_complete()).await;
    let (key, id) = accepted_by_kafka(&on_kafka, |key| keyed(key, 1)).await;

    let name = on_kafka.topics.dead();
    emptied(name.trim_end_matches(".dead")).await;
    // The message lies in Kafka alone: neither Redis nor the store can tell.
    for _ in 0..3 {
        let answer = road.accept(vec![keyed(key, 1)]).await;
        assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
    }
    on_kafka.record();
    eventually(async || road.accept(vec![keyed(key, 1)]).await.is_ok_and(|answers| answers == [Accepting::Repeated(id)])).await;
    // Also once Redis, which has the key under another message since, is trusted again.
    eventually(async || road.keys_are_complete()).await;
    assert_eq!(road.accept(vec![keyed(key, 1)]).await.unwrap(), [Accepting::Repeated(id)]);
    assert_eq!(road.accept(vec![keyed(key, 2)]).await.unwrap(), [Accepting::Mismatch]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_far_a_group_is_behind_and_what_the_recorder_writes_are_told() {
    let Some(mut on_kafka) = queue::on_kafka_unrecorded().await else { return };
    accepted_by_kafka(&on_kafka, |_| new(message(Category::Otp))).await;
    let lanes = vec![on_kafka.topics.messages(Lane::Urgent)];
    let behind = Consumer::start(&on_kafka.brokers, &format!("{}-behind", lanes[0]), vec![lanes], Pace::AtOnce, |_| {}).unwrap();
    let taken = std::sync::Mutex::new(Vec::new());
    let take = || {
        let mut taken = taken.lock().unwrap();
        taken.extend(behind.take(0, 10));
        taken.len()
    };
    within(COUNTED, "what was taken and not finished is behind", async || {
        let count = take();
        count > 0 && behind.lag() == i64::try_from(count).unwrap()
    })
    .await;
    within(COUNTED, "nothing is behind", async || {
        take();
        taken.lock().unwrap().drain(..).for_each(|record| behind.finish(record.token));
        behind.lag() == 0
    })
    .await;
    behind.stop().await;

    assert!(on_kafka.metrics.render().contains("\ntidings_recorder_batch_records_count 0\n"));
    on_kafka.record();
    within(COUNTED, "the recorder has written a batch and is not behind", async || {
        let told = on_kafka.metrics.render();
        !told.contains("\ntidings_recorder_batch_records_count 0\n") && told.contains("\ntidings_recorder_lag_records 0\n")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_is_answered_while_nobody_can_look_up_the_first() {
    let (Some(database), Some(redis), Some(brokers)) = (servers::database().await, servers::redis(), servers::kafka()) else { return };
    let (home, name) = (tempfile::TempDir::new().unwrap(), servers::fresh_name());
    let (port, wire) = wire_to(&database).await;
    let master_key = home.path().join("master.key");
    std::fs::write(&master_key, Keyring::line(&[7; 32])).unwrap();
    let services = format!(
        "[secrets]\nmaster_key_file = \"{}\"\n[database]\nurl = \"{}\"\n[redis]\nurl = \"{redis}\"\nkey_prefix = \"{name}\"\n\
         [kafka]\nbrokers = \"{brokers}\"\ntopic_prefix = \"{name}\"\ngroup = \"{name}\"\npartitions = 2\n",
        master_key.display(),
        database.replace(&format!(":{port}/"), &format!(":{}/", wire.port))
    );
    let provider = "[[providers]]\nname = \"a\"\nkind = \"simulated\"\nchannel = \"sms\"\n";
    let node = Node::start_with_http(home.path(), provider, &services).await;
    let send = async |key: &str| {
        let body = json!({"to": "+4915112345678", "text": "Hello", "category": "otp"});
        let answer =
            node.client.post(node.url("/v1/messages")).bearer_auth(KEY).header("idempotency-key", key).json(&body).send().await.unwrap();
        let (status, replayed) = (answer.status().as_u16(), answer.headers().contains_key("idempotent-replayed"));
        (status, replayed, answer.json::<Value>().await.unwrap())
    };
    // Until Redis is known to have every key that was used, and the producer is warm.
    eventually(async || send("warm").await.0 == 202).await;
    wire.switch(State::Mute);
    let (status, replayed, first) = send("once").await;
    assert_eq!((status, replayed), (202, false), "{first}");
    let (status, replayed, again) = send("once").await;
    assert_eq!((status, replayed), (202, true), "{again}");
    assert_eq!(again["id"], first["id"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_waits_for_too_long_is_ended_by_the_server() {
    let Some(database) = servers::database().await else { return };
    let (store, _wire) = by_wire(&database, Duration::from_secs(1)).await;
    let mut holds = PgConnection::connect(&database).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE messages IN ACCESS EXCLUSIVE MODE").execute(&mut holds).await.unwrap();
    assert!(store.get(message(Category::Otp).id).await.is_err(), "the caller has gone on");
    let watching = tokio::sync::Mutex::new(PgConnection::connect(&database).await.unwrap());
    let waiting = async || {
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut *watching.lock().await).await.unwrap()
    };
    assert!(waiting().await > 0, "the server goes on waiting");
    eventually(async || waiting().await == 0).await;
}
