//! What providers say became of messages: matched, kept once, applied by the transition table.
//!
//! Receipt and settlement may cross each other. Either side commits its own fact first and then looks for the other's in a
//! new transaction, so one of them always finds both.

use std::collections::HashMap;

use sqlx::{Connection, PgConnection, Row};
use tidings_core::{
    attempt::Attempt,
    id::{AppId, MessageId},
    message::Status,
    time::Timestamp,
};

use super::{
    read::{number, status},
    settle::SettleRow,
};
use crate::store::{Error, Joined, JoinedReceipts, ReceiptFact, ReceiptMatch, Settling, UNKNOWN_RESOLVES, codec::decode_attempts};

/// Candidates for one provider message id; vendors do not repeat theirs, so more than one is a hash that collides.
const MOST_CANDIDATES: i64 = 8;

struct Found {
    id: MessageId,
    app: AppId,
    status: Status,
    closed_at: Option<Timestamp>,
    attempts: Vec<Attempt>,
}

pub async fn apply(connection: &mut PgConnection, fact: &ReceiptFact, hash: Option<i64>) -> Result<ReceiptMatch, Error> {
    if let Some(id) = find(connection, fact, hash).await?
        && let Some(matched) = to_message(connection, id, fact).await?
    {
        return Ok(matched);
    }
    sqlx::query(
        "INSERT INTO early_receipts (provider, provider_message_id, reference, vendor_status, at, status, error_code) \
         VALUES ($1, coalesce($2, ''), coalesce($3, '00000000-0000-0000-0000-000000000000'::uuid), $4, $5, $6, $7) ON CONFLICT DO NOTHING",
    )
    .bind(&fact.provider)
    .bind(&fact.provider_message_id)
    .bind(fact.reference.map(MessageId::uuid))
    .bind(&fact.vendor_status)
    .bind(fact.at.as_millis())
    .bind(number(fact.status))
    .bind(&fact.error_code)
    .execute(&mut *connection)
    .await?;
    // The settlement may have looked before this was written.
    match find(connection, fact, hash).await? {
        Some(id) => Ok(take_early(connection, id, fact.provider.as_str(), fact.provider_message_id.as_deref())
            .await?
            .unwrap_or(ReceiptMatch::Early)),
        None => Ok(ReceiptMatch::Early),
    }
}

/// Applies a receipt to its message; `None` if the message is not there after all.
async fn to_message(connection: &mut PgConnection, id: MessageId, fact: &ReceiptFact) -> Result<Option<ReceiptMatch>, Error> {
    let mut transaction = connection.begin().await?;
    let matched = apply_to(&mut transaction, id, fact).await?;
    transaction.commit().await?;
    Ok(matched)
}

async fn apply_to(connection: &mut PgConnection, id: MessageId, fact: &ReceiptFact) -> Result<Option<ReceiptMatch>, Error> {
    let Some(found) = read(connection, id, true).await? else { return Ok(None) };
    let kept = sqlx::query(
        "INSERT INTO receipts (message, provider, vendor_status, at, status, error_code, provider_message_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
    )
    .bind(found.id.uuid())
    .bind(&fact.provider)
    .bind(&fact.vendor_status)
    .bind(fact.at.as_millis())
    .bind(number(fact.status))
    .bind(&fact.error_code)
    .bind(&fact.provider_message_id)
    .execute(&mut *connection)
    .await?;
    if kept.rows_affected() == 0 {
        return Ok(Some(ReceiptMatch::Duplicate(found.id)));
    }
    let in_time = found.status != Status::Unknown || found.closed_at.is_none_or(|closed| fact.at.since(closed) <= UNKNOWN_RESOLVES);
    let moves = in_time && found.status.may_become(fact.status);
    if moves {
        sqlx::query("UPDATE messages SET status = $1, due_at = NULL, closed_at = coalesce(closed_at, $2) WHERE id = $3")
            .bind(number(fact.status))
            .bind(fact.at.as_millis())
            .bind(found.id.uuid())
            .execute(connection)
            .await?;
    }
    let confirmed = |attempt: &&Attempt| attempt.opened.provider == fact.provider;
    Ok(Some(ReceiptMatch::Known {
        id: found.id,
        app: found.app,
        status: if moves { fact.status } else { found.status },
        moved: moves,
        contradicts: !moves && found.status.is_final() && fact.status.is_final() && found.status != fact.status,
        submitted_at: found.attempts.iter().rev().find(confirmed).map(|attempt| attempt.opened.started_at),
    }))
}

