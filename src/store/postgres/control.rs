//! The control plane's documents and the audit log in PostgreSQL.
//!
//! Commits of all nodes follow one another by the row lock on `control_head`. A commit is never tried twice here: if its
//! connection breaks it may have happened, and the caller finds out by the documents' revisions.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use sqlx::{Connection, PgConnection, QueryBuilder};
use tidings_core::{id::KeyId, time::Timestamp};
use tokio::{sync::Notify, task::JoinHandle};
use uuid::Uuid;

use super::{
    connection::{Connections, run},
    wake,
};
use crate::{
    control::audit::{Filter, Head},
    store::{
        self,
        control::{
            Change, Commit, ControlStore, Document, Error, Linked,
            rows::{self, away},
        },
        rows::Cells,
    },
};

/// Where a commit is told to other nodes, by the commit itself.
const CHANNEL: &str = "tidings_control";

/// Documents, audit log and key uses in the database of the messages.
#[derive(Clone, Debug)]
pub struct PostgresControl {
    connections: Connections,
    news: Arc<News>,
}

impl PostgresControl {
    /// The schema must be up to date.
    pub fn new(connections: Connections) -> Self {
        Self { connections, news: Arc::default() }
    }
}

/// That somebody committed, as the database tells it. Nobody listens before somebody waits: commands never do.
#[derive(Debug, Default)]
struct News {
    /// Keeps what comes while nobody waits.
    heard: Arc<Notify>,
    listening: OnceLock<JoinHandle<()>>,
}

impl Drop for News {
    fn drop(&mut self) {
        if let Some(listening) = self.listening.get() {
            listening.abort();
        }
    }
}

/// An error that is not about the connection is an answer, which [`run!`] must not try again.
fn answer<A>(outcome: Result<A, Error>) -> Result<Result<A, Error>, store::Error> {
    match outcome {
        Err(Error::Store(error)) => Err(error),
        outcome => Ok(outcome),
    }
}

#[async_trait]
impl ControlStore for PostgresControl {
    async fn changes_since(&self, sequence: i64) -> Result<(i64, Vec<Document>), Error> {
        run!(self.connections, |connection| answer(changes_since(connection, sequence).await))?
    }

    async fn commit(&self, commit: Commit) -> Result<i64, Error> {
        let once = async {
            let mut held = self.connections.acquire().await?;
            let done = answer(self::commit(held.connection()?, &commit).await)?;
            held.give_back();
            Ok(done)
        };
        self.connections.bounded(once).await?
    }

    async fn wait_for_change(&self) {
        self.news.listening.get_or_init(|| {
            let (connections, heard) = (self.connections.clone(), Arc::clone(&self.news.heard));
            tokio::spawn(wake::listen(connections, CHANNEL, move || heard.notify_one()))
        });
        self.news.heard.notified().await;
    }

    async fn forget_deleted(&self, before: Timestamp) -> Result<u64, Error> {
        run!(self.connections, |connection| answer(forget_deleted(connection, before).await))?
    }

    async fn audit(&self, filter: &Filter, before: Option<i64>, limit: u32) -> Result<Vec<Linked>, Error> {
        run!(self.connections, |connection| answer(audit(connection, filter, before, limit).await))?
    }

    async fn audit_chain(&self, after: i64, limit: u32) -> Result<Vec<Linked>, Error> {
        run!(self.connections, |connection| answer(audit_chain(connection, after, limit).await))?
    }

    async fn audit_head(&self) -> Result<Head, Error> {
        run!(self.connections, |connection| answer(audit_head(connection).await))?
    }

    async fn key_uses(&self) -> Result<Vec<(KeyId, Timestamp)>, Error> {
        run!(self.connections, |connection| answer(key_uses(connection).await))?
    }

    async fn record_key_uses(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), Error> {
        run!(self.connections, |connection| answer(record_key_uses(connection, uses).await))?
    }
}

/// In the order of the keys, so that two nodes never wait for each other in a circle.
const RECORD_USES: &str = "INSERT INTO control_key_uses (key, used_at) \
    SELECT key, max(used_at) FROM UNNEST($1::uuid[], $2::bigint[]) AS uses (key, used_at) GROUP BY key ORDER BY key \
    ON CONFLICT (key) DO UPDATE SET used_at = greatest(control_key_uses.used_at, excluded.used_at)";

async fn record_key_uses(connection: &mut PgConnection, uses: &[(KeyId, Timestamp)]) -> Result<(), Error> {
    let (keys, at): (Vec<Uuid>, Vec<i64>) = uses.iter().map(|(key, at)| (key.uuid(), at.as_millis())).unzip();
    sqlx::query(RECORD_USES).bind(keys).bind(at).execute(connection).await.map_err(away)?;
    Ok(())
}

async fn changes_since(connection: &mut PgConnection, sequence: i64) -> Result<(i64, Vec<Document>), Error> {
    let mut read = connection.begin().await.map_err(away)?;
    let head: i64 = sqlx::query_scalar("SELECT sequence FROM control_head").fetch_one(&mut *read).await.map_err(away)?;
    if head == sequence {
        return Ok((head, Vec::new()));
    }
    let rows = sqlx::query(
        "SELECT kind, id, scope, name, revision, sequence, body FROM control_documents WHERE sequence > $1 ORDER BY sequence, kind, id",
    )
    .bind(sequence)
    .fetch_all(&mut *read)
    .await
    .map_err(away)?;
    Ok((head, rows.iter().map(rows::document).collect::<Result<_, _>>()?))
}

