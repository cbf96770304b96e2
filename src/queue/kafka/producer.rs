//! Publishing.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord, Producer as _},
    types::RDKafkaErrorCode,
    util::Timeout,
};
use tidings_core::message::Lane;

use super::Topics;

/// What is not acknowledged by then is made durable elsewhere: below the time that a send may take.
const MESSAGE_TIMEOUT_MS: &str = "700";
/// How long a record waits for others, as each partition's go in a request of their own: a code hardly, the rest a little.
const URGENT_LINGER_MS: &str = "1";
const LINGER_MS: &str = "8";
const ANSWER: Duration = Duration::from_secs(1);
const FLUSH: Duration = Duration::from_secs(2);

/// It may have been published all the same: whoever publishes it elsewhere uses the same id.
#[derive(Debug, thiserror::Error)]
#[error("the record was not acknowledged")]
pub struct NotPublished(#[source] pub rdkafka::error::KafkaError);

impl NotPublished {
    /// The brokers answer and do not let this program write: they will not a moment later either.
    pub fn is_forbidden(&self) -> bool {
        matches!(
            self.0.rdkafka_error_code(),
            Some(RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed)
        )
    }
}

/// One record to publish.
pub struct Publish<'a> {
    pub topic: &'a str,
    /// Records of one key stay in order. Those without go together into whichever partition is being filled: far fewer requests.
    pub key: Option<&'a [u8]>,
    pub value: &'a [u8],
    pub traceparent: Option<&'a str>,
    /// For dead letters: why.
    pub reason: Option<&'a str>,
}

/// The brokers of a cluster, by what a topic's partitions need of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brokers {
    pub answer: usize,
    /// The numbers of those that have copies and do not answer.
    pub away: Vec<i32>,
}

/// Publishes codes by a connection of their own, so that they stand behind nobody.
pub struct Producer {
    urgent_topic: String,
    urgent: FutureProducer,
    others: FutureProducer,
}

impl Producer {
    pub fn new(brokers: &str, topics: &Topics) -> Result<Self, rdkafka::error::KafkaError> {
        let lingering = |linger_ms| {
            let mut config = super::client(brokers);
            config
                .set("acks", "all")
                .set("enable.idempotence", "true")
                .set("message.timeout.ms", MESSAGE_TIMEOUT_MS)
                .set("request.timeout.ms", MESSAGE_TIMEOUT_MS)
                .set("linger.ms", linger_ms)
                .set("compression.type", "none")
                .set("queue.buffering.max.messages", "100000");
            config.create()
        };
        Ok(Self { urgent_topic: topics.messages(Lane::Urgent), urgent: lingering(URGENT_LINGER_MS)?, others: lingering(LINGER_MS)? })
    }

    /// Publishes all and waits for every acknowledgement, in order.
    pub async fn publish(&self, records: &[Publish<'_>]) -> Vec<Result<(), NotPublished>> {
        let sent = records.iter().map(|record| {
            let mut headers = OwnedHeaders::new().insert(Header { key: "version", value: record.value.first().map(std::slice::from_ref) });
            if let Some(traceparent) = record.traceparent {
                headers = headers.insert(Header { key: "traceparent", value: Some(traceparent) });
            }
            if let Some(reason) = record.reason {
                headers = headers.insert(Header { key: "reason", value: Some(reason) });
            }
            let producer = if record.topic == self.urgent_topic { &self.urgent } else { &self.others };
            let key = record.key;
            let record = FutureRecord::<[u8], [u8]>::to(record.topic).payload(record.value).headers(headers);
            let record = if let Some(key) = key { record.key(key) } else { record };
            producer.send_result(record).map_err(|(error, _)| NotPublished(error))
        });
        let sent: Vec<_> = sent.collect();
        join_all(sent.into_iter().map(|sent| async move {
            match sent?.await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err((error, _))) => Err(NotPublished(error)),
                Err(_) => Err(NotPublished(rdkafka::error::KafkaError::Canceled)),
            }
        }))
        .await
    }

    /// Whether the brokers answer and a topic has its leaders; blocks for a second at most.
    pub fn answers(&self, topic: &str) -> bool {
        let Ok(metadata) = self.others.client().fetch_metadata(Some(topic), ANSWER) else { return false };
        let mut leaders =
            metadata.topics().iter().flat_map(rdkafka::metadata::MetadataTopic::partitions).map(|partition| partition.leader());
        // A topic without partitions has not been made.
        leaders.next().is_some_and(|first| first >= 0) && leaders.all(|leader| leader >= 0)
    }

    /// Who answers, and who should and does not; nothing if nobody does. Blocks for a second at most.
    pub fn brokers(&self, topic: &str) -> Option<Brokers> {
        let metadata = self.others.client().fetch_metadata(Some(topic), ANSWER).ok()?;
        let answer: BTreeSet<i32> = metadata.brokers().iter().map(rdkafka::metadata::MetadataBroker::id).collect();
        let partitions = metadata.topics().iter().flat_map(rdkafka::metadata::MetadataTopic::partitions);
        let needed: BTreeSet<i32> = partitions.flat_map(|partition| partition.replicas().iter().copied()).collect();
        Some(Brokers { answer: answer.len(), away: needed.difference(&answer).copied().collect() })
    }

    /// Waits until what was sent is out; blocks.
    pub fn flush(&self) {
        // What is left is found unacknowledged by its caller.
        for producer in [&self.urgent, &self.others] {
            drop(producer.flush(Timeout::After(FLUSH)));
        }
    }
}
