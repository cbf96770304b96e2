//! Envoy's outlier detection (`envoyproxy/envoy`, `outlier.rst` of the architecture overview and `outlier_detection.proto`), with
//! the defaults of gRPC's version of it (`grpc/proposal`, `A50-xds-outlier-detection.md`).
//!
//! Five consecutive errors eject at once (Envoy; gRPC has no such test). A sweep every ten seconds runs the success-rate test (at
//! least five hosts with a hundred calls each; 1.9 standard deviations below the mean) and the failure-percentage test (at least
//! five hosts with fifty calls; 85 %), and takes back hosts whose time is over: 30 s × the number of ejections, at most 300 s. At
//! most 10 % of hosts are ejected. Below half healthy hosts the balancer panics and uses all. One view per worker.
//!
//! Where the two differ, the one that ejects more is taken: one host may always be ejected (gRPC; Envoy since 2024 only with
//! `always_eject_one_host`, without which it ejects nobody among fewer than ten), and the failure percentage is enforced (gRPC;
//! Envoy's default enforces it for no host).

use std::time::Duration;

use super::{
    Scenario, Turn, TurnKind,
    baseline::{Judge, is_failure},
};
use crate::{attempt::Outcome, time::Moment};

const CONSECUTIVE: u32 = 5;
const SWEEP: Duration = Duration::from_secs(10);
const BASE_EJECTION: Duration = Duration::from_secs(30);
const MOST_EJECTION: Duration = Duration::from_secs(300);
const MOST_EJECTED_PERCENT: usize = 10;
const MIN_HOSTS: usize = 5;
const SUCCESS_RATE_VOLUME: u32 = 100;
const SUCCESS_RATE_DEVIATIONS: f64 = 1.9;
const FAILURE_VOLUME: u32 = 50;
const FAILURE_SHARE: f64 = 0.85;
const PANIC_BELOW_PERCENT: usize = 50;

#[derive(Clone, Default)]
struct Host {
    consecutive: u32,
    calls: u32,
    failures: u32,
    ejected_at: Option<Moment>,
    ejections: u32,
}

impl Host {
    fn success_rate(&self) -> f64 {
        1.0 - f64::from(self.failures) / f64::from(self.calls.max(1))
    }
}

pub struct OutlierDetection {
    workers: Vec<Vec<Host>>,
    swept_at: Moment,
    turns: Vec<Turn>,
}

impl OutlierDetection {
    pub fn new(scenario: &Scenario) -> Self {
        let hosts = vec![Host::default(); scenario.providers.len()];
        Self { workers: vec![hosts; scenario.workers.count], swept_at: Moment::ZERO, turns: Vec::new() }
    }

    fn eject(&mut self, now: Moment, worker: usize, provider: usize, note: &str) {
        let hosts = &mut self.workers[worker];
        let ejected = hosts.iter().filter(|host| host.ejected_at.is_some()).count();
        let allowed = (hosts.len() * MOST_EJECTED_PERCENT / 100).max(1);
        if hosts[provider].ejected_at.is_none() && ejected < allowed {
            hosts[provider].ejected_at = Some(now);
            hosts[provider].ejections += 1;
            self.turns.push(Turn { at: now, provider, kind: TurnKind::Ejected, note: note.to_owned() });
        }
    }

    fn sweep(&mut self, now: Moment, worker: usize) {
        for (provider, note) in self.outliers(worker) {
            self.eject(now, worker, provider, note);
        }
        for (provider, host) in self.workers[worker].iter_mut().enumerate() {
            (host.calls, host.failures) = (0, 0);
            match host.ejected_at {
                Some(since) if now.since(since) >= (BASE_EJECTION * host.ejections).min(MOST_EJECTION) => {
                    host.ejected_at = None;
                    host.consecutive = 0;
                    self.turns.push(Turn { at: now, provider, kind: TurnKind::Other, note: "back".to_owned() });
                }
                Some(_) => {}
                None => host.ejections = host.ejections.saturating_sub(1),
            }
        }
    }

