//! Making messages durable.

use std::collections::HashMap;

use sqlx::{Row, SqliteConnection};
use tidings_core::time::Timestamp;

use super::{
    lookups::Pair,
    many::{Many, bind},
    write::{Answer, Moved, Write, number},
    writer::Shared,
};
use crate::store::{
    Accepting, Error, Idempotency, Repeat,
    codec::{Lookup, NewRow, short},
};

static INSERT: Many = Many::new(
    "id, app, status, channel, category, test, accepted_at, expires_at, send_at, due_at, owner, in_flight, provider, attempts, template, \
     template_version, to_hash, reference_hash, idempotency_key, idempotency_body, body",
    "INSERT INTO messages (id, app, status, channel, category, test, accepted_at, expires_at, send_at, due_at, owner, in_flight, provider, \
     attempts, template, template_version, to_hash, reference_hash, idempotency_key, idempotency_body, body) \
     SELECT * FROM given WHERE id IS NOT NULL",
);

/// Writes every message of every [`Write::Accept`] and answers them.
pub async fn all(
    connection: &mut SqliteConnection,
    writes: &[Write],
    answers: &mut [Option<Answer>],
    shared: &Shared,
    moved: &mut Moved,
) -> Result<(), Error> {
    let mut rows: Vec<&NewRow> = Vec::new();
    let mut keyed: HashMap<[u8; 16], Repeat> = HashMap::new();
    for (write, answer) in writes.iter().zip(answers) {
        let Write::Accept(batch) = write else { continue };
        let mut accepted = Vec::with_capacity(batch.len());
        for row in batch {
            let given = match &row.idempotency {
                None => Accepting::New,
                Some(idempotency) => match known(connection, shared, &keyed, idempotency).await? {
                    None => Accepting::New,
                    Some(first) if first.body == idempotency.body => Accepting::Repeated(first.id),
                    Some(_) => Accepting::Mismatch,
                },
            };
            if given == Accepting::New {
                if let Some(idempotency) = row.idempotency {
                    keyed.insert(idempotency.key, Repeat { id: row.id, body: idempotency.body });
                }
                moved.entered(row.category);
                moved.pairs.extend(pairs(row));
                rows.push(row);
            }
            accepted.push(given);
        }
        *answer = Some(Answer::Accepted(accepted));
    }
    INSERT
        .run(connection, &rows, |arguments, row| {
            bind!(
                arguments,
                row.id.uuid(),
                row.app.uuid(),
                number(row.status),
                row.channel,
                row.category,
                row.test,
                row.accepted_at.as_millis(),
                row.expires_at.as_millis(),
                row.send_at.map(Timestamp::as_millis),
                row.due_at.as_millis(),
                row.owner,
                row.opened.is_some(),
                row.opened.as_ref().map(|(provider, _)| provider.as_str()),
                row.opened.as_ref().map(|(_, attempts)| attempts.as_slice()),
                row.template.as_ref().map(|(name, _)| name.as_str()),
                row.template.as_ref().map(|(_, version)| i64::from(*version)),
                row.to_hash,
                row.reference_hash,
                row.idempotency.map(|idempotency| idempotency.key.to_vec()),
                row.idempotency.map(|idempotency| idempotency.body.to_vec()),
                row.body.as_slice(),
            )
        })
        .await?;
    Ok(())
}

/// The message of the last generations that used this key. What is older was asked for before (`repeat_of`).
async fn known(
    connection: &mut SqliteConnection,
    shared: &Shared,
    tick: &HashMap<[u8; 16], Repeat>,
    idempotency: &Idempotency,
) -> Result<Option<Repeat>, Error> {
    if let Some(first) = tick.get(&idempotency.key) {
        return Ok(Some(*first));
    }
    for id in shared.recent.find(Lookup::Idempotency, short(idempotency.key)) {
        let row = sqlx::query("SELECT idempotency_key, idempotency_body FROM messages WHERE id = ?")
            .bind(id.uuid())
            .fetch_optional(&mut *connection)
            .await?;
        let Some(row) = row else { continue };
        let (key, body): (Vec<u8>, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
        if let (true, Ok(body)) = (key == idempotency.key, body.try_into()) {
            return Ok(Some(Repeat { id, body }));
        }
    }
    Ok(None)
}

fn pairs(row: &NewRow) -> impl Iterator<Item = Pair> {
    [
        Some((Lookup::Recipient, row.to_hash, row.id)),
        row.reference_hash.map(|hash| (Lookup::Reference, hash, row.id)),
        row.idempotency.map(|idempotency| (Lookup::Idempotency, short(idempotency.key), row.id)),
    ]
    .into_iter()
    .flatten()
}

pub async fn keep_answer(
    connection: &mut SqliteConnection,
    idempotency: Idempotency,
    answer: &[u8],
    now: Timestamp,
) -> Result<Answer, Error> {
    sqlx::query("DELETE FROM batch_answers WHERE at < ?")
        .bind((now - crate::store::IDEMPOTENCY_LASTS).as_millis())
        .execute(&mut *connection)
        .await?;
    sqlx::query("INSERT OR IGNORE INTO batch_answers (key, body, at, answer) VALUES (?, ?, ?, ?)")
        .bind(idempotency.key.to_vec())
        .bind(idempotency.body.to_vec())
        .bind(now.as_millis())
        .bind(answer)
        .execute(&mut *connection)
        .await?;
    Ok(Answer::Done)
}
