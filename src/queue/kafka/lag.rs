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

/// How much of its topics a group has before it, asked again and again over one connection.
pub struct Behind {
    asks: BaseConsumer,
    topics: Vec<String>,
}

impl Behind {
    pub fn new(brokers: &str, group: &str, topics: Vec<String>) -> KafkaResult<Self> {
        Ok(Self { asks: asks(brokers, group)?, topics })
    }

    /// Of each topic, the records published since a time (in milliseconds) that the group has not committed; blocks.
    pub fn of_those_since(&self, published: i64) -> KafkaResult<Vec<u64>> {
        let mut positions = ends(&self.asks, &self.topics)?;
        look(&self.asks, &mut positions)?;
        positions.retain(|position| position.lag() > 0);
        let mut asked = TopicPartitionList::new();
        for position in &positions {
            asked.add_partition_offset(&position.topic, position.partition, Offset::Offset(published))?;
        }
        let firsts = if positions.is_empty() { asked } else { self.asks.offsets_for_times(asked, TIMEOUT)? };
        let behind = |position: &Position| {
            let first = match firsts.find_partition(&position.topic, position.partition).map(|element| element.offset()) {
                Some(Offset::Offset(first)) => first,
                // All that it holds is older.
                _ => position.end,
            };
            u64::try_from(position.end - first.max(position.committed)).unwrap_or(0)
        };
        let of = |topic: &String| positions.iter().filter(|position| position.topic == *topic).map(behind).sum();
        Ok(self.topics.iter().map(of).collect())
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
