//! Reading messages: one, or a page of them ([`listing`](crate::store::listing) says how far one looks).

use sqlx::{AssertSqlSafe, Row, SqlitePool, sqlite::SqliteRow};
use tidings_core::{
    id::{AppId, MessageId, uuid_v7},
    time::{Moment, Timestamp},
};
use uuid::Uuid;

use super::{lookups, writer::Shared};
use crate::{
    shared::Reservation,
    store::{
        Error, Filter, IDEMPOTENCY_LASTS, Page, Record, Repeat,
        codec::Lookup,
        listing::{PATIENCE, STEP, UNUSUAL, Way},
        rows,
    },
};

/// Rows that are fetched by their ids at once: each may lie on a page that only the disk has, and patience is looked at in between.
const FETCHED: usize = 4;
/// Rows that are fetched by their ids whatever the time is: on a busy machine patience may be over before the second four, and a
/// recipient or a reference with a handful of messages has one page.
const LEAST_FETCHED: usize = 32;
const GET: &str = "SELECT id, status, attempts, released_at, closed_at, due_at, body FROM messages WHERE id = ?";
const RECEIPTS: &str =
    "SELECT provider, vendor_status, at, status, error_code, provider_message_id FROM receipts WHERE message = ? ORDER BY at";
const KEY_OF: &str = "SELECT idempotency_key, idempotency_body, max(accepted_at, coalesce(send_at, 0)) FROM messages WHERE id = ?";
/// By the app's index alone, which holds the ids.
const COUNT: &str = "SELECT count(*) FROM messages WHERE app = ? AND id >= ?";
const COLUMNS: &str = "id, status, attempts, released_at, closed_at, due_at, body";

/// Keys of messages that were accepted, or are to be sent, after a time.
const KEYS_SINCE: &str = "SELECT id, idempotency_key, idempotency_body, max(accepted_at, coalesce(send_at, 0)) AS counts_from FROM messages \
    WHERE id > ? AND idempotency_key IS NOT NULL AND max(accepted_at, coalesce(send_at, 0)) > ? ORDER BY id LIMIT ?";

pub async fn keys_since(
    pool: &SqlitePool,
    since: Timestamp,
    after: Option<MessageId>,
    most: usize,
) -> Result<Vec<(Reservation, Timestamp)>, Error> {
    let after = after.map_or_else(Uuid::nil, MessageId::uuid);
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = sqlx::query(KEYS_SINCE).bind(after).bind(since.as_millis()).bind(most).fetch_all(pool).await?;
    let sixteen = |bytes: Vec<u8>| {
        bytes.try_into().map_err(|_| Error::Broken(anyhow::anyhow!("messages.idempotency_key or idempotency_body does not hold 16 bytes")))
    };
    let reserved = |row: &SqliteRow| {
        let (key, body) = (sixteen(row.try_get("idempotency_key")?)?, sixteen(row.try_get("idempotency_body")?)?);
        let reserved = Reservation { key, body, id: MessageId::from_uuid(row.try_get("id")?) };
        Ok((reserved, Timestamp::from_millis(row.try_get("counts_from")?)))
    };
    rows.iter().map(reserved).collect()
}

pub async fn get(pool: &SqlitePool, shared: &Shared, id: MessageId) -> Result<Option<Record>, Error> {
    let row = sqlx::query(GET).bind(id.uuid()).fetch_optional(pool).await?;
    let Some(row) = row else { return Ok(None) };
    let received = sqlx::query(RECEIPTS).bind(id.uuid()).fetch_all(pool).await?;
    Ok(Some(Record { receipts: rows::receipts(&received)?, ..rows::record(&row, &shared.codec)? }))
}

