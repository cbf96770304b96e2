//! The same rules for calls that were really made.
//!
//! When a scenario is played with real processes in wall-clock time, somebody notes each call: when, to whom, what came of
//! it. The figures of its faults are then made by the very code that makes them of a run, so that the two can be compared.

use std::time::Duration;

use super::{
    engine::Record,
    figures::{FaultFigures, of_faults},
    scenario::Scenario,
    world::Fate,
};
use crate::{attempt::Outcome, time::Moment};

/// One call as it was seen from outside.
#[derive(Clone, Copy, Debug)]
pub struct SeenCall {
    /// Since the scenario began.
    pub at: Duration,
    /// The provider's place in the scenario.
    pub provider: usize,
    pub outcome: Outcome,
    pub latency: Duration,
    /// It was accepted and never reached the handset.
    pub vanished: bool,
}

/// When traffic left and came back, and what was wasted meanwhile, of calls in the order of their time.
pub fn faults_of(scenario: &Scenario, calls: &[SeenCall]) -> Vec<FaultFigures> {
    let mut record = Record::new(scenario);
    for call in calls {
        let fate = Fate {
            outcome: call.outcome,
            after: call.latency,
            processed: call.outcome == Outcome::Accepted,
            vanishes: call.vanished,
            receipt: None,
            delivered: !call.vanished,
        };
        let at = Moment::from_start(call.at);
        record.submitted(at, at, call.provider, &fate, true);
    }
    of_faults(scenario, &record)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENARIO: &str = r#"
        duration_s = 40
        [load]
        rate_per_s = 20
        [[providers]]
        name = "a"
        latency = { p50_ms = 100, p99_ms = 300 }
        [[providers.faults]]
        from_s = 20
        until_s = 30
        kind = "refuse"
        [[providers]]
        name = "b"
        latency = { p50_ms = 100, p99_ms = 300 }
    "#;

    #[test]
    fn traffic_that_left_after_a_second_is_said_to_have_left_after_a_second() {
        let scenario = Scenario::read("x", SCENARIO).unwrap();
        let call = |millis: u64, provider: usize| {
            let ill = provider == 0 && (20_000..30_000).contains(&millis);
            let outcome = if ill { Outcome::Unavailable } else { Outcome::Accepted };
            SeenCall { at: Duration::from_millis(millis), provider, outcome, latency: Duration::from_millis(100), vanished: false }
        };
        // Twenty a second in turn, and from 21 s to 31 s all of them to `b`.
        let calls: Vec<SeenCall> = (0..800_u64)
            .map(|at| call(at * 50, if (21_000..31_000).contains(&(at * 50)) { 1 } else { usize::from(at % 2 == 1) }))
            .collect();
        let fault = faults_of(&scenario, &calls).remove(0);
        assert_eq!((fault.detect_s, fault.calls_wasted), (Some(0.8), 10), "a window may hold one call: the last one went out at 20.9 s");
        assert_eq!(fault.recover_s, Some(0.0), "a window of ten seconds bears the one second without");
    }
}