/// By our own reference, else by the provider's message id.
async fn find(connection: &mut PgConnection, fact: &ReceiptFact, hash: Option<i64>) -> Result<Option<MessageId>, Error> {
    if let Some(id) = fact.reference
        && let Some(found) = read(connection, id, false).await?
        && found.attempts.iter().any(|attempt| attempt.opened.provider == fact.provider)
    {
        return Ok(Some(id));
    }
    let (Some(hash), Some(provider_message_id)) = (hash, &fact.provider_message_id) else { return Ok(None) };
    let rows = sqlx::query("SELECT id FROM provider_messages WHERE hash = $1 LIMIT $2")
        .bind(hash)
        .bind(MOST_CANDIDATES)
        .fetch_all(&mut *connection)
        .await?;
    for row in &rows {
        let id = MessageId::from_uuid(row.try_get(0)?);
        let Some(found) = read(connection, id, false).await? else { continue };
        if found.attempts.iter().any(|attempt| is(attempt, &fact.provider, provider_message_id)) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

fn is(attempt: &Attempt, provider: &str, provider_message_id: &str) -> bool {
    let id = attempt.ended.as_ref().and_then(|ended| ended.provider_message_id.as_deref());
    attempt.opened.provider == provider && id == Some(provider_message_id)
}

const READ: &str = "SELECT app, status, closed_at, attempts FROM messages WHERE id = $1";
const READ_LOCKED: &str = "SELECT app, status, closed_at, attempts FROM messages WHERE id = $1 FOR UPDATE";

async fn read(connection: &mut PgConnection, id: MessageId, locked: bool) -> Result<Option<Found>, Error> {
    let row = sqlx::query(if locked { READ_LOCKED } else { READ }).bind(id.uuid()).fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Found {
        id,
        app: AppId::from_uuid(row.try_get("app")?),
        status: status(row.try_get("status")?)?,
        closed_at: row.try_get::<Option<i64>, _>("closed_at")?.map(Timestamp::from_millis),
        attempts: decode_attempts(row.try_get("attempts")?)?,
    }))
}

/// Applies the receipts that came before the answers to these submissions, and corrects what the settlements say.
pub async fn join_early(
    connection: &mut PgConnection,
    rows: &[SettleRow],
    settled: &mut [Settling],
    joined: &JoinedReceipts,
) -> Result<(), Error> {
    let submitted: HashMap<(&str, &str), usize> =
        rows.iter().enumerate().filter_map(|(index, row)| Some((row.submitted()?, index))).collect();
    let ids: HashMap<MessageId, usize> = rows.iter().enumerate().map(|(index, row)| (row.id, index)).collect();
    let early = sqlx::query(
        "SELECT DISTINCT e.provider, e.provider_message_id, e.reference FROM early_receipts AS e \
         WHERE e.reference = ANY($3::uuid[]) OR (e.provider, e.provider_message_id) IN (SELECT * FROM UNNEST($1::text[], $2::text[]))",
    )
    .bind(submitted.keys().map(|(provider, _)| *provider).collect::<Vec<_>>())
    .bind(submitted.keys().map(|(_, id)| *id).collect::<Vec<_>>())
    .bind(ids.keys().map(|id| id.uuid()).collect::<Vec<_>>())
    .fetch_all(&mut *connection)
    .await?;
    for row in &early {
        let (provider, provider_message_id): (String, String) = (row.try_get("provider")?, row.try_get("provider_message_id")?);
        let reference = MessageId::from_uuid(row.try_get("reference")?);
        let Some(&index) = submitted.get(&(provider.as_str(), provider_message_id.as_str())).or_else(|| ids.get(&reference)) else {
            continue;
        };
        let id = Some(provider_message_id.as_str()).filter(|id| !id.is_empty());
        if let Some(ReceiptMatch::Known { status, submitted_at, .. }) = take_early(connection, rows[index].id, &provider, id).await? {
            joined.add(submitted_at.map(|submitted_at| Joined { provider, says: status, submitted_at }));
            settled[index] = match settled[index] {
                Settling::Late(_) => Settling::Late(status),
                _ => Settling::Settled(status),
            };
        }
    }
    Ok(())
}

/// Takes what was kept for this message and applies it: the last answer.
async fn take_early(
    connection: &mut PgConnection,
    id: MessageId,
    provider: &str,
    provider_message_id: Option<&str>,
) -> Result<Option<ReceiptMatch>, Error> {
    let mut transaction = connection.begin().await?;
    let rows = sqlx::query(
        "DELETE FROM early_receipts WHERE provider = $1 AND (reference = $3 OR provider_message_id = $2 AND $2 <> '') \
         RETURNING provider_message_id, vendor_status, at, status, error_code",
    )
    .bind(provider)
    .bind(provider_message_id.unwrap_or_default())
    .bind(id.uuid())
    .fetch_all(&mut *transaction)
    .await?;
    let mut facts = Vec::with_capacity(rows.len());
    for row in &rows {
        facts.push(ReceiptFact {
            provider: provider.to_owned(),
            provider_message_id: Some(row.try_get::<String, _>("provider_message_id")?).filter(|id| !id.is_empty()),
            reference: None,
            status: status(row.try_get("status")?)?,
            vendor_status: row.try_get("vendor_status")?,
            error_code: row.try_get("error_code")?,
            at: Timestamp::from_millis(row.try_get("at")?),
        });
    }
    facts.sort_by_key(|fact| fact.at);
    let mut last = None;
    for fact in &facts {
        last = apply_to(&mut transaction, id, fact).await?.or(last);
    }
    transaction.commit().await?;
    Ok(last)
}
