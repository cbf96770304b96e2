//! `tidings move`: what an embedded installation holds, carried into the database of the next rung.
//!
//! The control plane first, so that a message's app is there before the message; then the idempotency keys that still
//! count, so that a repeated send finds the first message; then the messages that are not finished, and those whose
//! receipt may still come. A message comes with all its attempts or not at all: a worker that is at work there already
//! never sees one that looks as if nobody had tried it. Every step may be repeated, and an interrupted move is.
//! An attempt that was open stays open, and whoever takes the message next declares it ambiguous.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use tidings_core::{
    message::{Message, Status},
    time::Timestamp,
};

use super::DataDir;
use crate::{
    clock::Clock,
    config::Config,
    control::carry::{self, Carried},
    queue::Settled,
    store::{
        Filter, IDEMPOTENCY_LASTS, Messages, NewMessage, Next, Record, Sqlite, SqliteControl, UNKNOWN_RESOLVES,
        postgres::{Connections, PostgresControl, PostgresStore},
    },
};

/// Messages or keys in one write.
const AT_ONCE: usize = 200;

/// What was carried over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    pub unfinished: u64,
    /// Submitted, or nobody knows: their receipts may still come.
    pub expecting: u64,
    pub keys: u64,
    pub documents: usize,
}

/// Carries what is unfinished in `data_dir` into the database, and sets the old file aside when all of it is there.
///
/// # Errors
/// A store is away or cannot be read. What was carried until then stays, and the move may be repeated.
pub async fn move_up(config: &Config) -> anyhow::Result<Moved> {
    let Some(url) = &config.database.url else { bail!("database.url is not set: there is nowhere to move to") };
    let clock = Clock::system();
    let data_dir = DataDir::open(&config.data_dir)?;
    let path = data_dir.database();
    if !path.exists() {
        return Ok(Moved::default());
    }
    let keyring = Arc::new(data_dir.keyring(config, &clock)?);
    let connections = Connections::new(url.expose()).context("database.url")?;
    PostgresStore::migrate(&connections).await.context("database.url")?;
    let target = PostgresStore::open(connections.clone(), Arc::clone(&keyring), clock).await.context("database.url")?;
    let local = data_dir.local_keyring()?.map_or_else(|| Arc::clone(&keyring), Arc::new);
    let both = keyring.opening_too(&local);
    let cannot_open = || format!("cannot open {}", path.display());
    let documents = SqliteControl::open(&path).await.with_context(cannot_open)?;
    let (source, writer) = Sqlite::open(&path, local, clock, |_| {}).await.with_context(cannot_open)?;
    let carried = carry::carry(&documents, &PostgresControl::new(connections), &both, clock.now()).await.context("the control plane")?;
    documents.close().await;
    let mut moved = Moved { documents: carried.documents, ..Moved::default() };
    if carried.same_hashes {
        moved.keys = move_keys(&source, &target, clock.now()).await?;
    }
    let messages = MessagesOnTheWay { source: &source, target: &target, carried: &carried, clock };
    for status in Status::ALL.iter().copied().filter(|status| !status.is_final()) {
        let count = messages.carry(status).await?;
        if status.is_open() { moved.unfinished += count } else { moved.expecting += count }
    }
    source.close(writer).await;
    // From here on the next rung starts; what is closed stays readable in the old file.
    std::fs::rename(&path, path.with_extension("db.moved")).with_context(|| format!("cannot rename {}", path.display()))?;
    Ok(moved)
}

async fn move_keys(source: &Sqlite, target: &PostgresStore, now: Timestamp) -> anyhow::Result<u64> {
    let (mut moved, mut after) = (0, None);
    loop {
        let some = source.keys_since(now - IDEMPOTENCY_LASTS, after, AT_ONCE).await?;
        let Some((last, _)) = some.last() else { return Ok(moved) };
        after = Some(last.id);
        target.remember(&some).await?;
        moved += some.len() as u64;
    }
}

struct MessagesOnTheWay<'a> {
    source: &'a Sqlite,
    target: &'a PostgresStore,
    carried: &'a Carried,
    clock: Clock,
}

impl MessagesOnTheWay<'_> {
    /// All of one status. How many those were.
    async fn carry(&self, status: Status) -> anyhow::Result<u64> {
        // A receipt that comes later is of no use any more.
        let from = status.is_closed().then(|| self.clock.now() - UNKNOWN_RESOLVES);
        let filter = Filter { status: Some(status), from, ..Filter::default() };
        let (mut moved, mut before) = (0, None);
        loop {
            let page = self.source.list(&filter, before, AT_ONCE).await?;
            self.write(&page.rows, status).await?;
            moved += page.rows.len() as u64;
            before = page.next;
            if before.is_none() {
                return Ok(moved);
            }
        }
    }

    async fn write(&self, records: &[Record], status: Status) -> anyhow::Result<()> {
        let now = self.clock.now();
        let (mut waiting, mut tried) = (Vec::new(), Vec::new());
        for record in records {
            let new = NewMessage::waiting(self.message(&record.message)?);
            let next = if status.is_closed() { Next::Close(status) } else { Next::Wait(record.due_at.unwrap_or(now)) };
            if record.attempts.is_empty() {
                waiting.push(new);
            } else {
                // Row and attempts in one transaction.
                let settled = Settled { new: new.clone(), attempts: record.attempts.clone(), next, at: record.closed_at.unwrap_or(now) };
                tried.push((new, Some(settled)));
            }
        }
        if !waiting.is_empty() {
            self.target.accept(waiting).await?;
        }
        if !tried.is_empty() {
            self.target.record_all(Arc::new(tried)).await?;
        }
        // What was held and let go comes as held.
        for record in records.iter().filter(|record| record.message.hold && status != Status::Held && record.attempts.is_empty()) {
            self.target.release(None, record.message.id, now).await?;
        }
        Ok(())
    }

    /// The message as its app is called in the new store.
    fn message(&self, message: &Message) -> anyhow::Result<Message> {
        let Some(app) = self.carried.app(message.app) else {
            bail!("the database has apps of its own, and none by the name of the app {} in the old file: make it there first", message.app)
        };
        Ok(Message { app, ..message.clone() })
    }
}
