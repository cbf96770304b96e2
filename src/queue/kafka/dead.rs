//! Reading the dead letters: records that no worker understood, with the reason and the topic they came from.

use std::time::Duration;

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaResult,
    message::Headers as _,
};

const TIMEOUT: Duration = Duration::from_secs(5);

/// A record that was put aside.
#[derive(Debug)]
pub struct DeadLetter {
    pub partition: i32,
    pub offset: i64,
    /// Where it came from, and where a replay puts it.
    pub topic: String,
    pub reason: String,
    pub value: Vec<u8>,
}

/// All dead letters that are there now; blocks.
pub fn dead_letters(brokers: &str, topic: &str) -> KafkaResult<Vec<DeadLetter>> {
    let mut config = super::client(brokers);
    let consumer: BaseConsumer = config.set("group.id", "tidings-dead").set("enable.auto.commit", "false").create()?;
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
    let (mut assigned, mut left) = (TopicPartitionList::new(), 0);
    for partition in metadata.topics().iter().flat_map(rdkafka::metadata::MetadataTopic::partitions) {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), TIMEOUT)?;
        if high > low {
            assigned.add_partition_offset(topic, partition.id(), Offset::Offset(low))?;
            left += high - low;
        }
    }
    let mut letters = Vec::new();
    if left == 0 {
        return Ok(letters);
    }
    consumer.assign(&assigned)?;
    while left > 0 {
        let Some(message) = consumer.poll(TIMEOUT) else { break };
        let message = message?;
        left -= 1;
        let reason =
            message.headers().and_then(|headers| headers.iter().find(|header| header.key == "reason")).and_then(|header| header.value);
        letters.push(DeadLetter {
            partition: message.partition(),
            offset: message.offset(),
            topic: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
            reason: String::from_utf8_lossy(reason.unwrap_or_default()).into_owned(),
            value: message.payload().unwrap_or_default().to_vec(),
        });
    }
    Ok(letters)
}
