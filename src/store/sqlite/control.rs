//! The control plane's documents and the audit log in SQLite.
//!
//! Commits are rare and small beside messages: each is one immediate transaction on a connection of its own, which waits
//! its turn behind the writer of messages (busy timeout) and holds the file for a millisecond.

use std::{path::Path, time::Duration};

use async_trait::async_trait;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection as _, Sqlite, SqlitePool, Transaction,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tidings_core::{id::KeyId, time::Timestamp};

use super::start::MIGRATIONS;
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

/// One reads while one commits.
const CONNECTIONS: u32 = 2;
/// Longer than the writer of messages ever holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Documents, audit log and key uses in the SQLite file that `pool` is open on.
#[derive(Clone, Debug)]
pub struct SqliteControl {
    pool: SqlitePool,
}

impl SqliteControl {
    /// Opens the file beside the store of messages, with connections of its own.
    ///
    /// # Errors
    /// The file cannot be opened, or its schema not brought up to date.
    pub async fn open(path: &Path) -> Result<Self, store::Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        // When the disk is full SQLite rolls back by itself before sqlx is told, which then counts a transaction for ever that is
        // not there: such a connection can begin none, and is not given out again.
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
            .connect_with(options)
            .await?;
        MIGRATIONS.run(&pool).await.map_err(|error| store::Error::Broken(error.into()))?;
        Ok(Self { pool })
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }
}

#[async_trait]
impl ControlStore for SqliteControl {
    async fn changes_since(&self, sequence: i64) -> Result<(i64, Vec<Document>), Error> {
        let mut read = self.pool.begin().await.map_err(away)?;
        let head: i64 = sqlx::query_scalar("SELECT sequence FROM control_head").fetch_one(&mut *read).await.map_err(away)?;
        if head == sequence {
            return Ok((head, Vec::new()));
        }
        let rows = sqlx::query(
            "SELECT kind, id, scope, name, revision, sequence, body FROM control_documents WHERE sequence > ?1 ORDER BY sequence, kind, id",
        )
        .bind(sequence)
        .fetch_all(&mut *read)
        .await
        .map_err(away)?;
        Ok((head, rows.iter().map(rows::document).collect::<Result<_, _>>()?))
    }

    async fn commit(&self, commit: Commit) -> Result<i64, Error> {
        let mut write = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(away)?;
        let row = sqlx::query("UPDATE control_head SET sequence = sequence + 1 RETURNING sequence, audit_count, audit_hash")
            .fetch_one(&mut *write)
            .await
            .map_err(away)?;
        let (sequence, mut head) = (row.number("sequence")?, rows::head(&row)?);
        for change in &commit.changes {
            apply(&mut write, change, sequence, commit.at).await?;
        }
        for entry in &commit.audit {
            let (body, next) = rows::link(&commit, &head, entry)?;
            sqlx::query("INSERT INTO control_audit (number, at, actor, action, object, body, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
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
        sqlx::query("UPDATE control_head SET audit_count = ?1, audit_hash = ?2")
            .bind(head.count)
            .bind(&head.hash)
            .execute(&mut *write)
            .await
            .map_err(away)?;
        write.commit().await.map_err(away)?;
        Ok(sequence)
    }

    async fn forget_deleted(&self, before: Timestamp) -> Result<u64, Error> {
        let done = sqlx::query("DELETE FROM control_documents WHERE body IS NULL AND changed_at < ?1")
            .bind(before.as_millis())
            .execute(&self.pool)
            .await
            .map_err(away)?;
        Ok(done.rows_affected())
    }

    async fn audit(&self, filter: &Filter, before: Option<i64>, limit: u32) -> Result<Vec<Linked>, Error> {
        let mut conditions = vec!["number < ?1"];
        for (given, condition) in [
            (filter.actor.is_some(), "actor = ?2"),
            (filter.action.is_some(), "action = ?3"),
            (filter.object.is_some(), "object = ?4"),
            (filter.from.is_some(), "at >= ?5"),
            (filter.until.is_some(), "at < ?6"),
        ] {
            if given {
                conditions.push(condition);
            }
        }
        let sql = format!(
            "SELECT number, at, actor, action, object, body, hash FROM control_audit WHERE {} ORDER BY number DESC LIMIT ?7",
            conditions.join(" AND ")
        );
        // Only the constant conditions above are put together; every value is bound.
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(before.unwrap_or(i64::MAX))
            .bind(filter.actor.as_deref())
            .bind(filter.action.as_deref())
            .bind(filter.object.as_deref())
            .bind(filter.from.map(Timestamp::as_millis))
            .bind(filter.until.map(Timestamp::as_millis))
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(away)?;
        rows.iter().map(rows::linked).collect()
    }

    async fn audit_chain(&self, after: i64, limit: u32) -> Result<Vec<Linked>, Error> {
        let rows = sqlx::query(
            "SELECT number, at, actor, action, object, body, hash FROM control_audit WHERE number > ?1 ORDER BY number LIMIT ?2",
        )
        .bind(after)
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(away)?;
        rows.iter().map(rows::linked).collect()
    }

    async fn audit_head(&self) -> Result<Head, Error> {
        let row = sqlx::query("SELECT audit_count, audit_hash FROM control_head").fetch_one(&self.pool).await.map_err(away)?;
        rows::head(&row)
    }

    async fn key_uses(&self) -> Result<Vec<(KeyId, Timestamp)>, Error> {
        let rows = sqlx::query("SELECT key, used_at FROM control_key_uses").fetch_all(&self.pool).await.map_err(away)?;
        rows.iter().map(rows::key_use).collect()
    }

    async fn record_key_uses(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), Error> {
        let mut write = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(away)?;
        for (key, at) in uses {
            sqlx::query(
                "INSERT INTO control_key_uses (key, used_at) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET used_at = max(used_at, excluded.used_at)",
            )
            .bind(key.uuid())
            .bind(at.as_millis())
            .execute(&mut *write)
            .await
            .map_err(away)?;
        }
        write.commit().await.map_err(away)
    }
}

async fn apply(write: &mut Transaction<'static, Sqlite>, change: &Change, sequence: i64, at: Timestamp) -> Result<(), Error> {
    let kind = change.kind;
    let sql = if change.expected == 0 {
        "INSERT INTO control_documents (kind, id, scope, name, revision, sequence, changed_at, body) VALUES (?1, ?2, ?3, ?4, ?5 + 1, ?6, ?7, ?8)"
    } else {
        "UPDATE control_documents SET scope = ?3, name = ?4, revision = revision + 1, sequence = ?6, changed_at = ?7, body = ?8 \
         WHERE kind = ?1 AND id = ?2 AND revision = ?5 AND body IS NOT NULL"
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
        .execute(&mut **write)
        .await;
    rows::applied(kind, done.map(|done| done.rows_affected()))
}
