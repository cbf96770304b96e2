//! Folding facts into rows: what the recorder writes.
//!
//! Facts may come twice and in any order. A row that is not there is made as the fact says; one that is there moves forward
//! by the transition table, and only a fact that came as far as the row or further may change attempts and due time.
//! An ordinary message is inserted without a due time and closed without one: its end changes no indexed column.

use std::collections::HashMap;

use sqlx::{Connection, PgConnection, Row};
use tidings_core::{
    attempt::{self, Attempt},
    id::MessageId,
    message::Status,
    time::Timestamp,
};

use super::{
    accept::{self, Come},
    queue,
    read::number,
    receipts,
    settle::{self, SettleRow},
    unended,
};
use crate::{
    queue::Settled,
    store::{
        Error, JoinedReceipts, Lease, NewMessage, Next, Settling, Taken,
        codec::{Codec, NewRow, encode_attempts},
        rows,
    },
};

/// What to fold into a message's row.
#[derive(Clone)]
pub struct Recorded {
    pub row: NewRow,
    /// When somebody has to look at the row, if it is made as it was accepted.
    pub due_at: Option<Timestamp>,
    /// How far it came, if it was taken already.
    pub settled: Option<(SettleRow, Next, Timestamp)>,
}

impl Recorded {
    pub fn of(codec: &Codec, (new, settled): &(NewMessage, Option<Settled>), now: Timestamp) -> Result<Self, Error> {
        let row = codec.row(new)?;
        // Whoever consumes the topic delivers it. Should nobody, it is found when it expires: see `unended`.
        let due_at = match new.message.first_status() {
            Status::Accepted => (!unended::is_young(row.id, now)).then_some(row.expires_at),
            _ => Some(row.due_at),
        };
        let settled = settled.as_ref().map(|settled| {
            let hash = settle::submitted(&settled.attempts).map(|(provider, id)| codec.provider_message_id(provider, id));
            let settle_row = SettleRow {
                id: new.message.id,
                owner: 0,
                attempts: settled.attempts.clone(),
                attempts_json: None,
                next: settled.next,
                at: settled.at,
                submitted_hash: hash,
            };
            (settle_row, settled.next, settled.at)
        });
        Ok(Self { row, due_at, settled })
    }
}

/// How far a message came.
pub fn progress(attempts: &[Attempt]) -> i32 {
    i32::try_from(attempt::steps(attempts)).unwrap_or(i32::MAX)
}

/// `kind` 0 goes on, 1 waits until `due_at`, 2 closes as `status`; `$9` are the open statuses as a mask.
const FOLD: &str = "UPDATE messages AS m SET attempts = f.attempts, provider = f.provider, progress = f.progress, \
    in_flight = m.in_flight AND f.progress = m.progress, \
    status = CASE WHEN (f.mask >> m.status::int) & 1 = 1 THEN f.status ELSE m.status END, \
    due_at = CASE WHEN ($9 >> m.status::int) & 1 = 0 OR f.kind = 2 THEN NULL \
        WHEN f.kind = 1 AND (m.owner IS NULL OR m.due_at <= f.at OR f.progress > m.progress) THEN f.due_at ELSE m.due_at END, \
    owner = CASE WHEN f.kind = 0 THEN m.owner WHEN f.kind = 1 AND m.due_at > f.at AND f.progress = m.progress THEN m.owner END, \
    closed_at = CASE WHEN f.kind = 2 THEN coalesce(m.closed_at, f.at) ELSE m.closed_at END \
    FROM UNNEST($1::uuid[], $2::bytea[], $3::smallint[], $4::smallint[], $5::bigint[], $6::bigint[], $7::text[], $8::integer[], $10::bigint[]) \
    AS f (id, attempts, kind, status, mask, due_at, provider, progress, at) WHERE m.id = f.id AND f.progress >= m.progress";

/// The statuses that are not closed, as a mask.
pub(super) fn open_statuses() -> i64 {
    Status::ALL.iter().filter(|status| status.is_open()).fold(0, |mask, status| mask | 1 << status.index())
}

/// Folds all in one transaction, then joins receipts that were there first.
pub async fn fold(connection: &mut PgConnection, facts: &[Recorded], joined: &JoinedReceipts) -> Result<(), Error> {
    let mut transaction = connection.begin().await?;
    let rows: Vec<&NewRow> = facts.iter().map(|fact| &fact.row).collect();
    accept::remember_keys(&mut transaction, &rows).await?;
    let folded = facts.iter().map(Folded::of).collect::<Result<Vec<_>, Error>>()?;
    let come = facts.iter().zip(&folded).map(|(fact, folded)| {
        let just_in = || Come { due_at: fact.due_at, ..Come::just_in(&fact.row) };
        (&fact.row, folded.as_ref().map_or_else(just_in, Folded::come))
    });
    let inserted = accept::insert_new(&mut transaction, &come.collect::<Vec<_>>()).await?;
    let there: Vec<Folded<'_>> = folded.into_iter().flatten().filter(|fact| !inserted.contains(&fact.row.id)).collect();
    move_forward(&mut transaction, &there).await?;
    let settlements: Vec<SettleRow> = facts.iter().filter_map(|fact| fact.settled.as_ref().map(|(row, ..)| row.clone())).collect();
    settle::find_by_provider(&mut transaction, &settlements).await?;
    transaction.commit().await?;
    let mut moved: Vec<Settling> = settlements.iter().map(|_| Settling::Missing).collect();
    receipts::join_early(connection, &settlements, &mut moved, joined).await
}