/// Whether a message used this idempotency key, and the key still counts.
pub async fn repeat(pool: &SqlitePool, id: MessageId, key: [u8; 16], now: Timestamp) -> Result<Option<Repeat>, Error> {
    let Some(row) = sqlx::query(KEY_OF).bind(id.uuid()).fetch_optional(pool).await? else { return Ok(None) };
    let (same, body): (Option<Vec<u8>>, Option<Vec<u8>>) = (row.try_get(0)?, row.try_get(1)?);
    let since = Timestamp::from_millis(row.try_get(2)?);
    let counts = same.is_some_and(|same| same == key) && now.since(since) < IDEMPOTENCY_LASTS;
    let body = body.map(<[u8; 16]>::try_from).and_then(Result::ok);
    Ok(body.filter(|_| counts).map(|body| Repeat { id, body }))
}

pub async fn count_accepted(pool: &SqlitePool, app: AppId, since: Timestamp) -> Result<u64, Error> {
    let count: i64 = sqlx::query(COUNT).bind(app.uuid()).bind(uuid_v7(since, [0; 10])).fetch_one(pool).await?.try_get(0)?;
    Ok(u64::try_from(count).unwrap_or(0))
}

pub async fn list(pool: &SqlitePool, shared: &Shared, filter: &Filter, before: Option<MessageId>, limit: usize) -> Result<Page, Error> {
    let mut walk = Walk::new(shared, filter, before);
    // One more than asked for tells whether there is a next page.
    let mut rows: Vec<Record> = Vec::with_capacity(limit.min(STEP) + 1);
    loop {
        let step = walk.step(pool, limit + 1 - rows.len()).await?;
        rows.extend(step.rows);
        if rows.len() > limit {
            rows.truncate(limit);
            let next = rows.last().map(|record| record.message.id);
            return Ok(Page { rows, next });
        }
        match step.next {
            None => return Ok(Page { rows, next: None }),
            Some(next) if walk.is_late() => return Ok(Page { rows, next: Some(next) }),
            Some(next) => walk.below = next.uuid(),
        }
    }
}

/// A listing on its way down through the ids.
struct Walk<'a> {
    shared: &'a Shared,
    filter: &'a Filter,
    way: Way<'a>,
    /// Ids below this one come next.
    below: Uuid,
    /// Ids from this one on belong to the listing.
    from: Uuid,
    until: Moment,
}

struct Step {
    rows: Vec<Record>,
    /// Ids below this one have not been looked at.
    next: Option<MessageId>,
}

impl<'a> Walk<'a> {
    fn new(shared: &'a Shared, filter: &'a Filter, before: Option<MessageId>) -> Self {
        let (from, below) = filter.span(before);
        Self { shared, filter, way: filter.way(), below, from, until: shared.clock.moment() + PATIENCE }
    }

    fn is_late(&self) -> bool {
        self.shared.clock.moment() >= self.until
    }

    async fn step(&self, pool: &SqlitePool, limit: usize) -> Result<Step, Error> {
        match self.way {
            Way::Recipient(to) => self.step_by_lookup(pool, Lookup::Recipient, self.shared.codec.recipient(to), limit).await,
            Way::Reference(reference) => self.step_by_lookup(pool, Lookup::Reference, self.shared.codec.reference(reference), limit).await,
            Way::Unusual(_) | Way::App(_) | Way::All => self.step_by_index(pool, limit).await,
        }
    }

    async fn step_by_lookup(&self, pool: &SqlitePool, lookup: Lookup, hash: i64, limit: usize) -> Result<Step, Error> {
        let below = MessageId::from_uuid(self.below);
        // Memory first: what leaves it meanwhile is in the table by then.
        let recent = self.shared.recent.find(lookup, hash);
        let mut ids = lookups::stored(pool, lookup, hash, below, STEP).await?;
        let lowest = if ids.len() == STEP { ids.last().copied() } else { None };
        ids.extend(recent.into_iter().filter(|id| *id < below && lowest.is_none_or(|lowest| *id > lowest)));
        ids.retain(|id| id.uuid() >= self.from);
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.dedup();
        let mut rows = Vec::new();
        let (mut looked_at, count) = (0, ids.len());
        for ids in ids.chunks(FETCHED) {
            for record in self.fetch(pool, ids).await? {
                let id = record.message.id;
                rows.push(record);
                if rows.len() == limit {
                    return Ok(Step { rows, next: Some(id) });
                }
            }
            looked_at += ids.len();
            if (LEAST_FETCHED..count).contains(&looked_at) && self.is_late() {
                return Ok(Step { rows, next: ids.last().copied() });
            }
        }
        Ok(Step { rows, next: lowest.filter(|lowest| lowest.uuid() >= self.from) })
    }

