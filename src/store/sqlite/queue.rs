//! Taking messages and opening attempts.

use sqlx::SqliteConnection;
use tidings_core::{
    id::MessageId,
    message::{Lane, Status},
    time::Timestamp,
};

use super::{
    many::{Many, bind},
    write::{Answer, OpenRow, Write, number},
};
use crate::store::{Error, Lease, LeaseOwner, Opening, codec::Codec, rows};

pub(super) const NEXT_DUE: &str = "SELECT min(due_at) FROM messages WHERE category = ? AND due_at IS NOT NULL";

pub(super) const TAKE: &str = "UPDATE messages SET due_at = ?1, owner = ?2 WHERE id IN \
    (SELECT id FROM messages WHERE category = ?3 AND due_at <= ?4 ORDER BY due_at LIMIT ?5) RETURNING id, status, attempts, body";

/// Those that may not be opened: only the owner of the lease may open an attempt, and only on a message that is still open.
pub(super) static LOST: Many = Many::new(
    "number, id, owner, may_open",
    "SELECT group_concat(number) FROM given LEFT JOIN messages ON messages.id = given.id WHERE given.id IS NOT NULL AND \
     (messages.owner IS NOT given.owner OR NOT (may_open >> status & 1))",
);

pub(super) static OPEN: Many = Many::new(
    "id, from_those, delivering, attempts, provider, until",
    "UPDATE messages SET status = CASE WHEN from_those >> status & 1 THEN delivering ELSE status END, in_flight = 1, \
     attempts = given.attempts, provider = given.provider, due_at = until FROM given WHERE messages.id = given.id",
);

pub(super) static HAND_BACK: Many = Many::new(
    "id, owner, now",
    "UPDATE messages SET due_at = now, owner = NULL FROM given \
     WHERE messages.id = given.id AND messages.owner = given.owner AND due_at IS NOT NULL",
);

/// Statuses in which an attempt may begin, as a mask.
fn may_be_opened() -> i64 {
    [Status::Accepted, Status::Scheduled, Status::Delivering].iter().fold(0, |mask, status| mask | 1 << status.index())
}

pub async fn lease(
    connection: &mut SqliteConnection,
    codec: &Codec,
    lane: Lane,
    lease: Lease,
    now: Timestamp,
    most: usize,
) -> Result<Answer, Error> {
    let rows = sqlx::query(TAKE)
        .bind(lease.until.as_millis())
        .bind(lease.owner)
        .bind(lane.index() as i64)
        .bind(now.as_millis())
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    Ok(Answer::Leased(rows::taken(&rows, codec, lease)?))
}

pub async fn hand_back(connection: &mut SqliteConnection, ids: &[MessageId], owner: LeaseOwner, now: Timestamp) -> Result<Answer, Error> {
    HAND_BACK.run(connection, ids, |arguments, id| bind!(arguments, id.uuid(), owner, now.as_millis())).await?;
    Ok(Answer::Done)
}

/// Opens the attempts of every [`Write::Open`] and answers them.
pub async fn open_all(connection: &mut SqliteConnection, writes: &[Write], answers: &mut [Option<Answer>]) -> Result<(), Error> {
    let numbered = writes.iter().enumerate();
    let rows: Vec<(usize, &OpenRow)> =
        numbered.filter_map(|(number, write)| if let Write::Open(row) = write { Some((number, row)) } else { None }).collect();
    let lost = LOST
        .numbers(connection, &rows, |arguments, (number, row)| {
            bind!(arguments, *number as i64, row.id.uuid(), row.lease.owner, may_be_opened())
        })
        .await?;
    let opened: Vec<&OpenRow> = rows.iter().filter(|(number, _)| !lost.contains(number)).map(|(_, row)| *row).collect();
    OPEN.run(connection, &opened, |arguments, row| {
        bind!(
            arguments,
            row.id.uuid(),
            Status::Delivering.mask_of_predecessors(),
            number(Status::Delivering),
            row.attempts.as_slice(),
            row.provider.as_str(),
            row.lease.until.as_millis(),
        )
    })
    .await?;
    for (number, _) in rows {
        answers[number] = Some(Answer::Opened(if lost.contains(&number) { Opening::Lost } else { Opening::Opened }));
    }
    Ok(())
}