struct Folded<'a> {
    row: &'a SettleRow,
    attempts: Vec<u8>,
    next: Next,
    at: Timestamp,
    new: &'a NewRow,
}

impl<'a> Folded<'a> {
    fn of(fact: &'a Recorded) -> Result<Option<Self>, Error> {
        let Some((row, next, at)) = &fact.settled else { return Ok(None) };
        let attempts = encode_attempts(&row.attempts)?;
        Ok(Some(Self { row, attempts, next: *next, at: *at, new: &fact.row }))
    }

    /// A row that is made of it.
    fn come(&self) -> Come<'_> {
        Come {
            status: self.status().unwrap_or(self.new.status),
            due_at: self.due(),
            closed_at: self.closes_as().map(|_| self.at),
            provider: self.provider(),
            attempts: Some(&self.attempts),
            progress: progress(&self.row.attempts),
            in_flight: false,
        }
    }

    fn provider(&self) -> Option<&str> {
        self.row.attempts.last().map(|last| last.opened.provider.as_str())
    }

    fn closes_as(&self) -> Option<Status> {
        if let Next::Close(status) = self.next { Some(status) } else { None }
    }

    fn waits_until(&self) -> Option<i64> {
        if let Next::Wait(until) = self.next { Some(until.as_millis()) } else { None }
    }

    /// The status that it speaks for, if it does.
    fn status(&self) -> Option<Status> {
        self.closes_as().or_else(|| (!self.row.attempts.is_empty()).then_some(Status::Delivering))
    }

    /// When somebody has to look at a row that this fact made.
    fn due(&self) -> Option<Timestamp> {
        match self.next {
            Next::Close(_) => None,
            Next::Wait(until) => Some(until),
            Next::Continue => Some(self.new.expires_at),
        }
    }
}

/// Rows that are there already.
async fn move_forward(connection: &mut PgConnection, folded: &[Folded<'_>]) -> Result<(), Error> {
    if folded.is_empty() {
        return Ok(());
    }
    let kind = |fact: &Folded<'_>| match fact.next {
        Next::Continue => 0_i16,
        Next::Wait(_) => 1,
        Next::Close(_) => 2,
    };
    sqlx::query(FOLD)
        .bind(folded.iter().map(|fact| fact.row.id.uuid()).collect::<Vec<_>>())
        .bind(folded.iter().map(|fact| fact.attempts.as_slice()).collect::<Vec<_>>())
        .bind(folded.iter().map(kind).collect::<Vec<_>>())
        .bind(folded.iter().map(|fact| fact.status().map_or(0, number)).collect::<Vec<_>>())
        .bind(folded.iter().map(|fact| fact.status().map_or(0, Status::mask_of_predecessors)).collect::<Vec<_>>())
        .bind(folded.iter().map(Folded::waits_until).collect::<Vec<_>>())
        .bind(folded.iter().map(Folded::provider).collect::<Vec<_>>())
        .bind(folded.iter().map(|fact| progress(&fact.row.attempts)).collect::<Vec<_>>())
        .bind(open_statuses())
        .bind(folded.iter().map(|fact| fact.at.as_millis()).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Makes the rows that are missing and leases those that nobody else holds and that are still to be delivered: also those that
/// this owner adopted before and never heard of.
pub async fn adopt(connection: &mut PgConnection, codec: &Codec, rows: &[NewRow], lease: Lease) -> Result<Vec<Taken>, Error> {
    let mut transaction = connection.begin().await?;
    let all: Vec<&NewRow> = rows.iter().collect();
    accept::remember_keys(&mut transaction, &all).await?;
    let come: Vec<_> = rows.iter().map(|row| (row, Come::just_in(row))).collect();
    accept::insert_new(&mut transaction, &come).await?;
    let taken = sqlx::query(
        "UPDATE messages SET owner = $1, due_at = $2 WHERE id = ANY($3) AND (owner IS NULL OR owner = $1) AND ($4 >> status::int) & 1 = 1 \
         RETURNING id, status, attempts, body",
    )
    .bind(lease.owner)
    .bind(lease.until.as_millis())
    .bind(rows.iter().map(|row| row.id.uuid()).collect::<Vec<_>>())
    .bind(queue::may_be_opened())
    .fetch_all(&mut *transaction)
    .await?;
    transaction.commit().await?;
    let taken = rows::taken(&taken, codec, lease)?;
    let mut found: HashMap<MessageId, Taken> = taken.into_iter().map(|taken| (taken.message.id, taken)).collect();
    Ok(rows.iter().filter_map(|row| found.remove(&row.id)).collect())
}

/// The idempotency keys that were first used from `since` on: what Redis may have forgotten.
pub async fn keys_since(connection: &mut PgConnection, since: Timestamp, most: i64) -> Result<Vec<crate::shared::Reservation>, Error> {
    let rows = sqlx::query("SELECT key, body, id FROM idempotency_keys WHERE counts_from >= $1 ORDER BY counts_from DESC LIMIT $2")
        .bind(since.as_millis())
        .bind(most)
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            let id = MessageId::from_uuid(row.try_get("id")?);
            Ok(crate::shared::Reservation { key: accept::sixteen(row.try_get("key")?)?, body: accept::sixteen(row.try_get("body")?)?, id })
        })
        .collect()
}

#[cfg(test)]
mod tests;