    /// Those of these messages that the filter wants, newest first.
    async fn fetch(&self, pool: &SqlitePool, ids: &[MessageId]) -> Result<Vec<Record>, Error> {
        let mut query = sqlx::query(AssertSqlSafe(self.fetch_sql(ids.len())));
        for id in ids {
            query = query.bind(id.uuid());
        }
        let found = self.bind(query).fetch_all(pool).await?;
        let mut rows = self.records(&found)?;
        rows.sort_unstable_by_key(|record| std::cmp::Reverse(record.message.id));
        Ok(rows)
    }

    fn fetch_sql(&self, count: usize) -> String {
        let places = vec!["?"; count].join(", ");
        format!("SELECT {COLUMNS} FROM messages WHERE id IN ({places}){}", self.conditions())
    }

    fn records(&self, found: &[SqliteRow]) -> Result<Vec<Record>, Error> {
        let mut rows = found.iter().map(|row| rows::record(row, &self.shared.codec)).collect::<Result<Vec<_>, _>>()?;
        rows.retain(|record| self.matches(record));
        Ok(rows)
    }

    async fn step_by_index(&self, pool: &SqlitePool, limit: usize) -> Result<Step, Error> {
        let floor = sqlx::query(AssertSqlSafe(self.floor_sql()));
        let floor: Option<Uuid> = self.bind_way(floor).fetch_optional(pool).await?.map(|row| row.try_get(0)).transpose()?;
        let lowest = floor.unwrap_or(self.from);
        let query = sqlx::query(AssertSqlSafe(self.page_sql())).bind(self.below).bind(lowest);
        let found = self.bind(query).bind(i64::try_from(limit).unwrap_or(i64::MAX)).fetch_all(pool).await?;
        let last = found.last().map(|row| row.try_get("id").map(MessageId::from_uuid)).transpose()?;
        let next = if found.len() == limit { last } else { floor.map(MessageId::from_uuid) };
        Ok(Step { rows: self.records(&found)?, next })
    }

    /// The id some thousand rows further down the way that this filter walks: where this step ends.
    fn floor_sql(&self) -> String {
        let way = match self.way {
            Way::Unusual(_) => format!("{UNUSUAL} AND status = ? AND "),
            Way::App(_) => "app = ? AND ".to_owned(),
            _ => String::new(),
        };
        format!("SELECT id FROM messages WHERE {way}id < ? AND id >= ? ORDER BY id DESC LIMIT 1 OFFSET {STEP}")
    }

    fn bind_way<'q>(&self, query: Query<'q>) -> Query<'q> {
        let query = match self.way {
            Way::Unusual(status) => query.bind(status.index() as i64),
            Way::App(app) => query.bind(app.uuid()),
            _ => query,
        };
        query.bind(self.below).bind(self.from)
    }

    fn page_sql(&self) -> String {
        format!("SELECT {COLUMNS} FROM messages WHERE id < ? AND id >= ?{} ORDER BY id DESC LIMIT ?", self.conditions())
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
        // A plus sign keeps the planner from an index that is not the way.
        let by_status = matches!(self.way, Way::Unusual(_));
        and(by_status, UNUSUAL);
        and(filter.status.is_some(), if by_status { "status = ?" } else { "+status = ?" });
        and(filter.app.is_some(), if matches!(self.way, Way::App(_)) { "app = ?" } else { "+app = ?" });
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

#[cfg(test)]
mod plans;
