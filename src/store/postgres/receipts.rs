//! What providers say became of messages: matched, kept once, applied by the transition table.
//!
//! Receipt and settlement may cross each other. Either side commits its own fact first and then looks for the other's in a
//! new transaction, so one of them always finds both.

use std::collections::HashMap;

use sqlx::{Connection, PgConnection, Row};
use tidings_core::id::MessageId;

use super::{read::number, settle::SettleRow};
use crate::store::{
    Error, Joined, JoinedReceipts, ReceiptFact, ReceiptMatch, Settling,
    outcomes::Found,
    rows::{self, Cells},
};

/// Candidates for one provider message id; vendors do not repeat theirs, so more than one is a hash that collides.
const MOST_CANDIDATES: i64 = 8;

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
    if found.moves(fact) {
        sqlx::query("UPDATE messages SET status = $1, due_at = NULL, closed_at = coalesce(closed_at, $2) WHERE id = $3")
            .bind(number(fact.status))
            .bind(fact.at.as_millis())
            .bind(found.id.uuid())
            .execute(connection)
            .await?;
    }
    Ok(Some(found.matched(fact)))
}

/// By our own reference, else by the provider's message id.
async fn find(connection: &mut PgConnection, fact: &ReceiptFact, hash: Option<i64>) -> Result<Option<MessageId>, Error> {
    if let Some(id) = fact.reference
        && let Some(found) = read(connection, id, false).await?
        && found.went_to(&fact.provider)
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
        if found.is_called(&fact.provider, provider_message_id) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

const READ: &str = "SELECT app, status, closed_at, attempts FROM messages WHERE id = $1";
const READ_LOCKED: &str = "SELECT app, status, closed_at, attempts FROM messages WHERE id = $1 FOR UPDATE";

async fn read(connection: &mut PgConnection, id: MessageId, locked: bool) -> Result<Option<Found>, Error> {
    let row = sqlx::query(if locked { READ_LOCKED } else { READ }).bind(id.uuid()).fetch_optional(connection).await?;
    row.map(|row| Found::read(&row, id)).transpose()
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
        let (provider, provider_message_id) = (row.text("provider")?, row.text("provider_message_id")?);
        let reference = MessageId::from_uuid(row.uuid("reference")?);
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
        let called = Some(row.text("provider_message_id")?).filter(|id| !id.is_empty());
        facts.push(rows::receipt(row, provider.to_owned(), called)?);
    }
    facts.sort_by_key(|fact| fact.at);
    let mut last = None;
    for fact in &facts {
        last = apply_to(&mut transaction, id, fact).await?.or(last);
    }
    transaction.commit().await?;
    Ok(last)
}
