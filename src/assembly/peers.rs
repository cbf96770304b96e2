//! What processes tell each other: how the providers are, and how many workers share each contract.
//!
//! Health: a summary every fifth of a second through Redis, sooner when something happened, merged into every desk; without Redis
//! each worker goes by its own view. A process that only serves the API takes part too: vendors call it with their receipts,
//! which the workers judge by, and it shows what they have decided. Contracts: half is floors, split over all workers that were registered within the last minute; the other half goes to
//! those that were seen within the last seconds. A worker registers in Redis and in the store and believes the larger number;
//! one that reaches neither keeps to its floor. So the sum stays within the contract, unless a
//! worker is cut off for longer than its registration lasts: it keeps its floor, and the others have the whole.

use std::{sync::Arc, time::Duration};

use tidings_core::{fleet::Summary, time::Moment};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    clock::Clock,
    delivery::Desks,
    shared::{Redis, Shared},
    store::postgres::PostgresStore,
};

/// How often a process tells when nothing happened, and how often it looks whether something did.
const TELL_EVERY: Duration = Duration::from_millis(200);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Between two registrations.
const REGISTER_EVERY: Duration = Duration::from_secs(1);
/// A clock that is further off is not believed.
const OLDEST: Duration = Duration::from_secs(3);
/// A summary is forgotten soon: an old one says nothing.
const SUMMARY_LASTS: Duration = Duration::from_secs(5);
/// Silent for longer, a worker's share of the granted half goes to the others.
const SEEN: Duration = Duration::from_secs(5);
/// Silent for longer, its floor does too: it has stopped using it, or was killed.
const REGISTERED: Duration = Duration::from_secs(60);
/// A grant outlives the next registration, not the one after.
const GRANT_LASTS: Duration = Duration::from_millis(2_500);
const TOPIC: &str = "health";

/// How many workers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub seen: u32,
    pub registered: u32,
}

impl Count {
    /// This worker's share of a contract. `isolated`: it reaches nobody who could tell how many there are.
    pub fn share(self, contract: f64, isolated: bool) -> f64 {
        let floor = contract / 2.0 / f64::from(self.registered.max(1));
        if isolated { floor } else { floor + contract / 2.0 / f64::from(self.seen.max(1)) }
    }

    fn larger(self, other: Self) -> Self {
        Self { seen: self.seen.max(other.seen), registered: self.registered.max(other.registered) }
    }
}

/// One process among others.
pub struct Peers {
    /// It makes calls, so contracts are shared with it.
    pub works: bool,
    pub redis: Option<Arc<Redis>>,
    pub store: Arc<PostgresStore>,
    pub desks: Arc<Desks>,
    pub clock: Clock,
    pub node: Uuid,
}

impl Peers {
    pub async fn run(self, stop: CancellationToken) {
        let (mut registered_at, mut told_at, mut last): (Option<Moment>, Option<Moment>, Option<Count>) = (None, None, None);
        loop {
            let now = self.clock.moment();
            let is_due = |last: Option<Moment>, every| last.is_none_or(|last| now.since(last) >= every);
            if self.works && is_due(registered_at, REGISTER_EVERY) {
                registered_at = Some(now);
                let counted = self.count().await;
                last = counted.or(last);
                self.grant(last, counted.is_none());
            }
            if let Some(redis) = &self.redis {
                let due = is_due(told_at, TELL_EVERY);
                if due {
                    told_at = Some(now);
                }
                self.gossip(redis, due).await;
            }
            if !self.works {
                self.listen();
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
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

    async fn count(&self) -> Option<Count> {
        let in_redis = async {
            let redis = self.redis.as_ref()?;
            let seen = redis.register("workers-seen", self.node, SEEN).await.ok()?.nodes;
            let registered = redis.register("workers-registered", self.node, REGISTERED).await.ok()?.nodes;
            Some(Count { seen, registered })
        };
        let in_store = async {
            let (seen, registered) = self.store.register_worker(self.node, SEEN, REGISTERED).await.ok()?;
            Some(Count { seen, registered })
        };
        // Whoever is frozen must not hold up the other.
        let patience = Duration::from_secs(1);
        let (redis, store) = tokio::join!(tokio::time::timeout(patience, in_redis), tokio::time::timeout(patience, in_store));
        match (redis.ok().flatten(), store.ok().flatten()) {
            (Some(redis), Some(store)) => Some(redis.larger(store)),
            (redis, store) => redis.or(store),
        }
    }

    /// Before anybody was counted nothing is granted at all.
    fn grant(&self, count: Option<Count>, isolated: bool) {
        let now = self.clock.moment();
        for desk in self.desks.all() {
            let contracts: Vec<(usize, f64)> =
                desk.accounts.iter().enumerate().map(|(place, account)| (place, f64::from(account.spec.max_per_s))).collect();
            let mut fleet = desk.fleet();
            for (place, contract) in contracts.into_iter().filter(|(_, contract)| *contract > 0.0) {
                fleet.grant(place, count.map_or(0.0, |count| count.share(contract, isolated)), now + GRANT_LASTS);
            }
        }
    }

    async fn gossip(&self, redis: &Redis, due: bool) {
        for desk in self.desks.all() {
            let news = desk.fleet().take_news();
            if !(news || due) {
                continue;
            }
            let summary = desk.fleet().summary(self.clock.moment());
            let told_at = self.clock.now().as_millis();
            let Ok(value) = serde_json::to_vec(&(told_at, summary)) else { continue };
            if redis.tell(&format!("{TOPIC}-{}", desk.revision), &self.node.simple().to_string(), &value, SUMMARY_LASTS).await.is_err() {
                return;
            }
            let Ok(told) = redis.told(&format!("{TOPIC}-{}", desk.revision)).await else { return };
            let (now, moment) = (self.clock.now().as_millis(), self.clock.moment());
            for (_, value) in told.iter().filter(|(name, _)| *name != self.node.simple().to_string()) {
                if let Ok((at, summary)) = serde_json::from_slice::<(i64, Summary)>(value) {
                    let delay = Duration::from_millis(u64::try_from(now - at).unwrap_or(0));
                    desk.fleet().merge(moment, &summary, delay.min(OLDEST));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_never_sum_to_more_than_the_contract() {
        let both = Count { seen: 2, registered: 2 };
        assert!((both.share(50.0, false) - 25.0).abs() < 1e-9);
        let one_dead = Count { seen: 1, registered: 2 };
        assert!((one_dead.share(50.0, false) - 37.5).abs() < 1e-9, "the dead one's floor is not given again yet");
        assert!(one_dead.share(50.0, false) + both.share(50.0, true) <= 50.0, "it may only be cut off");
        assert!((Count { seen: 1, registered: 1 }.share(50.0, false) - 50.0).abs() < 1e-9);
    }
}
