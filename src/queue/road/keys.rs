//! Which idempotency keys Redis can be trusted to know.
//!
//! A miss in Redis counts only while Redis cannot have forgotten: not after it was away, came back with less than it had, or was
//! emptied under us. Then keyed messages are not taken until the recorder has written everything that was accepted before;
//! from there the store is asked first, and Redis is told again what the store knows.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tidings_core::time::Timestamp;
use tokio::time::sleep;

use super::Road;
use crate::{queue::kafka, shared::Shared, store::IDEMPOTENCY_LASTS};

/// How much Redis may lose when it is killed: it syncs every second.
const MAY_LOSE: Duration = Duration::from_secs(5);
/// Keys that Redis is told again, at most: with more the store goes on being asked.
const MOST: usize = 500_000;
const CHUNK: usize = 500;
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
pub struct Keys {
    complete: AtomicBool,
    /// The recorder has written all that was accepted before Redis went away.
    recorded: AtomicBool,
    away_since: Mutex<Option<Timestamp>>,
}

impl Keys {
    pub fn complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// Whether the store alone can tell every key that was used.
    pub fn store_knows_all(&self) -> bool {
        self.recorded.load(Ordering::Acquire)
    }

    /// Redis forgot, and the recorder has not written yet what it forgot: nobody can tell whether a key was used.
    pub fn nobody_knows(&self) -> bool {
        !self.store_knows_all() && self.away_since().is_some()
    }

    pub fn went_away(&self, now: Timestamp) {
        let mut away = self.away_since.lock().unwrap_or_else(PoisonError::into_inner);
        if away.is_none() {
            *away = Some(now);
            self.complete.store(false, Ordering::Release);
            self.recorded.store(false, Ordering::Release);
        }
    }

    fn away_since(&self) -> Option<Timestamp> {
        *self.away_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_back(&self) {
        *self.away_since.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.complete.store(true, Ordering::Release);
    }
}

pub async fn watch(road: &Arc<Road>) {
    let shared = &road.parts.shared;
    let mut returns = shared.returns();
    loop {
        let connection = *returns.borrow_and_update();
        if shared.is_connected() {
            road.pay().await;
        } else {
            road.keys.went_away(road.parts.clock.now());
        }
        if !road.keys.store_knows_all() && passed(road, road.parts.topics.lanes()).await {
            road.keys.recorded.store(true, Ordering::Release);
        }
        if !road.keys.complete() && shared.is_connected() && road.keys.store_knows_all() {
            // Meanwhile another connection may have come to a Redis that forgot more.
            if told_again(road).await && *returns.borrow() == connection {
                road.keys.is_back();
            }
        }
        tokio::select! {
            _ = returns.changed() => {
                if connection > 0 {
                    road.keys.went_away(road.parts.clock.now());
                }
            }
            () = sleep(PAUSE) => {}
        }
    }
}

/// Whether the recorder has written everything that is in these topics now, or does within some seconds.
pub async fn passed(road: &Road, topics: Vec<String>) -> bool {
    let (brokers, group) = (road.parts.brokers.clone(), road.parts.recorder.clone());
    let caught_up = tokio::task::spawn_blocking(move || kafka::wait_until_passed(&brokers, &group, &topics)).await;
    matches!(caught_up, Ok(Ok(())))
}

/// Tells Redis the keys that it may not know. False if something that is needed is away.
async fn told_again(road: &Arc<Road>) -> bool {
    let shared = &road.parts.shared;
    let now = road.parts.clock.now();
    let Ok(complete_since) = shared.complete_since().await else { return false };
    // Redis that knows nothing of itself is empty: all keys that still count.
    let lost_from = match (complete_since, road.keys.away_since()) {
        (Some(_), Some(away)) => away - MAY_LOSE,
        _ => now - IDEMPOTENCY_LASTS,
    };
    let Ok(keys) = road.ask_store(road.parts.store.keys_since(lost_from, MOST)).await else { return false };
    let all = keys.len() < MOST;
    for chunk in keys.chunks(CHUNK) {
        // Over what was reserved meanwhile by somebody whom the store then told of the first message.
        if shared.correct(chunk, IDEMPOTENCY_LASTS).await.is_err() {
            return false;
        }
    }
    all && (complete_since.is_some() || shared.set_complete_since(now.as_millis()).await.is_ok())
}
