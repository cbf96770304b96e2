//! Making messages durable, and recognising what was sent before.

use std::collections::{HashMap, HashSet};

use sqlx::{Connection, PgConnection, Row};
use tidings_core::{id::MessageId, message::Status, time::Timestamp};

use crate::{
    shared::Reservation,
    store::{Accepting, Error, IDEMPOTENCY_LASTS, Idempotency, Repeat, codec::NewRow},
};

const INSERT: &str = "INSERT INTO messages (id, app, status, channel, category, test, accepted_at, expires_at, send_at, due_at, owner, in_flight, \
    closed_at, provider, attempts, progress, template, template_version, to_hash, reference_hash, idempotency_key, idempotency_body, body) \
    SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::smallint[], $4::smallint[], $5::smallint[], $6::boolean[], $7::bigint[], $8::bigint[], \
    $9::bigint[], $10::bigint[], $11::bigint[], $12::boolean[], $13::bigint[], $14::text[], $15::bytea[], $16::integer[], $17::text[], \
    $18::integer[], $19::bigint[], $20::bigint[], $21::bytea[], $22::bytea[], $23::bytea[]) \
    ON CONFLICT (id) DO NOTHING RETURNING id";

/// An existing key that is still remembered stays; one that is not gives way.
const CLAIM_KEYS: &str = "INSERT INTO idempotency_keys AS known (key, body, id, counts_from) \
    SELECT * FROM UNNEST($1::bytea[], $2::bytea[], $3::uuid[], $4::bigint[]) \
    ON CONFLICT (key) DO UPDATE SET body = excluded.body, id = excluded.id, counts_from = excluded.counts_from \
    WHERE known.counts_from < excluded.counts_from - $5 RETURNING key, id";

/// How far a message had come when its row is made.
pub struct Come<'a> {
    pub status: Status,
    pub due_at: Option<Timestamp>,
    pub closed_at: Option<Timestamp>,
    /// Of the last attempt.
    pub provider: Option<&'a str>,
    /// As they are stored.
    pub attempts: Option<&'a [u8]>,
    pub progress: i32,
    pub in_flight: bool,
}

impl<'a> Come<'a> {
    /// As it was accepted.
    pub fn just_in(row: &'a NewRow) -> Self {
        Self {
            status: row.status,
            due_at: Some(row.due_at),
            closed_at: None,
            provider: row.opened.as_ref().map(|(provider, _)| provider.as_str()),
            attempts: row.opened.as_ref().map(|(_, attempts)| attempts.as_slice()),
            progress: i32::from(row.opened.is_some()),
            in_flight: row.opened.is_some(),
        }
    }
}

/// Writes every message of every request in one transaction and answers them.
pub async fn all(connection: &mut PgConnection, requests: &[Vec<NewRow>]) -> Result<Vec<Vec<Accepting>>, Error> {
    let mut transaction = connection.begin().await?;
    let known = claim_keys(&mut transaction, requests).await?;
    let mut fresh = Vec::new();
    let mut answers = Vec::with_capacity(requests.len());
    for request in requests {
        let mut accepted = Vec::with_capacity(request.len());
        for row in request {
            let given = match row.idempotency.and_then(|idempotency| Some((idempotency, known.get(&idempotency.key)?))) {
                Some((_, first)) if first.id == row.id => Accepting::New,
                Some((idempotency, first)) if first.body == idempotency.body => Accepting::Repeated(first.id),
                Some(_) => Accepting::Mismatch,
                None => Accepting::New,
            };
            if given == Accepting::New {
                fresh.push((row, Come::just_in(row)));
            }
            accepted.push(given);
        }
        answers.push(accepted);
    }
    insert_new(&mut transaction, &fresh).await?;
    transaction.commit().await?;
    Ok(answers)
}

