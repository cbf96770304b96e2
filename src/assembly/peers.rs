//! What processes tell each other: how the providers are, and how many workers share each contract.
//!
//! Health: a summary every fifth of a second through Redis, sooner when something happened, merged into every desk; without Redis
//! each worker goes by its own view. A process that only serves the API takes part too: vendors call it with their receipts,
//! which the workers judge by, and it shows what they have decided. Counters: every process says its own, so that the pages of
//! each show the calls of all. Contracts: [`super::contracts`] says what of them is this worker's; here it is asked who is there, and granted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tidings_core::{fleet::Summary, time::Moment};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::contracts::{Contracts, Counted, GRANT_LASTS, SEEN};
use crate::{
    clock::Clock,
    delivery::Desks,
    queue::kafka::Members,
    shared::{Redis, Shared},
    store::postgres::PostgresStore,
    telemetry::{Metrics, metrics::GrantSource},
};

/// How often a process tells when nothing happened, and how often it looks whether something did.
const TELL_EVERY: Duration = Duration::from_millis(200);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A clock that is further off is not believed.
const OLDEST: Duration = Duration::from_secs(3);
/// Well within a grant, so that one that comes late is made up for by the next.
const COUNT_EVERY: Duration = Duration::from_millis(400);
/// Whoever is frozen must not hold up the others.
const PATIENCE: Duration = Duration::from_millis(700);
/// A summary is forgotten soon: an old one says nothing.
const SUMMARY_LASTS: Duration = Duration::from_secs(5);
const TOPIC: &str = "health";
/// What each process has counted, for the charts of all.
const COUNTERS: &str = "counters";
const COUNTERS_EVERY: Duration = Duration::from_secs(2);
const COUNTERS_LAST: Duration = Duration::from_secs(20);
const BUDGET: &str = "workers";
/// No answer from the brokers yet.
const NOT_ASKED: u32 = u32::MAX;

/// One process among others.
pub struct Peers {
    /// It makes calls, so contracts are shared with it.
    pub works: bool,
    pub redis: Option<Arc<Redis>>,
    pub store: Arc<PostgresStore>,
    /// The workers' consumer group, on the rung that has one.
    pub members: Option<Members>,
    pub desks: Arc<Desks>,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    pub node: Uuid,
}

