//! Writing down how attempts ended.
//!
//! The owner of the lease holds all attempts and writes them all. Whoever lost the lease meanwhile still knows how its own
//! attempt ended: that fact is merged into what the row says, and moves the status only if the table allows.

use std::collections::HashMap;

use sqlx::{Connection, PgConnection};
use tidings_core::{
    attempt::{Attempt, Outcome},
    id::MessageId,
    message::Status,
    time::Timestamp,
};

use super::read::number;
use crate::store::{Error, LeaseOwner, Next, Settling, codec::encode_attempts, outcomes, rows::Cells};

/// An attempt that ended, or a decision without one.
#[derive(Clone)]
pub struct SettleRow {
    pub id: MessageId,
    pub owner: LeaseOwner,
    pub attempts: Vec<Attempt>,
    pub attempts_json: Option<Vec<u8>>,
    pub next: Next,
    pub at: Timestamp,
    /// Where receipts will look for it: the hash of the last attempt's provider and provider message id.
    pub submitted_hash: Option<i64>,
}

impl SettleRow {
    /// Provider and its message id, if the last attempt was taken.
    pub fn submitted(&self) -> Option<(&str, &str)> {
        submitted(&self.attempts)
    }
}

/// Provider and its message id, if the last of these attempts was taken.
pub fn submitted(attempts: &[Attempt]) -> Option<(&str, &str)> {
    let last = attempts.last()?;
    let ended = last.ended.as_ref().filter(|ended| ended.outcome == Outcome::Accepted)?;
    Some((last.opened.provider.as_str(), ended.provider_message_id.as_deref()?))
}

/// What `next` means: `kind` 0 goes on, 1 waits until `due_at`, 2 closes as `status`.
const SETTLE: &str = "UPDATE messages AS m SET attempts = coalesce(s.attempts, m.attempts), in_flight = false, progress = greatest(m.progress, s.progress), \
    status = CASE WHEN s.kind = 2 AND (s.mask >> m.status::int) & 1 = 1 THEN s.status ELSE m.status END, \
    due_at = CASE WHEN s.kind = 0 OR m.due_at IS NULL THEN m.due_at WHEN s.kind = 1 THEN s.due_at END, \
    owner = CASE WHEN s.kind = 0 THEN m.owner END, \
    closed_at = CASE WHEN s.kind = 2 THEN coalesce(m.closed_at, s.at) ELSE m.closed_at END \
    FROM UNNEST($1::uuid[], $2::bigint[], $3::bytea[], $4::smallint[], $5::smallint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::integer[]) \
    AS s (id, owner, attempts, kind, status, mask, due_at, at, progress) WHERE m.id = s.id AND m.owner = s.owner RETURNING m.id, m.status";

/// Settles all rows in one transaction and answers them.
pub async fn all(connection: &mut PgConnection, rows: &[SettleRow]) -> Result<Vec<Settling>, Error> {
    let mut transaction = connection.begin().await?;
    // One statement changes a row once: a second settlement of the same message goes by the slow path.
    let mut seen = std::collections::HashSet::new();
    let (batch, again): (Vec<_>, Vec<_>) = rows.iter().partition(|row| seen.insert(row.id));
    let mut settled = owned(&mut transaction, &batch).await?;
    let mut answers = Vec::with_capacity(rows.len());
    for row in &batch {
        let settling = match settled.remove(&row.id) {
            Some(status) => Settling::Settled(status),
            None => late(&mut transaction, row).await?,
        };
        answers.push((row.id, settling));
    }
    let mut later = Vec::new();
    for row in &again {
        let settling = match owned(&mut transaction, &[row]).await?.remove(&row.id) {
            Some(status) => Settling::Settled(status),
            None => late(&mut transaction, row).await?,
        };
        later.push(settling);
    }
    find_by_provider(&mut transaction, rows).await?;
    transaction.commit().await?;
    let (mut answers, mut later) = (answers.into_iter(), later.into_iter());
    let mut seen = std::collections::HashSet::new();
    let in_order = rows.iter().map(|row| if seen.insert(row.id) { answers.next().map(|(_, settling)| settling) } else { later.next() });
    in_order.map(|answer| answer.ok_or_else(|| Error::Broken(anyhow::anyhow!("a settlement was left unanswered")))).collect()
}

async fn owned(connection: &mut PgConnection, rows: &[&SettleRow]) -> Result<HashMap<MessageId, Status>, Error> {
    let target = |row: &SettleRow| if let Next::Close(status) = row.next { Some(status) } else { None };
    let settled = sqlx::query(SETTLE)
        .bind(rows.iter().map(|row| row.id.uuid()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.owner).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.attempts_json.as_deref()).collect::<Vec<_>>())
        .bind(
            rows.iter()
                .map(|row| match row.next {
                    Next::Continue => 0_i16,
                    Next::Wait(_) => 1,
                    Next::Close(_) => 2,
                })
                .collect::<Vec<_>>(),
        )
        .bind(rows.iter().map(|row| target(row).map_or(0, number)).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| target(row).map_or(0, Status::mask_of_predecessors)).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| if let Next::Wait(until) = row.next { Some(until.as_millis()) } else { None }).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.at.as_millis()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| super::record::progress(&row.attempts)).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    settled.iter().map(|row| Ok((MessageId::from_uuid(row.uuid("id")?), row.status()?))).collect()
}

/// The lease is another's. Merges the end of the attempt into what the row says.
async fn late(connection: &mut PgConnection, row: &SettleRow) -> Result<Settling, Error> {
    let found = sqlx::query("SELECT status, attempts FROM messages WHERE id = $1 FOR UPDATE")
        .bind(row.id.uuid())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(found) = found else { return Ok(Settling::Missing) };
    let (now, mut attempts) = (found.status()?, found.attempts()?);
    let Some(next) = outcomes::learn(&mut attempts, &row.attempts, now) else { return Ok(Settling::Late(now)) };
    sqlx::query(
        "UPDATE messages SET attempts = $1, status = $2, due_at = CASE WHEN $3 THEN NULL ELSE due_at END, in_flight = $6, \
         closed_at = CASE WHEN $3 THEN coalesce(closed_at, $4) ELSE closed_at END WHERE id = $5",
    )
    .bind(encode_attempts(&attempts)?)
    .bind(number(next))
    .bind(next.is_closed())
    .bind(row.at.as_millis())
    .bind(row.id.uuid())
    .bind(attempts.last().is_some_and(Attempt::is_open))
    .execute(&mut *connection)
    .await?;
    Ok(Settling::Late(next))
}

/// Makes submissions findable for receipts.
pub async fn find_by_provider(connection: &mut PgConnection, rows: &[SettleRow]) -> Result<(), Error> {
    let (hashes, ids): (Vec<i64>, Vec<uuid::Uuid>) = rows.iter().filter_map(|row| Some((row.submitted_hash?, row.id.uuid()))).unzip();
    if !hashes.is_empty() {
        sqlx::query("INSERT INTO provider_messages (hash, id) SELECT * FROM UNNEST($1::bigint[], $2::uuid[]) ON CONFLICT DO NOTHING")
            .bind(hashes)
            .bind(ids)
            .execute(connection)
            .await?;
    }
    Ok(())
}
