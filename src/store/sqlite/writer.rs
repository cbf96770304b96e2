//! The one writer: a transaction a tick that carries whatever waits, one fsync for all of it.
//!
//! Whoever is waited for waits for nobody; those that come while a transaction runs go together in the next, and where they are
//! many, or only workers wait for them, with those that come a moment later ([`super::inbox`]). Nothing is answered before it is on disk. A transaction that fails because the
//! store is away or full is dropped whole, and so are its replies: whoever asked sees `Unavailable` and may ask again. If it
//! fails because one request is broken, the requests are tried one by one, so that a defect in one never holds up the others.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use sqlx::{Connection, SqliteConnection};
use tokio::{sync::oneshot, task::JoinHandle};

use super::{
    accept,
    checkpoint::Checkpoints,
    forget,
    inbox::{GATHERS, Inbox, MANY, MAX_REQUESTS},
    lookups,
    lookups::{Merge, Recent},
    queue, receipts, settle, steer,
    write::{Answer, Moved, Request, Write},
};
use crate::{
    clock::Clock,
    store::{Error, JoinedReceipts, codec::Codec},
};

/// What the writer shares with the readers of the same store.
pub struct Shared {
    pub codec: Codec,
    pub recent: Recent,
    pub clock: Clock,
    /// Open messages by lane.
    pub open: [AtomicI64; 3],
    /// Receipts that wait for their message.
    pub early: AtomicI64,
    pub joined: JoinedReceipts,
    pub observe: Box<dyn Fn(Tick) + Send + Sync>,
}

/// What one transaction carried, for metrics.
#[derive(Clone, Copy, Debug)]
pub struct Tick {
    pub requests: usize,
    pub duration: Duration,
    /// Writes that came meanwhile and go with the next one.
    pub waiting: usize,
    /// Nothing of it was written.
    pub failed: bool,
}

/// Runs the writer on a thread of its own. Each of a tick's statements wakes it, and among the runtime's other tasks it would stand
/// in line each time, behind hundreds of requests that wait for that very tick.
pub fn start(
    connection: SqliteConnection,
    checkpoints: Checkpoints,
    requests: Inbox,
    shared: Arc<Shared>,
) -> Result<JoinHandle<()>, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(|error| Error::Broken(error.into()))?;
    let (ending, ended) = oneshot::channel();
    let run = move || {
        runtime.block_on(run(connection, checkpoints, requests, shared));
        // Nobody waits for it where the store was dropped instead of closed.
        ending.send(()).ok();
    };
    std::thread::Builder::new().name("store-writer".to_owned()).spawn(run).map_err(|error| Error::Broken(error.into()))?;
    Ok(tokio::spawn(async move { ended.await.expect("the writer's thread panicked, and said so") }))
}

/// Runs until every sender is gone, then closes the connection.
async fn run(mut connection: SqliteConnection, mut checkpoints: Checkpoints, mut requests: Inbox, shared: Arc<Shared>) {
    // Kept from tick to tick: a burst's are large enough to go back to the system and come from it again each time.
    let mut waiting = Vec::with_capacity(MAX_REQUESTS);
    let (mut writes, mut replies) = (Vec::with_capacity(MAX_REQUESTS), Vec::with_capacity(MAX_REQUESTS));
    while requests.next(&mut waiting).await {
        let began = shared.clock.moment();
        let size = waiting.len();
        for Request { write, reply } in waiting.drain(..) {
            writes.push(write);
            replies.push(reply);
        }
        let written = transaction(&mut connection, &writes, &shared).await;
        let failed = written.is_err();
        match written {
            Ok(answers) => replies.drain(..).zip(answers).for_each(|(reply, answer)| drop(reply.send(answer))),
            Err(error) if error.is_unavailable() || size == 1 => {
                tracing::error!(error = &error as &dyn std::error::Error, requests = size, "a write to the store failed");
            }
            Err(_) => {
                for (write, reply) in writes.drain(..).zip(replies.drain(..)) {
                    match transaction(&mut connection, &[write], &shared).await {
                        Ok(mut answers) => drop(answers.pop().map(|answer| reply.send(answer))),
                        Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "a request to the store failed"),
                    }
                }
            }
        }
        writes.clear();
        replies.clear();
        checkpoints.ticked();
        (shared.observe)(Tick { requests: size, duration: shared.clock.moment().since(began), waiting: requests.len(), failed });
        // Where so many come, twice as many come meanwhile, and what a tick costs by itself (its statements, its fsync, the pages that every
        // tick touches) is shared by more.
        if size >= MANY {
            tokio::time::sleep(GATHERS).await;
        }
    }
    checkpoints.stop().await;
    if let Err(error) = connection.close().await {
        tracing::warn!(error = &error as &dyn std::error::Error, "the store did not close cleanly");
    }
}

