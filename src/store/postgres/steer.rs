//! What people do to messages that wait: cancel and release.

use sqlx::{PgConnection, Row};
use tidings_core::{
    id::{AppId, MessageId},
    message::Status,
    time::Timestamp,
};

use super::read::{number, status};
use crate::store::{Cancelling, Error, Releasing};

/// The owner is taken off the row, so a worker that holds it can open nothing any more.
const CANCEL: &str = "UPDATE messages SET status = $1, due_at = NULL, owner = NULL, closed_at = $2 \
    WHERE id = $3 AND ($4::uuid IS NULL OR app = $4) AND NOT in_flight AND ($5 >> status::int) & 1 = 1 RETURNING id";

pub async fn cancel(connection: &mut PgConnection, app: Option<AppId>, id: MessageId, now: Timestamp) -> Result<Cancelling, Error> {
    let cancelled = sqlx::query(CANCEL)
        .bind(number(Status::Cancelled))
        .bind(now.as_millis())
        .bind(id.uuid())
        .bind(app.map(AppId::uuid))
        .bind(Status::Cancelled.mask_of_predecessors())
        .fetch_optional(&mut *connection)
        .await?;
    if cancelled.is_some() {
        return Ok(Cancelling::Cancelled);
    }
    let row = sqlx::query("SELECT status FROM messages WHERE id = $1 AND ($2::uuid IS NULL OR app = $2)")
        .bind(id.uuid())
        .bind(app.map(AppId::uuid))
        .fetch_optional(connection)
        .await?;
    row.map_or(Ok(Cancelling::NotFound), |row| Ok(Cancelling::TooLate(status(row.try_get(0)?)?)))
}

pub async fn cancel_by_reference(connection: &mut PgConnection, app: AppId, hash: i64, now: Timestamp) -> Result<(u64, u64), Error> {
    let ids: Vec<uuid::Uuid> = sqlx::query_scalar("SELECT id FROM messages WHERE reference_hash = $1 AND app = $2 ORDER BY id")
        .bind(hash)
        .bind(app.uuid())
        .fetch_all(&mut *connection)
        .await?;
    let (mut cancelled, mut too_late) = (0, 0);
    for id in ids {
        match cancel(connection, Some(app), MessageId::from_uuid(id), now).await? {
            Cancelling::Cancelled => cancelled += 1,
            Cancelling::TooLate(_) => too_late += 1,
            Cancelling::NotFound => {}
        }
    }
    Ok((cancelled, too_late))
}

pub async fn release(connection: &mut PgConnection, app: Option<AppId>, id: MessageId, now: Timestamp) -> Result<Releasing, Error> {
    let released = sqlx::query(
        "UPDATE messages SET status = CASE WHEN send_at > $1 THEN $2 ELSE $3 END, due_at = greatest(send_at, $1), owner = NULL, released_at = $1 \
         WHERE id = $4 AND status = $5 AND ($6::uuid IS NULL OR app = $6) RETURNING status",
    )
    .bind(now.as_millis())
    .bind(number(Status::Scheduled))
    .bind(number(Status::Accepted))
    .bind(id.uuid())
    .bind(number(Status::Held))
    .bind(app.map(AppId::uuid))
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(row) = released {
        return Ok(Releasing::Released(status(row.try_get(0)?)?));
    }
    let row = sqlx::query("SELECT status FROM messages WHERE id = $1 AND ($2::uuid IS NULL OR app = $2)")
        .bind(id.uuid())
        .bind(app.map(AppId::uuid))
        .fetch_optional(connection)
        .await?;
    row.map_or(Ok(Releasing::NotFound), |row| Ok(Releasing::NotHeld(status(row.try_get(0)?)?)))
}
