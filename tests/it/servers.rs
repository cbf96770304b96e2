//! The real servers that tests run against, as `scripts/services` names them in the environment.
//!
//! Without a server a test says that it skips; with `CI=true` that is a failure, because there nothing is skipped.

use tidings::store::postgres::create_database;

/// The value of a variable, or `None` after having said what is skipped.
fn given(variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{variable} is not set, and in CI nothing is skipped");
        eprintln!("skipped: {variable} is not set (make test starts the servers)");
    }
    value
}

/// Makes an empty database of its own and names its address.
pub async fn database() -> Option<String> {
    let server = given("TIDINGS_TEST_DATABASE_URL")?;
    let name = format!("test_{}", uuid::Uuid::from_u128(rand_id()).simple());
    Some(create_database(&server, &name).await.expect("the server of TIDINGS_TEST_DATABASE_URL answers, and lets us make databases"))
}

fn rand_id() -> u128 {
    let random = tidings::clock::Clock::system().random();
    tidings_core::id::uuid_v7(tidings::clock::Clock::system().now(), random).as_u128()
}

pub fn redis() -> Option<String> {
    given("TIDINGS_TEST_REDIS_URL")
}

/// One node in cluster mode that has all slots: it refuses whatever touches two of them.
pub fn redis_cluster() -> Option<String> {
    given("TIDINGS_TEST_REDIS_CLUSTER_URL")
}

pub fn kafka() -> Option<String> {
    given("TIDINGS_TEST_KAFKA_BROKERS")
}

pub fn chromedriver() -> Option<String> {
    given("TIDINGS_TEST_CHROMEDRIVER")
}

/// A name that nobody else uses on these servers: a prefix of keys and topics.
pub fn fresh_name() -> String {
    format!("test-{}", uuid::Uuid::from_u128(rand_id()).simple())
}