async fn commit(connection: &mut PgConnection, commit: &Commit) -> Result<i64, Error> {
    let mut write = connection.begin().await.map_err(away)?;
    let row = sqlx::query("UPDATE control_head SET sequence = sequence + 1 RETURNING sequence, audit_count, audit_hash")
        .fetch_one(&mut *write)
        .await
        .map_err(away)?;
    let (sequence, mut head) = (row.number("sequence")?, rows::head(&row)?);
    for change in &commit.changes {
        apply(&mut write, change, sequence, commit.at).await?;
    }
    for entry in &commit.audit {
        let (body, next) = rows::link(commit, &head, entry)?;
        sqlx::query("INSERT INTO control_audit (number, at, actor, action, object, body, hash) VALUES ($1, $2, $3, $4, $5, $6, $7)")
            .bind(next.count)
            .bind(entry.at.as_millis())
            .bind(entry.actor.as_str())
            .bind(&entry.action)
            .bind(&entry.object)
            .bind(&body)
            .bind(&next.hash)
            .execute(&mut *write)
            .await
            .map_err(away)?;
        head = next;
    }
    sqlx::query("UPDATE control_head SET audit_count = $1, audit_hash = $2")
        .bind(head.count)
        .bind(&head.hash)
        .execute(&mut *write)
        .await
        .map_err(away)?;
    sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL).execute(&mut *write).await.map_err(away)?;
    write.commit().await.map_err(away)?;
    Ok(sequence)
}

async fn forget_deleted(connection: &mut PgConnection, before: Timestamp) -> Result<u64, Error> {
    let done = sqlx::query("DELETE FROM control_documents WHERE body IS NULL AND changed_at < $1")
        .bind(before.as_millis())
        .execute(&mut *connection)
        .await
        .map_err(away)?;
    Ok(done.rows_affected())
}

async fn audit(connection: &mut PgConnection, filter: &Filter, before: Option<i64>, limit: u32) -> Result<Vec<Linked>, Error> {
    let mut query = QueryBuilder::new("SELECT number, at, actor, action, object, body, hash FROM control_audit WHERE number < ");
    query.push_bind(before.unwrap_or(i64::MAX));
    if let Some(actor) = &filter.actor {
        query.push(" AND actor = ").push_bind(actor.as_str());
    }
    if let Some(action) = &filter.action {
        query.push(" AND action = ").push_bind(action.as_str());
    }
    if let Some(object) = &filter.object {
        query.push(" AND object = ").push_bind(object.as_str());
    }
    if let Some(from) = filter.from {
        query.push(" AND at >= ").push_bind(from.as_millis());
    }
    if let Some(until) = filter.until {
        query.push(" AND at < ").push_bind(until.as_millis());
    }
    query.push(" ORDER BY number DESC LIMIT ").push_bind(i64::from(limit));
    let rows = query.build().persistent(false).fetch_all(connection).await.map_err(away)?;
    rows.iter().map(rows::linked).collect()
}

async fn audit_chain(connection: &mut PgConnection, after: i64, limit: u32) -> Result<Vec<Linked>, Error> {
    let rows =
        sqlx::query("SELECT number, at, actor, action, object, body, hash FROM control_audit WHERE number > $1 ORDER BY number LIMIT $2")
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(&mut *connection)
            .await
            .map_err(away)?;
    rows.iter().map(rows::linked).collect()
}

async fn audit_head(connection: &mut PgConnection) -> Result<Head, Error> {
    let row = sqlx::query("SELECT audit_count, audit_hash FROM control_head").fetch_one(&mut *connection).await.map_err(away)?;
    rows::head(&row)
}

async fn key_uses(connection: &mut PgConnection) -> Result<Vec<(KeyId, Timestamp)>, Error> {
    let rows = sqlx::query("SELECT key, used_at FROM control_key_uses").fetch_all(&mut *connection).await.map_err(away)?;
    rows.iter().map(rows::key_use).collect()
}

async fn apply(write: &mut PgConnection, change: &Change, sequence: i64, at: Timestamp) -> Result<(), Error> {
    let kind = change.kind;
    let sql = if change.expected == 0 {
        "INSERT INTO control_documents (kind, id, scope, name, revision, sequence, changed_at, body) VALUES ($1, $2, $3, $4, $5::bigint + 1, $6, $7, $8)"
    } else {
        "UPDATE control_documents SET scope = $3, name = $4, revision = revision + 1, sequence = $6, changed_at = $7, body = $8 \
         WHERE kind = $1 AND id = $2 AND revision = $5 AND body IS NOT NULL"
    };
    let done = sqlx::query(sql)
        .bind(kind.as_str())
        .bind(change.id)
        .bind(&change.scope)
        .bind(&change.name)
        .bind(change.expected)
        .bind(sequence)
        .bind(at.as_millis())
        .bind(change.body.as_deref())
        .execute(&mut *write)
        .await;
    rows::applied(kind, done.map(|done| done.rows_affected()))
}
