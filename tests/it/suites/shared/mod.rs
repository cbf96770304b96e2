//! The port to what nodes share: every case on every backend, listed once.

mod cases;

use std::sync::Arc;

use tidings::{
    clock::Clock,
    shared::{Local, Redis, Shared},
};

use crate::{
    servers,
    suites::{self, anywhere},
};

type Backend = suites::Backend<Arc<dyn Shared>>;

async fn local() -> Option<Backend> {
    Some(anywhere(Arc::new(Local::new(Clock::system()))))
}

async fn redis() -> Option<Backend> {
    Some(anywhere(connected(&servers::redis()?).await))
}

async fn redis_cluster() -> Option<Backend> {
    let url = servers::redis_cluster()?;
    let redis = connected(&url).await;
    refuses_what_touches_two_slots(&url).await;
    Some(anywhere(redis))
}

async fn connected(url: &str) -> Arc<dyn Shared> {
    let redis = Redis::connect(url, &servers::fresh_name()).unwrap();
    redis.returns().wait_for(|count| *count > 0).await.unwrap();
    Arc::new(redis)
}

/// Otherwise the cases would prove nothing on it.
async fn refuses_what_touches_two_slots(url: &str) {
    let mut connection = ::redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
    let crossing: ::redis::RedisResult<()> = ::redis::cmd("MGET").arg("a").arg("b").query_async(&mut connection).await;
    assert_eq!(crossing.unwrap_err().kind(), ::redis::ErrorKind::Server(::redis::ServerErrorKind::CrossSlot));
}

crate::suites::suite! {
    backends: [local, redis, redis_cluster],
    cases: [
        a_claim_is_held_until_its_lease_is_over,
        whoever_knows_of_no_claim_gets_one_only_where_there_is_none,
        whoever_comes_after_a_lease_must_know_of_the_open_attempt,
        a_decided_message_is_not_opened_again,
        a_message_that_waited_is_opened_again_by_anybody,
        cancelling_wins_only_while_nothing_is_out,
        an_idempotency_key_is_reserved_once,
        a_reserved_key_is_corrected_by_whoever_knows_better,
        completeness_is_unknown_until_somebody_says_so,
        what_is_told_is_heard_until_it_is_forgotten,
        nodes_that_spend_from_a_budget_are_counted,
        tries_are_counted_until_there_were_too_many_within_the_window,
    ]
}
