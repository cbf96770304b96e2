//! Looking messages up.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use sqlx::{PgConnection, QueryBuilder, Row, postgres::PgRow};
use tidings_core::{
    id::MessageId,
    message::{Lane, Status},
    time::Timestamp,
};

use crate::store::{
    Error, Filter, Page, ReceiptFact, Record, Waiting,
    codec::{self, Codec, decode_attempts},
};

/// The number that `messages.status` holds.
pub fn number(status: Status) -> i16 {
    status.index() as i16
}

/// The status that a number in the store stands for.
pub fn status(number: i16) -> Result<Status, Error> {
    codec::status(i64::from(number))
}

const COLUMNS: &str = "SELECT id, status, due_at, released_at, closed_at, attempts, body FROM messages";

fn record(row: &PgRow, codec: &Codec) -> Result<Record, Error> {
    let time = |name: &str| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(name)?.map(Timestamp::from_millis));
    Ok(Record {
        message: codec.message(row.try_get("body")?)?,
        status: status(row.try_get("status")?)?,
        attempts: decode_attempts(row.try_get("attempts")?)?,
        receipts: Vec::new(),
        released_at: time("released_at")?,
        closed_at: time("closed_at")?,
        due_at: time("due_at")?,
    })
}

pub async fn get(connection: &mut PgConnection, codec: &Codec, id: MessageId) -> Result<Option<Record>, Error> {
    let row = sqlx::query("SELECT id, status, due_at, released_at, closed_at, attempts, body FROM messages WHERE id = $1")
        .bind(id.uuid())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let mut record = record(&row, codec)?;
    let rows = sqlx::query(
        "SELECT provider, vendor_status, at, status, error_code, provider_message_id FROM receipts WHERE message = $1 ORDER BY at",
    )
    .bind(id.uuid())
    .fetch_all(connection)
    .await?;
    for row in &rows {
        record.receipts.push(ReceiptFact {
            provider: row.try_get("provider")?,
            provider_message_id: row.try_get("provider_message_id")?,
            reference: None,
            status: status(row.try_get("status")?)?,
            vendor_status: row.try_get("vendor_status")?,
            error_code: row.try_get("error_code")?,
            at: Timestamp::from_millis(row.try_get("at")?),
        });
    }
    Ok(Some(record))
}

pub async fn list(
    connection: &mut PgConnection,
    codec: &Codec,
    filter: &Filter,
    before: Option<MessageId>,
    limit: usize,
) -> Result<Page, Error> {
    let mut query = conditions(codec, filter, before);
    query.push(" ORDER BY id DESC LIMIT ").push_bind(i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1));
    // Its text differs with the filter: not worth a place among the prepared statements.
    let found = query.build().persistent(false).fetch_all(connection).await?;
    let mut rows = found.iter().take(limit).map(|row| record(row, codec)).collect::<Result<Vec<_>, _>>()?;
    // A hash finds candidates; the row says what it is.
    rows.retain(|row| filter.to.as_ref().is_none_or(|to| row.message.to == *to));
    rows.retain(|row| filter.reference.is_none() || row.message.reference == filter.reference);
    let last = found.get(limit.saturating_sub(1)).filter(|_| found.len() > limit);
    let next = last.map(|row| row.try_get("id").map(MessageId::from_uuid)).transpose()?;
    Ok(Page { rows, next })
}

fn conditions(codec: &Codec, filter: &Filter, before: Option<MessageId>) -> QueryBuilder<sqlx::Postgres> {
    let mut query = QueryBuilder::new(COLUMNS);
    query.push(" WHERE true");
    if let Some(before) = before {
        query.push(" AND id < ").push_bind(before.uuid());
    }
    if let Some(app) = filter.app {
        query.push(" AND app = ").push_bind(app.uuid());
        if let Some(reference) = &filter.reference {
            query.push(" AND reference_hash = ").push_bind(codec.reference(app, reference));
        }
    }
    if let Some(to) = &filter.to {
        query.push(" AND to_hash = ").push_bind(codec.recipient(to));
    }
    if let Some(status) = filter.status {
        query.push(" AND status = ").push_bind(number(status));
    }
    if let Some(channel) = filter.channel {
        query.push(" AND channel = ").push_bind(channel.index() as i16);
    }
    if let Some(category) = filter.category {
        query.push(" AND category = ").push_bind(category.index() as i16);
    }
    if let Some((name, version)) = &filter.template {
        query.push(" AND template = ").push_bind(name.clone());
        if let Some(version) = version {
            query.push(" AND template_version = ").push_bind(i32::try_from(*version).unwrap_or(i32::MAX));
        }
    }
    if let Some(provider) = &filter.provider {
        query.push(" AND provider = ").push_bind(provider.clone());
    }
    if let Some(test) = filter.test {
        query.push(" AND test = ").push_bind(test);
    }
    // Ids carry their time, so a span of time is a range of ids, which the partitions know: the id's clock may differ from
    // `accepted_at` by a moment, hence both.
    if let Some(from) = filter.from {
        query.push(" AND accepted_at >= ").push_bind(from.as_millis());
    }
    if let Some(until) = filter.until {
        query.push(" AND accepted_at < ").push_bind(until.as_millis());
    }
    query
}

/// More than this is not counted again each time: counting them is work.
const MANY: u64 = 20_000;
/// How long a count of many is good for.
const COUNT_IS_GOOD_FOR: Duration = Duration::from_secs(5);

/// The last count, where there was much to count.
#[derive(Default)]
pub struct Counted(Mutex<Option<(Timestamp, [Waiting; 3])>>);

impl Counted {
    pub fn recent(&self, now: Timestamp) -> Option<[Waiting; 3]> {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.filter(|(at, _)| now.since(*at) < COUNT_IS_GOOD_FOR).map(|(_, waiting)| waiting)
    }

    pub fn keep(&self, now: Timestamp, waiting: [Waiting; 3]) {
        let many = waiting.iter().map(|lane| lane.messages).sum::<u64>() > MANY;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = many.then_some((now, waiting));
    }
}

/// How much waits, by lane.
pub async fn waiting(connection: &mut PgConnection, now: Timestamp) -> Result<[Waiting; 3], Error> {
    let mut lanes = [Waiting::default(); 3];
    for lane in Lane::ALL {
        let row = sqlx::query(
            "SELECT (SELECT count(*) FROM messages WHERE category = $1 AND due_at IS NOT NULL), \
             (SELECT due_at FROM messages WHERE category = $1 AND due_at IS NOT NULL AND owner IS NULL ORDER BY due_at LIMIT 1)",
        )
        .bind(lane.index() as i16)
        .fetch_one(&mut *connection)
        .await?;
        let oldest: Option<i64> = row.try_get(1)?;
        lanes[lane.index()] = Waiting {
            messages: u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or(0),
            oldest: oldest.map(|due| now.since(Timestamp::from_millis(due))).unwrap_or_default(),
        };
    }
    Ok(lanes)
}
