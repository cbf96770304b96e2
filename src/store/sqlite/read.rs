//! Reading messages: one, or a page of them.
//!
//! A listing walks ids from the newest down, by the narrowest way that its filter offers: a look-up (recipient, reference), the
//! index of unusual statuses, the app's messages, or all. Each step walks at most [`STEP`] rows, so no filter, however rare
//! its matches, makes a statement that runs for seconds; a page stops after [`MOST_STEPS`] and gives a cursor to go on.

use sqlx::{AssertSqlSafe, Row, SqlitePool, sqlite::SqliteRow};
use tidings_core::{
    id::{MessageId, uuid_v7},
    message::Status,
    time::Timestamp,
};
use uuid::Uuid;

use super::{lookups, writer::Shared};
use crate::store::{
    Error, Filter, Page, ReceiptFact, Record,
    codec::{Lookup, decode_attempts, status},
};

/// Rows that one statement walks.
const STEP: usize = 4_096;
/// Statements for one page.
const MOST_STEPS: usize = 8;
const COLUMNS: &str = "id, status, attempts, released_at, closed_at, due_at, body";
/// The same list as in the index `messages_unusual`, so that the planner may use it.
const UNUSUAL: &str = "status IN (1, 6, 7, 8, 9, 10)";

pub async fn get(pool: &SqlitePool, shared: &Shared, id: MessageId) -> Result<Option<Record>, Error> {
    let row = sqlx::query("SELECT id, status, attempts, released_at, closed_at, due_at, body FROM messages WHERE id = ?")
        .bind(id.uuid())
        .fetch_optional(pool)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let mut record = record(&row, shared)?;
    let rows = sqlx::query(
        "SELECT provider, vendor_status, at, status, error_code, provider_message_id FROM receipts WHERE message = ? ORDER BY at",
    )
    .bind(id.uuid())
    .fetch_all(pool)
    .await?;
    for row in rows {
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

fn record(row: &SqliteRow, shared: &Shared) -> Result<Record, Error> {
    let time = |column: &str| row.try_get::<Option<i64>, _>(column).map(|at| at.map(Timestamp::from_millis));
    Ok(Record {
        message: shared.codec.message(row.try_get("body")?)?,
        status: status(row.try_get("status")?)?,
        attempts: decode_attempts(row.try_get("attempts")?)?,
        receipts: Vec::new(),
        released_at: time("released_at")?,
        closed_at: time("closed_at")?,
        due_at: time("due_at")?,
    })
}

pub async fn list(pool: &SqlitePool, shared: &Shared, filter: &Filter, before: Option<MessageId>, limit: usize) -> Result<Page, Error> {
    let mut walk = Walk::new(shared, filter, before);
    // One more than asked for tells whether there is a next page.
    let mut rows: Vec<Record> = Vec::with_capacity(limit.min(STEP) + 1);
    for _ in 0..MOST_STEPS {
        let step = walk.step(pool, shared, limit + 1 - rows.len()).await?;
        rows.extend(step.rows);
        if rows.len() > limit {
            rows.truncate(limit);
            let next = rows.last().map(|record| record.message.id);
            return Ok(Page { rows, next });
        }
        match step.next {
            None => return Ok(Page { rows, next: None }),
            Some(next) => walk.below = next.uuid(),
        }
    }
    Ok(Page { next: Some(MessageId::from_uuid(walk.below)), rows })
}

/// A listing on its way down through the ids.
struct Walk<'a> {
    filter: &'a Filter,
    /// Ids below this one come next.
    below: Uuid,
    /// Ids from this one on belong to the listing.
    from: Uuid,
    lookup: Option<(Lookup, i64)>,
}

struct Step {
    rows: Vec<Record>,
    next: Option<MessageId>,
}

impl<'a> Walk<'a> {
    fn new(shared: &Shared, filter: &'a Filter, before: Option<MessageId>) -> Self {
        let until = filter.until.map_or(Uuid::max(), |until| uuid_v7(until, [0; 10]));
        let lookup = match (&filter.to, filter.app, &filter.reference) {
            (Some(to), _, _) => Some((Lookup::Recipient, shared.codec.recipient(to))),
            (None, Some(app), Some(reference)) => Some((Lookup::Reference, shared.codec.reference(app, reference))),
            _ => None,
        };
        Self {
            filter,
            below: before.map_or(until, |before| before.uuid().min(until)),
            from: filter.from.map_or(Uuid::nil(), |from| uuid_v7(from, [0; 10])),
            lookup,
        }
    }

    async fn step(&self, pool: &SqlitePool, shared: &Shared, limit: usize) -> Result<Step, Error> {
        match self.lookup {
            Some((lookup, hash)) => self.step_by_lookup(pool, shared, lookup, hash, limit).await,
            None => self.step_by_index(pool, shared, limit).await,
        }
    }

    async fn step_by_lookup(&self, pool: &SqlitePool, shared: &Shared, lookup: Lookup, hash: i64, limit: usize) -> Result<Step, Error> {
        let below = MessageId::from_uuid(self.below);
        let mut ids = lookups::stored(pool, lookup, hash, below, STEP).await?;
        let more = ids.len() == STEP;
        let lowest = if more { ids.last().copied() } else { None };
        let recent = shared.recent.find(lookup, hash);
        ids.extend(recent.into_iter().filter(|id| *id < below && lowest.is_none_or(|lowest| *id > lowest)));
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.dedup();
        let mut rows = Vec::new();
        for (index, id) in ids.iter().enumerate().filter(|(_, id)| id.uuid() >= self.from) {
            let sql = format!("SELECT {COLUMNS} FROM messages WHERE id = ?{}", self.conditions());
            let row = self.bind(sqlx::query(AssertSqlSafe(sql)).bind(id.uuid())).fetch_optional(pool).await?;
            if let Some(row) = row {
                let record = record(&row, shared)?;
                if self.matches(&record) {
                    rows.push(record);
                }
            }
            if rows.len() == limit {
                let next = (more || index + 1 < ids.len()).then_some(*id);
                return Ok(Step { rows, next });
            }
        }
        Ok(Step { rows, next: lowest })
    }

    async fn step_by_index(&self, pool: &SqlitePool, shared: &Shared, limit: usize) -> Result<Step, Error> {
        let floor = sqlx::query(AssertSqlSafe(self.floor_sql()));
        let floor: Option<Uuid> = self.bind_way(floor).fetch_optional(pool).await?.map(|row| row.try_get(0)).transpose()?;
        let lowest = floor.unwrap_or(self.from);
        let sql = self.page_sql();
        let query = sqlx::query(AssertSqlSafe(sql)).bind(self.below).bind(lowest);
        let found = self.bind(query).bind(i64::try_from(limit).unwrap_or(i64::MAX)).fetch_all(pool).await?;
        let mut rows = Vec::with_capacity(found.len());
        for row in &found {
            rows.push(record(row, shared)?);
        }
        let full = rows.len() == limit;
        let next = if full { rows.last().map(|record| record.message.id) } else { floor.map(MessageId::from_uuid) };
        rows.retain(|record| self.matches(record));
        Ok(Step { rows, next })
    }

    /// The id some thousand rows further down the way that this filter walks: where this step ends.
    fn floor_sql(&self) -> String {
        let way = if self.unusual() {
            format!("{UNUSUAL} AND status = ? AND ")
        } else if self.filter.app.is_some() {
            "app = ? AND ".to_owned()
        } else {
            String::new()
        };
        format!("SELECT id FROM messages WHERE {way}id < ? AND id >= ? ORDER BY id DESC LIMIT 1 OFFSET {STEP}")
    }

    fn bind_way<'q>(&self, mut query: Query<'q>) -> Query<'q> {
        if let (true, Some(status)) = (self.unusual(), self.filter.status) {
            query = query.bind(status.index() as i64);
        } else if let Some(app) = self.filter.app {
            query = query.bind(app.uuid());
        }
        query.bind(self.below).bind(self.from)
    }

    fn page_sql(&self) -> String {
        format!("SELECT {COLUMNS} FROM messages WHERE id < ? AND id >= ?{} ORDER BY id DESC LIMIT ?", self.conditions())
    }

    fn unusual(&self) -> bool {
        use Status::{Cancelled, Expired, Failed, Held, Undelivered, Unknown};
        matches!(self.filter.status, Some(Held | Undelivered | Failed | Expired | Cancelled | Unknown))
    }

    fn conditions(&self) -> String {
        let filter = self.filter;
        let mut sql = String::new();
        let mut and = |present: bool, condition: &str| {
            if present {
                sql.push_str(" AND ");
                sql.push_str(condition);
            }
        };
        and(self.unusual(), UNUSUAL);
        and(filter.status.is_some(), "status = ?");
        // A plus sign keeps the planner from the app's index where the status is the narrower way.
        and(filter.app.is_some(), if self.unusual() { "+app = ?" } else { "app = ?" });
        and(filter.channel.is_some(), "channel = ?");
        and(filter.category.is_some(), "+category = ?");
        and(filter.test.is_some(), "test = ?");
        and(filter.provider.is_some(), "provider = ?");
        and(filter.template.is_some(), "template = ?");
        and(filter.template.as_ref().is_some_and(|(_, version)| version.is_some()), "template_version = ?");
        sql
    }

    fn bind<'q>(&self, mut query: Query<'q>) -> Query<'q> {
        let filter = self.filter;
        if let Some(status) = filter.status {
            query = query.bind(status.index() as i64);
        }
        if let Some(app) = filter.app {
            query = query.bind(app.uuid());
        }
        if let Some(channel) = filter.channel {
            query = query.bind(channel.index() as i64);
        }
        if let Some(category) = filter.category {
            query = query.bind(category.index() as i64);
        }
        if let Some(test) = filter.test {
            query = query.bind(test);
        }
        if let Some(provider) = &filter.provider {
            query = query.bind(provider.clone());
        }
        if let Some((name, version)) = &filter.template {
            query = query.bind(name.clone());
            if let Some(version) = version {
                query = query.bind(i64::from(*version));
            }
        }
        query
    }

    /// What a hash or a sealed body hides from SQL.
    fn matches(&self, record: &Record) -> bool {
        let message = &record.message;
        self.filter.to.as_ref().is_none_or(|to| *to == message.to)
            && self.filter.reference.as_ref().is_none_or(|reference| message.reference.as_ref() == Some(reference))
            && self.filter.from.is_none_or(|from| message.accepted_at >= from)
            && self.filter.until.is_none_or(|until| message.accepted_at < until)
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;
