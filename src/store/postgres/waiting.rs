//! How much waits. A little is counted whenever somebody asks; what is more than that is counted seldom, by one node for all.
//!
//! A million rows take the server a second or more, and everything else waits for its buffers meanwhile. Every process wants to know once
//! a second. So who asks gets the last count at once, and a new one begins when the last is old against the time that it took.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{Connection, PgConnection, Row};
use tidings_core::{message::Lane, time::Timestamp};

use super::{Connections, connection::run};
use crate::store::{Error, Waiting};

/// So many of a lane are counted each time.
const FEW_ARE: i64 = 20_000;
/// How long an answer is good for where there are more.
const GOOD_FOR: Duration = Duration::from_secs(5);
/// Between two counts of everything lies so many times what the first of them took.
const REST: f64 = 20.0;
/// And so many times as long, and half a minute, a count says something: after a pause of everybody it does not.
const SAYS_SOMETHING: f64 = 2.0 * REST;
/// What a count of everything may take.
const LONGEST: Duration = Duration::from_secs(120);
const COUNTING_LOCK: i64 = 0x7469_6469_6e67_7332;

/// How many of a lane wait, up to the few; how many it were when everything was counted; since when the first is due.
pub(super) const FEW: &str = "SELECT \
    (SELECT count(*) FROM (SELECT FROM messages WHERE category = $1 AND due_at IS NOT NULL LIMIT $2) AS few), \
    (SELECT messages FROM queue_counts WHERE lane = $1 AND counted_at + took * $3 + interval '30 s' > clock_timestamp()), \
    (SELECT due_at FROM messages WHERE category = $1 AND due_at IS NOT NULL AND owner IS NULL ORDER BY due_at LIMIT 1)";
/// Whether it is time to count everything, and nobody else does.
const IS_TIME: &str = "SELECT pg_try_advisory_xact_lock($1) \
    AND NOT EXISTS (SELECT FROM queue_counts WHERE counted_at + took * $2 > clock_timestamp())";
pub(super) const ALL: &str = "INSERT INTO queue_counts (lane, messages, counted_at, took) \
    SELECT lane, (SELECT count(*) FROM messages WHERE category = lane AND due_at IS NOT NULL), clock_timestamp(), clock_timestamp() - now() \
    FROM UNNEST($1::smallint[]) AS lane \
    ON CONFLICT (lane) DO UPDATE SET messages = excluded.messages, counted_at = excluded.counted_at, took = excluded.took";

/// What was found where there is much, and whether this process counts.
#[derive(Default)]
pub struct Counting {
    found: Mutex<Option<(Timestamp, [Waiting; 3])>>,
    under_way: Arc<AtomicBool>,
}

impl Counting {
    pub fn recent(&self, now: Timestamp) -> Option<[Waiting; 3]> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.filter(|(at, _)| now.since(*at) < GOOD_FOR).map(|(_, waiting)| waiting)
    }

    /// Keeps what was found where it is much, and has everything counted if it is time. Nobody waits for that.
    pub fn looked(&self, now: Timestamp, waiting: [Waiting; 3], connections: &Connections) {
        let many = waiting.iter().any(|lane| i64::try_from(lane.messages).is_ok_and(|messages| messages >= FEW_ARE));
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = many.then_some((now, waiting));
        if !many || self.under_way.swap(true, Ordering::AcqRel) {
            return;
        }
        let (connections, under_way) = (connections.within(LONGEST), Arc::clone(&self.under_way));
        tokio::spawn(async move {
            if let Err(error) = run!(connections, |connection| count_all(connection).await) {
                tracing::warn!(error = &error as &dyn std::error::Error, "the queue could not be counted");
            }
            under_way.store(false, Ordering::Release);
        });
    }
}

