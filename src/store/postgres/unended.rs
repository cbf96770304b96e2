//! Messages that Kafka should have brought to somebody and that nobody has ended.
//!
//! The row of a message that waits in Kafka has no due time: whoever consumes the topic delivers it, and its end then changes no
//! index. Should nobody consume it, it must at least be found when it expires. So rows are looked through once, in the order of their ids,
//! [`LOOKED_AT_AFTER`] they were accepted: those that are still open then are due when they expire. How far that came is kept in
//! `meta`; every process may look, and one does at a time.
//!
//! No row comes behind the look: one that is written later than [`IN_KAFKA`] has its due time from the beginning. What lies between
//! the two is more than clocks differ and more than a transaction takes.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tidings_core::{
    id::{MessageId, uuid_v7},
    time::Timestamp,
};
use uuid::Uuid;

use super::queue;
use crate::store::Error;

/// So long after it was accepted a row may be written without a due time.
const IN_KAFKA: Duration = Duration::from_mins(5);
/// So long after they were accepted rows are looked at.
pub const LOOKED_AT_AFTER: Duration = Duration::from_mins(10);
/// Where a look begins that finds no mark: whatever is older has expired (a message lives for ten hours at most).
const OLDEST: Duration = Duration::from_hours(11);
/// Rows that one step looks at.
const STEP: i64 = 2_000;
const LOOKING_LOCK: i64 = 0x7469_6469_6e67_7333;

const MARK: &str = "SELECT value FROM meta WHERE name = 'unended_mark'";
const MOVE_MARK: &str =
    "INSERT INTO meta (name, value) VALUES ('unended_mark', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
/// The last row of a step.
pub(super) const END: &str = "SELECT id FROM messages WHERE id > $1 AND id < $2 ORDER BY id OFFSET $3 LIMIT 1";
/// Who holds a row looks after it, and a row that is changed at this moment is waited for.
pub(super) const LOOK: &str = "UPDATE messages SET due_at = expires_at \
    WHERE id > $1 AND id <= $2 AND due_at IS NULL AND owner IS NULL AND ($3 >> status::int) & 1 = 1";

/// What a step found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Messages that nobody had ended.
    pub unended: u64,
    /// Whether there are rows left to look at.
    pub goes_on: bool,
}

/// Whether a row that is written at `now` may go without a due time.
pub fn is_young(id: MessageId, now: Timestamp) -> bool {
    id.made_at() > now - IN_KAFKA
}

/// How far rows were looked at; nothing where no look ever was.
pub async fn mark(connection: &mut PgConnection) -> Result<Option<Uuid>, Error> {
    let mark: Option<Vec<u8>> = sqlx::query_scalar(MARK).fetch_optional(connection).await?;
    Ok(mark.and_then(|mark| Uuid::from_slice(&mark).ok()))
}

/// Looks at the next [`STEP`] rows.
pub async fn step(connection: &mut PgConnection, now: Timestamp, begins: bool) -> Result<Looked, Error> {
    let mut transaction = connection.begin().await?;
    let alone: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)").bind(LOOKING_LOCK).fetch_one(&mut *transaction).await?;
    if !alone {
        return Ok(Looked::default());
    }
    let begin = || begins.then(|| uuid_v7(now - OLDEST, [0; 10]));
    let until = uuid_v7(now - LOOKED_AT_AFTER, [0; 10]);
    let Some(from) = mark(&mut transaction).await?.or_else(begin).filter(|from| *from < until) else { return Ok(Looked::default()) };
    let end: Option<Uuid> = sqlx::query_scalar(END).bind(from).bind(until).bind(STEP - 1).fetch_optional(&mut *transaction).await?;
    let to = end.unwrap_or(until);
    let looked = sqlx::query(LOOK).bind(from).bind(to).bind(queue::may_be_opened()).execute(&mut *transaction).await?;
    sqlx::query(MOVE_MARK).bind(to.as_bytes().as_slice()).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(Looked { unended: looked.rows_affected(), goes_on: end.is_some() })
}
