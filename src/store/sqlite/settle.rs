//! Writing down how attempts ended.
//!
//! The owner of the lease holds all attempts and writes them all. Whoever lost the lease meanwhile still knows how its own
//! attempt ended: that fact is merged into what the row says, and moves the status only if the table allows.

use std::collections::HashSet;

use sqlx::{
    Row, SqliteConnection,
    sqlite::{SqliteArguments, SqliteRow},
};
use tidings_core::{attempt::Attempt, message::Status};

use super::{
    lookups,
    many::{Bound, Many, bind},
    receipts,
    write::{Answer, Moved, SettleRow, Write, number},
    writer::Shared,
};
use crate::store::{
    Error, Next, Settling,
    codec::{Lookup, encode_attempts, status},
    outcomes,
    rows::Cells,
};

/// What the table holds of these messages is not what whoever closes them expects: the lease is lost, or a receipt or a person was
/// quicker.
pub(super) static NOT_AS_EXPECTED: Many = Many::new(
    "number, id, owner, from_those",
    "SELECT group_concat(number) FROM given LEFT JOIN messages ON messages.id = given.id WHERE given.id IS NOT NULL AND \
     (messages.owner IS NOT given.owner OR NOT (from_those >> status & 1) OR closed_at IS NOT NULL)",
);

macro_rules! close {
    ($returning:literal) => {
        Many::new(
            "id, owner, from_those, next, attempts, at",
            concat!(
                "UPDATE messages SET status = CASE WHEN from_those >> status & 1 THEN next ELSE status END, \
                 attempts = coalesce(given.attempts, messages.attempts), in_flight = 0, due_at = NULL, owner = NULL, \
                 closed_at = coalesce(closed_at, at) FROM given WHERE messages.id = given.id AND messages.owner = given.owner",
                $returning
            ),
        )
    };
}

pub(super) static CLOSE: Many = close!("");
pub(super) static CLOSE_AND_LOOK: Many = close!(" RETURNING id, status, closed_at");

pub(super) static WAIT: Many = Many::new(
    "id, owner, attempts, until",
    "UPDATE messages SET attempts = coalesce(given.attempts, messages.attempts), in_flight = 0, \
     due_at = CASE WHEN due_at IS NULL THEN NULL ELSE until END, owner = NULL \
     FROM given WHERE messages.id = given.id AND messages.owner = given.owner RETURNING id, status",
);

pub(super) static CONTINUE: Many = Many::new(
    "id, owner, attempts",
    "UPDATE messages SET attempts = coalesce(given.attempts, messages.attempts), in_flight = 0 \
     FROM given WHERE messages.id = given.id AND messages.owner = given.owner RETURNING id, status",
);

/// Settles every [`Write::Settle`] and answers them.
pub async fn all(
    connection: &mut SqliteConnection,
    writes: &[Write],
    answers: &mut [Option<Answer>],
    shared: &Shared,
    moved: &mut Moved,
) -> Result<(), Error> {
    let (mut close, mut wait, mut go_on) = (Vec::new(), Vec::new(), Vec::new());
    for (index, write) in writes.iter().enumerate() {
        let Write::Settle(row) = write else { continue };
        match row.next {
            Next::Close(status) => close.push((index, row, status)),
            Next::Wait(until) => wait.push((index, row, until)),
            Next::Continue => go_on.push((index, row, ())),
        }
    }
    let (close, odd) = expected(connection, close).await?;
    CLOSE.run(connection, &close, bind_close).await?;
    let closed = CLOSE_AND_LOOK
        .returning(
            connection,
            &odd,
            |(_, row, _)| row.id,
            bind_close,
            |(_, row, _), given| Ok((given.try_get(1)?, given.try_get::<i64, _>(2)? == row.at.as_millis())),
        )
        .await?;
    let waiting = WAIT
        .returning(
            connection,
            &wait,
            |(_, row, _)| row.id,
            |arguments, (_, row, until)| bind!(arguments, row.id.uuid(), row.owner, row.attempts_json.as_deref(), until.as_millis()),
            still_open,
        )
        .await?;
    let going_on = CONTINUE
        .returning(
            connection,
            &go_on,
            |(_, row, ())| row.id,
            |arguments, (_, row, ())| bind!(arguments, row.id.uuid(), row.owner, row.attempts_json.as_deref()),
            still_open,
        )
        .await?;

    let close = close.into_iter().map(|(index, row, status)| (index, row, Some((number(status), true))));
    let closed = odd.into_iter().zip(closed).map(|((index, row, _), given)| (index, row, given));
    let waiting = wait.into_iter().zip(waiting).map(|((index, row, _), given)| (index, row, given));
    let going_on = go_on.into_iter().zip(going_on).map(|((index, row, ()), given)| (index, row, given));
    for (index, row, given) in close.chain(closed).chain(waiting).chain(going_on) {
        let settling = match given {
            Some((now, closed_here)) => {
                if closed_here {
                    moved.closed(row.category);
                }
                Settling::Settled(status(now)?)
            }
            None => late(connection, row, moved).await?,
        };
        let settling = join(connection, row, settling, shared, moved).await?;
        answers[index] = Some(Answer::Settled(settling));
    }
    Ok(())
}