impl Peers {
    pub async fn run(mut self, stop: CancellationToken) {
        if self.works {
            // Until it was counted, a worker has nothing of any contract: without a grant it would have the whole.
            self.grant(0.0, self.clock.moment());
        }
        let members = self.members.take();
        let with_kafka = members.is_some();
        let counted = Arc::new(AtomicU32::new(NOT_ASKED));
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.gossip() => {}
            () = self.share(with_kafka, &counted) => {}
            () = count_members(members, &counted) => {}
        }
    }

    async fn share(&self, with_kafka: bool, members: &AtomicU32) {
        if !self.works {
            return std::future::pending().await;
        }
        let mut contracts = Contracts::new(with_kafka);
        loop {
            let asked_at = self.clock.moment();
            let counted = self.count(with_kafka).await;
            self.metrics.grants.granted(source(counted), self.clock.moment().since(asked_at));
            match members.swap(NOT_ASKED, Ordering::Relaxed) {
                NOT_ASKED => {}
                count => contracts.members(asked_at, count),
            }
            self.grant(contracts.part(asked_at, counted), asked_at + GRANT_LASTS);
            tokio::time::sleep(COUNT_EVERY).await;
        }
    }

    async fn count(&self, with_kafka: bool) -> Counted {
        let in_redis = async {
            let redis = self.redis.as_ref().filter(|_| with_kafka)?;
            Some(redis.register(BUDGET, self.node, SEEN).await.ok()?.nodes)
        };
        let in_store = async { self.store.register_worker(self.node, SEEN).await.ok() };
        let (redis, store) = tokio::join!(tokio::time::timeout(PATIENCE, in_redis), tokio::time::timeout(PATIENCE, in_store));
        Counted { redis: redis.ok().flatten(), store: store.ok().flatten() }
    }

    fn grant(&self, part: f64, until: Moment) {
        for desk in self.desks.all() {
            let mut fleet = desk.fleet();
            // What only tests use reaches nobody, and has no contract.
            for place in (0..desk.accounts.len()).filter(|place| !desk.accounts[*place].built_in) {
                fleet.grant(place, part, until);
            }
        }
    }

    async fn gossip(&self) {
        let (mut told_at, mut counted_at): (Option<Moment>, Option<Moment>) = (None, None);
        loop {
            let now = self.clock.moment();
            let due = told_at.is_none_or(|last| now.since(last) >= TELL_EVERY);
            if due {
                told_at = Some(now);
            }
            if let Some(redis) = &self.redis {
                self.exchange(redis, due).await;
                if counted_at.is_none_or(|last| now.since(last) >= COUNTERS_EVERY) {
                    counted_at = Some(now);
                    self.say_counters(redis).await;
                }
            }
            if !self.works {
                self.listen();
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What was counted here, for the others' pages, and theirs for ours.
    async fn say_counters(&self, redis: &Redis) {
        let name = self.node.simple().to_string();
        let Ok(value) = serde_json::to_vec(&self.metrics.totals()) else { return };
        if redis.tell(COUNTERS, &name, &value, COUNTERS_LAST).await.is_err() {
            return;
        }
        let Ok(told) = redis.told(COUNTERS).await else { return };
        let others = told.into_iter().filter(|(other, _)| *other != name);
        self.metrics.heard_elsewhere(others.filter_map(|(node, value)| Some((node, serde_json::from_slice(&value).ok()?))).collect());
    }

    /// Without a worker nobody else lets time pass for the fleets and tells of their changes.
    fn listen(&self) {
        for desk in self.desks.all() {
            let events = {
                let mut fleet = desk.fleet();
                fleet.tick(self.clock.moment());
                fleet.take_events()
            };
            self.desks.tell(self.clock.now(), &desk, events);
        }
    }

    async fn exchange(&self, redis: &Redis, due: bool) {
        let name = self.node.simple().to_string();
        for desk in self.desks.all() {
            let news = desk.fleet().take_news();
            if !(news || due) {
                continue;
            }
            let topic = format!("{TOPIC}-{}", desk.revision);
            let summary = desk.fleet().summary(self.clock.moment());
            let Ok(value) = serde_json::to_vec(&(self.clock.now().as_millis(), summary)) else { continue };
            if redis.tell(&topic, &name, &value, SUMMARY_LASTS).await.is_err() {
                return;
            }
            let Ok(told) = redis.told(&topic).await else { return };
            let (now, moment) = (self.clock.now().as_millis(), self.clock.moment());
            for (_, value) in told.iter().filter(|(other, _)| *other != name) {
                if let Ok((at, summary)) = serde_json::from_slice::<(i64, Summary)>(value) {
                    let delay = Duration::from_millis(u64::try_from(now - at).unwrap_or(0));
                    desk.fleet().merge(moment, &summary, delay.min(OLDEST));
                }
            }
        }
    }
}

/// Who the grant that follows from a count comes from.
const fn source(counted: Counted) -> GrantSource {
    match counted {
        Counted { redis: Some(_), .. } => GrantSource::Redis,
        Counted { store: Some(_), .. } => GrantSource::Store,
        Counted { redis: None, store: None } => GrantSource::Floor,
    }
}

/// Asks the brokers again and again, on a thread for blocking calls.
async fn count_members(members: Option<Members>, counted: &AtomicU32) {
    let Some(members) = members else { return std::future::pending().await };
    let members = Arc::new(members);
    loop {
        let asks = Arc::clone(&members);
        if let Ok(Ok(count)) = tokio::task::spawn_blocking(move || asks.count()).await {
            counted.store(count, Ordering::Relaxed);
        }
        tokio::time::sleep(COUNT_EVERY).await;
    }
}
