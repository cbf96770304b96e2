//! The schema and what must agree between nodes: its version, the master key, the partitions of the coming weeks.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection, Row, migrate::Migrator};
use tidings_core::{id::uuid_v7, time::Timestamp};

use super::connection::{Connections, run};
use crate::{
    clock::Clock,
    seal::Keyring,
    store::{
        Error,
        keys::{SealedKeys, StoreKeys},
    },
};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

const WEEK: Duration = Duration::from_hours(7 * 24);
/// Partitions that are made ahead: as long may nobody have started a node.
const WEEKS_AHEAD: u32 = 8;
/// Room on each page for the ends of its messages, which then touch no index. Of 300,000 rows written and ended a thousand at a time
/// all found room at 40, 78 % at 45 and 42 % at 60, and table and indexes were the smaller the more did.
const FILLFACTOR: &str = "fillfactor=40";
/// Taken while partitions are made, so that two nodes that start together do not trip over each other.
const PARTITIONS_LOCK: i64 = 0x7469_6469_6e67_7331;

/// Why a node must not work on this database.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("the database's schema is older than this program (version {found}, needs {needed}): run `tidings migrate`")]
    Older { found: i64, needed: i64 },
    #[error("the database's schema is newer than this program (version {found}, knows {known}): use the newer program")]
    Newer { found: i64, known: i64 },
    #[error("another node uses another master key ({theirs}; this one has {ours}): every node needs the same secrets.master_key_file")]
    OtherKey { ours: String, theirs: String },
    #[error("the schema could not be brought up to date")]
    Migration(#[from] sqlx::migrate::MigrateError),
    #[error(transparent)]
    Store(#[from] Error),
}

impl From<sqlx::Error> for SchemaError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

pub async fn migrate(connections: &Connections) -> Result<(), SchemaError> {
    match check(connections).await {
        Ok(()) => return Ok(()),
        Err(SchemaError::Older { .. }) => {}
        Err(error) => return Err(error),
    }
    // To write a table anew takes as long as it takes.
    let mut held = connections.acquire().await?;
    let connection = held.connection()?;
    sqlx::raw_sql("SET statement_timeout TO 0").execute(&mut *connection).await?;
    MIGRATIONS.run(connection).await?;
    Ok(())
}

/// Whether the schema is the one that this program was built for.
pub async fn check(connections: &Connections) -> Result<(), SchemaError> {
    let needed = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    let found: i64 = run!(connections, |connection| {
        let there: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(&mut *connection).await?;
        if !there {
            return Ok(0);
        }
        let version =
            sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success").fetch_one(connection).await?;
        Ok(version)
    })?;
    match found.cmp(&needed) {
        std::cmp::Ordering::Less => Err(SchemaError::Older { found, needed }),
        std::cmp::Ordering::Greater => Err(SchemaError::Newer { found, known: needed }),
        std::cmp::Ordering::Equal => Ok(()),
    }
}

/// The store's own keys, made by the first node; opening them proves that this node has the others' master key.
pub async fn keys(connections: &Connections, keyring: &Keyring, clock: Clock) -> Result<StoreKeys, SchemaError> {
    const MADE: &str =
        "INSERT INTO meta (name, value) VALUES ('master_key', $1), ('lookup_key', $2), ('data_key', $3) ON CONFLICT (name) DO NOTHING";
    const KEPT: &str = "SELECT (SELECT value FROM meta WHERE name = 'master_key'), (SELECT value FROM meta WHERE name = 'lookup_key'), \
         (SELECT value FROM meta WHERE name = 'data_key')";
    let ours = keyring.fingerprint();
    let fresh = StoreKeys::new(|| clock.random()).seal(keyring);
    let (theirs, sealed): (Vec<u8>, SealedKeys) = run!(connections, |connection| {
        sqlx::query(MADE).bind(ours.as_bytes()).bind(&fresh.lookup).bind(&fresh.data).execute(&mut *connection).await?;
        let row = sqlx::query(KEPT).fetch_one(connection).await?;
        Ok((row.try_get(0)?, SealedKeys { lookup: row.try_get(1)?, data: row.try_get(2)? }))
    })?;
    let theirs = String::from_utf8_lossy(&theirs).into_owned();
    let opened = sealed.open(keyring).ok().filter(|_| keyring.fingerprints().contains(&theirs));
    let Some(keys) = opened else { return Err(SchemaError::OtherKey { ours, theirs }) };
    if theirs != ours || !sealed.are_current(keyring) {
        rotate(connections, keyring, &ours, &keys).await?;
    }
    Ok(keys)
}

/// A node came with a new first key that still opens the old: from now on the new one is what nodes must have.
async fn rotate(connections: &Connections, keyring: &Keyring, ours: &str, keys: &StoreKeys) -> Result<(), Error> {
    const AGAIN: &str = "UPDATE meta SET value = CASE name WHEN 'master_key' THEN $1 WHEN 'lookup_key' THEN $2 ELSE $3 END \
         WHERE name IN ('master_key', 'lookup_key', 'data_key')";
    let sealed = keys.seal(keyring);
    run!(connections, |connection| {
        sqlx::query(AGAIN).bind(ours.as_bytes()).bind(&sealed.lookup).bind(&sealed.data).execute(connection).await?;
        Ok(())
    })
}

/// Makes the partitions of this week and those to come, with room for what follows.
pub async fn ensure_weeks(connections: &Connections, now: Timestamp) -> Result<(), Error> {
    const HAS_ROOM: &str = "SELECT $2 = ANY(coalesce(reloptions, '{}')) FROM pg_class WHERE oid = to_regclass($1)";
    run!(connections, |connection| {
        let mut transaction = sqlx::Connection::begin(connection).await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(PARTITIONS_LOCK).execute(&mut *transaction).await?;
        for ahead in 0..=WEEKS_AHEAD {
            let from = week_of(now + WEEK * ahead);
            let name = format!("messages_{}", from.to_string()[..10].replace('-', ""));
            let (low, high) = (uuid_v7(from, [0; 10]), uuid_v7(from + WEEK, [0; 10]));
            let has_room: Option<bool> =
                sqlx::query_scalar(HAS_ROOM).bind(&name).bind(FILLFACTOR).fetch_optional(&mut *transaction).await?;
            let sql = match has_room {
                Some(true) => continue,
                // Made by a program that left less; nobody waits for this, and pages that are written stay.
                Some(false) => format!("ALTER TABLE {name} SET ({FILLFACTOR})"),
                None => format!("CREATE TABLE {name} PARTITION OF messages FOR VALUES FROM ('{low}') TO ('{high}') WITH ({FILLFACTOR})"),
            };
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    })
}

/// The beginning of the week that a time lies in; weeks are counted from 1970, in UTC.
fn week_of(at: Timestamp) -> Timestamp {
    let week = i64::try_from(WEEK.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(at.as_millis().div_euclid(week) * week)
}

/// One partition.
pub struct Week {
    pub name: String,
    pub from: Timestamp,
    pub until: Timestamp,
}

/// The oldest partition that stands for a week.
pub async fn oldest_week(connection: &mut PgConnection) -> Result<Option<Week>, Error> {
    let name: Option<String> = sqlx::query_scalar(
        "SELECT child.relname::text FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid \
         WHERE inhparent = 'messages'::regclass AND child.relname ~ '^messages_[0-9]{8}$' ORDER BY 1 LIMIT 1",
    )
    .fetch_optional(connection)
    .await?;
    Ok(name.and_then(|name| {
        let day = name.strip_prefix("messages_")?;
        let from: Timestamp = format!("{}-{}-{}T00:00:00Z", &day[..4], &day[4..6], &day[6..]).parse().ok()?;
        Some(Week { from, until: from + WEEK, name })
    }))
}

#[cfg(test)]
mod tests {
    use super::{super::read::plans::database, *};

    #[tokio::test]
    async fn weeks_that_an_earlier_program_made_get_their_room() {
        let Some(connections) = database().await else { return };
        let mut held = connections.acquire().await.unwrap();
        let connection = held.connection().unwrap();
        let now = Clock::system().now();
        let name = oldest_week(connection).await.unwrap().unwrap().name;
        sqlx::raw_sql(AssertSqlSafe(format!("ALTER TABLE {name} SET (fillfactor = 60)"))).execute(&mut *connection).await.unwrap();
        for _ in 0..2 {
            ensure_weeks(&connections, now).await.unwrap();
            let weeks = "SELECT count(*), count(*) FILTER (WHERE reloptions = ARRAY['fillfactor=40']) FROM pg_class \
                 WHERE relname ~ '^messages_[0-9]{8}$'";
            assert_eq!(sqlx::query_as::<_, (i64, i64)>(weeks).fetch_one(&mut *connection).await.unwrap(), (9, 9));
        }
    }
}