    fn outliers(&self, worker: usize) -> Vec<(usize, &'static str)> {
        let hosts = &self.workers[worker];
        let with = |volume: u32| -> Vec<usize> { (0..hosts.len()).filter(|at| hosts[*at].calls >= volume).collect() };
        let mut found = Vec::new();
        let busy = with(SUCCESS_RATE_VOLUME);
        if busy.len() >= MIN_HOSTS {
            #[expect(clippy::cast_precision_loss, reason = "few hosts")]
            let count = busy.len() as f64;
            let mean = busy.iter().map(|at| hosts[*at].success_rate()).sum::<f64>() / count;
            let variance = busy.iter().map(|at| (hosts[*at].success_rate() - mean).powi(2)).sum::<f64>() / count;
            let least = mean - SUCCESS_RATE_DEVIATIONS * variance.sqrt();
            found.extend(busy.iter().filter(|at| hosts[**at].success_rate() < least).map(|at| (*at, "success rate")));
        }
        let busy = with(FAILURE_VOLUME);
        if busy.len() >= MIN_HOSTS {
            let failing = |at: &&usize| 1.0 - hosts[**at].success_rate() >= FAILURE_SHARE;
            found.extend(busy.iter().filter(failing).map(|at| (*at, "failure percentage")));
        }
        found
    }
}

impl Judge for OutlierDetection {
    fn weight(&mut self, _now: Moment, worker: usize, provider: usize, configured: f64) -> f64 {
        let hosts = &self.workers[worker];
        let healthy = hosts.iter().filter(|host| host.ejected_at.is_none()).count();
        let panic = healthy * 100 < hosts.len() * PANIC_BELOW_PERCENT;
        if panic || hosts[provider].ejected_at.is_none() { configured } else { 0.0 }
    }

    fn ended(&mut self, now: Moment, worker: usize, provider: usize, _started: Moment, outcome: Outcome) {
        let host = &mut self.workers[worker][provider];
        host.calls += 1;
        if !is_failure(outcome) {
            host.consecutive = 0;
            return;
        }
        host.failures += 1;
        host.consecutive += 1;
        if host.consecutive == CONSECUTIVE {
            host.consecutive = 0;
            self.eject(now, worker, provider, "5 consecutive errors");
        }
    }

    fn tick(&mut self, now: Moment) {
        if now.since(self.swept_at) >= SWEEP {
            self.swept_at = now;
            (0..self.workers.len()).for_each(|worker| self.sweep(now, worker));
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

    fn hosts(count: usize) -> OutlierDetection {
        let provider = |number| format!("[[providers]]\nname = \"p{number}\"\nlatency = {{ p50_ms = 100, p99_ms = 300 }}\n");
        let providers: String = (0..count).map(provider).collect();
        let text = format!("duration_s = 60\n[load]\nrate_per_s = 1\n[workers]\ncount = 1\n{providers}");
        OutlierDetection::new(&Scenario::read("hosts", &text).unwrap())
    }

    fn is_out(policy: &mut OutlierDetection, provider: usize) -> bool {
        policy.weight(at(0), 0, provider, 1.0) == 0.0
    }

    #[test]
    fn five_errors_in_a_row_eject_for_thirty_seconds_times_the_ejections() {
        let mut policy = hosts(2);
        let mut now = at(0);
        for seconds in [30, 60, 90] {
            let ejected_at = now;
            for number in 1..=5 {
                policy.ended(now, 0, 0, now, Outcome::Unavailable);
                assert_eq!(is_out(&mut policy, 0), number == 5);
            }
            while is_out(&mut policy, 0) {
                now = now + Duration::from_secs(1);
                policy.tick(now);
            }
            let lasted = now.since(ejected_at).as_secs();
            assert!((seconds..=seconds + 10).contains(&lasted), "a sweep takes it back: {lasted} s");
        }
    }

    #[test]
    fn one_host_is_ejected_at_most_and_all_are_used_where_less_than_half_is_left() {
        let mut policy = hosts(2);
        for provider in [0, 1] {
            (0..5).for_each(|_| policy.ended(at(0), 0, provider, at(0), Outcome::Ambiguous));
        }
        assert!(is_out(&mut policy, 0) && !is_out(&mut policy, 1));
        let mut single = hosts(1);
        (0..5).for_each(|_| single.ended(at(0), 0, 0, at(0), Outcome::Unavailable));
        assert!(!is_out(&mut single, 0), "panic");
    }

    #[test]
    fn among_five_busy_hosts_one_that_fails_nearly_always_or_far_more_than_the_others_is_ejected() {
        for (busy, fails_of_ten, expected) in [(5, 9, true), (4, 9, false), (5, 3, true), (5, 0, false)] {
            let mut policy = hosts(busy);
            for call in 0..200 {
                for provider in 0..busy {
                    // Never five in a row.
                    let fails = provider == 0 && call % 10 < fails_of_ten && call % 5 != 4;
                    policy.ended(at(call * 10), 0, provider, at(call * 10), if fails { Outcome::Unavailable } else { Outcome::Accepted });
                }
            }
            policy.tick(at(10_000));
            assert_eq!(is_out(&mut policy, 0), expected, "{busy} hosts, {fails_of_ten} of ten fail");
        }
    }
}
