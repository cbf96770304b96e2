//! Keeping one connection to Redis, and knowing the server's time.
//!
//! A task of its own connects, looks at the connection a few times a second, and replaces it when it broke. A server that says no
//! (full, read-only, a wrong password, a part of a cluster) is named once, and asked again: somebody may mend it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use redis::{AsyncConnectionConfig, Client, aio::MultiplexedConnection};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use super::{CALL_TIMEOUT, millis};
use crate::clock::Clock;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two tries to connect, and between two looks at a healthy connection.
const PAUSE: Duration = Duration::from_millis(250);
const PROBE_LASTS: Duration = Duration::from_mins(1);

/// The server's time, as of the last look at the connection.
#[derive(Clone)]
pub(super) struct Times {
    pub clock: Clock,
    /// Written at every look: a server that is full or a replica answers, and keeps nothing.
    pub probe: Arc<str>,
    /// Milliseconds that the server's calendar is ahead of our monotonic clock.
    pub ahead_ms: Arc<AtomicI64>,
}

impl Times {
    fn local_ms(&self) -> i64 {
        i64::try_from(self.clock.moment().since_start().as_millis()).unwrap_or(i64::MAX)
    }

    /// The server's time after which nobody waits for a call that is made now.
    pub fn deadline(&self) -> i64 {
        self.local_ms() + self.ahead_ms.load(Ordering::Relaxed) + i64::try_from(CALL_TIMEOUT.as_millis()).unwrap_or(i64::MAX)
    }

    /// Asks whether the server takes writes, and what time it has.
    async fn ask(&self, connection: &mut MultiplexedConnection) -> redis::RedisResult<()> {
        let () = redis::cmd("SET").arg(&*self.probe).arg(1).arg("PX").arg(millis(PROBE_LASTS)).query_async(connection).await?;
        let (seconds, micros): (i64, i64) = redis::cmd("TIME").query_async(connection).await?;
        // Counted from after the answer: a slow answer makes deadlines earlier, never later.
        self.ahead_ms.store(seconds * 1_000 + micros / 1_000 - self.local_ms(), Ordering::Relaxed);
        Ok(())
    }
}

pub(super) async fn keep_connected(
    client: Client,
    connection: Arc<ArcSwapOption<MultiplexedConnection>>,
    broken: Arc<Notify>,
    tell: watch::Sender<u64>,
    times: Times,
) {
    let config = || AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT)).set_response_timeout(Some(CALL_TIMEOUT));
    // Said once, not at every try.
    let mut refused = None;
    loop {
        let fresh = timeout(CONNECT_TIMEOUT, async {
            let mut fresh = client.get_multiplexed_async_connection_with_config(&config()).await?;
            is_alone(&mut fresh).await?;
            // A frozen server still completes connects: it counts once it answers.
            times.ask(&mut fresh).await?;
            Ok::<_, redis::RedisError>(fresh)
        });
        let fresh = match fresh.await {
            Ok(Ok(fresh)) => fresh,
            Ok(Err(error)) if is_refusal(&error) => {
                if refused.replace(error.kind()) != Some(error.kind()) {
                    tracing::error!(error = &error as &dyn std::error::Error, "redis answers and cannot be used: going on without it");
                }
                sleep(PAUSE).await;
                continue;
            }
            _ => {
                sleep(PAUSE).await;
                continue;
            }
        };
        refused = None;
        connection.store(Some(Arc::new(fresh.clone())));
        tell.send_modify(|count| *count += 1);
        let mut watched = fresh;
        loop {
            let pause = timeout(PAUSE, broken.notified()).await;
            let answer = timeout(CALL_TIMEOUT, times.ask(&mut watched)).await;
            if pause.is_ok() || !matches!(answer, Ok(Ok(()))) {
                break;
            }
        }
        connection.store(None);
    }
}

/// Refuses a node of a cluster that has only a part of the keys: the others would be away from time to time, each by itself.
async fn is_alone(connection: &mut MultiplexedConnection) -> redis::RedisResult<()> {
    let told: redis::RedisResult<String> = redis::cmd("CLUSTER").arg("INFO").query_async(connection).await;
    let primaries = match &told {
        Ok(told) => told.lines().find_map(|line| line.strip_prefix("cluster_size:")?.trim().parse::<u32>().ok()),
        Err(error) if is_refusal(error) => None,
        Err(error) => return Err(error.clone()),
    };
    match primaries {
        Some(2..) => Err((redis::ErrorKind::InvalidClientConfig, "one node of a cluster of several primaries").into()),
        _ => Ok(()),
    }
}

/// The server said no: full, read-only, a wrong password, a part of a cluster. Everything else is silence.
fn is_refusal(error: &redis::RedisError) -> bool {
    use redis::ErrorKind::{AuthenticationFailed, Extension, InvalidClientConfig, Server};
    matches!(error.kind(), Server(_) | Extension | AuthenticationFailed | InvalidClientConfig)
}
