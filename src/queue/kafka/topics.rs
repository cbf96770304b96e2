//! The topics' names, and making those that are missing.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    types::RDKafkaErrorCode,
};
use tidings_core::message::Lane;

const TIMEOUT: Duration = Duration::from_secs(10);
/// More than three replicas only cost.
const MOST_REPLICAS: usize = 3;

/// What the topics are called.
#[derive(Clone, Debug)]
pub struct Topics {
    prefix: String,
}

#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    #[error("no Kafka broker answers at {brokers}")]
    NotReachable { brokers: String, source: rdkafka::error::KafkaError },
    #[error("the topic {topic} could not be made ({code}): make it, or allow this program to create topics")]
    NotMade { topic: String, code: RDKafkaErrorCode },
    #[error("this program has no rights on the topic {topic} ({code}): let it describe, read and write it")]
    NoRights { topic: String, code: RDKafkaErrorCode },
    #[error("kafka.brokers")]
    Settings(#[source] rdkafka::error::KafkaError),
}

impl Topics {
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub fn messages(&self, lane: Lane) -> String {
        format!("{}.messages.{}", self.prefix, lane.as_str())
    }

    pub fn outcomes(&self) -> String {
        format!("{}.outcomes", self.prefix)
    }

    pub fn dead(&self) -> String {
        format!("{}.dead", self.prefix)
    }

    /// Which lane a topic carries.
    pub fn lane(&self, topic: &str) -> Option<Lane> {
        Lane::ALL.iter().copied().find(|lane| self.messages(*lane) == topic)
    }

    /// Those that carry messages to be sent.
    pub fn lanes(&self) -> Vec<String> {
        Lane::ALL.iter().map(|lane| self.messages(*lane)).collect()
    }

    /// Those that the recorder writes into the store.
    pub fn recorded(&self) -> Vec<String> {
        self.lanes().into_iter().chain([self.outcomes()]).collect()
    }

    pub fn all(&self) -> Vec<String> {
        self.recorded().into_iter().chain([self.dead()]).collect()
    }

    /// Makes the topics that are missing. How many brokers there are.
    pub async fn ensure(&self, brokers: &str, partitions: u32, replication: u32) -> Result<usize, TopicsError> {
        let admin: AdminClient<DefaultClientContext> = super::client(brokers).create().map_err(TopicsError::Settings)?;
        let admin = Arc::new(admin);
        let asking = Arc::clone(&admin);
        let metadata = tokio::task::spawn_blocking(move || asking.inner().fetch_metadata(None, TIMEOUT)).await;
        let metadata = metadata.unwrap_or(Err(rdkafka::error::KafkaError::Canceled));
        let metadata = metadata.map_err(|source| TopicsError::NotReachable { brokers: brokers.to_owned(), source })?;
        let there: Vec<&str> = metadata.topics().iter().map(rdkafka::metadata::MetadataTopic::name).collect();
        let count = metadata.brokers().len();
        let replicas = if replication == 0 { count.min(MOST_REPLICAS) } else { usize::try_from(replication).unwrap_or(MOST_REPLICAS) };
        let missing: Vec<String> = self.all().into_iter().filter(|topic| !there.contains(&topic.as_str())).collect();
        let replicas = i32::try_from(replicas.max(1)).unwrap_or(1);
        let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
        let wanted: Vec<NewTopic<'_>> = missing
            .iter()
            .map(|topic| {
                let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(replicas));
                if replicas >= 3 { new.set("min.insync.replicas", "2") } else { new }
            })
            .collect();
        if wanted.is_empty() {
            return Ok(count);
        }
        let options = AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT));
        let made = admin.create_topics(&wanted, &options).await;
        let made = made.map_err(|source| TopicsError::NotReachable { brokers: brokers.to_owned(), source })?;
        for result in made {
            match result {
                Ok(_) => {}
                // Another node made it meanwhile, or it may not even be seen.
                Err((topic, RDKafkaErrorCode::TopicAlreadyExists)) => may_be_seen(&admin, topic).await?,
                Err((topic, code)) => return Err(TopicsError::NotMade { topic, code }),
            }
        }
        Ok(count)
    }
}

/// Whether this program is told anything about a topic that exists.
async fn may_be_seen(admin: &Arc<AdminClient<DefaultClientContext>>, topic: String) -> Result<(), TopicsError> {
    let (asking, asked) = (Arc::clone(admin), topic.clone());
    let metadata = tokio::task::spawn_blocking(move || asking.inner().fetch_metadata(Some(&asked), TIMEOUT)).await;
    let Ok(Ok(metadata)) = metadata else { return Ok(()) };
    match metadata.topics().first().and_then(rdkafka::metadata::MetadataTopic::error).map(RDKafkaErrorCode::from) {
        Some(code @ RDKafkaErrorCode::TopicAuthorizationFailed) => Err(TopicsError::NoRights { topic, code }),
        // Its leader is being elected, or this broker has not heard of it yet.
        _ => Ok(()),
    }
}
