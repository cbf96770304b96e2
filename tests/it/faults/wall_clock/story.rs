//! The eight stories: a scenario for the simulator, and the same as switches of a provider's process.

use std::time::Duration;

use serde_json::{Value, json};
use tidings_core::simulate::Scenario;

/// Messages a second, half of them to the provider that falls ill: enough that the figure is not one of luck.
const RATE: f64 = 50.0;
/// Where a few calls more or less decide.
const RATE_CLOSE: f64 = 80.0;
/// A limit is found by calls that exceed it.
const RATE_THROTTLE: f64 = 120.0;
/// What is judged by receipts needs few calls and much time.
const RATE_RECEIPTS: f64 = 30.0;
/// Latency of both providers, by its median and 99th percentile.
pub const LATENCY_MS: (u64, u64) = (120, 400);
pub const TIMEOUT_MS: u64 = 3_000;
/// How long receipts take, where there are any.
pub const RECEIPT_MS: u64 = 2_000;
/// The memory of what is normal must rest on enough calls.
const WARM: u64 = 20;
/// Receipts are learned from cohorts of 90 s that are complete.
const WARM_RECEIPTS: u64 = 100;
const LASTS: u64 = 8;
const LASTS_RECEIPTS: u64 = 15;
/// On for the first half of it.
pub const FLAP_PERIOD: u64 = 4;

/// One fault: as the simulator calls it, and what the process is told.
pub struct Story {
    pub kind: &'static str,
    /// The keys of the fault in a scenario, beside its time.
    fault: &'static str,
    behaviour: fn() -> Value,
    pub rate: f64,
    pub receipts: bool,
    pub flaps: bool,
}

const fn story(kind: &'static str, fault: &'static str, behaviour: fn() -> Value) -> Story {
    Story { kind, fault, behaviour, rate: RATE, receipts: false, flaps: false }
}

pub const STORIES: &[Story] = &[
    story("hang", "kind = \"hang\"", || json!({"hang_share": 1})),
    story("refuse", "kind = \"refuse\"", || json!({"refuse": true})),
    Story { rate: RATE_CLOSE, ..story("errors", "kind = \"errors\"\nshare = 0.3", || json!({"error_share": 0.3})) },
    Story {
        rate: RATE_CLOSE,
        ..story("slow", "kind = \"slow\"\nfactor = 8", || json!({"latency_ms": 8 * LATENCY_MS.0, "latency_p99_ms": 8 * LATENCY_MS.1}))
    },
    story("tail", "kind = \"tail\"\nshare = 0.6\nms = 1500", || json!({"tail_share": 0.6, "tail_ms": 1_500})),
    Story { rate: RATE_THROTTLE, ..story("throttle", "kind = \"throttle\"\nmax_per_s = 2", || json!({"throttle_per_s": 2})) },
    Story { rate: RATE_RECEIPTS, receipts: true, ..story("drop", "kind = \"drop\"\nshare = 1", || json!({"drop_share": 1})) },
    Story { flaps: true, ..story("flap", "kind = \"flap\"\nkind_inner = \"refuse\"\nperiod_s = 4", || json!({"refuse": true})) },
];

impl Story {
    /// Seconds of health, then of illness.
    pub const fn times(&self) -> (u64, u64) {
        if self.receipts { (WARM_RECEIPTS, LASTS_RECEIPTS) } else { (WARM, LASTS) }
    }

    pub const fn lasts(&self) -> Duration {
        let (warm, ill) = self.times();
        Duration::from_secs(warm + ill)
    }

    /// What the process is told when the fault begins.
    pub fn ill(&self) -> Value {
        (self.behaviour)()
    }

    /// The same, taken back.
    pub fn well(&self) -> Value {
        let mut change = self.ill();
        if let Some(fields) = change.as_object_mut() {
            fields.values_mut().for_each(|value| *value = Value::Null);
        }
        change["latency_ms"] = json!(LATENCY_MS.0);
        change["latency_p99_ms"] = json!(LATENCY_MS.1);
        change
    }

    /// What the simulator plays.
    pub fn scenario(&self) -> Scenario {
        let (warm, ill) = self.times();
        let receipts =
            if self.receipts { format!("receipts = {{ p50_ms = {RECEIPT_MS}, p99_ms = {RECEIPT_MS} }}\n") } else { String::new() };
        let provider = |name: &str| {
            format!(
                "[[providers]]\nname = \"{name}\"\ntimeout_ms = {TIMEOUT_MS}\nlatency = {{ p50_ms = {}, p99_ms = {} }}\n{receipts}",
                LATENCY_MS.0, LATENCY_MS.1
            )
        };
        let text = format!(
            "duration_s = {until}\nwarmup_s = 5\n[load]\nrate_per_s = {:?}\n{}[[providers.faults]]\nfrom_s = {warm}\nuntil_s = {until}\n{}\n{}",
            self.rate,
            provider("a"),
            self.fault,
            provider("b"),
            until = warm + ill,
        );
        Scenario::read(self.kind, &text).unwrap_or_else(|errors| panic!("{}: {errors:?}\n{text}", self.kind))
    }
}
