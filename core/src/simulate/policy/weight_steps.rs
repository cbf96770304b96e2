//! GOV.UK Notify's weights: more than 50 errors within a minute, or 15 % of the messages of a quarter of an hour slower than
//! five minutes while another provider is not slow, take 10 of 100 points from a provider and give them to the others; once a
//! quarter of an hour has passed without a change, everybody moves 10 points back towards where it rests. A change for errors
//! needs a minute without one before it, for slowness five, whoever it was that changed. One view for all workers, choice by
//! weighted chance.
//!
//! Source: `alphagov/notifications-api` as of August 2026: `app/delivery/send_to_providers.py` (errors, `SMS_PROVIDER_ERROR_*` of
//! `app/constants.py`), `app/celery/scheduled_tasks.py` (`switch_current_sms_provider_on_slow_delivery`, every minute;
//! `tend_providers_back_to_middle`, every five), `app/dao/provider_details_dao.py` (`dao_reduce_sms_provider_priority`,
//! `dao_adjust_provider_priority_back_to_resting_points`), and `exceeded_rate_limit` of `alphagov/notifications-utils`. Notify has two
//! providers; with more of them what one loses goes to the others in equal parts. It has no view of calls: whatever fails
//! counts as an error there, a timeout too.

use std::{collections::VecDeque, time::Duration};

use super::{
    Scenario, Turn, TurnKind,
    baseline::{Judge, is_failure},
};
use crate::{attempt::Outcome, select::Select, time::Moment};

const ERRORS: usize = 50;
const ERRORS_WITHIN: Duration = Duration::from_secs(60);
const SLOW: Duration = Duration::from_secs(5 * 60);
const SLOW_SHARE: f64 = 0.15;
const SLOW_WITHIN: Duration = Duration::from_secs(15 * 60);
const STEP: f64 = 10.0;
/// How long nobody's weight may have changed before it changes for errors, for slowness, and back.
const QUIET_ERRORS: Duration = Duration::from_secs(60);
const QUIET_SLOW: Duration = Duration::from_secs(5 * 60);
const QUIET_BACK: Duration = Duration::from_secs(15 * 60);
const CHECKED_EVERY: Duration = Duration::from_secs(60);
/// Whether weights move back is asked at every so many checks.
const BACK_EVERY_CHECKS: u32 = 5;

struct Provider {
    rests_at: f64,
    weight: f64,
    errors: VecDeque<Moment>,
    /// Accepted messages by minute of submission: how many, and how many of them had a receipt in time.
    minutes: VecDeque<(u64, u32, u32)>,
}

pub struct WeightSteps {
    providers: Vec<Provider>,
    has_receipts: Vec<bool>,
    checked_at: Moment,
    checks: u32,
    /// When anybody's weight changed.
    changed_at: Option<Moment>,
    turns: Vec<Turn>,
}

fn minute(at: Moment) -> u64 {
    at.since_start().as_secs() / 60
}

impl WeightSteps {
    pub fn new(scenario: &Scenario) -> Self {
        let total: f64 = scenario.providers.iter().map(|provider| f64::from(provider.weight)).sum();
        let provider = |weight: u32| {
            let rests_at = f64::from(weight) * 100.0 / total;
            Provider { rests_at, weight: rests_at, errors: VecDeque::new(), minutes: VecDeque::new() }
        };
        Self {
            providers: scenario.providers.iter().map(|it| provider(it.weight)).collect(),
            has_receipts: scenario.providers.iter().map(|it| it.receipts.is_some()).collect(),
            checked_at: Moment::ZERO,
            checks: 0,
            changed_at: None,
            turns: Vec::new(),
        }
    }

    fn is_quiet(&self, now: Moment, quiet: Duration) -> bool {
        self.changed_at.is_none_or(|at| now.since(at) >= quiet)
    }

    /// Takes a step's points from a provider and gives them to the others, if nobody's weight changed lately.
    fn step(&mut self, now: Moment, provider: usize, quiet: Duration, note: &str) {
        let others = self.providers.len() - 1;
        if others == 0 || !self.is_quiet(now, quiet) {
            return;
        }
        self.changed_at = Some(now);
        #[expect(clippy::cast_precision_loss, reason = "few providers")]
        let part = STEP / others as f64;
        let emptied = self.providers[provider].weight > 0.0 && self.providers[provider].weight <= STEP;
        for (at, other) in self.providers.iter_mut().enumerate() {
            other.weight = if at == provider { other.weight - STEP } else { other.weight + part }.clamp(0.0, 100.0);
        }
        let kind = if emptied { TurnKind::Ejected } else { TurnKind::Other };
        self.turns.push(Turn { at: now, provider, kind, note: note.to_owned() });
    }

    /// Everybody a step towards where it rests, if nobody's weight changed lately.
    fn move_back(&mut self, now: Moment) {
        if !self.is_quiet(now, QUIET_BACK) {
            return;
        }
        for (at, it) in self.providers.iter_mut().enumerate() {
            let way = (it.rests_at - it.weight).clamp(-STEP, STEP);
            if way != 0.0 {
                it.weight += way;
                self.changed_at = Some(now);
                self.turns.push(Turn { at: now, provider: at, kind: TurnKind::Other, note: format!("{way:+.0} points towards rest") });
            }
        }
    }

    /// The share of the last quarter of an hour's messages that took, or have waited, longer than five minutes.
    fn slow_share(&self, now: Moment, provider: usize) -> f64 {
        let since = minute(now).saturating_sub(SLOW_WITHIN.as_secs() / 60);
        let (mut all, mut slow) = (0, 0);
        for (at, sent, in_time) in self.providers[provider].minutes.iter().filter(|(at, _, _)| *at >= since) {
            all += sent;
            if minute(now) > at + SLOW.as_secs() / 60 {
                slow += sent - in_time.min(sent);
            }
        }
        f64::from(slow) / f64::from(all.max(1))
    }
}

