//! Whether a consumer group has passed what is in its topics at this moment.

use std::time::Duration;

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, KafkaResult},
};

const TIMEOUT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(50);
/// Looks before giving up: whoever asks, asks again.
const LOOKS: u32 = 100;

/// Waits until the group has committed all that the topics hold now; blocks.
pub fn wait_until_passed(brokers: &str, group: &str, topics: Vec<String>) -> KafkaResult<()> {
    let consumer: BaseConsumer = super::client(brokers).set("group.id", group).set("enable.auto.commit", "false").create()?;
    let mut ends = Vec::new();
    let mut asked = TopicPartitionList::new();
    for topic in &topics {
        let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
        for partition in metadata.topics().iter().flat_map(rdkafka::metadata::MetadataTopic::partitions) {
            let (low, high) = consumer.fetch_watermarks(topic, partition.id(), TIMEOUT)?;
            if high > low {
                asked.add_partition(topic, partition.id());
                ends.push((topic.clone(), partition.id(), high));
            }
        }
    }
    for _ in 0..LOOKS {
        let committed = consumer.committed_offsets(asked.clone(), TIMEOUT)?;
        let passed = |(topic, partition, end): &(String, i32, i64)| {
            let element = committed.find_partition(topic, *partition);
            matches!(element.map(|element| element.offset()), Some(Offset::Offset(offset)) if offset >= *end)
        };
        if ends.iter().all(passed) {
            return Ok(());
        }
        #[expect(clippy::disallowed_methods, reason = "a thread for blocking calls, and the library tells no event")]
        std::thread::sleep(PAUSE);
    }
    Err(KafkaError::Canceled)
}
