//! Settings of kind `simulated`.

use std::time::Duration;

use super::{KIND, shape::Latency};
use crate::{SettingError, Settings, settings::Reader};

pub const NAMES: &[&str] = &[
    "latency_p50_ms",
    "latency_p99_ms",
    "error_share",
    "throttle_per_s",
    "hang_share",
    "tail_share",
    "tail_ms",
    "drop_share",
    "receipt_p50_ms",
    "receipt_p99_ms",
    "delivered_share",
];

/// A quick and healthy vendor.
const LATENCY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(60));
const RECEIPT: (Duration, Duration) = (Duration::from_millis(300), Duration::from_millis(1_000));
const TAIL: Duration = Duration::from_millis(1_500);
/// More than any machine can submit.
const MAX_PER_S: u64 = 10_000_000;

#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub latency: Latency,
    pub error_share: f64,
    /// `None`: unlimited.
    pub throttle_per_s: Option<usize>,
    pub hang_share: f64,
    pub tail_share: f64,
    pub tail: Duration,
    pub drop_share: f64,
    pub receipt: Latency,
    pub delivered_share: f64,
}

impl Config {
    pub fn read(settings: &Settings) -> Result<Self, Vec<SettingError>> {
        let mut read = Reader::new(settings, &KIND);
        let config = Self {
            latency: latency(&mut read, ["latency_p50_ms", "latency_p99_ms"], LATENCY),
            error_share: read.share("error_share", 0.0),
            throttle_per_s: usize::try_from(read.count("throttle_per_s", 0, MAX_PER_S)).ok().filter(|limit| *limit > 0),
            hang_share: read.share("hang_share", 0.0),
            tail_share: read.share("tail_share", 0.0),
            tail: read.millis("tail_ms", TAIL),
            drop_share: read.share("drop_share", 0.0),
            receipt: latency(&mut read, ["receipt_p50_ms", "receipt_p99_ms"], RECEIPT),
            delivered_share: read.share("delivered_share", 1.0),
        };
        read.finish(config)
    }
}

/// Whoever gives only the median means every call; the default spread belongs to the default median.
fn latency(read: &mut Reader<'_>, [p50_name, p99_name]: [&str; 2], (p50, p99): (Duration, Duration)) -> Latency {
    let default_p99 = if read.value(p50_name).is_some() { Duration::ZERO } else { p99 };
    let (p50, given_p99) = (read.millis(p50_name, p50), read.millis(p99_name, default_p99));
    if read.value(p99_name).is_some() && given_p99 < p50 {
        read.wrong(p99_name, format!("must not be below {p50_name}"));
    }
    Latency::new(p50, given_p99)
}
