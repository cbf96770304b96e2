//! How many processes a consumer group has members of, as the broker counts them.
//!
//! A member that is gone counts until its session is over; so this is the number of workers that may still be at work, also of
//! those that reach nothing else. The members of one process have one client id.

use std::{collections::HashSet, time::Duration};

use rdkafka::{
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaResult,
    groups::{GroupInfo, GroupMemberInfo},
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
        let members = list.groups().iter().filter(|group| group.name() == self.group).flat_map(GroupInfo::members);
        let processes: HashSet<&str> = members.map(GroupMemberInfo::client_id).collect();
        Ok(u32::try_from(processes.len()).unwrap_or(u32::MAX))
    }
}
