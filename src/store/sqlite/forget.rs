//! Deleting what is old enough, or what one recipient left.
//!
//! Readers walk, the writer deletes: a step looks at [`STEP`] rows outside of any transaction and hands over the ids that may
//! go, and the statement that deletes asks once more whether each is closed. Look-ups of forgotten messages are swept in their
//! own sorted order afterwards, because deleting them one by one would dirty a page each; those of an erased recipient go
//! with the message, in the same transaction.

use sqlx::{Row, SqliteConnection, SqlitePool};
use tidings_core::{
    id::{MessageId, uuid_v7},
    message::{Category, Recipient},
    time::Timestamp,
};
use uuid::Uuid;

use super::{
    lookups::{self, Pair},
    many::{Many, bind},
    write::{Answer, Moved},
    writer::Shared,
};
use crate::store::{Erased, Error, IDEMPOTENCY_LASTS, SweepMark, UNKNOWN_RESOLVES, codec::Lookup};

/// Rows that one step walks, and deletes at most: a few milliseconds of the writer.
pub const STEP: usize = 512;
/// Messages of one recipient in one write: each costs some statements.
pub const ERASED_AT_ONCE: usize = 64;

pub(super) static DELETE: Many =
    Many::new("id", "DELETE FROM messages WHERE id IN (SELECT id FROM given) AND due_at IS NULL AND in_flight = 0 RETURNING id");
pub(super) static RECEIPTS: Many = Many::new("message", "DELETE FROM receipts WHERE message IN (SELECT message FROM given)");

/// The closed messages of a category among the next [`STEP`] rows, and where the step after begins.
pub async fn walk(
    pool: &SqlitePool,
    category: Category,
    before: Timestamp,
    after: Option<MessageId>,
) -> Result<(Vec<MessageId>, Option<MessageId>), Error> {
    let rows = sqlx::query(
        "SELECT id, category = ? AND due_at IS NULL AND in_flight = 0 AND accepted_at < ? AND coalesce(send_at, 0) < ? FROM \
         (SELECT id, category, due_at, in_flight, accepted_at, send_at FROM messages WHERE id > ? AND id < ? ORDER BY id LIMIT ?)",
    )
    .bind(category.index() as i64)
    .bind(before.as_millis())
    .bind(before.as_millis())
    .bind(after.map_or(Uuid::nil(), |after| after.uuid()))
    .bind(uuid_v7(before, [0; 10]))
    .bind(STEP as i64)
    .fetch_all(pool)
    .await?;
    let mut ids = Vec::new();
    for row in &rows {
        if row.try_get(1)? {
            ids.push(MessageId::from_uuid(row.try_get(0)?));
        }
    }
    let last = rows.last().filter(|_| rows.len() == STEP);
    Ok((ids, last.map(|row| row.try_get(0).map(MessageId::from_uuid)).transpose()?))
}

/// Deletes messages that are still closed, with their receipts.
pub async fn delete(connection: &mut SqliteConnection, ids: &[MessageId]) -> Result<Answer, Error> {
    let deleted = DELETE.returning(connection, ids, |id| *id, |arguments, id| bind!(arguments, id.uuid()), |_, _| Ok(())).await?;
    let gone: Vec<MessageId> = ids.iter().zip(&deleted).filter(|(_, deleted)| deleted.is_some()).map(|(id, _)| *id).collect();
    RECEIPTS.run(connection, &gone, |arguments, id| bind!(arguments, id.uuid())).await?;
    Ok(Answer::Forgotten(gone.len() as u64))
}

/// The look-ups among the next [`STEP`] that lead to no message, and how far this came.
pub async fn dangling(pool: &SqlitePool, after: SweepMark) -> Result<(Vec<Pair>, Option<SweepMark>), Error> {
    let rows = sqlx::query(
        "SELECT kind, hash, id, EXISTS (SELECT 1 FROM messages WHERE messages.id = lookups.id) FROM lookups \
         WHERE (kind, hash, id) > (?, ?, ?) ORDER BY kind, hash, id LIMIT ?",
    )
    .bind(after.kind)
    .bind(after.hash)
    .bind(after.id)
    .bind(STEP as i64)
    .fetch_all(pool)
    .await?;
    let (mut pairs, mut last) = (Vec::new(), None);
    for row in &rows {
        let mark = SweepMark { kind: row.try_get(0)?, hash: row.try_get(1)?, id: row.try_get(2)? };
        last = Some(mark);
        if !row.try_get::<bool, _>(3)?
            && let Some(lookup) = Lookup::from_number(mark.kind)
        {
            pairs.push((lookup, mark.hash, MessageId::from_uuid(mark.id)));
        }
    }
    Ok((pairs, last.filter(|_| rows.len() == STEP)))
}

/// Deletes these look-ups, and what was kept beside messages for a while that is over.
pub async fn sweep(connection: &mut SqliteConnection, pairs: &[Pair], now: Timestamp, moved: &mut Moved) -> Result<Answer, Error> {
    lookups::delete(connection, pairs).await?;
    sqlx::query("DELETE FROM batch_answers WHERE key IN (SELECT key FROM batch_answers WHERE at < ? ORDER BY at LIMIT ?)")
        .bind((now - IDEMPOTENCY_LASTS).as_millis())
        .bind(STEP as i64)
        .execute(&mut *connection)
        .await?;
    let unclaimed = sqlx::query(
        "DELETE FROM early_receipts WHERE (provider, provider_message_id, vendor_status) IN \
         (SELECT provider, provider_message_id, vendor_status FROM early_receipts WHERE at < ? LIMIT ?)",
    )
    .bind((now - UNKNOWN_RESOLVES).as_millis())
    .bind(STEP as i64)
    .execute(connection)
    .await?;
    moved.early -= unclaimed.rows_affected() as i64;
    Ok(Answer::Done)
}

/// Deletes those of `ids` that are this recipient's and closed, and everything that leads to them.
pub async fn erase(
    connection: &mut SqliteConnection,
    ids: &[MessageId],
    to: &Recipient,
    shared: &Shared,
    moved: &mut Moved,
) -> Result<Answer, Error> {
    let mut erased = Erased::default();
    for id in ids {
        let row = sqlx::query(
            "SELECT id, to_hash, reference_hash, idempotency_key, attempts, body, due_at IS NULL AND in_flight = 0 AS closed \
             FROM messages WHERE id = ?",
        )
        .bind(id.uuid())
        .fetch_optional(&mut *connection)
        .await?;
        let Some(row) = row else { continue };
        // A hash finds candidates; the row says whose it is.
        if shared.codec.message(row.try_get("body")?)?.to != *to {
            continue;
        }
        if !row.try_get::<bool, _>("closed")? {
            erased.under_way += 1;
            continue;
        }
        let pairs = lookups::pairs_of(&row, &shared.codec)?;
        delete(connection, &[*id]).await?;
        lookups::delete(connection, &pairs).await?;
        moved.unlinked.extend(pairs);
        erased.messages += 1;
    }
    Ok(Answer::Erased(erased))
}
