//! Latencies on a logarithmic grid: a hundred bins, each 13 % wider than the one before, from half a millisecond to 100 s.
//!
//! Everything that judges latency works on bins, own calls and other processes' alike, so that a summary of counts says the
//! same as the calls themselves. Half a bin is 6 %, far below the spread of any provider.

use std::time::Duration;

/// How many bins there are.
pub const BINS: usize = 100;
const RATIO: f64 = 1.13;
const FIRST_S: f64 = 0.000_5;

/// The natural logarithm of the ratio of neighbouring bins.
pub fn step() -> f64 {
    RATIO.ln()
}

/// The place of a duration on the grid, in bins; 0 and below is the first.
pub fn position(latency_s: f64) -> f64 {
    (latency_s.max(1e-9) / FIRST_S).ln() / step()
}

/// The bin of a duration.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the bins")]
pub fn bin(latency: Duration) -> u8 {
    position(latency.as_secs_f64()).clamp(0.0, (BINS - 1) as f64) as u8
}

/// The natural logarithm of the seconds in the middle of a bin.
pub fn middle_ln(bin: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a hundred bins")]
    let middle = bin as f64 + 0.5;
    FIRST_S.ln() + middle * step()
}

/// Seconds at the lower edge of a bin.
pub fn edge_s(bin: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a hundred bins")]
    let bin = bin as f64;
    FIRST_S * (bin * step()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bin_holds_what_lies_between_its_edges() {
        for millis in [1, 20, 120, 999, 1_001, 30_000] {
            let latency = Duration::from_millis(millis);
            let at = usize::from(bin(latency));
            assert!(edge_s(at) <= latency.as_secs_f64() && latency.as_secs_f64() < edge_s(at + 1), "{millis}");
        }
        assert_eq!((bin(Duration::ZERO), bin(Duration::from_secs(10_000))), (0, 99));
    }
}
