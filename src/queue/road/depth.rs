//! How much waits in Kafka, by lane: what the workers' group has not committed.
//!
//! Only what is younger than [`LOOKED_AT_AFTER`]: what nobody has ended by then is due in the store, and is counted there.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{super::kafka::Behind, Road};
use crate::store::postgres::LOOKED_AT_AFTER;

/// Some forty small requests to the brokers.
const EVERY: Duration = Duration::from_secs(2);

/// As last heard of.
#[derive(Debug, Default)]
pub(super) struct Depth([AtomicU64; 3]);

impl Depth {
    pub fn of(&self, lane: usize) -> u64 {
        self.0[lane].load(Ordering::Relaxed)
    }
}

/// Asks the brokers again and again, on a thread for blocking calls.
pub(super) async fn watch(road: &Arc<Road>) {
    let parts = &road.parts;
    let behind = match Behind::new(&parts.brokers, &parts.group, parts.topics.lanes()) {
        Ok(behind) => Arc::new(behind),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "what waits in Kafka cannot be counted");
            return;
        }
    };
    loop {
        let since = (parts.clock.now() - LOOKED_AT_AFTER).as_millis();
        let asks = Arc::clone(&behind);
        if let Ok(Ok(lanes)) = tokio::task::spawn_blocking(move || asks.of_those_since(since)).await {
            road.depth.0.iter().zip(lanes).for_each(|(depth, waits)| depth.store(waits, Ordering::Relaxed));
        }
        tokio::time::sleep(EVERY).await;
    }
}
