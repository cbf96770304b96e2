//! The scripted providers: what a call that is submitted now will come to.
//!
//! Faults are asked in a fixed order (refuse, hang, throttle, errors with the background errors, invalid recipient); slow
//! multiplies the latency, tail replaces it. Each call draws from a stream of its own that depends on the seed, the message
//! and the provider but not on the policy, so that policies are compared on the same luck.

use std::{collections::VecDeque, time::Duration};

use super::scenario::{FaultKind, Provider, Scenario};
use crate::{attempt::Outcome, dice::Dice, time::Moment};

/// How long a refused connection takes.
const REFUSAL: Duration = Duration::from_millis(1);
/// What a throttled answer asks for.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);
const SECOND: Duration = Duration::from_secs(1);

/// What a call will come to, known to the simulator alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fate {
    pub outcome: Outcome,
    pub after: Duration,
    /// Whether the provider has taken the message on, whatever it answered.
    pub processed: bool,
    /// Whether the message vanishes although it was taken on.
    pub vanishes: bool,
    /// When its receipt comes after submission, and whether it says delivered.
    pub receipt: Option<(Duration, bool)>,
    pub delivered: bool,
}

/// One provider's side of the story.
#[derive(Clone, Debug)]
pub struct World {
    providers: Vec<Site>,
}

#[derive(Clone, Debug)]
struct Site {
    script: Provider,
    /// Calls of the last second that were not throttled.
    taken: VecDeque<Moment>,
}

/// The faults that act on one call, summed up.
struct Weather {
    refuse: bool,
    hang: Option<f64>,
    max_per_s: u32,
    error_share: f64,
    factor: f64,
    tails: [Option<(f64, Duration)>; 4],
    drop_share: f64,
}

impl Weather {
    fn over(script: &Provider, now: Moment) -> Self {
        let mut weather = Self {
            refuse: false,
            hang: None,
            max_per_s: script.max_per_s,
            error_share: script.error_share,
            factor: 1.0,
            tails: [None; 4],
            drop_share: 0.0,
        };
        let either = |one: f64, other: f64| 1.0 - (1.0 - one) * (1.0 - other);
        for fault in script.faults.iter().filter(|fault| fault.acts(now)) {
            match fault.kind {
                FaultKind::Refuse => weather.refuse = true,
                FaultKind::Hang { processed_share } => weather.hang = Some(processed_share),
                FaultKind::Throttle { max_per_s: 0 } | FaultKind::BadRecipients { .. } => {}
                FaultKind::Throttle { max_per_s } if weather.max_per_s == 0 => weather.max_per_s = max_per_s,
                FaultKind::Throttle { max_per_s } => weather.max_per_s = weather.max_per_s.min(max_per_s),
                FaultKind::Errors { share } => weather.error_share = either(weather.error_share, share),
                FaultKind::Slow { factor } => weather.factor *= factor,
                FaultKind::Tail { share, takes } => {
                    if let Some(free) = weather.tails.iter_mut().find(|tail| tail.is_none()) {
                        *free = Some((share, takes));
                    }
                }
                FaultKind::Drop { share } => weather.drop_share = either(weather.drop_share, share),
            }
        }
        weather
    }
}

impl World {
    pub fn new(scenario: &Scenario) -> Self {
        let site = |script: &Provider| Site { script: script.clone(), taken: VecDeque::new() };
        Self { providers: scenario.providers.iter().map(site).collect() }
    }

    /// Submits a message (to a recipient that exists, or not) and learns its fate.
    pub fn submit(&mut self, now: Moment, provider: usize, valid: bool, mut dice: Dice) -> Fate {
        let Site { script, taken } = &mut self.providers[provider];
        let weather = Weather::over(script, now);
        // Every call draws the same numbers in the same order, whatever acts on it.
        let natural = script.latency.draw(&mut dice);
        let [hang_draw, error_draw, drop_draw, delivered_draw] = [(); 4].map(|()| dice.unit());
        let receipt_delay = script.receipts.map(|receipts| receipts.delay.draw(&mut dice));
        let mut latency = natural.mul_f64(weather.factor);
        for (share, takes) in weather.tails.into_iter().flatten() {
            if dice.happens(share) {
                latency = takes;
            }
        }
        while taken.front().is_some_and(|at| now.since(*at) >= SECOND) {
            taken.pop_front();
        }
        let throttled = weather.max_per_s > 0 && taken.len() >= weather.max_per_s as usize;
        let hangs = !weather.refuse && weather.hang.is_some();
        if hangs || !throttled {
            taken.push_back(now);
        }
        let (answer, after) = if weather.refuse {
            (Outcome::Unavailable, REFUSAL)
        } else if throttled {
            (Outcome::Throttled, latency)
        } else if error_draw < weather.error_share {
            (Outcome::Unavailable, latency)
        } else if valid {
            (Outcome::Accepted, latency)
        } else {
            (Outcome::RejectedRecipient, latency)
        };
        let (outcome, after, processed) = match weather.hang {
            Some(share) if hangs => (Outcome::Ambiguous, script.timeout, hang_draw < share),
            _ if after > script.timeout => (Outcome::Ambiguous, script.timeout, answer == Outcome::Accepted),
            _ => (answer, after, answer == Outcome::Accepted),
        };
        let vanishes = processed && drop_draw < weather.drop_share;
        let delivered = processed && !vanishes && valid && delivered_draw < script.receipts.map_or(1.0, |it| it.delivered_share);
        let receipt = receipt_delay.filter(|_| processed && !vanishes).map(|delay| (delay, delivered));
        Fate { outcome, after, processed, vanishes, receipt, delivered }
    }

    /// The share of recipients that are invalid for messages that arrive now.
    pub fn invalid_share(&self, now: Moment) -> f64 {
        let acting = self.providers.iter().flat_map(|site| &site.script.faults).filter(|fault| fault.acts(now));
        let valid = acting.map(|fault| if let FaultKind::BadRecipients { share } = fault.kind { 1.0 - share } else { 1.0 });
        1.0 - valid.product::<f64>()
    }
}
