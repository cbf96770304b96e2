//! Kafka: the topics, publishing, consuming. The only folder that names the client library.
//!
//! Publishing is idempotent and waits for all in-sync replicas; what is not acknowledged within a second may have happened, and its
//! caller makes it durable elsewhere under the same id. Consuming runs on threads of its own, because the library's
//! callbacks block: a partition that is taken away is finished first.

mod consumer;
mod dead;
mod lag;
mod members;
mod producer;
mod topics;

pub use self::{
    consumer::{Consumer, Pace, Record, Token},
    dead::{DeadLetter, dead_letters},
    lag::{Behind, Position, positions, wait_until_passed},
    members::Members,
    producer::{Brokers, NotPublished, Producer, Publish},
    topics::{Topics, TopicsError},
};

use rdkafka::ClientConfig;
pub use rdkafka::error::KafkaError;

/// A broker that does not answer within it is away: longer than a calm broker ever needs.
const SOCKET_TIMEOUT_MS: &str = "3000";

fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("client.id", "tidings")
        .set("socket.timeout.ms", SOCKET_TIMEOUT_MS)
        .set("socket.connection.setup.timeout.ms", SOCKET_TIMEOUT_MS)
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000")
        .set("allow.auto.create.topics", "false")
        .set_log_level(rdkafka::config::RDKafkaLogLevel::Critical);
    config
}
