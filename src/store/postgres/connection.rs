//! Connections that never hold a caller longer than its deadline.

use std::{str::FromStr, time::Duration};

use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use crate::store::Error;

/// A statement that takes longer is a defect or a server in trouble: the server gives it up itself.
const STATEMENT_TIMEOUT: &str = "5s";
/// How long a call waits for the server, connecting included. Above `STATEMENT_TIMEOUT` only a frozen server gets.
const CALL_TIMEOUT: Duration = Duration::from_secs(6);
/// How long a call waits for a connection: the pool is as large as the batches that may be under way.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
const POOL_SIZE: u32 = 16;
/// A transaction that lost its client must not hold its rows.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "10s";
/// Times that a call is tried when its connection turns out to be dead: a server that was restarted leaves a pool of them.
pub const TRIES: usize = 3;

/// Makes an empty database beside the one that `server` names, for who must not meet what others left there; its address.
pub async fn create_database(server: &str, name: &str) -> Result<String, sqlx::Error> {
    let mut connection = PgConnection::connect(server).await?;
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await?;
    let (base, _) = server.rsplit_once('/').ok_or_else(|| sqlx::Error::Configuration("the address does not end with a database".into()))?;
    Ok(format!("{base}/{name}"))
}

/// A pool of connections to one database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connections {
    pool: PgPool,
    call_timeout: Duration,
}

impl Connections {
    /// Reads the address; connects with the first call.
    pub fn new(url: &str) -> Result<Self, sqlx::Error> {
        let options = PgConnectOptions::from_str(url)?.application_name("tidings").options([
            ("statement_timeout", STATEMENT_TIMEOUT),
            ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT),
            // Plans must not turn into scans because a table has not been analysed yet.
            ("plan_cache_mode", "force_generic_plan"),
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            // What is off above costs a plan so much on paper that the server would compile it anew for every batch.
            ("jit", "off"),
            ("client_min_messages", "warning"),
        ]);
        let pool = PgPoolOptions::new().max_connections(POOL_SIZE).acquire_timeout(ACQUIRE_TIMEOUT).connect_lazy_with(options);
        Ok(Self { pool, call_timeout: CALL_TIMEOUT })
    }

    /// The same connections with another deadline for each call.
    #[must_use]
    pub fn within(&self, call_timeout: Duration) -> Self {
        Self { pool: self.pool.clone(), call_timeout }
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A connection to one call; [`run!`] is the way to use it.
    pub async fn acquire(&self) -> Result<Held, Error> {
        Ok(Held(Some(self.pool.acquire().await?)))
    }

    /// The answer of `calls`, or `Unavailable` at the deadline.
    pub async fn bounded<A>(&self, calls: impl Future<Output = Result<A, Error>>) -> Result<A, Error> {
        let late = |_| Err(Error::Unavailable(anyhow::anyhow!("no answer within {:?}", self.call_timeout)));
        timeout(self.call_timeout, calls).await.unwrap_or_else(late)
    }
}

/// Runs a block on a connection, again if the connection was dead or the server chose it as a deadlock's victim.
///
/// A connection that misses the deadline is closed without a farewell, so that the pool never hands it out again. A macro,
/// because a closure that borrows both its connection and its arguments cannot promise to be `Send` today.
macro_rules! run {
    ($connections:expr, |$connection:ident| $body:expr) => {{
        let connections: &$crate::store::postgres::Connections = &$connections;
        connections
            .bounded(async {
                let mut tries = 1;
                loop {
                    let mut held = connections.acquire().await?;
                    let $connection = held.connection()?;
                    let answer: Result<_, $crate::store::Error> = async { $body }.await;
                    match answer {
                        Err(error) if error.is_unavailable() && tries < $crate::store::postgres::connection::TRIES => tries += 1,
                        answer => {
                            if answer.is_ok() {
                                held.give_back();
                            }
                            break answer;
                        }
                    }
                }
            })
            .await
    }};
}
pub(super) use run;

/// A connection that goes back to the pool only if its call ended well; else it is cut.
pub struct Held(Option<sqlx::pool::PoolConnection<sqlx::Postgres>>);

impl Held {
    pub fn connection(&mut self) -> Result<&mut PgConnection, Error> {
        self.0.as_deref_mut().ok_or_else(|| Error::Unavailable(anyhow::anyhow!("the connection was given back")))
    }

    pub fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}