impl Judge for WeightSteps {
    fn select(&self) -> Select {
        Select::Random
    }

    fn weight(&mut self, _now: Moment, _worker: usize, provider: usize, _configured: f64) -> f64 {
        self.providers[provider].weight
    }

    fn ended(&mut self, now: Moment, _worker: usize, provider: usize, started: Moment, outcome: Outcome) {
        let it = &mut self.providers[provider];
        if outcome == Outcome::Accepted && self.has_receipts[provider] {
            match it.minutes.back_mut() {
                Some((at, sent, _)) if *at == minute(started) => *sent += 1,
                _ => it.minutes.push_back((minute(started), 1, 0)),
            }
            while it.minutes.len() > 32 {
                it.minutes.pop_front();
            }
        }
        if is_failure(outcome) {
            it.errors.push_back(now);
            while it.errors.front().is_some_and(|at| now.since(*at) > ERRORS_WITHIN) {
                it.errors.pop_front();
            }
            if it.errors.len() > ERRORS {
                self.step(now, provider, QUIET_ERRORS, "more than 50 errors within a minute");
            }
        }
    }

    fn receipt(&mut self, now: Moment, provider: usize, submitted_at: Moment) {
        if now.since(submitted_at) > SLOW {
            return;
        }
        let minutes = &mut self.providers[provider].minutes;
        if let Some((_, _, in_time)) = minutes.iter_mut().rev().find(|(at, _, _)| *at == minute(submitted_at)) {
            *in_time += 1;
        }
    }

    fn tick(&mut self, now: Moment) {
        if now.since(self.checked_at) < CHECKED_EVERY {
            return;
        }
        self.checked_at = now;
        self.checks += 1;
        let is_slow = |provider: usize| self.has_receipts[provider] && self.slow_share(now, provider) >= SLOW_SHARE;
        let slow: Vec<usize> = (0..self.providers.len()).filter(|provider| is_slow(*provider)).collect();
        // Where all are slow, nobody is better.
        if slow.len() < self.providers.len() {
            for provider in slow {
                self.step(now, provider, QUIET_SLOW, "15 % of messages slower than 5 minutes");
            }
        }
        if self.checks.is_multiple_of(BACK_EVERY_CHECKS) {
            self.move_back(now);
        }
    }

    fn take_turns(&mut self) -> Vec<Turn> {
        std::mem::take(&mut self.turns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two providers, and these keys for both of them.
    fn two_with(keys: &str) -> WeightSteps {
        let provider = |name| format!("[[providers]]\nname = \"{name}\"\nlatency = {{ p50_ms = 100, p99_ms = 300 }}\n{keys}\n");
        let text = format!("duration_s = 60\n[load]\nrate_per_s = 1\n{}{}", provider("a"), provider("b"));
        WeightSteps::new(&Scenario::read("two", &text).unwrap())
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_start(Duration::from_secs(seconds))
    }

    fn two() -> WeightSteps {
        two_with("")
    }

    fn weights(policy: &WeightSteps) -> [f64; 2] {
        [policy.providers[0].weight, policy.providers[1].weight]
    }

    fn errors(policy: &mut WeightSteps, provider: usize, from: Moment, count: u64) {
        for number in 0..count {
            let now = from + Duration::from_millis(number * 10);
            policy.ended(now, 0, provider, now, Outcome::Unavailable);
        }
    }

    #[test]
    fn the_fifty_first_error_of_a_minute_moves_ten_points_and_the_next_step_waits_a_minute_whoever_it_is() {
        let mut policy = two();
        errors(&mut policy, 0, at(0), 50);
        assert_eq!(weights(&policy), [50.0, 50.0]);
        errors(&mut policy, 0, at(1), 30);
        assert_eq!(weights(&policy), [40.0, 60.0]);
        errors(&mut policy, 1, at(30), 80);
        assert_eq!(weights(&policy), [40.0, 60.0], "somebody's weight changed half a minute ago");
        errors(&mut policy, 0, at(70), 80);
        assert_eq!(weights(&policy), [30.0, 70.0]);
    }

    #[test]
    fn ten_points_come_back_in_every_quiet_quarter_of_an_hour() {
        let mut policy = two();
        for minutes in 0..2 {
            errors(&mut policy, 0, at(minutes * 61), 80);
        }
        assert_eq!(weights(&policy), [30.0, 70.0]);
        let mut seen = Vec::new();
        for second in 122..4_000 {
            policy.tick(at(second));
            let now = weights(&policy);
            if seen.last() != Some(&now) {
                seen.push(now);
            }
        }
        assert_eq!(seen, [[30.0, 70.0], [40.0, 60.0], [50.0, 50.0]]);
    }

    #[test]
    fn who_alone_is_slow_loses_ten_points_in_five_minutes() {
        for (b_is_slow, expected) in [(false, [40.0, 60.0]), (true, [50.0, 50.0])] {
            let mut policy = two_with("receipts = { p50_ms = 1000, p99_ms = 2000 }");
            for second in 0..600 {
                for provider in [0, 1] {
                    policy.ended(at(second), 0, provider, at(second), Outcome::Accepted);
                    if provider == 1 && !b_is_slow {
                        policy.receipt(at(second), provider, at(second));
                    }
                }
                policy.tick(at(second));
            }
            assert_eq!(weights(&policy), expected);
        }
    }
}
