//! What a run leaves behind: counts of the messages that arrived after warm-up, and every call, from which figures are made.

use std::time::Duration;

use super::{
    super::{
        policy::{Policy, Turn},
        scenario::{FaultKind, Scenario},
        world::Fate,
    },
    Outcome, Status,
};
use crate::{money::Amount, time::Moment};

/// A slow call is wasted if it takes longer than this many times the configured p99.
const SLOW_FROM: u32 = 2;
/// How often scores are noted for the plot.
const SCORES_EVERY: Duration = Duration::from_secs(1);

/// One call, as far as figures need it.
#[derive(Clone, Copy, Debug)]
pub struct Submission {
    pub at: Moment,
    pub provider: usize,
    /// Of a message that arrived after warm-up.
    pub counted: bool,
    pub latency: Duration,
}

/// Everything that figures and plots are made of.
#[derive(Debug)]
pub struct Record {
    warmup: Moment,
    prices: Vec<Amount>,
    slow: Vec<Duration>,
    faults: Vec<Vec<super::super::scenario::Fault>>,
    pub submissions: Vec<Submission>,
    /// Calls wasted, by provider and fault.
    pub wasted: Vec<Vec<u64>>,
    /// Accept to submitted, of submitted messages.
    pub delays: Vec<Duration>,
    pub turns: Vec<Turn>,
    /// Once a second, by provider.
    pub scores: Vec<(Moment, Vec<f64>)>,
    pub messages: u64,
    pub valid: u64,
    pub submitted: u64,
    pub failed: u64,
    pub expired: u64,
    pub unknown: u64,
    pub attempts: u64,
    pub first_try_failures: u64,
    pub ambiguous: u64,
    pub duplicates: u64,
    pub delivered: u64,
    pub cost: Amount,
}

impl Record {
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            warmup: Moment::from_start(scenario.warmup),
            prices: scenario.providers.iter().map(|it| it.price).collect(),
            slow: scenario.providers.iter().map(|it| it.latency.p99 * SLOW_FROM).collect(),
            faults: scenario.providers.iter().map(|it| it.faults.clone()).collect(),
            submissions: Vec::new(),
            wasted: scenario.providers.iter().map(|it| vec![0; it.faults.len()]).collect(),
            delays: Vec::new(),
            turns: Vec::new(),
            scores: Vec::new(),
            messages: 0,
            valid: 0,
            submitted: 0,
            failed: 0,
            expired: 0,
            unknown: 0,
            attempts: 0,
            first_try_failures: 0,
            ambiguous: 0,
            duplicates: 0,
            delivered: 0,
            cost: Amount::ZERO,
        }
    }

    pub fn arrived(&mut self, at: Moment, valid: bool) {
        if at >= self.warmup {
            self.messages += 1;
            self.valid += u64::from(valid);
        }
    }

    pub fn submitted(&mut self, at: Moment, arrived: Moment, provider: usize, fate: &Fate, first: bool) {
        let counted = arrived >= self.warmup;
        self.submissions.push(Submission { at, provider, counted, latency: fate.after });
        let failed = matches!(fate.outcome, Outcome::Unavailable | Outcome::Ambiguous | Outcome::Throttled);
        for (fault, wasted) in self.faults[provider].iter().zip(&mut self.wasted[provider]) {
            let in_window = at.since_start() >= fault.from && at.since_start() < fault.until;
            let is_wasted = match fault.kind {
                FaultKind::Drop { .. } => fate.vanishes,
                FaultKind::Slow { .. } | FaultKind::Tail { .. } => failed || fate.after > self.slow[provider],
                _ => failed,
            };
            *wasted += u64::from(in_window && is_wasted);
        }
        if counted {
            self.attempts += 1;
            self.first_try_failures += u64::from(first && failed);
            self.ambiguous += u64::from(fate.outcome == Outcome::Ambiguous);
            if fate.processed {
                self.cost = self.cost.plus(self.prices[provider]);
            }
        }
    }

    pub fn settled(&mut self, now: Moment, arrived: Moment, status: Status) {
        if arrived < self.warmup {
            return;
        }
        match status {
            Status::Submitted => {
                self.submitted += 1;
                self.delays.push(now.since(arrived));
            }
            Status::Expired => self.expired += 1,
            Status::Unknown => self.unknown += 1,
            _ => self.failed += 1,
        }
    }

    /// A message is settled and none of its calls is out any more.
    pub fn closed(&mut self, arrived: Moment, processed: u32, delivered: bool, valid: bool) {
        if arrived >= self.warmup {
            self.duplicates += u64::from(processed > 1);
            self.delivered += u64::from(delivered && valid);
        }
    }

    pub fn tick(&mut self, now: Moment, policy: &dyn Policy) {
        if self.scores.last().is_none_or(|(at, _)| now.since(*at) >= SCORES_EVERY) {
            self.scores.push((now, (0..self.prices.len()).map(|provider| policy.score(now, provider)).collect()));
        }
    }
}
