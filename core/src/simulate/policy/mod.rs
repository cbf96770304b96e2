//! The policies that are compared: Tidings, and honest versions of what others do.
//!
//! Retry rules, limits and the order of waiting messages belong to the engine and are the same for all; a policy says only
//! who may be chosen, who of them it is, and what it learns from outcomes.

mod baseline;
mod consecutive_timeouts;
mod list;
mod outlier_detection;
mod success_rate_breaker;
mod tidings;
mod weight_steps;

use std::time::Duration;

use super::scenario::Scenario;
use crate::{
    attempt::Outcome,
    fleet::{Ask, Ticket},
    limits::Limits,
    message::words,
    time::Moment,
};

words! {
    /// Who decides.
    PolicyName {
        Tidings = "tidings",
        RoundRobin = "round_robin",
        Priority = "priority",
        ConsecutiveTimeouts = "consecutive_timeouts",
        OutlierDetection = "outlier_detection",
        SuccessRateBreaker = "success_rate_breaker",
        WeightSteps = "weight_steps",
    }
}

impl PolicyName {
    /// Whether it takes traffic away from a sick provider and gives it back by itself.
    pub const fn comes_back(self) -> bool {
        matches!(self, Self::Tidings | Self::OutlierDetection | Self::SuccessRateBreaker | Self::WeightSteps)
    }

    pub(super) fn start(self, scenario: &Scenario, seed: u64) -> Box<dyn Policy> {
        match self {
            Self::Tidings => Box::new(tidings::Tidings::new(scenario, seed)),
            Self::RoundRobin => Box::new(baseline::Balanced::new(scenario, seed, list::RoundRobin)),
            Self::Priority => Box::new(baseline::Balanced::new(scenario, seed, list::Priority)),
            Self::ConsecutiveTimeouts => {
                Box::new(baseline::Balanced::new(scenario, seed, consecutive_timeouts::ConsecutiveTimeouts::new(scenario)))
            }
            Self::OutlierDetection => Box::new(baseline::Balanced::new(scenario, seed, outlier_detection::OutlierDetection::new(scenario))),
            Self::SuccessRateBreaker => {
                Box::new(baseline::Balanced::new(scenario, seed, success_rate_breaker::SuccessRateBreaker::new(scenario, seed)))
            }
            Self::WeightSteps => Box::new(baseline::Balanced::new(scenario, seed, weight_steps::WeightSteps::new(scenario))),
        }
    }
}

/// A call that a policy has chosen.
#[derive(Debug)]
pub(super) struct Call {
    pub provider: usize,
    pub started: Moment,
    /// Of the fleet, where there is one.
    pub ticket: Option<Ticket>,
}

#[derive(Debug)]
pub(super) enum Pick {
    Call(Call),
    /// Nobody has room or is allowed; asking again makes sense then.
    Wait(Moment),
    /// Everybody who is allowed was tried.
    Exhausted,
}

/// A turn in a provider's fortune, as the policy sees it.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub at: Moment,
    pub provider: usize,
    pub kind: TurnKind,
    pub note: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TurnKind {
    /// A decision of a worker's own to send nothing.
    Ejected,
    /// It gets traffic again, or another change worth a mark in the plot.
    Other,
}

/// One way of choosing providers, for all workers of the cluster.
pub(super) trait Policy {
    fn choose(&mut self, now: Moment, worker: usize, ask: &Ask<'_>, limits: &mut Limits) -> Pick;
    fn ended(&mut self, now: Moment, worker: usize, call: Call, outcome: Outcome, limits: &mut Limits);
    fn receipt(&mut self, _now: Moment, _worker: usize, _provider: usize, _submitted_at: Moment, _delivered: bool) {}
    /// Every 50 ms.
    fn tick(&mut self, _now: Moment) {}
    /// The age at which a call should be left to itself, if its category allows duplicates.
    fn hopeless_after(&self, _now: Moment, _worker: usize, _provider: usize) -> Option<Duration> {
        None
    }
    fn take_turns(&mut self) -> Vec<Turn>;
    /// A provider's score for the plot, 0–100.
    fn score(&self, _now: Moment, _provider: usize) -> f64 {
        100.0
    }
}
