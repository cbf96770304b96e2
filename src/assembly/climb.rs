//! From one rung of the ladder to the next: the schema that it needs, and the messages that must not stay behind.

use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::DataDir;
use crate::{
    clock::Clock,
    config::Config,
    queue::kafka::Topics,
    seal::Keyring,
    store::{
        Messages, Sqlite,
        postgres::{Connections, PostgresStore},
    },
};

/// Brings the schema and the topics up to date: `tidings migrate`.
pub async fn migrate(config: &Config) -> anyhow::Result<()> {
    let Some(url) = &config.database.url else { return Ok(()) };
    PostgresStore::migrate(&Connections::new(url.expose()).context("database.url")?).await.context("database.url")?;
    if let Some(brokers) = &config.kafka.brokers {
        let topics = Topics::new(&config.kafka.topic_prefix);
        topics.ensure(brokers, config.kafka.partitions, config.kafka.replication).await.context("kafka.brokers")?;
    }
    Ok(())
}

/// Climbing with messages that nobody would deliver any more is refused.
pub(super) async fn refuse_unfinished(data_dir: &DataDir, keyring: &Arc<Keyring>, clock: Clock) -> anyhow::Result<()> {
    let path = data_dir.database();
    if !path.exists() {
        return Ok(());
    }
    let local = data_dir.local_keyring()?.map_or_else(|| Arc::clone(keyring), Arc::new);
    let (messages, writer) = Sqlite::open(&path, local, clock, |_| {}).await.with_context(|| format!("cannot open {}", path.display()))?;
    let waiting: u64 = messages.waiting(clock.now()).await?.iter().map(|lane| lane.messages).sum();
    messages.close(writer).await;
    if waiting > 0 {
        bail!("{} still holds {waiting} unfinished messages: carry them over with `tidings move`", path.display());
    }
    Ok(())
}