/// How much waits, by lane: exactly where it is little, else as many as there were at the last count, but not less than was seen.
pub async fn look(connection: &mut PgConnection, now: Timestamp) -> Result<[Waiting; 3], Error> {
    let mut lanes = [Waiting::default(); 3];
    for lane in Lane::ALL {
        let row = sqlx::query(FEW).bind(number(*lane)).bind(FEW_ARE).bind(SAYS_SOMETHING).fetch_one(&mut *connection).await?;
        let (few, at_last): (i64, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
        let messages = if few < FEW_ARE { few } else { few.max(at_last.unwrap_or(few)) };
        let oldest: Option<i64> = row.try_get(2)?;
        lanes[lane.index()] = Waiting {
            messages: u64::try_from(messages).unwrap_or(0),
            oldest: oldest.map(|due| now.since(Timestamp::from_millis(due))).unwrap_or_default(),
        };
    }
    Ok(lanes)
}

async fn count_all(connection: &mut PgConnection) -> Result<(), Error> {
    let mut transaction = connection.begin().await?;
    let is_time: bool = sqlx::query_scalar(IS_TIME).bind(COUNTING_LOCK).bind(REST).fetch_one(&mut *transaction).await?;
    if is_time {
        let longest = LONGEST.as_millis().to_string();
        sqlx::query("SELECT set_config('statement_timeout', $1, true)").bind(longest).execute(&mut *transaction).await?;
        sqlx::query(ALL).bind(Lane::ALL.iter().map(|lane| number(*lane)).collect::<Vec<_>>()).execute(&mut *transaction).await?;
    }
    Ok(transaction.commit().await?)
}

fn number(lane: Lane) -> i16 {
    lane.index() as i16
}

#[cfg(test)]
mod tests {
    use super::{super::read::plans::database, *};

    const ROWS: &str = "INSERT INTO messages (id, app, status, channel, category, test, accepted_at, expires_at, due_at, to_hash, body) \
        SELECT gen_random_uuid(), gen_random_uuid(), 0, 0, 2, false, 0, 1000, 1000, 0, '' FROM generate_series(1, $1::integer)";

    async fn bulk(connection: &mut PgConnection) -> u64 {
        let [.., bulk] = look(connection, Timestamp::from_millis(3_000)).await.unwrap();
        assert_eq!(bulk.oldest, Duration::from_secs(2));
        bulk.messages
    }

    #[tokio::test]
    async fn many_are_counted_by_one_for_all_and_few_whenever_somebody_asks() {
        let Some(connections) = database().await else { return };
        let (mut one, mut other) = (connections.acquire().await.unwrap(), connections.acquire().await.unwrap());
        let (one, other) = (one.connection().unwrap(), other.connection().unwrap());
        let insert = async |connection: &mut PgConnection, rows: i64| sqlx::query(ROWS).bind(rows).execute(connection).await.unwrap();
        insert(one, FEW_ARE - 1).await;
        assert_eq!(bulk(one).await, 19_999);
        insert(one, 10_001).await;
        assert_eq!(bulk(one).await, 20_000, "at least so many: nobody has counted them");

        let mut counts = other.begin().await.unwrap();
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(COUNTING_LOCK).execute(&mut *counts).await.unwrap();
        count_all(one).await.unwrap();
        assert_eq!(bulk(one).await, 20_000, "another process counts");
        counts.rollback().await.unwrap();
        count_all(one).await.unwrap();
        assert_eq!((bulk(one).await, bulk(other).await), (30_000, 30_000));

        sqlx::query("UPDATE queue_counts SET took = '1 s'").execute(&mut *one).await.unwrap();
        insert(one, 5_000).await;
        count_all(other).await.unwrap();
        assert_eq!(bulk(one).await, 30_000, "the last count is good for twenty seconds");
        sqlx::query("UPDATE queue_counts SET counted_at = counted_at - interval '21 s'").execute(&mut *one).await.unwrap();
        count_all(other).await.unwrap();
        assert_eq!(bulk(one).await, 35_000);
        sqlx::query("UPDATE queue_counts SET counted_at = counted_at - interval '1 h'").execute(&mut *one).await.unwrap();
        assert_eq!(bulk(one).await, 20_000, "an hour later it says nothing");

        sqlx::query("DELETE FROM messages WHERE ctid NOT IN (SELECT ctid FROM messages LIMIT 7)").execute(&mut *one).await.unwrap();
        assert_eq!(bulk(one).await, 7);
    }
}
