//! How many members a consumer group has, as the broker counts them.
//!
//! A member that is gone counts until its session is over; so this is the number of workers that may still be at work, also of
//! those that reach nothing else.

use std::time::Duration;

use rdkafka::{
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaResult,
};

const TIMEOUT: Duration = Duration::from_millis(1_500);

/// Asks the brokers about one group, over a connection of its own.
pub struct Members {
    asks: BaseConsumer,
    group: String,
}

impl Members {
    pub fn new(brokers: &str, group: &str) -> KafkaResult<Self> {
        Ok(Self { asks: super::client(brokers).create()?, group: group.to_owned() })
    }

    /// Blocks.
    pub fn count(&self) -> KafkaResult<u32> {
        let list = self.asks.fetch_group_list(Some(&self.group), TIMEOUT)?;
        let members = list.groups().iter().filter(|group| group.name() == self.group).map(|group| group.members().len()).sum::<usize>();
        Ok(u32::try_from(members).unwrap_or(u32::MAX))
    }
}
