//! What a provider's own calls say about it, and what follows for its traffic.

mod signal;
mod thresholds;

use std::time::Duration;

pub use self::{
    signal::{Reading, Signal},
    thresholds::Thresholds,
};
use crate::{attempt::Outcome, dice::Dice, time::Moment};

/// What health allows a provider now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standing {
    /// Traffic in proportion to `factor` (0–1].
    Open { factor: f64 },
    /// One call may find out now whether it is back.
    Probe,
    /// Calls are hanging, too few to be sure: nothing new until they answer.
    Suspected,
    /// Nothing is sent; asking again makes sense at `until`.
    Out { signal: Signal, since: Moment, until: Moment },
}

/// The health of one provider.
#[derive(Clone, Debug)]
pub struct Health {
    thresholds: Thresholds,
    calls: u64,
    latency_s: f64,
}

/// A change that health has decided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transition {
    pub kind: crate::fleet::EventKind,
    pub reading: Option<Reading>,
    pub adopted: bool,
    pub again: bool,
}

/// What health must know of the provider.
#[derive(Clone, Copy, Debug)]
pub struct HealthSettings {
    pub thresholds: Thresholds,
    pub timeout: Duration,
    pub receipts: bool,
}

impl Health {
    pub fn new(settings: HealthSettings, _now: Moment) -> Self {
        Self { thresholds: settings.thresholds, calls: 0, latency_s: 0.0 }
    }

    pub fn configure(&mut self, settings: HealthSettings) {
        self.thresholds = settings.thresholds;
    }

    /// A call goes out; the number it is known by from now on.
    pub fn started(&mut self, _now: Moment, _probe: bool) -> u64 {
        self.calls += 1;
        self.calls
    }

    pub fn ended(&mut self, now: Moment, _call: u64, started: Moment, _outcome: Outcome) {
        let sample = now.since(started).as_secs_f64();
        self.latency_s = if sample > self.latency_s { sample } else { self.latency_s * 0.9 + sample * 0.1 };
    }

    pub fn abandoned(&mut self, _call: u64) {}

    pub fn receipt(&mut self, _now: Moment, _submitted_at: Moment, _delivered: bool) {}

    pub fn tick(&mut self, _now: Moment, _dice: &mut Dice) {}

    pub fn standing(&self, _now: Moment) -> Standing {
        Standing::Open { factor: 1.0 }
    }

    pub fn state(&self, _now: Moment) -> crate::fleet::State {
        crate::fleet::State::Healthy
    }

    pub fn latency_s(&self) -> f64 {
        self.latency_s
    }

    pub fn hopeless_after(&self, _now: Moment) -> Option<Duration> {
        None
    }

    pub fn readings(&self, _now: Moment) -> Vec<Reading> {
        Signal::ALL.iter().map(|name| Reading { name: *name, value: 0.0, baseline: 0.0, threshold: 0.0, samples: self.calls }).collect()
    }

    pub fn take_transitions(&mut self) -> Vec<Transition> {
        Vec::new()
    }
}
