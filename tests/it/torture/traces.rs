//! What a load leaves behind: nothing. No row that somebody still has to look at, no claim that is held, no record that is
//! not finished.

use redis::AsyncCommands;
use sqlx::{Connection, PgConnection};
use tidings::queue::kafka::{Position, Topics, positions};
use tidings_core::message::Lane;

use super::cluster::{Cluster, GROUP};

/// What is left, in words.
pub async fn leftovers(cluster: &Cluster, accepted: usize) -> Vec<String> {
    let mut leftovers = Vec::new();
    for (what, look) in [("PostgreSQL", rows(cluster, accepted).await), ("Redis", claims(cluster).await), ("Kafka", offsets(cluster).await)]
    {
        match look {
            Ok(found) => leftovers.extend(found),
            Err(error) => leftovers.push(format!("{what}: {error:#}")),
        }
    }
    leftovers
}

/// Every accepted message has a row, and none of them is open, leased or has a call out.
async fn rows(cluster: &Cluster, accepted: usize) -> anyhow::Result<Option<String>> {
    let mut connection = PgConnection::connect(&cluster.database()).await?;
    let counts: (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE due_at IS NOT NULL OR status IN (0, 1, 2, 3)), count(*) FILTER (WHERE due_at IS NOT NULL AND owner IS NOT NULL), \
         count(*) FILTER (WHERE in_flight) FROM messages",
    )
    .fetch_one(&mut connection)
    .await?;
    let (rows, due, leased, in_flight) = counts;
    let clean = rows >= i64::try_from(accepted)? && due == 0 && in_flight == 0;
    Ok((!clean)
        .then(|| format!("{rows} rows of {accepted} messages, {due} still to be looked at, {leased} leased, {in_flight} with a call out")))
}

/// No claim is held.
async fn claims(cluster: &Cluster) -> anyhow::Result<Option<String>> {
    let mut redis = redis::Client::open(cluster.redis())?.get_multiplexed_async_connection().await?;
    let (seconds, micros): (i64, i64) = redis::cmd("TIME").query_async(&mut redis).await?;
    let now = seconds * 1_000 + micros / 1_000;
    let mut cursor = 0_u64;
    let (mut claims, mut held) = (0, 0);
    loop {
        let (next, keys): (u64, Vec<String>) =
            redis::cmd("SCAN").arg(cursor).arg("MATCH").arg("tidings:claim:*").arg("COUNT").arg(1_000).query_async(&mut redis).await?;
        for key in keys {
            let claim: Vec<u8> = redis.get(&key).await?;
            let claim = String::from_utf8_lossy(&claim);
            let [until, _, state, ..] = claim.split(' ').collect::<Vec<_>>()[..] else { anyhow::bail!("{key} is no claim") };
            claims += 1;
            held += usize::from(["open", "between"].contains(&state) && until.parse::<i64>()? > now);
        }
        cursor = next;
        if cursor == 0 {
            return Ok((held > 0).then(|| format!("{held} of {claims} claims are held")));
        }
    }
}

/// Both groups have committed everything.
async fn offsets(cluster: &Cluster) -> anyhow::Result<Option<String>> {
    let topics = Topics::new("tidings");
    let messages: Vec<String> = Lane::ALL.iter().map(|lane| topics.messages(*lane)).collect();
    let all: Vec<String> = messages.iter().cloned().chain([topics.outcomes()]).collect();
    let brokers = cluster.kafka();
    let behind = tokio::task::spawn_blocking(move || {
        let workers = positions(&brokers, GROUP, &messages)?;
        let recorder = positions(&brokers, &format!("{GROUP}-recorder"), &all)?;
        let behind = |positions: Vec<Position>| positions.into_iter().filter(|position| position.lag() > 0).collect::<Vec<_>>();
        Ok::<_, anyhow::Error>((behind(workers), behind(recorder)))
    });
    let (workers, recorder) = behind.await??;
    let all = workers.is_empty() && recorder.is_empty();
    Ok((!all).then(|| format!("not committed by the workers: {workers:?}, by the recorder: {recorder:?}")))
}
