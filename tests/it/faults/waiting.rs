//! What must wait while those who keep what waits are away: it stays in Kafka and in a worker's hands, and goes on by itself.

use std::{sync::Arc, time::Duration};

use tidings::{
    clock::Clock,
    store::{Lease, Messages, Next, Opening, Settlement, Taken},
};
use tidings_core::{
    attempt::{Attempt, Outcome},
    id::MessageId,
    message::{Category, Lane, Status},
};

use super::wires::{accepted_by_kafka, by_wire, wire_to};
use crate::{
    patience::eventually,
    servers,
    suites::{
        messages::samples::{ended, opened},
        queue::{
            OnKafka,
            cases::{message, new},
            on_kafka_unrecorded, on_servers,
        },
    },
    torture::{State, Wire},
};

const ME: i64 = 41;
const A_LEASE: Duration = Duration::from_secs(60);
/// As a road asks a store that others stand in for, and what a busy machine adds.
const CALL: Duration = Duration::from_secs(2);
/// For room at a provider.
const BRIEFLY: Duration = Duration::from_millis(300);

/// A worker's road that reaches PostgreSQL and Redis by wires.
async fn by_wires() -> Option<(OnKafka, Wire, Wire)> {
    let (database, redis, brokers) = (servers::database().await?, servers::redis()?, servers::kafka()?);
    let (store, to_store) = by_wire(&database, CALL).await;
    let (port, to_redis) = wire_to(&format!("{redis}/")).await;
    let redis = redis.replace(&format!(":{port}"), &format!(":{}", to_redis.port));
    Some((on_servers(store, &redis, brokers).await, to_store, to_redis))
}

fn lease() -> Lease {
    Lease { owner: ME, until: Clock::system().now() + A_LEASE }
}

/// Takes until this message comes.
async fn take(on_kafka: &OnKafka, lane: Lane, id: MessageId) -> Taken {
    let found = std::sync::Mutex::new(None);
    eventually(async || {
        let taken = on_kafka.road.lease(lane, lease(), Clock::system().now(), 10).await.unwrap_or_default();
        *found.lock().unwrap() = taken.into_iter().find(|taken| taken.message.id == id);
        found.lock().unwrap().is_some()
    })
    .await;
    found.into_inner().unwrap().unwrap()
}

async fn settle(on_kafka: &OnKafka, taken: &Taken, attempts: Vec<Attempt>, next: Next) {
    let (id, lane) = (taken.message.id, taken.message.lane());
    let settlement = Settlement { id, lane, owner: ME, attempts, next, at: Clock::system().now() };
    on_kafka.road.settle(settlement).await.unwrap();
}

async fn opens(on_kafka: &OnKafka, id: MessageId, attempts: Vec<Attempt>) {
    assert_eq!(on_kafka.road.open(id, Lane::Urgent, lease(), attempts).await.unwrap(), Opening::Opened);
}

/// Waits twice, without an attempt and after one, and is submitted then; nobody who was away came back meanwhile.
async fn waits_and_goes_on(on_kafka: &OnKafka, lane: Lane, id: MessageId) {
    let taken = take(on_kafka, lane, id).await;
    settle(on_kafka, &taken, Vec::new(), Next::Wait(Clock::system().now() + BRIEFLY)).await;
    take(on_kafka, lane, id).await;
    opens(on_kafka, id, vec![opened(1)]).await;
    let throttled = ended(1, Outcome::Unavailable, None);
    let due = Clock::system().now() + BRIEFLY;
    settle(on_kafka, &taken, vec![throttled.clone()], Next::Wait(due)).await;
    let again = take(on_kafka, lane, id).await;
    assert!(Clock::system().now() >= due, "not before its time");
    assert_eq!((again.attempts, again.status), (vec![throttled.clone()], Status::Delivering), "what was tried is known");
    opens(on_kafka, id, vec![throttled.clone(), opened(2)]).await;
    settle(on_kafka, &taken, vec![throttled, ended(2, Outcome::Accepted, None)], Next::Close(Status::Submitted)).await;
}

async fn is_recorded(on_kafka: &mut OnKafka, id: MessageId) {
    on_kafka.record();
    let road = Arc::clone(&on_kafka.road);
    let submitted = async || road.get(id).await.is_ok_and(|record| record.is_some_and(|record| record.status == Status::Submitted));
    eventually(submitted).await;
    let attempts = road.get(id).await.unwrap().unwrap().attempts;
    assert_eq!(attempts, [ended(1, Outcome::Unavailable, None), ended(2, Outcome::Accepted, None)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_that_waits_for_room_goes_on_with_neither_redis_nor_postgresql() {
    let Some((mut on_kafka, to_store, to_redis)) = by_wires().await else { return };
    let (_, id) = accepted_by_kafka(&on_kafka, |_| new(message(Category::Otp))).await;
    to_store.switch(State::Cut);
    to_redis.switch(State::Cut);
    waits_and_goes_on(&on_kafka, Lane::Urgent, id).await;
    to_store.switch(State::Whole);
    to_redis.switch(State::Whole);
    is_recorded(&mut on_kafka, id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_waits_for_room_goes_on_without_postgresql() {
    let Some((mut on_kafka, to_store, _to_redis)) = by_wires().await else { return };
    let (_, id) = accepted_by_kafka(&on_kafka, |_| new(message(Category::Transactional))).await;
    to_store.switch(State::Cut);
    waits_and_goes_on(&on_kafka, Lane::Normal, id).await;
    to_store.switch(State::Whole);
    is_recorded(&mut on_kafka, id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_and_the_age_of_what_waits_in_kafka_are_told() {
    let Some(on_kafka) = on_kafka_unrecorded().await else { return };
    accepted_by_kafka(&on_kafka, |_| new(message(Category::Transactional))).await;
    let much_later = Duration::from_secs(3_600);
    eventually(async || {
        let waiting = on_kafka.road.waiting(Clock::system().now() + much_later).await.unwrap();
        let [normal, bulk] = [Lane::Normal, Lane::Bulk].map(|lane| waiting[lane.index()]);
        (normal.oldest >= much_later, normal.messages, bulk.oldest.is_zero(), bulk.messages) == (true, 1, true, 0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_not_go_twice_waits_with_neither_and_goes_on_when_redis_is_back() {
    let Some((mut on_kafka, to_store, to_redis)) = by_wires().await else { return };
    let (_, id) = accepted_by_kafka(&on_kafka, |_| new(message(Category::Transactional))).await;
    to_store.switch(State::Cut);
    to_redis.switch(State::Cut);
    // It was read from Kafka, which has nothing more, and nobody may have it.
    let road = Arc::clone(&on_kafka.road);
    eventually(async || {
        let taken = road.lease(Lane::Normal, lease(), Clock::system().now(), 10).await.unwrap_or_default();
        assert!(taken.is_empty(), "nobody knows who has it");
        road.next_due(Lane::Normal).await.unwrap().is_some_and(|due| due > Clock::system().now())
    })
    .await;
    to_redis.switch(State::Whole);
    waits_and_goes_on(&on_kafka, Lane::Normal, id).await;
    to_store.switch(State::Whole);
    is_recorded(&mut on_kafka, id).await;
}
