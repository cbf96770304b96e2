//! GOV.UK Notify's weights: 50 errors within a minute, or 15 % of the messages of a quarter of an hour slower than five
//! minutes, take 10 of 100 points from a provider (at most once a minute) and give them to the others in equal parts;
//! after 15 quiet minutes 10 points come back every 5 minutes. One view for all workers, choice by weighted chance.
//! Source: `alphagov/notifications-api`.

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
const STEP_AT_MOST_EVERY: Duration = Duration::from_secs(60);
const QUIET: Duration = Duration::from_secs(15 * 60);
const BACK_EVERY: Duration = Duration::from_secs(5 * 60);
const CHECKED_EVERY: Duration = Duration::from_secs(60);

struct Provider {
    rests_at: f64,
    weight: f64,
    errors: VecDeque<Moment>,
    /// Accepted messages by minute of submission: how many, and how many of them had a receipt in time.
    minutes: VecDeque<(u64, u32, u32)>,
    stepped_at: Option<Moment>,
    back_at: Moment,
}

pub struct WeightSteps {
    providers: Vec<Provider>,
    has_receipts: Vec<bool>,
    checked_at: Moment,
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
            Provider {
                rests_at,
                weight: rests_at,
                errors: VecDeque::new(),
                minutes: VecDeque::new(),
                stepped_at: None,
                back_at: Moment::ZERO,
            }
        };
        Self {
            providers: scenario.providers.iter().map(|it| provider(it.weight)).collect(),
            has_receipts: scenario.providers.iter().map(|it| it.receipts.is_some()).collect(),
            checked_at: Moment::ZERO,
            turns: Vec::new(),
        }
    }

    /// Moves up to `points` from a provider to the others, or back to it.
    fn give(&mut self, provider: usize, points: f64) {
        let others = self.providers.len() - 1;
        if others == 0 {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "few providers")]
        let part = points / others as f64;
        for (at, other) in self.providers.iter_mut().enumerate() {
            other.weight = if at == provider { other.weight - points } else { other.weight + part }.clamp(0.0, 100.0);
        }
    }

    fn step(&mut self, now: Moment, provider: usize, note: &str) {
        let it = &mut self.providers[provider];
        if it.stepped_at.is_some_and(|at| now.since(at) < STEP_AT_MOST_EVERY) {
            return;
        }
        it.stepped_at = Some(now);
        let points = STEP.min(it.weight);
        let emptied = points > 0.0 && it.weight <= points;
        self.give(provider, points);
        let kind = if emptied { TurnKind::Ejected } else { TurnKind::Other };
        self.turns.push(Turn { at: now, provider, kind, note: note.to_owned() });
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
            if it.errors.len() >= ERRORS {
                self.step(now, provider, "50 errors within a minute");
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
        for provider in 0..self.providers.len() {
            if self.has_receipts[provider] && self.slow_share(now, provider) >= SLOW_SHARE {
                self.step(now, provider, "15 % of messages slower than 5 minutes");
            }
            let it = &self.providers[provider];
            let quiet = it.stepped_at.is_some_and(|at| now.since(at) >= QUIET);
            if quiet && it.weight < it.rests_at && now.since(it.back_at) >= BACK_EVERY {
                let points = STEP.min(it.rests_at - it.weight);
                self.providers[provider].back_at = now;
                self.give(provider, -points);
                self.turns.push(Turn { at: now, provider, kind: TurnKind::Other, note: "10 points back".to_owned() });
            }
        }
    }

    fn take_turns(&mut self) -> Vec<Turn> {
        std::mem::take(&mut self.turns)
    }
}
