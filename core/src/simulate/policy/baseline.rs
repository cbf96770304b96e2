//! What the baselines share: they allow or forbid, this chooses among what they allow and has room.

use super::{Call, Pick, Policy, Scenario, Turn};
use crate::{
    attempt::Outcome,
    dice::Dice,
    fleet::Ask,
    limits::{Full, Limits},
    select::{Candidate, Candidates, Select, Selector},
    time::Moment,
};

/// How soon to ask again when only an ended call or a decision can change the answer.
const ASK_AGAIN: std::time::Duration = std::time::Duration::from_millis(100);

/// The health side of a baseline.
pub trait Judge {
    /// How this policy chooses among what it allows; by priority means the greatest weight first, then the list's order.
    fn select(&self) -> Select {
        Select::Weighted
    }
    /// A provider's weight for this worker now; 0 = not allowed.
    fn weight(&mut self, now: Moment, worker: usize, provider: usize, configured: f64) -> f64;
    /// A call is going out.
    fn calls(&mut self, _now: Moment, _worker: usize, _provider: usize) {}
    fn ended(&mut self, _now: Moment, _worker: usize, _provider: usize, _started: Moment, _outcome: Outcome) {}
    fn receipt(&mut self, _now: Moment, _provider: usize, _submitted_at: Moment) {}
    fn tick(&mut self, _now: Moment) {}
    fn take_turns(&mut self) -> Vec<Turn> {
        Vec::new()
    }
}

/// A baseline: a judge, and smooth weighted round robin (or its own way) per worker.
pub struct Balanced<J> {
    judge: J,
    weights: Vec<f64>,
    selectors: Vec<Selector>,
    dice: Dice,
}

impl<J: Judge> Balanced<J> {
    pub fn new(scenario: &Scenario, seed: u64, judge: J) -> Self {
        Self {
            judge,
            weights: scenario.providers.iter().map(|provider| f64::from(provider.weight)).collect(),
            selectors: vec![Selector::default(); scenario.workers.count],
            dice: Dice::new(seed).fork(0xBA5E),
        }
    }
}

impl<J: Judge> Policy for Balanced<J> {
    fn choose(&mut self, now: Moment, worker: usize, ask: &Ask<'_>, limits: &mut Limits) -> Pick {
        let mut open = Candidates::new();
        let (mut allowed, mut until) = (false, None::<Moment>);
        for &place in ask.candidates {
            let weight = self.judge.weight(now, worker, place, self.weights[place]);
            if weight <= 0.0 {
                continue;
            }
            allowed = true;
            if ask.tried.contains(place) {
                continue;
            }
            let room_at = match limits.room(now, place, ask.segments, ask.lane) {
                Ok(()) => {
                    let price = crate::money::Amount::ZERO;
                    open.push(Candidate { place, weight, factor: 1.0, in_flight: 0, latency_s: 0.0, price });
                    continue;
                }
                Err(Full::Rate(at)) => at,
                Err(Full::InFlight) => now + ASK_AGAIN,
            };
            until = Some(until.map_or(room_at, |earliest| earliest.min(room_at)));
        }
        if self.judge.select() == Select::Priority {
            open.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        }
        if let Some(provider) = self.selectors[worker].pick(self.judge.select(), &open, ask.key, &mut self.dice) {
            limits.take(now, provider, ask.segments, ask.lane);
            self.judge.calls(now, worker, provider);
            return Pick::Call(Call { provider, started: now, ticket: None });
        }
        match until {
            Some(at) => Pick::Wait(at),
            None if allowed => Pick::Exhausted,
            None => Pick::Wait(now + ASK_AGAIN),
        }
    }

    fn ended(&mut self, now: Moment, worker: usize, call: Call, outcome: Outcome, limits: &mut Limits) {
        limits.ended(call.provider);
        if outcome == Outcome::Throttled {
            limits.throttled(now, call.provider, call.started, 1, Some(super::super::world::RETRY_AFTER));
        }
        self.judge.ended(now, worker, call.provider, call.started, outcome);
    }

    fn receipt(&mut self, now: Moment, _worker: usize, provider: usize, submitted_at: Moment, _delivered: bool) {
        self.judge.receipt(now, provider, submitted_at);
    }

    fn tick(&mut self, now: Moment) {
        self.judge.tick(now);
    }

    fn take_turns(&mut self) -> Vec<Turn> {
        self.judge.take_turns()
    }
}

/// Whether an outcome speaks against the provider, as a load balancer sees it.
pub const fn is_failure(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Unavailable | Outcome::Ambiguous | Outcome::RejectedAccount)
}