/// Who holds each key of these requests now: one of them, or whoever was first.
async fn claim_keys(connection: &mut PgConnection, requests: &[Vec<NewRow>]) -> Result<HashMap<[u8; 16], Repeat>, Error> {
    let mut first: HashMap<[u8; 16], (Repeat, i64)> = HashMap::new();
    for row in requests.iter().flatten() {
        let Some(idempotency) = row.idempotency else { continue };
        let counts_from = row.send_at.unwrap_or(row.accepted_at).as_millis();
        first.entry(idempotency.key).or_insert((Repeat { id: row.id, body: idempotency.body }, counts_from));
    }
    if first.is_empty() {
        return Ok(HashMap::new());
    }
    // In the order of the keys, so that two transactions never wait for each other in a circle.
    let mut wanted: Vec<_> = first.into_iter().collect();
    wanted.sort_unstable_by_key(|(key, _)| *key);
    let keys: Vec<Vec<u8>> = wanted.iter().map(|(key, _)| key.to_vec()).collect();
    let claimed = sqlx::query(CLAIM_KEYS)
        .bind(&keys)
        .bind(wanted.iter().map(|(_, (repeat, _))| repeat.body.to_vec()).collect::<Vec<_>>())
        .bind(wanted.iter().map(|(_, (repeat, _))| repeat.id.uuid()).collect::<Vec<_>>())
        .bind(wanted.iter().map(|(_, (_, from))| *from).collect::<Vec<_>>())
        .bind(millis(IDEMPOTENCY_LASTS))
        .fetch_all(&mut *connection)
        .await?;
    let mut known: HashMap<[u8; 16], Repeat> = wanted.into_iter().map(|(key, (repeat, _))| (key, repeat)).collect();
    if claimed.len() < keys.len() {
        let rows = sqlx::query("SELECT key, id, body FROM idempotency_keys WHERE key = ANY($1)").bind(&keys).fetch_all(connection).await?;
        for row in &rows {
            known.insert(
                sixteen(row.try_get("key")?)?,
                Repeat { id: MessageId::from_uuid(row.try_get("id")?), body: sixteen(row.try_get("body")?)? },
            );
        }
    }
    Ok(known)
}

/// Keeps keys that nobody used before; where somebody did, the first stays.
pub async fn remember_keys(connection: &mut PgConnection, rows: &[&NewRow]) -> Result<(), Error> {
    let keyed = rows.iter().filter_map(|row| {
        let Idempotency { key, body } = row.idempotency?;
        Some((Reservation { key, body, id: row.id }, row.send_at.unwrap_or(row.accepted_at)))
    });
    remember(connection, keyed.collect()).await
}

