//! [`Shared`] within one process: what the embedded rung uses, and what the suites compare Redis with.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tidings_core::{id::MessageId, time::Moment};
use uuid::Uuid;

use super::{Away, Claim, ClaimAnswer, ClaimState, ClaimWrite, Registered, Reservation, Reserved, Shared, Tried};
use crate::clock::Clock;

/// Entries after which what is over is swept out.
const SWEEP_AT: usize = 100_000;

struct Kept<T> {
    value: T,
    until: Moment,
}

struct Held {
    claim: Claim,
    lease_until: Moment,
}

#[derive(Default)]
struct Tables {
    claims: HashMap<MessageId, Kept<Held>>,
    keys: HashMap<[u8; 16], Kept<(MessageId, [u8; 16])>>,
    told: HashMap<(String, String), Kept<Vec<u8>>>,
    nodes: HashMap<(String, Uuid), Moment>,
    tries: HashMap<String, Kept<u32>>,
    complete_since: Option<i64>,
}

/// Everything in memory, gone with the process.
pub struct Local {
    clock: Clock,
    tables: Mutex<Tables>,
}

impl Local {
    pub fn new(clock: Clock) -> Self {
        Self { clock, tables: Mutex::default() }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn may_write(held: &Held, write: &ClaimWrite, now: Moment) -> bool {
    let claim = &held.claim;
    if write.unseen || claim.state == ClaimState::Cancelled {
        return false;
    }
    if claim.owner == write.owner {
        return true;
    }
    let opens = write.state == ClaimState::Open;
    held.lease_until <= now
        && claim.number <= write.number
        && !(claim.state == ClaimState::Open && opens && claim.number == write.number)
        && !(claim.state == ClaimState::Done && opens && claim.number >= write.number)
}

#[async_trait]
impl Shared for Local {
    async fn claims(&self, ids: &[MessageId]) -> Result<Vec<Option<Claim>>, Away> {
        let now = self.clock.moment();
        let tables = self.tables();
        let one = |id| {
            let kept = tables.claims.get(id).filter(|kept| kept.until > now)?;
            Some(Claim { lease_left: kept.value.lease_until.since(now), ..kept.value.claim.clone() })
        };
        Ok(ids.iter().map(one).collect())
    }

    async fn claim(&self, writes: &[ClaimWrite]) -> Result<Vec<ClaimAnswer>, Away> {
        let now = self.clock.moment();
        let mut tables = self.tables();
        if tables.claims.len() > SWEEP_AT {
            tables.claims.retain(|_, kept| kept.until > now);
        }
        let mut answers = Vec::with_capacity(writes.len());
        for write in writes {
            let there = tables.claims.get(&write.id).filter(|kept| kept.until > now);
            if there.is_some_and(|kept| !may_write(&kept.value, write, now)) {
                answers.push(ClaimAnswer::Lost);
                continue;
            }
            let claim =
                Claim { owner: write.owner, state: write.state, lease_left: write.lease, number: write.number, body: write.body.clone() };
            tables.claims.insert(write.id, Kept { value: Held { claim, lease_until: now + write.lease }, until: now + write.keep });
            answers.push(ClaimAnswer::Written);
        }
        Ok(answers)
    }

    async fn cancel(&self, id: MessageId, keep: Duration) -> Result<bool, Away> {
        let now = self.clock.moment();
        let mut tables = self.tables();
        let state = tables.claims.get(&id).filter(|kept| kept.until > now).map(|kept| kept.value.claim.state);
        if matches!(state, Some(ClaimState::Open | ClaimState::Done)) {
            return Ok(false);
        }
        let claim = Claim { owner: 0, state: ClaimState::Cancelled, lease_left: Duration::ZERO, number: 0, body: Vec::new() };
        tables.claims.insert(id, Kept { value: Held { claim, lease_until: now }, until: now + keep });
        Ok(true)
    }

    async fn reserve(&self, reservations: &[Reservation], keep: Duration) -> Result<Vec<Reserved>, Away> {
        let now = self.clock.moment();
        let mut tables = self.tables();
        if tables.keys.len() > SWEEP_AT {
            tables.keys.retain(|_, kept| kept.until > now);
        }
        let mut answers = Vec::with_capacity(reservations.len());
        for reservation in reservations {
            match tables.keys.get(&reservation.key).filter(|kept| kept.until > now) {
                Some(kept) => answers.push(Reserved::Known(kept.value.0, kept.value.1)),
                None => {
                    tables.keys.insert(reservation.key, Kept { value: (reservation.id, reservation.body), until: now + keep });
                    answers.push(Reserved::New);
                }
            }
        }
        Ok(answers)
    }

    async fn correct(&self, reservations: &[Reservation], keep: Duration) -> Result<(), Away> {
        let until = self.clock.moment() + keep;
        let kept = reservations.iter().map(|reservation| (reservation.key, Kept { value: (reservation.id, reservation.body), until }));
        self.tables().keys.extend(kept);
        Ok(())
    }

    async fn complete_since(&self) -> Result<Option<i64>, Away> {
        Ok(self.tables().complete_since)
    }

    async fn set_complete_since(&self, millis: i64) -> Result<(), Away> {
        self.tables().complete_since = Some(millis);
        Ok(())
    }

    async fn tell(&self, topic: &str, name: &str, value: &[u8], keep: Duration) -> Result<(), Away> {
        let until = self.clock.moment() + keep;
        self.tables().told.insert((topic.to_owned(), name.to_owned()), Kept { value: value.to_vec(), until });
        Ok(())
    }

    async fn told(&self, topic: &str) -> Result<Vec<(String, Vec<u8>)>, Away> {
        let now = self.clock.moment();
        let mut tables = self.tables();
        tables.told.retain(|_, kept| kept.until > now);
        let of_topic = tables.told.iter().filter(|((of, _), _)| of == topic);
        Ok(of_topic.map(|((_, name), kept)| (name.clone(), kept.value.clone())).collect())
    }

    async fn register(&self, budget: &str, node: Uuid, alive: Duration) -> Result<Registered, Away> {
        let now = self.clock.moment();
        let mut tables = self.tables();
        tables.nodes.insert((budget.to_owned(), node), now);
        tables.nodes.retain(|_, seen| now.since(*seen) < alive);
        let nodes = tables.nodes.keys().filter(|(of, _)| of == budget).count();
        Ok(Registered { nodes: u32::try_from(nodes).unwrap_or(u32::MAX) })
    }

    async fn try_once(&self, name: &str, most: u32, window: Duration) -> Result<Tried, Away> {
        let now = self.clock.moment();
        let mut tables = self.tables();
        if tables.tries.len() > SWEEP_AT {
            tables.tries.retain(|_, kept| kept.until > now);
        }
        let tries = tables.tries.entry(name.to_owned()).or_insert(Kept { value: 0, until: now + window });
        if tries.until <= now {
            *tries = Kept { value: 0, until: now + window };
        }
        if tries.value >= most {
            return Ok(Tried::Closed(tries.until.since(now)));
        }
        tries.value += 1;
        Ok(Tried::Counted)
    }

    async fn take_back(&self, name: &str) -> Result<(), Away> {
        if let Some(tries) = self.tables().tries.get_mut(name) {
            tries.value = tries.value.saturating_sub(1);
        }
        Ok(())
    }

    async fn ping(&self) -> Result<(), Away> {
        Ok(())
    }
}
