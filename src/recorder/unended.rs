//! The look for messages that Kafka should have brought to somebody and that nobody has ended.

use std::{sync::Arc, time::Duration};

use crate::{clock::Clock, store::postgres::PostgresStore, telemetry::Metrics};

const EVERY: Duration = Duration::from_mins(1);
/// Between two steps: the store is there for messages.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks every minute; without Kafka only if there was one before, of which rows may be left. Several processes may: each step is one's alone, and goes on where the last ended.
pub async fn watch(store: Arc<PostgresStore>, by_kafka: bool, metrics: Arc<Metrics>, clock: Clock) {
    loop {
        tokio::time::sleep(EVERY).await;
        let mut unended = 0;
        loop {
            match store.look_for_unended(clock.now(), by_kafka).await {
                Ok(looked) => {
                    unended += looked.unended;
                    if !looked.goes_on {
                        break;
                    }
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "unended messages are looked for again in a minute");
                    break;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        if unended > 0 {
            metrics.recorder.unended.inc_by(unended);
            tracing::info!(messages = unended, "messages still wait in Kafka: should nobody deliver them, they expire in the store");
        }
    }
}
