//! What people do to messages that wait: cancel and release.

use sqlx::{Row, SqliteConnection};
use tidings_core::{
    id::{AppId, MessageId},
    message::Status,
    time::Timestamp,
};

use super::{
    write::{Answer, CancelWhich, Moved, number},
    writer::Shared,
};
use crate::store::{
    Cancelling, Error, Releasing,
    codec::{Lookup, status},
};

pub async fn cancel(
    connection: &mut SqliteConnection,
    which: &CancelWhich,
    now: Timestamp,
    shared: &Shared,
    moved: &mut Moved,
) -> Result<Answer, Error> {
    let (app, ids) = match which {
        CancelWhich::One { app, id } => (*app, vec![*id]),
        CancelWhich::Reference { app, hash } => (Some(*app), with_reference(connection, *hash, shared, moved).await?),
    };
    let mut answers = Vec::with_capacity(ids.len());
    for id in ids {
        answers.push(one(connection, app, id, now, moved).await?);
    }
    Ok(Answer::Cancelled(answers))
}

/// The owner is taken off the row, so a worker that holds it can open nothing any more.
async fn one(
    connection: &mut SqliteConnection,
    app: Option<AppId>,
    id: MessageId,
    now: Timestamp,
    moved: &mut Moved,
) -> Result<Cancelling, Error> {
    let row = sqlx::query("SELECT app, status, in_flight, category FROM messages WHERE id = ?")
        .bind(id.uuid())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(Cancelling::NotFound) };
    if app.is_some_and(|app| row.try_get(0).map_or(true, |owner: uuid::Uuid| owner != app.uuid())) {
        return Ok(Cancelling::NotFound);
    }
    let current = status(row.try_get("status")?)?;
    if row.try_get::<bool, _>("in_flight")? || !current.may_become(Status::Cancelled) {
        return Ok(Cancelling::TooLate(current));
    }
    sqlx::query("UPDATE messages SET status = ?, due_at = NULL, owner = NULL, closed_at = ? WHERE id = ?")
        .bind(number(Status::Cancelled))
        .bind(now.as_millis())
        .bind(id.uuid())
        .execute(connection)
        .await?;
    moved.closed(row.try_get("category")?);
    Ok(Cancelling::Cancelled)
}

async fn with_reference(connection: &mut SqliteConnection, hash: i64, shared: &Shared, moved: &Moved) -> Result<Vec<MessageId>, Error> {
    let mut ids = shared.recent.find(Lookup::Reference, hash);
    ids.extend(moved.pairs.iter().filter(|pair| (pair.0, pair.1) == (Lookup::Reference, hash)).map(|pair| pair.2));
    let rows = sqlx::query("SELECT id FROM lookups WHERE kind = ? AND hash = ?")
        .bind(Lookup::Reference as i64)
        .bind(hash)
        .fetch_all(connection)
        .await?;
    for row in &rows {
        ids.push(MessageId::from_uuid(row.try_get(0)?));
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

pub async fn release(connection: &mut SqliteConnection, app: Option<AppId>, id: MessageId, now: Timestamp) -> Result<Answer, Error> {
    let row =
        sqlx::query("SELECT app, status, send_at FROM messages WHERE id = ?").bind(id.uuid()).fetch_optional(&mut *connection).await?;
    let Some(row) = row else { return Ok(Answer::Released(Releasing::NotFound)) };
    let owner: uuid::Uuid = row.try_get("app")?;
    if app.is_some_and(|app| owner != app.uuid()) {
        return Ok(Answer::Released(Releasing::NotFound));
    }
    let current = status(row.try_get("status")?)?;
    if current != Status::Held {
        return Ok(Answer::Released(Releasing::NotHeld(current)));
    }
    let send_at = row.try_get::<Option<i64>, _>("send_at")?.map(Timestamp::from_millis).filter(|at| *at > now);
    let next = if send_at.is_some() { Status::Scheduled } else { Status::Accepted };
    sqlx::query("UPDATE messages SET status = ?, due_at = ?, owner = NULL, released_at = ? WHERE id = ?")
        .bind(number(next))
        .bind(send_at.unwrap_or(now).as_millis())
        .bind(now.as_millis())
        .bind(id.uuid())
        .execute(connection)
        .await?;
    Ok(Answer::Released(Releasing::Released(next)))
}
