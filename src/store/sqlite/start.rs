//! Opening the file: settings, schema, what the dead process left, what memory must know.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use sqlx::{
    ConnectOptions, Row, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tidings_core::time::Timestamp;
use tokio::task::JoinHandle;

use super::{
    Sqlite, checkpoint, derive, inbox,
    lookups::{GENERATION, Recent},
    writer::{self, Shared, Tick},
};
use crate::{
    clock::Clock,
    seal::Keyring,
    store::{
        Error, JoinedReceipts,
        keys::{SealedKeys, StoreKeys},
    },
};

pub(super) static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");

/// Reading connections: more would only compete for two cores.
const READERS: u32 = 4;
/// How long one process waits for another that writes.
const BUSY: Duration = Duration::from_secs(5);
/// Larger than the default, because a row with its sealed body and attempts is about a kilobyte.
const PAGE_BYTES: u32 = 8192;
/// Page cache of each connection, in KiB (negative: SQLite's notation): the ends of table and indexes, and the rows that are under
/// way. What a listing walks past is not asked for again soon, and the system's cache holds it for all connections.
const CACHE_KIB: i64 = -4_096;
pub(super) const VOID_LEASES: &str =
    "UPDATE messages SET due_at = min(due_at, ?), owner = NULL WHERE due_at IS NOT NULL AND owner IS NOT NULL";
pub(super) const COUNT_OPEN: &str = "SELECT category, count(*) FROM messages WHERE due_at IS NOT NULL GROUP BY category";
/// Rows that SQLite's thread puts down before it waits for whoever reads them: all that one statement of the writer returns.
const ROWS_AHEAD: usize = 1_024;

impl Sqlite {
    /// Opens (and makes) the file, and starts its writer. `observe` is told of every transaction.
    pub async fn open(
        path: &Path,
        keyring: Arc<Keyring>,
        clock: Clock,
        observe: impl Fn(Tick) + Send + Sync + 'static,
    ) -> Result<(Self, JoinHandle<()>), Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .page_size(PAGE_BYTES)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
            .pragma("cache_size", CACHE_KIB.to_string())
            .pragma("wal_autocheckpoint", checkpoint::AT_THE_LATEST)
            // The rows that a statement is given look up the table by its key, however many they are: never the other way round.
            .pragma("automatic_index", "off")
            // What a statement keeps aside while it changes many rows is never a file's business.
            .pragma("temp_store", "memory")
            .row_buffer_size(ROWS_AHEAD)
            .disable_statement_logging();
        let mut connection = options.connect().await?;
        MIGRATIONS.run(&mut connection).await.map_err(|error| Error::Broken(error.into()))?;
        let codec = keys(&mut connection, &keyring, clock).await?.codec(&keyring);
        void_leases(&mut connection, clock.now()).await?;
        let recent = Recent::default();
        recent.add(derive::for_memory(&mut connection, &codec, GENERATION).await?, clock.now());
        let open = count_open(&mut connection).await?;
        let early: i64 = sqlx::query("SELECT count(*) FROM early_receipts").fetch_one(&mut connection).await?.try_get(0)?;

        let checkpoints = checkpoint::start(options.connect().await?);
        let readers = SqlitePoolOptions::new().max_connections(READERS).connect_with(options.read_only(true)).await?;
        let shared = Arc::new(Shared {
            codec,
            recent,
            clock,
            open,
            early: AtomicI64::new(early),
            joined: JoinedReceipts::default(),
            observe: Box::new(observe),
        });
        let (requests, received) = inbox::channel();
        let writer = writer::start(connection, checkpoints, received, Arc::clone(&shared))?;
        Ok((Self { requests, readers, shared }, writer))
    }
}

impl Sqlite {
    /// Opens a file that another process writes, to look something up in it: every write is answered with `Unavailable`.
    pub async fn open_to_read(path: &Path, keyring: Arc<Keyring>, clock: Clock) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY).disable_statement_logging();
        let mut connection = options.connect().await?;
        let sealed = stored_keys(&mut connection).await?;
        let sealed = sealed.ok_or_else(|| Error::Broken(anyhow::anyhow!("the store has no keys: was it ever started by this version?")))?;
        let codec = sealed.open(&keyring)?.codec(&keyring);
        let recent = Recent::default();
        recent.add(derive::all(&mut connection, &codec).await?, clock.now());
        let open = count_open(&mut connection).await?;
        let readers = SqlitePoolOptions::new().max_connections(READERS).connect_with(options).await?;
        let shared = Arc::new(Shared {
            codec,
            recent,
            clock,
            open,
            early: AtomicI64::new(0),
            joined: JoinedReceipts::default(),
            observe: Box::new(|_| {}),
        });
        let (requests, _nobody) = inbox::channel();
        Ok(Self { requests, readers, shared })
    }
}

async fn stored_keys(connection: &mut SqliteConnection) -> Result<Option<SealedKeys>, Error> {
    let row = sqlx::query(
        "SELECT lookup.value, data.value FROM meta AS lookup, meta AS data WHERE lookup.name = 'lookup_key' AND data.name = 'data_key'",
    );
    let Some(row) = row.fetch_optional(connection).await? else { return Ok(None) };
    Ok(Some(SealedKeys { lookup: row.try_get(0)?, data: row.try_get(1)? }))
}

/// The store's own keys: made where there are none yet, sealed again where another master key sealed them.
async fn keys(connection: &mut SqliteConnection, keyring: &Keyring, clock: Clock) -> Result<StoreKeys, Error> {
    const MADE: &str = "INSERT OR IGNORE INTO meta (name, value) VALUES ('lookup_key', ?), ('data_key', ?)";
    const AGAIN: &str = "REPLACE INTO meta (name, value) VALUES ('lookup_key', ?), ('data_key', ?)";
    let fresh = StoreKeys::new(|| clock.random()).seal(keyring);
    sqlx::query(MADE).bind(fresh.lookup).bind(fresh.data).execute(&mut *connection).await?;
    let sealed =
        stored_keys(connection).await?.ok_or_else(|| Error::Broken(anyhow::anyhow!("meta holds no keys after they were written")))?;
    let keys = sealed.open(keyring)?;
    if !sealed.are_current(keyring) {
        let again = keys.seal(keyring);
        sqlx::query(AGAIN).bind(again.lookup).bind(again.data).execute(connection).await?;
    }
    Ok(keys)
}

/// The file belongs to this process alone, so whoever held a lease is dead.
async fn void_leases(connection: &mut SqliteConnection, now: Timestamp) -> Result<(), Error> {
    sqlx::query(VOID_LEASES).bind(now.as_millis()).execute(connection).await?;
    Ok(())
}

async fn count_open(connection: &mut SqliteConnection) -> Result<[AtomicI64; 3], Error> {
    let open = [const { AtomicI64::new(0) }; 3];
    let rows = sqlx::query(COUNT_OPEN).fetch_all(connection).await?;
    for row in rows {
        let (category, count): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        if let Some(lane) = usize::try_from(category).ok().and_then(|category| open.get(category)) {
            lane.store(count, Ordering::Relaxed);
        }
    }
    Ok(open)
}
