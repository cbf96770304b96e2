//! What makes a provider sick, overridable per provider. Each default is explained in `docs/FAILOVER.md`.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

/// Thresholds of the five signals. Shares are 0–1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// Timeouts in a row that eject, whatever else is known.
    pub consecutive_timeouts: u32,
    /// Rise of the typical latency over the provider's own at which it keeps a quarter of its weight.
    pub mean_rise: f64,
    /// Share of calls slower than a second at which it keeps a quarter of its weight.
    pub tail_share: f64,
    /// Share of failed calls at which it keeps a quarter of its weight.
    pub error_rate: f64,
    /// Share of missing or bad receipts, beyond its own, at which it keeps a quarter of its weight.
    pub receipts_missing: f64,
}

impl Thresholds {
    /// What each may be set to; nothing would be well, or ill, beyond.
    pub const TIMEOUTS: RangeInclusive<u32> = 1..=1_000;
    pub const RISES: RangeInclusive<f64> = 0.01..=100.0;
    pub const SHARES: RangeInclusive<f64> = 0.001..=1.0;
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { consecutive_timeouts: 3, mean_rise: 0.20, tail_share: 0.10, error_rate: 0.05, receipts_missing: 0.10 }
    }
}