/// A message that is to be closed: the place of its write, the row, its status then.
type Closing<'a> = (usize, &'a SettleRow, Status);

fn bind_close(arguments: &mut SqliteArguments, (_, row, status): &Closing<'_>) -> Bound {
    let (predecessors, next) = (status.mask_of_predecessors(), number(*status));
    bind!(arguments, row.id.uuid(), row.owner, predecessors, next, row.attempts_json.as_deref(), row.at.as_millis())
}

/// Those of which it is known beforehand how they will end, and the others. Of several writes of one message the first alone
/// may be known.
async fn expected<'a>(
    connection: &mut SqliteConnection,
    close: Vec<Closing<'a>>,
) -> Result<(Vec<Closing<'a>>, Vec<Closing<'a>>), sqlx::Error> {
    let odd = NOT_AS_EXPECTED
        .numbers(connection, &close, |arguments, (index, row, status)| {
            bind!(arguments, *index as i64, row.id.uuid(), row.owner, status.mask_of_predecessors())
        })
        .await?;
    let mut seen = HashSet::with_capacity(close.len());
    Ok(close.into_iter().partition(|(index, row, _)| seen.insert(row.id) && !odd.contains(index)))
}

/// The status of a message that did not end with this, and that it did not.
fn still_open<R>(_: &R, given: &SqliteRow) -> Result<(i64, bool), sqlx::Error> {
    Ok((given.try_get(1)?, false))
}

/// The lease is another's. Merges the end of the attempt into what the row says.
async fn late(connection: &mut SqliteConnection, row: &SettleRow, moved: &mut Moved) -> Result<Settling, Error> {
    let found = sqlx::query("SELECT status, attempts, category FROM messages WHERE id = ?")
        .bind(row.id.uuid())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(found) = found else { return Ok(Settling::Missing) };
    let (now, mut attempts) = (found.status()?, found.attempts()?);
    let Some(next) = outcomes::learn(&mut attempts, &row.attempts, now) else { return Ok(Settling::Late(now)) };
    let closes = now.is_open() && next.is_closed();
    sqlx::query("UPDATE messages SET attempts = ?, status = ?, in_flight = ?, due_at = CASE WHEN ? THEN NULL ELSE due_at END, closed_at = CASE WHEN ? THEN ? ELSE closed_at END WHERE id = ?")
        .bind(encode_attempts(&attempts)?)
        .bind(number(next))
        .bind(attempts.last().is_some_and(Attempt::is_open))
        .bind(next.is_closed())
        .bind(closes)
        .bind(row.at.as_millis())
        .bind(row.id.uuid())
        .execute(&mut *connection)
        .await?;
    if closes {
        moved.closed(found.number("category")?);
    }
    Ok(Settling::Late(next))
}

/// Makes the submission findable for receipts, and applies those that came before it.
async fn join(
    connection: &mut SqliteConnection,
    row: &SettleRow,
    settling: Settling,
    shared: &Shared,
    moved: &mut Moved,
) -> Result<Settling, Error> {
    let Some(hash) = row.submitted_hash else { return Ok(settling) };
    let pair = (Lookup::ProviderMessageId, hash, row.id);
    if row.at.since(row.id.made_at()) > lookups::DERIVED {
        lookups::insert(connection, &[pair]).await?;
    } else {
        moved.pairs.push(pair);
    }
    let Some(last) = row.attempts.last() else { return Ok(settling) };
    match receipts::join_early(connection, row.id, last, shared, moved).await? {
        Some(status) => Ok(match settling {
            Settling::Late(_) => Settling::Late(status),
            _ => Settling::Settled(status),
        }),
        None => Ok(settling),
    }
}
