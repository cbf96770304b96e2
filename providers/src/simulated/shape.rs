//! The shapes of simulated behaviour: how latencies are drawn, and the numbers whose outcome is fixed.

use std::time::Duration;

use rand::Rng;

/// The standard normal's 99th percentile.
const Z99: f64 = 2.326_347_87;

/// A log-normal latency given by its median and 99th percentile: what latencies of remote services look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    median_s: f64,
    sigma: f64,
}

impl Latency {
    /// A 99th percentile below the median counts as equal to it: every call takes the same time.
    pub fn new(p50: Duration, p99: Duration) -> Self {
        let median_s = p50.as_secs_f64();
        let sigma = if median_s > 0.0 && p99 > p50 { (p99.as_secs_f64() / median_s).ln() / Z99 } else { 0.0 };
        Self { median_s, sigma }
    }

    pub fn draw(self, dice: &mut impl Rng) -> Duration {
        if self.sigma == 0.0 {
            return Duration::from_secs_f64(self.median_s);
        }
        // Box and Muller's transform; 1 - u keeps the logarithm away from zero.
        let (u, v): (f64, f64) = (1.0 - dice.random::<f64>(), dice.random());
        let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
        Duration::from_secs_f64(self.median_s * (self.sigma * normal).exp())
    }
}

/// Recipients with a fixed outcome on simulated providers, for teams' own tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FixedOutcome {
    InvalidRecipient,
    Undelivered,
    Timeout,
    ThrottledOnce,
    FirstUnavailable,
}

impl FixedOutcome {
    pub fn of(recipient: &str) -> Option<Self> {
        Some(match recipient.strip_prefix("+1500555000")? {
            "1" => Self::InvalidRecipient,
            "2" => Self::Undelivered,
            "3" => Self::Timeout,
            "4" => Self::ThrottledOnce,
            "5" => Self::FirstUnavailable,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    #[test]
    fn half_the_latencies_are_below_p50_and_all_but_a_hundredth_below_p99() {
        let mut dice = SmallRng::seed_from_u64(1);
        let latency = Latency::new(Duration::from_millis(80), Duration::from_millis(400));
        let drawn: Vec<_> = (0..20_000).map(|_| latency.draw(&mut dice)).collect();
        let below = |ms| drawn.iter().filter(|drawn| **drawn < Duration::from_millis(ms)).count();
        assert!((9_700..10_300).contains(&below(80)), "{}", below(80));
        assert!((19_750..19_850).contains(&below(400)), "{}", below(400));
    }

    #[test]
    fn without_a_spread_every_call_takes_the_same_time() {
        let mut dice = SmallRng::seed_from_u64(1);
        assert_eq!(Latency::new(Duration::ZERO, Duration::ZERO).draw(&mut dice), Duration::ZERO);
        assert_eq!(Latency::new(Duration::from_millis(50), Duration::ZERO).draw(&mut dice), Duration::from_millis(50));
    }

    #[test]
    fn only_the_five_documented_numbers_are_fixed() {
        assert_eq!(FixedOutcome::of("+15005550003"), Some(FixedOutcome::Timeout));
        assert_eq!(FixedOutcome::of("+15005550006"), None);
        assert_eq!(FixedOutcome::of("+150055500033"), None);
        assert_eq!(FixedOutcome::of("+8613800138000"), None);
    }
}
