//! Looking messages up.

use sqlx::{PgConnection, QueryBuilder, Row};
use tidings_core::{
    id::{AppId, MessageId, uuid_v7},
    message::Status,
    time::Timestamp,
};
use uuid::Uuid;

use crate::{
    clock::Clock,
    store::{
        Error, Filter, Page, Record,
        codec::{self, Codec},
        listing::{PATIENCE, STEP, Way},
        rows,
    },
};

/// The number that `messages.status` holds.
pub fn number(status: Status) -> i16 {
    status.index() as i16
}

/// The status that a number in the store stands for.
pub fn status(number: i16) -> Result<Status, Error> {
    codec::status(i64::from(number))
}

const GET: &str = "SELECT id, status, due_at, released_at, closed_at, attempts, body FROM messages WHERE id = $1";
const RECEIPTS: &str =
    "SELECT provider, vendor_status, at, status, error_code, provider_message_id FROM receipts WHERE message = $1 ORDER BY at";
const COUNT: &str = "SELECT count(*) FROM messages WHERE app = $1 AND id >= $2";

pub async fn get(connection: &mut PgConnection, codec: &Codec, id: MessageId) -> Result<Option<Record>, Error> {
    let row = sqlx::query(GET).bind(id.uuid()).fetch_optional(&mut *connection).await?;
    let Some(row) = row else { return Ok(None) };
    let received = sqlx::query(RECEIPTS).bind(id.uuid()).fetch_all(connection).await?;
    Ok(Some(Record { receipts: rows::receipts(&received)?, ..rows::record(&row, codec)? }))
}

pub async fn count_accepted(connection: &mut PgConnection, app: AppId, since: Timestamp) -> Result<u64, Error> {
    let count: i64 = sqlx::query_scalar(COUNT).bind(app.uuid()).bind(uuid_v7(since, [0; 10])).fetch_one(connection).await?;
    Ok(u64::try_from(count).unwrap_or(0))
}

pub async fn list(
    connection: &mut PgConnection,
    codec: &Codec,
    clock: Clock,
    filter: &Filter,
    before: Option<MessageId>,
    limit: usize,
) -> Result<Page, Error> {
    let (from, mut below) = filter.span(before);
    let late = clock.moment() + PATIENCE;
    // One more than asked for tells whether there is a next page.
    let mut rows: Vec<Record> = Vec::with_capacity(limit.min(STEP) + 1);
    loop {
        // Their texts differ with the filter: not worth a place among the prepared statements.
        let mut query = floor(codec, filter, from, below);
        let floor: Option<Uuid> = query.build_query_scalar().persistent(false).fetch_optional(&mut *connection).await?;
        let wanted = limit + 1 - rows.len();
        let mut query = page(codec, filter, floor.unwrap_or(from), below, wanted);
        let found = query.build().persistent(false).fetch_all(&mut *connection).await?;
        for row in &found {
            rows.push(rows::record(row, codec)?);
        }
        let last = found.last().map(|row| row.try_get("id")).transpose()?;
        // A hash finds candidates; the row says what it is.
        rows.retain(|row| filter.to.as_ref().is_none_or(|to| row.message.to == *to));
        rows.retain(|row| filter.reference.is_none() || row.message.reference == filter.reference);
        if rows.len() > limit {
            rows.truncate(limit);
            let next = rows.last().map(|record| record.message.id);
            return Ok(Page { rows, next });
        }
        match if found.len() == wanted { last } else { floor } {
            None => return Ok(Page { rows, next: None }),
            Some(next) if clock.moment() >= late => return Ok(Page { rows, next: Some(MessageId::from_uuid(next)) }),
            Some(next) => below = next,
        }
    }
}

/// The id some thousand rows further down the way that this filter walks: where a step ends.
fn floor(codec: &Codec, filter: &Filter, from: Uuid, below: Uuid) -> QueryBuilder<sqlx::Postgres> {
    let mut query = QueryBuilder::new("SELECT id FROM messages WHERE ");
    push_way(&mut query, codec, filter);
    query.push("id < ").push_bind(below).push(" AND id >= ").push_bind(from);
    query.push(format!(" ORDER BY id DESC LIMIT 1 OFFSET {STEP}"));
    query
}

fn push_way(query: &mut QueryBuilder<sqlx::Postgres>, codec: &Codec, filter: &Filter) {
    match filter.way() {
        Way::Recipient(to) => query.push("to_hash = ").push_bind(codec.recipient(to)),
        Way::Reference(reference) => query.push("reference_hash = ").push_bind(codec.reference(reference)),
        Way::Unusual(status) => query.push("unusual = ").push_bind(number(status)),
        Way::App(app) => query.push("app = ").push_bind(app.uuid()),
        Way::All => return,
    };
    query.push(" AND ");
}

/// The rows of a step that the filter wants.
fn page(codec: &Codec, filter: &Filter, lowest: Uuid, below: Uuid, limit: usize) -> QueryBuilder<sqlx::Postgres> {
    let mut query = QueryBuilder::new("SELECT id, status, due_at, released_at, closed_at, attempts, body FROM messages WHERE ");
    push_way(&mut query, codec, filter);
    query.push("id < ").push_bind(below).push(" AND id >= ").push_bind(lowest);
    if let Some(app) = filter.app {
        query.push(" AND app = ").push_bind(app.uuid());
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
    // A span of time is a span of ids, but an id's clock may differ from `accepted_at` by a moment.
    if let Some(from) = filter.from {
        query.push(" AND accepted_at >= ").push_bind(from.as_millis());
    }
    if let Some(until) = filter.until {
        query.push(" AND accepted_at < ").push_bind(until.as_millis());
    }
    query.push(" ORDER BY id DESC LIMIT ").push_bind(i64::try_from(limit).unwrap_or(i64::MAX));
    query
}

#[cfg(test)]
pub(super) mod plans;
