//! A scenario: load, workers and scripted providers, as a file describes them (`docs/FAILOVER.md`).

mod read;
mod reader;

use std::{sync::Arc, time::Duration};

pub use self::reader::ScenarioError;
use crate::{
    dice::Dice,
    message::{Category, words},
    money::Amount,
    time::Moment,
};

/// The 99th percentile of the standard normal distribution: what ties a log-normal's p99 to its spread.
const Z99: f64 = 2.326_347_874_040_841;

/// Everything that a run depends on, but for the policy.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: String,
    pub seed: u64,
    pub duration: Duration,
    /// Messages that arrive earlier are not counted.
    pub warmup: Duration,
    pub load: Load,
    pub workers: Workers,
    pub providers: Vec<Provider>,
}

#[derive(Clone, Debug)]
pub struct Load {
    pub category: Category,
    pub rate_per_s: f64,
    pub expires_in: Duration,
    /// From when on the rate is another, in order.
    pub steps: Vec<(Duration, f64)>,
}

impl Load {
    /// The rate at `at`, and until when it holds.
    pub fn rate(&self, at: Duration) -> (f64, Option<Duration>) {
        let current = self.steps.iter().rev().find(|(from, _)| *from <= at).map_or(self.rate_per_s, |(_, rate)| *rate);
        (current, self.steps.iter().map(|(from, _)| *from).find(|from| *from > at))
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Workers {
    pub count: usize,
    pub gossip_delay: Duration,
}

#[derive(Clone, Debug)]
pub struct Provider {
    pub name: Arc<str>,
    pub weight: u32,
    /// Contract in segments per second for the whole cluster; 0 = none.
    pub max_per_s: u32,
    pub max_in_flight: u32,
    pub timeout: Duration,
    pub price: Amount,
    pub latency: LogNormal,
    pub error_share: f64,
    pub receipts: Option<Receipts>,
    pub faults: Vec<Fault>,
}

#[derive(Clone, Copy, Debug)]
pub struct Receipts {
    pub delay: LogNormal,
    pub delivered_share: f64,
}

/// A log-normal duration by its median and 99th percentile.
#[derive(Clone, Copy, Debug)]
pub struct LogNormal {
    pub p50: Duration,
    pub p99: Duration,
}

impl LogNormal {
    /// The standard deviation of the logarithm.
    pub fn sigma(&self) -> f64 {
        (self.p99.as_secs_f64() / self.p50.as_secs_f64()).ln() / Z99
    }

    /// One duration.
    pub fn draw(&self, dice: &mut Dice) -> Duration {
        self.p50.mul_f64((self.sigma() * dice.normal()).exp())
    }
}

words! {
    /// What can be wrong with a provider.
    FaultWord {
        Hang = "hang",
        Refuse = "refuse",
        Errors = "errors",
        Slow = "slow",
        Tail = "tail",
        Throttle = "throttle",
        Drop = "drop",
        Flap = "flap",
        BadRecipients = "bad_recipients",
    }
}

/// A fault of a provider. It acts on calls submitted in `from..until`.
#[derive(Clone, Debug)]
pub struct Fault {
    pub from: Duration,
    pub until: Duration,
    /// As the file calls it: a flapping fault is `flap`.
    pub word: FaultWord,
    pub kind: FaultKind,
    /// On in the first half of each period, for a flapping fault.
    pub period: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FaultKind {
    Hang { processed_share: f64 },
    Refuse,
    Errors { share: f64 },
    Slow { factor: f64 },
    Tail { share: f64, takes: Duration },
    Throttle { max_per_s: u32 },
    Drop { share: f64 },
    BadRecipients { share: f64 },
}

impl Fault {
    /// Whether it acts on a call submitted at `at`.
    pub fn acts(&self, at: Moment) -> bool {
        let at = at.since_start();
        if at < self.from || at >= self.until {
            return false;
        }
        self.period.is_none_or(|period| {
            let phase = (at - self.from).as_nanos() % period.as_nanos().max(1);
            phase * 2 < period.as_nanos()
        })
    }

    /// Whether it makes the provider ill: bad recipients are nobody's illness.
    pub const fn is_illness(&self) -> bool {
        !matches!(self.kind, FaultKind::BadRecipients { .. })
    }
}
