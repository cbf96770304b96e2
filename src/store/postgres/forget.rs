//! Deleting what is old enough, or what one recipient left.
//!
//! Partitions are weeks, so a week that is old enough as a whole is dropped, which costs nothing a row. Rows are deleted one by
//! one only where categories are kept for different times. Each call is one short transaction over at most [`STEP`] rows:
//! several nodes may do the same at once, and what is locked is somebody else's work. A row without a due time may still be open:
//! it waits in Kafka.

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tidings_core::{
    id::{MessageId, uuid_v7},
    message::{Category, Recipient},
    time::Timestamp,
};
use uuid::Uuid;

use super::{record::open_statuses, schema, unended};
use crate::store::{
    Erased, Error, Forgotten, IDEMPOTENCY_LASTS, SweepMark, UNKNOWN_RESOLVES,
    codec::{Codec, decode_attempts},
};

/// Rows that one step walks, and deletes at most.
const STEP: usize = 512;
/// Receipts of a week that leave in one step, before the week itself does.
const RECEIPTS_AT_ONCE: i64 = 5_000;
/// How long dropping a week may wait for whoever reads it, while everybody else waits for the drop.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '500ms'";
/// Look-ups of younger messages are left alone: their rows may be on their way.
const YOUNG: std::time::Duration = std::time::Duration::from_hours(1);

/// Deletes the closed messages of a category among the next [`STEP`] rows.
pub async fn step(
    connection: &mut PgConnection,
    category: Category,
    before: Timestamp,
    after: Option<MessageId>,
) -> Result<Forgotten, Error> {
    let mut transaction = connection.begin().await?;
    let rows = sqlx::query(
        "SELECT id, category = $1 AND due_at IS NULL AND NOT in_flight AND ($6 >> status::int) & 1 = 0 \
         AND accepted_at < $2 AND coalesce(send_at, 0) < $2 \
         FROM messages WHERE id > $3 AND id < $4 ORDER BY id LIMIT $5",
    )
    .bind(category.index() as i16)
    .bind(before.as_millis())
    .bind(after.map_or(Uuid::nil(), |after| after.uuid()))
    .bind(uuid_v7(before, [0; 10]))
    .bind(STEP as i64)
    .bind(open_statuses())
    .fetch_all(&mut *transaction)
    .await?;
    let mut ids: Vec<Uuid> = Vec::new();
    for row in &rows {
        if row.try_get(1)? {
            ids.push(row.try_get(0)?);
        }
    }
    let messages = if ids.is_empty() { 0 } else { delete(&mut transaction, &ids).await? };
    transaction.commit().await?;
    let last = rows.last().filter(|_| rows.len() == STEP);
    Ok(Forgotten { messages, next: last.map(|row| row.try_get(0).map(MessageId::from_uuid)).transpose()? })
}

