//! From one rung of the ladder to the next: the schema that it needs, and the messages that must not stay behind.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use tidings_core::message::Status;

use super::DataDir;
use crate::{
    clock::Clock,
    config::Config,
    queue::{Settled, kafka::Topics},
    seal::Keyring,
    store::{
        Filter, Messages, NewMessage, Next, Sqlite,
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

/// Carries what is unfinished in `data_dir` into the database: `tidings move`. How many messages that were.
///
/// A message is written there with all its attempts, and the old file is set aside when all are; an interrupted move is simply
/// repeated. An attempt that was open stays open, and whoever takes the message next declares it ambiguous.
pub async fn move_up(config: &Config) -> anyhow::Result<u64> {
    let Some(url) = &config.database.url else { bail!("database.url is not set: there is nowhere to move to") };
    let clock = Clock::system();
    let data_dir = DataDir::open(&config.data_dir)?;
    let keyring = Arc::new(data_dir.keyring(config, &clock)?);
    let connections = Connections::new(url.expose()).context("database.url")?;
    PostgresStore::migrate(&connections).await.context("database.url")?;
    let target = PostgresStore::open(connections, Arc::clone(&keyring), clock).await.context("database.url")?;
    let path = data_dir.database();
    let local = data_dir.local_keyring()?.map_or_else(|| Arc::clone(&keyring), Arc::new);
    let (source, writer) = Sqlite::open(&path, local, clock, |_| {}).await.with_context(|| format!("cannot open {}", path.display()))?;
    let mut moved = 0;
    let open = Status::ALL.iter().copied().filter(|status| status.is_open());
    for status in open {
        moved += move_all(&source, &target, clock, status).await?;
    }
    source.close(writer).await;
    // From here on the next rung starts; what is closed stays readable in the old file.
    std::fs::rename(&path, path.with_extension("db.moved")).with_context(|| format!("cannot rename {}", path.display()))?;
    Ok(moved)
}

/// Messages read at once.
const MOVED_AT_ONCE: usize = 200;

async fn move_all(source: &Sqlite, target: &PostgresStore, clock: Clock, status: Status) -> anyhow::Result<u64> {
    let filter = Filter { status: Some(status), ..Filter::default() };
    let (mut moved, mut before) = (0, None);
    loop {
        let page = source.list(&filter, before, MOVED_AT_ONCE).await?;
        for record in &page.rows {
            let id = record.message.id;
            let new = NewMessage::waiting(record.message.clone());
            let due = record.due_at.unwrap_or_else(|| clock.now());
            let settled = (!record.attempts.is_empty() || record.message.first_due() != due).then(|| Settled {
                new: new.clone(),
                attempts: record.attempts.clone(),
                next: Next::Wait(due),
                at: clock.now(),
            });
            target.accept(vec![new.clone()]).await?;
            if let Some(settled) = settled {
                target.record(&[(new, Some(settled))]).await?;
            }
            if record.message.hold && status != Status::Held {
                target.release(None, id, clock.now()).await?;
            }
            moved += 1;
        }
        before = page.next;
        if before.is_none() {
            return Ok(moved);
        }
    }
}
