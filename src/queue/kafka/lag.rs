//! How far a consumer group is in its topics.

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

/// How far a group is in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub topic: String,
    pub partition: i32,
    /// Where the group goes on, and where the partition ends.
    pub committed: i64,
    pub end: i64,
}

impl Position {
    pub const fn lag(&self) -> i64 {
        self.end - self.committed
    }
}

fn asks(brokers: &str, group: &str) -> KafkaResult<BaseConsumer> {
    super::client(brokers).set("group.id", group).set("enable.auto.commit", "false").create()
}

/// How far a group is in all partitions of these topics that hold anything; blocks.
pub fn positions(brokers: &str, group: &str, topics: &[String]) -> KafkaResult<Vec<Position>> {
    let consumer = asks(brokers, group)?;
    let mut positions = ends(&consumer, topics)?;
    look(&consumer, &mut positions)?;
    Ok(positions)
}

/// Waits until the group has committed all that the topics hold now; blocks.
pub fn wait_until_passed(brokers: &str, group: &str, topics: &[String]) -> KafkaResult<()> {
    let consumer = asks(brokers, group)?;
    let mut positions = ends(&consumer, topics)?;
    for _ in 0..LOOKS {
        look(&consumer, &mut positions)?;
        if positions.iter().all(|position| position.lag() <= 0) {
            return Ok(());
        }
        #[expect(clippy::disallowed_methods, reason = "a thread for blocking calls, and the library tells no event")]
        std::thread::sleep(PAUSE);
    }
    Err(KafkaError::Canceled)
}

fn ends(consumer: &BaseConsumer, topics: &[String]) -> KafkaResult<Vec<Position>> {
    let mut positions = Vec::new();
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
        for partition in metadata.topics().iter().flat_map(rdkafka::metadata::MetadataTopic::partitions) {
            let (low, end) = consumer.fetch_watermarks(topic, partition.id(), TIMEOUT)?;
            if end > low {
                positions.push(Position { topic: topic.clone(), partition: partition.id(), committed: low, end });
            }
        }
    }
    Ok(positions)
}

fn look(consumer: &BaseConsumer, positions: &mut [Position]) -> KafkaResult<()> {
    let mut asked = TopicPartitionList::new();
    for position in &*positions {
        asked.add_partition(&position.topic, position.partition);
    }
    let committed = consumer.committed_offsets(asked, TIMEOUT)?;
    for position in positions {
        let element = committed.find_partition(&position.topic, position.partition);
        if let Some(Offset::Offset(offset)) = element.map(|element| element.offset()) {
            position.committed = offset;
        }
    }
    Ok(())
}