/// Statements of our own instead of sqlx's transaction: when the disk is full, SQLite has rolled back by itself before we are
/// told, and sqlx would count a transaction for ever that is not there.
async fn transaction(connection: &mut SqliteConnection, writes: &[Write], shared: &Shared) -> Result<Vec<Answer>, Error> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    let mut moved = Moved::default();
    let (answers, merge) = match write(connection, writes, shared, &mut moved).await {
        Ok(written) => written,
        Err(error) => {
            // Fails where SQLite was quicker; either way nothing of it is left.
            drop(sqlx::query("ROLLBACK").execute(connection).await);
            return Err(error);
        }
    };
    if let Some(merge) = &merge {
        shared.recent.merged(merge);
    }
    shared.recent.add(moved.pairs, shared.clock.now());
    shared.recent.remove(&moved.unlinked);
    for (count, by) in shared.open.iter().zip(moved.open) {
        count.fetch_add(by, Ordering::Relaxed);
    }
    shared.early.fetch_add(moved.early, Ordering::Relaxed);
    if !moved.joined.is_empty() {
        shared.joined.add(moved.joined);
    }
    Ok(answers)
}

/// Everything inside the transaction, up to its commit.
async fn write(
    connection: &mut SqliteConnection,
    writes: &[Write],
    shared: &Shared,
    moved: &mut Moved,
) -> Result<(Vec<Answer>, Option<Merge>), Error> {
    let answers = apply(connection, writes, shared, moved).await?;
    let waited_for = writes.iter().any(Write::is_waited_for);
    let merge = shared.recent.next_merge(moved.pairs.len(), waited_for, shared.clock.now());
    if let Some(merge) = &merge {
        let pairs: Vec<_> = merge.pairs.iter().filter(|pair| !moved.unlinked.contains(pair)).copied().collect();
        lookups::insert(connection, &pairs).await?;
        if let Some(mark) = merge.mark {
            lookups::set_mark(connection, mark).await?;
        }
    }
    sqlx::query("COMMIT").execute(connection).await?;
    Ok((answers, merge))
}

/// Applies all writes: the frequent kinds together, a few statements for all of them, the others one by one.
async fn apply(connection: &mut SqliteConnection, writes: &[Write], shared: &Shared, moved: &mut Moved) -> Result<Vec<Answer>, Error> {
    let mut answers: Vec<Option<Answer>> = writes.iter().map(|_| None).collect();
    accept::all(connection, writes, &mut answers, shared, moved).await?;
    for (write, answer) in writes.iter().zip(&mut answers) {
        let given = match write {
            Write::Accept(_) | Write::Open(_) | Write::Settle(_) => continue,
            Write::KeepAnswer { idempotency, answer, now } => accept::keep_answer(connection, *idempotency, answer, *now).await?,
            Write::Lease { lane, lease, now, most } => queue::lease(connection, &shared.codec, *lane, *lease, *now, *most).await?,
            Write::HandBack { ids, owner, now } => queue::hand_back(connection, ids, *owner, *now).await?,
            Write::Receipt { fact, hash } => receipts::apply(connection, fact, *hash, shared, moved).await?,
            Write::Cancel { which, now } => steer::cancel(connection, which, *now, shared, moved).await?,
            Write::Release { app, id, now } => steer::release(connection, *app, *id, *now).await?,
            Write::Forget { ids } => forget::delete(connection, ids).await?,
            Write::Sweep { pairs, now } => forget::sweep(connection, pairs, *now, moved).await?,
            Write::Erase { ids, to } => forget::erase(connection, ids, to, shared, moved).await?,
        };
        *answer = Some(given);
    }
    queue::open_all(connection, writes, &mut answers).await?;
    settle::all(connection, writes, &mut answers, shared, moved).await?;
    answers.into_iter().map(|answer| answer.ok_or_else(|| Error::Broken(anyhow::anyhow!("a write was left unanswered")))).collect()
}
