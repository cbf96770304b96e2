//! What apps may send, counted by the database where no Redis is: one row an app, locked while it is counted.
//!
//! These rows are not synced to disk with every message: what a crash of the server forgets is a moment's worth.

use async_trait::async_trait;
use sqlx::{Connection, PgConnection, Row};
use tidings_core::{id::AppId, time::Timestamp};

use super::{PostgresStore, connection::run};
use crate::{
    shared::{
        Away,
        allowance::{Allowance, Allowances, Calendar, Granted, Sent, Usage},
    },
    store::Error,
};

/// Makes the row if it is not there, and locks it; by the server's clock, in nanoseconds.
const LOCK: &str = "INSERT INTO app_usage AS known (app) VALUES ($1) ON CONFLICT (app) DO UPDATE SET app = known.app \
    RETURNING empty_at, day, today, month, this_month, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000 AS clock";

async fn change<T: Send>(connection: &mut PgConnection, app: AppId, change: impl FnOnce(&mut Usage, i64) -> T + Send) -> Result<T, Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query("SET LOCAL synchronous_commit TO off").execute(&mut *transaction).await?;
    let row = sqlx::query(LOCK).bind(app.uuid()).fetch_one(&mut *transaction).await?;
    let count = |name: &str| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(name)?.and_then(|count| u64::try_from(count).ok()));
    let mut usage = Usage {
        empty_at: row.try_get("empty_at")?,
        day: row.try_get("day")?,
        today: count("today")?,
        month: row.try_get("month")?,
        this_month: count("this_month")?,
    };
    let answer = change(&mut usage, row.try_get("clock")?);
    let number = |count: Option<u64>| count.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
    sqlx::query("UPDATE app_usage SET empty_at = $2, day = $3, today = $4, month = $5, this_month = $6 WHERE app = $1")
        .bind(app.uuid())
        .bind(usage.empty_at)
        .bind(usage.day)
        .bind(number(usage.today))
        .bind(usage.month)
        .bind(number(usage.this_month))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(answer)
}

#[async_trait]
impl Allowances for PostgresStore {
    async fn take(&self, app: AppId, allowance: Allowance, want: u32, now: Timestamp) -> Result<Granted, Away> {
        let take = |usage: &mut Usage, clock| usage.take(allowance, want, Calendar::of(now), clock);
        run!(self.connections, |connection| change(connection, app, take).await).map_err(|error| Away(error.into()))
    }

    async fn give_back(&self, app: AppId, allowance: Allowance, count: u32, now: Timestamp) -> Result<(), Away> {
        let give = |usage: &mut Usage, _| usage.give_back(allowance, count, Calendar::of(now));
        run!(self.connections, |connection| change(connection, app, give).await).map_err(|error| Away(error.into()))
    }

    async fn learn(&self, app: AppId, sent: Sent, now: Timestamp) -> Result<(), Away> {
        let learn = |usage: &mut Usage, _| usage.learn(sent, Calendar::of(now));
        run!(self.connections, |connection| change(connection, app, learn).await).map_err(|error| Away(error.into()))
    }
}
