//! Linkerd's unified breaker: shut below 80 % success over ten seconds with at least five calls, or after seven failures in
//! a row; then one probe after an exponential backoff of 1 to 60 s, and whichever answer comes first decides (also one of
//! a call from before). One view per worker. Source: `linkerd/linkerd2-proxy`, `linkerd/app/outbound/src/http/breaker/{unified,success_rate}.rs`.

use std::{collections::VecDeque, time::Duration};

use super::{
    Scenario, Turn, TurnKind,
    baseline::{Judge, is_failure},
};
use crate::{attempt::Outcome, dice::Dice, time::Moment};

const LEAST_SUCCESS: f64 = 0.8;
const WINDOW: Duration = Duration::from_secs(10);
const MIN_CALLS: usize = 5;
const IN_A_ROW: u32 = 7;
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MOST: Duration = Duration::from_secs(60);
/// Linkerd's default jitter ratio.
const JITTER: f64 = 0.5;

#[derive(Clone, Default)]
enum Gate {
    #[default]
    Open,
    Shut {
        until: Moment,
    },
    /// One probe may go, or is out.
    Probation {
        sent: bool,
    },
}

#[derive(Clone, Default)]
struct Breaker {
    gate: Gate,
    calls: VecDeque<(Moment, bool)>,
    failures: usize,
    in_a_row: u32,
    backoffs: u32,
}

impl Breaker {
    fn record(&mut self, now: Moment, failed: bool) {
        self.calls.push_back((now, failed));
        self.failures += usize::from(failed);
        while self.calls.front().is_some_and(|(at, _)| now.since(*at) > WINDOW) {
            self.failures -= usize::from(self.calls.pop_front().is_some_and(|(_, failed)| failed));
        }
        self.in_a_row = if failed { self.in_a_row + 1 } else { 0 };
    }

    #[expect(clippy::cast_precision_loss, reason = "calls of ten seconds")]
    fn trips(&self) -> bool {
        let enough = self.calls.len() >= MIN_CALLS;
        let success = 1.0 - self.failures as f64 / self.calls.len().max(1) as f64;
        (enough && success < LEAST_SUCCESS) || self.in_a_row >= IN_A_ROW
    }

    fn shut(&mut self, now: Moment, dice: &mut Dice) {
        let base = (BACKOFF_FIRST * 2_u32.saturating_pow(self.backoffs.min(10))).min(BACKOFF_MOST);
        self.backoffs += 1;
        self.gate = Gate::Shut { until: now + base.mul_f64(1.0 + JITTER * dice.unit()) };
    }

    fn open(&mut self) {
        *self = Self::default();
    }
}

pub struct SuccessRateBreaker {
    workers: Vec<Vec<Breaker>>,
    dice: Dice,
    turns: Vec<Turn>,
}

impl SuccessRateBreaker {
    pub fn new(scenario: &Scenario, seed: u64) -> Self {
        let breakers = vec![Breaker::default(); scenario.providers.len()];
        Self { workers: vec![breakers; scenario.workers.count], dice: Dice::new(seed).fork(0xB4EA), turns: Vec::new() }
    }
}

impl Judge for SuccessRateBreaker {
    fn weight(&mut self, now: Moment, worker: usize, provider: usize, configured: f64) -> f64 {
        let breaker = &mut self.workers[worker][provider];
        if let Gate::Shut { until } = breaker.gate
            && until <= now
        {
            breaker.gate = Gate::Probation { sent: false };
        }
        match breaker.gate {
            Gate::Open | Gate::Probation { sent: false } => configured,
            Gate::Shut { .. } | Gate::Probation { sent: true } => 0.0,
        }
    }

    fn calls(&mut self, _now: Moment, worker: usize, provider: usize) {
        let breaker = &mut self.workers[worker][provider];
        if let Gate::Probation { sent } = &mut breaker.gate {
            *sent = true;
        }
    }

    fn ended(&mut self, now: Moment, worker: usize, provider: usize, _started: Moment, outcome: Outcome) {
        let breaker = &mut self.workers[worker][provider];
        let failed = is_failure(outcome);
        match breaker.gate {
            Gate::Open => {
                breaker.record(now, failed);
                if breaker.trips() {
                    breaker.shut(now, &mut self.dice);
                    let note = "success rate below 80 %, or 7 failures in a row".to_owned();
                    self.turns.push(Turn { at: now, provider, kind: TurnKind::Ejected, note });
                }
            }
            Gate::Shut { .. } => {}
            Gate::Probation { .. } if failed => breaker.shut(now, &mut self.dice),
            Gate::Probation { .. } => {
                breaker.open();
                self.turns.push(Turn { at: now, provider, kind: TurnKind::Other, note: "probe succeeded".to_owned() });
            }
        }
    }

    fn take_turns(&mut self) -> Vec<Turn> {
        std::mem::take(&mut self.turns)
    }
}
