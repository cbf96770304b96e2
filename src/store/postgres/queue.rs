//! Taking messages and opening attempts.

use std::time::Duration;

use sqlx::{PgConnection, Row};
use tidings_core::{
    id::MessageId,
    message::{Lane, Status},
    time::Timestamp,
};
use uuid::Uuid;

use super::read::number;
use crate::store::{Error, Lease, LeaseOwner, Opening, Taken, codec::Codec, rows};

pub(super) const NEXT_DUE: &str = "SELECT due_at FROM messages WHERE category = $1 AND due_at IS NOT NULL ORDER BY due_at LIMIT 1";

/// What others are taking at this moment is skipped, not waited for.
pub(super) const TAKE: &str = "UPDATE messages SET due_at = $1, owner = $2 WHERE id = ANY(ARRAY \
    (SELECT id FROM messages WHERE category = $3 AND due_at <= $4 ORDER BY due_at LIMIT $5 FOR UPDATE SKIP LOCKED)) \
    RETURNING id, status, attempts, body";

/// What an earlier call of this process took whose answer was lost: leased to it, and in nobody's hands.
const TAKE_AGAIN: &str = "UPDATE messages SET due_at = $1 WHERE id = ANY(ARRAY \
    (SELECT id FROM messages WHERE category = $3 AND due_at = ANY($4) AND owner = $2 ORDER BY due_at LIMIT $5 FOR UPDATE SKIP LOCKED)) \
    RETURNING id, status, attempts, body";

/// Only the owner of the lease may open an attempt, and only on a message that is still open.
const OPEN: &str = "UPDATE messages AS m SET status = CASE WHEN ($6 >> m.status::int) & 1 = 1 THEN $7 ELSE m.status END, in_flight = true, \
    attempts = o.attempts, provider = o.provider, due_at = o.due_at, progress = o.progress \
    FROM UNNEST($1::uuid[], $2::bigint[], $3::bytea[], $4::text[], $5::bigint[], $9::integer[]) AS o (id, owner, attempts, provider, due_at, progress) \
    WHERE m.id = o.id AND m.owner = o.owner AND ($8 >> m.status::int) & 1 = 1 RETURNING m.id";

/// An attempt that begins.
#[derive(Clone)]
pub struct OpenRow {
    pub id: MessageId,
    pub lease: Lease,
    pub provider: String,
    pub attempts: Vec<u8>,
    pub progress: i32,
}

/// Statuses in which an attempt may begin, as a mask.
pub fn may_be_opened() -> i64 {
    [Status::Accepted, Status::Scheduled, Status::Delivering].iter().fold(0, |mask, status| mask | 1 << status.index())
}

/// Takes what is due, and first what calls took whose answers were lost: their leases ended at `lost`.
pub async fn lease(
    connection: &mut PgConnection,
    codec: &Codec,
    (lane, most): (Lane, usize),
    lease: Lease,
    now: Timestamp,
    lost: &[Timestamp],
) -> Result<Vec<Taken>, Error> {
    let (until, lane) = (lease.until.as_millis(), lane.index() as i16);
    let limit = |left: usize| i64::try_from(left).unwrap_or(i64::MAX);
    let mut rows = Vec::new();
    if !lost.is_empty() {
        let lost: Vec<i64> = lost.iter().map(|until| until.as_millis()).collect();
        let again = sqlx::query(TAKE_AGAIN).bind(until).bind(lease.owner).bind(lane).bind(lost).bind(limit(most));
        rows = again.fetch_all(&mut *connection).await?;
    }
    if rows.len() < most {
        let due = sqlx::query(TAKE).bind(until).bind(lease.owner).bind(lane).bind(now.as_millis()).bind(limit(most - rows.len()));
        rows.extend(due.fetch_all(connection).await?);
    }
    rows::taken(&rows, codec, lease)
}

pub async fn next_due(connection: &mut PgConnection, lane: Lane) -> Result<Option<Timestamp>, Error> {
    let due: Option<i64> = sqlx::query_scalar(NEXT_DUE).bind(lane.index() as i16).fetch_optional(connection).await?;
    Ok(due.map(Timestamp::from_millis))
}

pub async fn hand_back(connection: &mut PgConnection, ids: &[MessageId], owner: LeaseOwner, now: Timestamp) -> Result<(), Error> {
    sqlx::query("UPDATE messages SET due_at = $1, owner = NULL WHERE id = ANY($2) AND owner = $3 AND due_at IS NOT NULL")
        .bind(now.as_millis())
        .bind(ids.iter().map(|id| id.uuid()).collect::<Vec<_>>())
        .bind(owner)
        .execute(connection)
        .await?;
    Ok(())
}

/// Opens attempts in one statement and answers them.
pub async fn open_all(connection: &mut PgConnection, rows: &[OpenRow]) -> Result<Vec<Opening>, Error> {
    let opened = sqlx::query(OPEN)
        .bind(rows.iter().map(|row| row.id.uuid()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.lease.owner).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.attempts.as_slice()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.provider.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.lease.until.as_millis()).collect::<Vec<_>>())
        .bind(Status::Delivering.mask_of_predecessors())
        .bind(number(Status::Delivering))
        .bind(may_be_opened())
        .bind(rows.iter().map(|row| row.progress).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    let opened = opened.iter().map(|row| row.try_get(0).map(MessageId::from_uuid)).collect::<Result<std::collections::HashSet<_>, _>>()?;
    Ok(rows.iter().map(|row| if opened.contains(&row.id) { Opening::Opened } else { Opening::Lost }).collect())
}

/// Notes that a worker lives and counts those seen lately, by the server's clock.
pub async fn register_worker(connection: &mut PgConnection, node: Uuid, seen: Duration) -> Result<u32, Error> {
    sqlx::query("INSERT INTO workers (node, seen_at) VALUES ($1, now()) ON CONFLICT (node) DO UPDATE SET seen_at = now()")
        .bind(node)
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM workers WHERE seen_at < now() - interval '1 hour'").execute(&mut *connection).await?;
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM workers WHERE seen_at > now() - make_interval(secs => $1)")
        .bind(seen.as_secs_f64())
        .fetch_one(connection)
        .await?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}
