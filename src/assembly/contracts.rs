//! How much of a provider's contract this worker may use: counted every moment, granted for a moment.
//!
//! Whoever counts the workers divides the contract by them. On PostgreSQL alone, also with Redis, the store counts: without
//! it nothing can be submitted at all. With Kafka three count: Redis, the store, and the brokers, who know their consumer
//! group's members. Half of the contract is divided by those that Redis and the store have seen within the last seconds, and
//! is granted while both can be asked; the other half is divided by everybody who may be at work, which is also whoever is
//! still a member. That half is the floor of a worker that reaches neither Redis nor the store; one that is no member any
//! more submits nothing. So a dead worker's part is the others' as soon as nobody can be using it, and the sum never exceeds
//! the contract: a grant ends before whoever gave it forgets its worker, and a new worker waits until all others know of it.

use std::time::Duration;

use tidings_core::time::Moment;

/// Silent for longer, a worker is not counted any more.
pub const SEEN: Duration = Duration::from_secs(3);
/// A grant counts from before its worker was seen, so it ends before that is forgotten.
pub const GRANT_LASTS: Duration = Duration::from_millis(2_500);
/// A member counts this much longer than the brokers say: its own session may end a moment after theirs.
const MEMBER_LINGERS: Duration = Duration::from_secs(2);
/// What the brokers said last is believed for this long when they are away.
const MEMBERS_REMEMBERED: Duration = Duration::from_mins(1);

/// Who says how many workers there are. `None`: does not answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    pub store: Option<u32>,
    /// `None` also without Kafka: what Redis counts matters only where the store may be away.
    pub redis: Option<u32>,
}

/// What is known about the others over time.
#[derive(Debug)]
pub struct Contracts {
    with_kafka: bool,
    /// Since when this worker was counted without a break, and when it was counted last.
    counted: Option<(Moment, Moment)>,
    /// How many workers there were when they were counted last.
    last: u32,
    members: Vec<(Moment, u32)>,
}

impl Contracts {
    pub const fn new(with_kafka: bool) -> Self {
        Self { with_kafka, counted: None, last: 1, members: Vec::new() }
    }

    /// The brokers count this many members.
    pub fn members(&mut self, now: Moment, count: u32) {
        self.members.retain(|(at, _)| now.since(*at) < MEMBER_LINGERS);
        self.members.push((now, count));
    }

    fn known_members(&self, now: Moment) -> u32 {
        let known = self.members.iter().filter(|(at, _)| now.since(*at) < MEMBERS_REMEMBERED);
        known.map(|(_, count)| *count).max().unwrap_or(0)
    }

    /// The part of every contract that is this worker's until [`GRANT_LASTS`] after `asked_at`, when the count began.
    pub fn part(&mut self, asked_at: Moment, counted: Counted) -> f64 {
        let members = if self.with_kafka { self.known_members(asked_at) } else { 0 };
        let Some(seen) = counted.store.max(counted.redis) else {
            // Nobody can be asked. Without Kafka nothing can be submitted either.
            let known = self.counted.is_some_and(|(since, last)| last.since(since) >= SEEN || self.last == 1);
            let floor = 0.5 / f64::from(self.last.max(members));
            return if self.with_kafka && known { floor } else { 0.0 };
        };
        let since = match self.counted {
            Some((since, last)) if asked_at.since(last) < SEEN => since,
            _ => asked_at,
        };
        self.counted = Some((since, asked_at));
        let registered = seen.max(members).max(1);
        self.last = registered;
        // Until all others have counted us too, they may be using what is to become ours.
        if asked_at.since(since) < SEEN && registered > 1 {
            return 0.0;
        }
        // Whoever is not seen by the one that answers may be seen, and granted a part, by the other one.
        let all_answer = counted.store.is_some() && (counted.redis.is_some() || !self.with_kafka);
        let granted = if all_answer { seen.max(1) } else { registered };
        0.5 / f64::from(registered) + 0.5 / f64::from(granted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_start(Duration::from_millis(millis))
    }

    fn both(workers: u32) -> Counted {
        Counted { store: Some(workers), redis: Some(workers) }
    }

    fn whole(part: f64, of: f64) -> bool {
        (part - of).abs() < 1e-9
    }

    /// A worker that has been counted among two for long.
    fn one_of_two() -> Contracts {
        let mut contracts = Contracts::new(true);
        for round in 0..10 {
            contracts.members(at(round * 500), 2);
            contracts.part(at(round * 500), both(2));
        }
        contracts
    }

    #[test]
    fn a_new_worker_waits_until_the_others_know_of_it() {
        let mut contracts = Contracts::new(true);
        contracts.members(at(0), 2);
        assert_eq!(contracts.part(at(0), both(2)), 0.0);
        assert_eq!(contracts.part(at(2_000), both(2)), 0.0);
        assert!(whole(contracts.part(at(3_000), both(2)), 0.5));
        assert!(whole(Contracts::new(true).part(at(0), both(1)), 1.0), "the only one waits for nobody");
    }

    #[test]
    fn a_dead_workers_part_is_the_others_in_two_steps() {
        let mut contracts = one_of_two();
        contracts.members(at(5_000), 2);
        assert!(whole(contracts.part(at(5_000), both(1)), 0.75), "it may be cut off and use its floor");
        contracts.members(at(6_000), 1);
        assert!(whole(contracts.part(at(6_500), both(1)), 0.75), "its session may not have ended there yet");
        contracts.members(at(8_000), 1);
        assert!(whole(contracts.part(at(8_000), both(1)), 1.0));
    }

    #[test]
    fn whoever_is_cut_off_keeps_to_its_floor_and_the_sum_is_never_more() {
        let (mut cut_off, mut other) = (one_of_two(), one_of_two());
        let floor = cut_off.part(at(5_000), Counted::default());
        other.members(at(5_000), 2);
        assert!(whole(floor, 0.25));
        assert!(floor + other.part(at(5_000), both(1)) <= 1.0);
        // A worker that only Redis sees and one that only the store sees.
        let half = Counted { store: None, redis: Some(1) };
        cut_off.members(at(6_000), 2);
        assert!(whole(cut_off.part(at(6_000), half), 0.5));
        assert!(whole(other.part(at(6_000), Counted { store: Some(1), redis: None }), 0.5));
    }

    #[test]
    fn without_kafka_the_store_alone_grants() {
        let mut contracts = Contracts::new(false);
        contracts.part(at(0), Counted { store: Some(2), redis: None });
        contracts.part(at(2_000), Counted { store: Some(2), redis: None });
        assert!(whole(contracts.part(at(3_000), Counted { store: Some(2), redis: None }), 0.5));
        assert!(whole(contracts.part(at(3_500), Counted { store: Some(1), redis: None }), 1.0));
        assert_eq!(contracts.part(at(4_000), Counted::default()), 0.0);
    }

    #[test]
    fn after_a_break_a_worker_is_new_again() {
        let mut contracts = one_of_two();
        assert!(contracts.part(at(10_000), both(2)) == 0.0);
        contracts.members(at(13_000), 2);
        contracts.part(at(12_000), both(2));
        assert!(whole(contracts.part(at(13_000), both(2)), 0.5));
    }
}
