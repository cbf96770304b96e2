//! What providers say became of messages: matched, kept once, applied by the transition table.

use std::sync::atomic::Ordering;

use sqlx::{Row, SqliteConnection};
use tidings_core::{attempt::Attempt, id::MessageId, message::Status};

use super::{
    write::{Answer, Moved, number},
    writer::Shared,
};
use crate::store::{
    Error, Joined, ReceiptFact, ReceiptMatch,
    codec::Lookup,
    outcomes::Found,
    rows::{self, Cells},
};

/// Candidates for one provider message id; vendors do not repeat theirs, so more than one is a hash that collides.
const MOST_CANDIDATES: usize = 8;

/// A message, and its category.
type Categorized = (Found, i64);

pub async fn apply(
    connection: &mut SqliteConnection,
    fact: &ReceiptFact,
    hash: Option<i64>,
    shared: &Shared,
    moved: &mut Moved,
) -> Result<Answer, Error> {
    let Some(found) = find(connection, fact, hash, shared, moved).await? else {
        if let Some(id) = &fact.provider_message_id {
            let kept = sqlx::query("INSERT OR IGNORE INTO early_receipts (provider, provider_message_id, vendor_status, at, status, error_code) VALUES (?, ?, ?, ?, ?, ?)")
                .bind(&fact.provider)
                .bind(id)
                .bind(&fact.vendor_status)
                .bind(fact.at.as_millis())
                .bind(number(fact.status))
                .bind(&fact.error_code)
                .execute(connection)
                .await?;
            moved.early += i64::try_from(kept.rows_affected()).unwrap_or(0);
        }
        return Ok(Answer::Receipt(ReceiptMatch::Early));
    };
    to_found(connection, found, fact, moved).await.map(Answer::Receipt)
}

async fn to_found(
    connection: &mut SqliteConnection,
    (found, category): Categorized,
    fact: &ReceiptFact,
    moved: &mut Moved,
) -> Result<ReceiptMatch, Error> {
    let kept = sqlx::query(
        "INSERT OR IGNORE INTO receipts (message, provider, vendor_status, at, status, error_code, provider_message_id) VALUES (?, ?, ?, ?, ?, ?, ?)",
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
        return Ok(ReceiptMatch::Duplicate(found.id));
    }
    if found.moves(fact) {
        sqlx::query("UPDATE messages SET status = ?, due_at = NULL, closed_at = coalesce(closed_at, ?) WHERE id = ?")
            .bind(number(fact.status))
            .bind(fact.at.as_millis())
            .bind(found.id.uuid())
            .execute(connection)
            .await?;
        if found.status.is_open() {
            moved.closed(category);
        }
    }
    Ok(found.matched(fact))
}

/// By our own reference, else by the provider's message id.
async fn find(
    connection: &mut SqliteConnection,
    fact: &ReceiptFact,
    hash: Option<i64>,
    shared: &Shared,
    moved: &Moved,
) -> Result<Option<Categorized>, Error> {
    if let Some(id) = fact.reference
        && let Some(found) = read(connection, id).await?
        && found.0.went_to(&fact.provider)
    {
        return Ok(Some(found));
    }
    let (Some(hash), Some(provider_message_id)) = (hash, &fact.provider_message_id) else { return Ok(None) };
    let mut candidates = shared.recent.find(Lookup::ProviderMessageId, hash);
    candidates.extend(moved.pairs.iter().filter(|pair| (pair.0, pair.1) == (Lookup::ProviderMessageId, hash)).map(|pair| pair.2));
    let rows = sqlx::query("SELECT id FROM lookups WHERE kind = ? AND hash = ? LIMIT ?")
        .bind(Lookup::ProviderMessageId as i64)
        .bind(hash)
        .bind(MOST_CANDIDATES as i64)
        .fetch_all(&mut *connection)
        .await?;
    for row in &rows {
        candidates.push(MessageId::from_uuid(row.try_get(0)?));
    }
    for id in candidates {
        let Some(found) = read(connection, id).await? else { continue };
        if found.0.is_called(&fact.provider, provider_message_id) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

async fn read(connection: &mut SqliteConnection, id: MessageId) -> Result<Option<Categorized>, Error> {
    let row = sqlx::query("SELECT app, status, category, closed_at, attempts FROM messages WHERE id = ?")
        .bind(id.uuid())
        .fetch_optional(connection)
        .await?;
    row.map(|row| Ok((Found::read(&row, id)?, row.number("category")?))).transpose()
}

/// Applies the receipts that came before the answer to this submission. The status after them, if there were any.
pub async fn join_early(
    connection: &mut SqliteConnection,
    id: MessageId,
    last: &Attempt,
    shared: &Shared,
    moved: &mut Moved,
) -> Result<Option<Status>, Error> {
    let provider_message_id = last.ended.as_ref().and_then(|ended| ended.provider_message_id.as_deref());
    let Some(provider_message_id) = provider_message_id else { return Ok(None) };
    if shared.early.load(Ordering::Relaxed) + moved.early <= 0 {
        return Ok(None);
    }
    let rows = sqlx::query(
        "DELETE FROM early_receipts WHERE provider = ? AND provider_message_id = ? RETURNING vendor_status, at, status, error_code",
    )
    .bind(&last.opened.provider)
    .bind(provider_message_id)
    .fetch_all(&mut *connection)
    .await?;
    let mut after = None;
    for row in rows {
        moved.early -= 1;
        let fact = rows::receipt(&row, last.opened.provider.clone(), Some(provider_message_id.to_owned()))?;
        let Some(found) = read(connection, id).await? else { continue };
        if let ReceiptMatch::Known { status, submitted_at, .. } = to_found(connection, found, &fact, moved).await? {
            let joined = |submitted_at| Joined { provider: fact.provider.clone(), says: fact.status, submitted_at };
            moved.joined.extend(submitted_at.map(joined));
            after = Some(status);
        }
    }
    Ok(after)
}
