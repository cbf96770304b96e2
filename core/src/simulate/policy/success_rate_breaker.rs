//! Linkerd's unified breaker with its defaults: shut below 80 % success over ten seconds with at least five calls, or after
//! seven failures in a row; then one probe after an exponential backoff of 1 to 60 s, and whichever answer comes first decides
//! (also one of a call from before). A throttled answer lowers the success rate and fails a probe, but is no failure in a row.
//! One view per worker.
//!
//! Source: `linkerd/linkerd2-proxy`, `linkerd/app/outbound/src/http/breaker/{unified,success_rate}.rs` and
//! `linkerd/exp-backoff/src/lib.rs` as of summer 2026; the defaults are those of Linkerd's reference "Circuit Breaking", mode
//! `unified`. Its ring of ten one-second buckets is an exact window here, and a `Retry-After` is left to the learned limit, which
//! all policies share.

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
    fn record(&mut self, now: Moment, outcome: Outcome) {
        let throttled = outcome == Outcome::Throttled;
        let failed = throttled || is_failure(outcome);
        self.calls.push_back((now, failed));
        self.failures += usize::from(failed);
        if !throttled {
            self.in_a_row = if failed { self.in_a_row + 1 } else { 0 };
        }
        while self.calls.front().is_some_and(|(at, _)| now.since(*at) > WINDOW) {
            self.failures -= usize::from(self.calls.pop_front().is_some_and(|(_, failed)| failed));
        }
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
        let jittered = base.mul_f64(1.0 + JITTER * dice.unit()).min(BACKOFF_MOST);
        self.gate = Gate::Shut { until: now + jittered };
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
        match breaker.gate {
            Gate::Open => {
                breaker.record(now, outcome);
                if breaker.trips() {
                    breaker.shut(now, &mut self.dice);
                    let note = "success rate below 80 %, or 7 failures in a row".to_owned();
                    self.turns.push(Turn { at: now, provider, kind: TurnKind::Ejected, note });
                }
            }
            Gate::Shut { .. } => {}
            Gate::Probation { .. } if outcome == Outcome::Throttled || is_failure(outcome) => breaker.shut(now, &mut self.dice),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_start(Duration::from_millis(millis))
    }

    fn one() -> SuccessRateBreaker {
        let text = "duration_s = 60\n[load]\nrate_per_s = 1\n[workers]\ncount = 1\n[[providers]]\nname = \"a\"\nlatency = { p50_ms = 100, p99_ms = 300 }";
        SuccessRateBreaker::new(&Scenario::read("one", text).unwrap(), 1)
    }

    /// Calls a tenth of a second apart that end so; how many until the breaker shuts.
    fn shuts_after(outcomes: impl IntoIterator<Item = Outcome>) -> Option<usize> {
        let mut policy = one();
        outcomes.into_iter().enumerate().find_map(|(number, outcome)| {
            let now = at(number as u64 * 100);
            policy.ended(now, 0, 0, now, outcome);
            (policy.weight(now, 0, 0, 1.0) == 0.0).then_some(number + 1)
        })
    }

    #[test]
    fn it_shuts_below_four_fifths_of_five_calls_or_after_seven_failures_in_a_row() {
        use Outcome::{Accepted, Throttled, Unavailable};
        assert_eq!(shuts_after([Unavailable; 9]), Some(5));
        assert_eq!(shuts_after([Accepted; 96].into_iter().chain([Unavailable; 9])), Some(96 + 7), "a tenth of a hundred is no low rate");
        assert_eq!(shuts_after([Accepted, Accepted, Accepted, Accepted, Unavailable].repeat(10)), None, "four fifths are enough");
        assert_eq!(
            shuts_after([Accepted; 96].into_iter().chain([Throttled; 40])),
            Some(96 + 21),
            "throttled ones count for the rate only, 21 of the last 101 calls"
        );
    }

    #[test]
    fn one_call_finds_out_whether_it_is_back_and_each_failed_one_doubles_the_wait() {
        let mut policy = one();
        (0..5).for_each(|_| policy.ended(at(0), 0, 0, at(0), Outcome::Unavailable));
        let mut now = at(0);
        for seconds in [1, 2, 4, 8, 16, 32, 60] {
            let shut_at = now;
            while policy.weight(now, 0, 0, 1.0) == 0.0 {
                now = now + Duration::from_millis(10);
            }
            let waited = now.since(shut_at).as_secs_f64();
            let most = (f64::from(seconds) * 1.5).min(60.0);
            assert!((f64::from(seconds)..=most + 0.02).contains(&waited), "{waited}");
            policy.calls(now, 0, 0);
            assert_eq!(policy.weight(now, 0, 0, 1.0), 0.0, "one at a time");
            policy.ended(now, 0, 0, now, if seconds == 60 { Outcome::Accepted } else { Outcome::Throttled });
        }
        assert_eq!(policy.weight(now, 0, 0, 1.0), 1.0);
    }
}