/// The same for keys and when each counts from.
pub async fn remember(connection: &mut PgConnection, mut keyed: Vec<(Reservation, Timestamp)>) -> Result<(), Error> {
    if keyed.is_empty() {
        return Ok(());
    }
    keyed.sort_unstable_by_key(|(reserved, _)| reserved.key);
    sqlx::query("INSERT INTO idempotency_keys (key, body, id, counts_from) SELECT * FROM UNNEST($1::bytea[], $2::bytea[], $3::uuid[], $4::bigint[]) ON CONFLICT DO NOTHING")
        .bind(keyed.iter().map(|(reserved, _)| reserved.key.to_vec()).collect::<Vec<_>>())
        .bind(keyed.iter().map(|(reserved, _)| reserved.body.to_vec()).collect::<Vec<_>>())
        .bind(keyed.iter().map(|(reserved, _)| reserved.id.uuid()).collect::<Vec<_>>())
        .bind(keyed.iter().map(|(_, from)| from.as_millis()).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Inserts the rows that are not there yet, and tells which those were.
pub async fn insert_new(connection: &mut PgConnection, rows: &[(&NewRow, Come<'_>)]) -> Result<HashSet<MessageId>, Error> {
    if rows.is_empty() {
        return Ok(HashSet::new());
    }
    let column = || rows.iter().map(|(row, _)| *row);
    let come = || rows.iter().map(|(_, come)| come);
    let inserted = sqlx::query(INSERT)
        .bind(column().map(|row| row.id.uuid()).collect::<Vec<_>>())
        .bind(column().map(|row| row.app.uuid()).collect::<Vec<_>>())
        .bind(come().map(|come| super::read::number(come.status)).collect::<Vec<_>>())
        .bind(column().map(|row| small(row.channel)).collect::<Vec<_>>())
        .bind(column().map(|row| small(row.category)).collect::<Vec<_>>())
        .bind(column().map(|row| row.test).collect::<Vec<_>>())
        .bind(column().map(|row| row.accepted_at.as_millis()).collect::<Vec<_>>())
        .bind(column().map(|row| row.expires_at.as_millis()).collect::<Vec<_>>())
        .bind(column().map(|row| row.send_at.map(Timestamp::as_millis)).collect::<Vec<_>>())
        .bind(come().map(|come| come.due_at.map(Timestamp::as_millis)).collect::<Vec<_>>())
        .bind(column().map(|row| row.owner).collect::<Vec<_>>())
        .bind(come().map(|come| come.in_flight).collect::<Vec<_>>())
        .bind(come().map(|come| come.closed_at.map(Timestamp::as_millis)).collect::<Vec<_>>())
        .bind(come().map(|come| come.provider).collect::<Vec<_>>())
        .bind(come().map(|come| come.attempts).collect::<Vec<_>>())
        .bind(come().map(|come| come.progress).collect::<Vec<_>>())
        .bind(column().map(|row| row.template.as_ref().map(|(name, _)| name.clone())).collect::<Vec<_>>())
        .bind(column().map(|row| row.template.as_ref().map(|(_, version)| i32::try_from(*version).unwrap_or(i32::MAX))).collect::<Vec<_>>())
        .bind(column().map(|row| row.to_hash).collect::<Vec<_>>())
        .bind(column().map(|row| row.reference_hash).collect::<Vec<_>>())
        .bind(column().map(|row| row.idempotency.map(|idempotency| idempotency.key.to_vec())).collect::<Vec<_>>())
        .bind(column().map(|row| row.idempotency.map(|idempotency| idempotency.body.to_vec())).collect::<Vec<_>>())
        .bind(column().map(|row| row.body.as_slice()).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    inserted.iter().map(|row| Ok(MessageId::from_uuid(row.try_get(0)?))).collect()
}

fn small(number: i64) -> i16 {
    i16::try_from(number).unwrap_or(i16::MAX)
}

fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

pub fn sixteen(bytes: Vec<u8>) -> Result<[u8; 16], Error> {
    bytes.try_into().map_err(|_| Error::Broken(anyhow::anyhow!("a hash in idempotency_keys or batch_answers is not 16 bytes long")))
}

pub async fn repeats_of(connection: &mut PgConnection, keys: &[[u8; 16]], now: Timestamp) -> Result<Vec<Option<Repeat>>, Error> {
    let rows = sqlx::query("SELECT key, id, body FROM idempotency_keys WHERE key = ANY($1) AND counts_from > $2")
        .bind(keys.iter().map(|key| key.to_vec()).collect::<Vec<_>>())
        .bind((now - IDEMPOTENCY_LASTS).as_millis())
        .fetch_all(connection)
        .await?;
    let mut known: HashMap<[u8; 16], Repeat> = HashMap::with_capacity(rows.len());
    for row in rows {
        let repeat = Repeat { id: MessageId::from_uuid(row.try_get("id")?), body: sixteen(row.try_get("body")?)? };
        known.insert(sixteen(row.try_get("key")?)?, repeat);
    }
    Ok(keys.iter().map(|key| known.get(key).copied()).collect())
}

pub async fn keep_answer(connection: &mut PgConnection, idempotency: Idempotency, sealed: &[u8], now: Timestamp) -> Result<(), Error> {
    sqlx::query("DELETE FROM batch_answers WHERE at < $1").bind((now - IDEMPOTENCY_LASTS).as_millis()).execute(&mut *connection).await?;
    sqlx::query("INSERT INTO batch_answers (key, body, at, answer) VALUES ($1, $2, $3, $4) ON CONFLICT (key) DO NOTHING")
        .bind(idempotency.key.as_slice())
        .bind(idempotency.body.as_slice())
        .bind(now.as_millis())
        .bind(sealed)
        .execute(connection)
        .await?;
    Ok(())
}

pub async fn kept_answer(connection: &mut PgConnection, key: [u8; 16], now: Timestamp) -> Result<Option<([u8; 16], Vec<u8>)>, Error> {
    let row = sqlx::query("SELECT body, answer FROM batch_answers WHERE key = $1 AND at > $2")
        .bind(key.as_slice())
        .bind((now - IDEMPOTENCY_LASTS).as_millis())
        .fetch_optional(connection)
        .await?;
    row.map(|row| Ok((sixteen(row.try_get("body")?)?, row.try_get("answer")?))).transpose()
}