/// Deletes messages that are still closed, with their receipts.
async fn delete(connection: &mut PgConnection, ids: &[Uuid]) -> Result<u64, Error> {
    let gone: Vec<Uuid> = sqlx::query_scalar(
        "DELETE FROM messages WHERE id IN (SELECT id FROM messages WHERE id = ANY($1) AND due_at IS NULL AND NOT in_flight \
         AND ($2 >> status::int) & 1 = 0 ORDER BY id FOR UPDATE SKIP LOCKED) RETURNING id",
    )
    .bind(ids)
    .bind(open_statuses())
    .fetch_all(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM receipts WHERE message = ANY($1)").bind(&gone).execute(connection).await?;
    Ok(gone.len() as u64)
}

/// Takes one step at the oldest week, if all of it is closed and from before `before`: some of its receipts, then itself.
pub async fn span(connection: &mut PgConnection, before: Timestamp) -> Result<bool, Error> {
    let Some(week) = schema::oldest_week(connection).await?.filter(|week| week.until <= before) else { return Ok(false) };
    let name = &week.name;
    let (from, until) = (uuid_v7(week.from, [0; 10]), uuid_v7(week.until, [0; 10]));
    // Before that an open row may have no due time.
    if unended::mark(connection).await?.is_some_and(|mark| mark < until) {
        return Ok(false);
    }
    // By the indexes of what waits and of what was scheduled: neither walks the week.
    let unfinished = format!(
        "SELECT EXISTS (SELECT 1 FROM {name} WHERE category IN (0, 1, 2) AND due_at IS NOT NULL) \
         OR EXISTS (SELECT 1 FROM {name} WHERE send_at >= $1)"
    );
    if sqlx::query_scalar(AssertSqlSafe(unfinished)).bind(before.as_millis()).fetch_one(&mut *connection).await? {
        return Ok(false);
    }
    let receipts = sqlx::query(
        "DELETE FROM receipts WHERE (message, provider, vendor_status) IN \
         (SELECT message, provider, vendor_status FROM receipts WHERE message >= $1 AND message < $2 ORDER BY message LIMIT $3)",
    )
    .bind(from)
    .bind(until)
    .bind(RECEIPTS_AT_ONCE)
    .execute(&mut *connection)
    .await?;
    if receipts.rows_affected() > 0 {
        return Ok(true);
    }
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(LOCK_TIMEOUT).execute(&mut *transaction).await?;
    sqlx::raw_sql(AssertSqlSafe(format!("DROP TABLE IF EXISTS {name}"))).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Deletes the look-ups among the next [`STEP`] that lead to no message, and what was kept for a while that is over.
pub async fn sweep(connection: &mut PgConnection, after: Option<SweepMark>, now: Timestamp) -> Result<Option<SweepMark>, Error> {
    let after = after.unwrap_or(SweepMark { hash: i64::MIN, ..SweepMark::default() });
    let rows = sqlx::query(
        "SELECT hash, id, id < $3 AND NOT EXISTS (SELECT 1 FROM messages WHERE messages.id = provider_messages.id) \
         FROM provider_messages WHERE (hash, id) > ($1, $2) ORDER BY hash, id LIMIT $4",
    )
    .bind(after.hash)
    .bind(after.id)
    .bind(uuid_v7(now - YOUNG, [0; 10]))
    .bind(STEP as i64)
    .fetch_all(&mut *connection)
    .await?;
    let (mut hashes, mut ids, mut last) = (Vec::new(), Vec::new(), None);
    for row in &rows {
        let mark = SweepMark { kind: 0, hash: row.try_get(0)?, id: row.try_get(1)? };
        last = Some(mark);
        if row.try_get(2)? {
            hashes.push(mark.hash);
            ids.push(mark.id);
        }
    }
    unlink(connection, &hashes, &ids).await?;
    let over = (now - IDEMPOTENCY_LASTS).as_millis();
    for (sql, before) in [
        (
            "DELETE FROM idempotency_keys WHERE key IN (SELECT key FROM idempotency_keys WHERE counts_from < $1 ORDER BY counts_from LIMIT $2)",
            over,
        ),
        ("DELETE FROM batch_answers WHERE key IN (SELECT key FROM batch_answers WHERE at < $1 ORDER BY at LIMIT $2)", over),
        (
            "DELETE FROM early_receipts WHERE ctid IN (SELECT ctid FROM early_receipts WHERE at < $1 LIMIT $2)",
            (now - UNKNOWN_RESOLVES).as_millis(),
        ),
    ] {
        sqlx::query(sql).bind(before).bind(STEP as i64).execute(&mut *connection).await?;
    }
    Ok(last.filter(|_| rows.len() == STEP))
}

async fn unlink(connection: &mut PgConnection, hashes: &[i64], ids: &[Uuid]) -> Result<(), Error> {
    if !ids.is_empty() {
        sqlx::query("DELETE FROM provider_messages WHERE (hash, id) IN (SELECT * FROM UNNEST($1::bigint[], $2::uuid[]))")
            .bind(hashes)
            .bind(ids)
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Deletes the closed ones among the next [`STEP`] candidates of a recipient, and everything that leads to them.
pub async fn erase(connection: &mut PgConnection, codec: &Codec, to: &Recipient, after: Uuid) -> Result<(Erased, Option<Uuid>), Error> {
    let mut transaction = connection.begin().await?;
    let rows = sqlx::query(
        "SELECT id, due_at IS NULL AND NOT in_flight AND ($4 >> status::int) & 1 = 0, body, attempts, idempotency_key FROM messages \
         WHERE to_hash = $1 AND id > $2 ORDER BY id LIMIT $3 FOR UPDATE",
    )
    .bind(codec.recipient(to))
    .bind(after)
    .bind(STEP as i64)
    .bind(open_statuses())
    .fetch_all(&mut *transaction)
    .await?;
    let mut erased = Erased::default();
    let (mut gone, mut keys): (Vec<Uuid>, Vec<Vec<u8>>) = Default::default();
    let (mut hashes, mut linked): (Vec<i64>, Vec<Uuid>) = Default::default();
    for row in &rows {
        // A hash finds candidates; the row says whose it is.
        if codec.message(row.try_get("body")?)?.to != *to {
            continue;
        }
        if !row.try_get::<bool, _>(1)? {
            erased.under_way += 1;
            continue;
        }
        let id = row.try_get("id")?;
        gone.push(id);
        keys.extend(row.try_get::<Option<Vec<u8>>, _>("idempotency_key")?);
        for attempt in decode_attempts(row.try_get("attempts")?)? {
            if let Some(theirs) = attempt.ended.and_then(|ended| ended.provider_message_id) {
                hashes.push(codec.provider_message_id(&attempt.opened.provider, &theirs));
                linked.push(id);
            }
        }
    }
    erased.messages = delete(&mut transaction, &gone).await?;
    unlink(&mut transaction, &hashes, &linked).await?;
    sqlx::query("DELETE FROM idempotency_keys WHERE key = ANY($1) AND id = ANY($2)")
        .bind(&keys)
        .bind(&gone)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    let last = rows.last().filter(|_| rows.len() == STEP);
    Ok((erased, last.map(|row| row.try_get("id")).transpose()?))
}
