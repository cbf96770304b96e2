//! Randomness as an argument: a small generator whose stream is the same on every platform and in every release.
//!
//! Failover decides with it (jitter, probes, ties) and the simulator replays with it, "same seed, same bytes", so the
//! algorithm must never change under us; SplitMix64 (Steele, Lea, Flood 2014) is ten lines and passes `BigCrush`. It guards
//! no secret: ids and keys draw theirs from the operating system.

/// SplitMix64's increment: the odd number nearest to 2⁶⁴ divided by the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A seeded stream of random numbers.
#[derive(Clone, Debug)]
pub struct Dice(u64);

/// Mixes a number so that neighbours have nothing in common: SplitMix64's finaliser.
pub const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(mix(seed ^ GOLDEN))
    }

    /// A stream of its own for `key`: what one consumer draws never shifts what another sees.
    #[must_use]
    pub const fn fork(&self, key: u64) -> Self {
        Self::new(self.0 ^ mix(key.wrapping_add(GOLDEN)))
    }

    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// Uniform in `[0, 1)`.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64 exactly")]
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `low..high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// True with probability `share`.
    pub fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && self.unit() < share
    }

    /// Uniform in `0..count`; zero for `count` 0.
    #[expect(clippy::cast_possible_truncation, reason = "the product's high half is below count, a usize")]
    pub const fn below(&mut self, count: usize) -> usize {
        ((self.next_u64() as u128 * count as u128) >> 64) as usize
    }

    /// A standard normal number (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// The waiting time to the next event of a Poisson process with `rate` events a second, in seconds.
    pub fn exponential(&mut self, rate: f64) -> f64 {
        -(1.0 - self.unit()).ln() / rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_never_changes() {
        let mut dice = Dice::new(7);
        assert_eq!([dice.next_u64(), dice.next_u64()], [9_048_807_721_209_015_062, 8_458_937_671_082_192_852]);
    }

    #[test]
    fn draws_have_the_mean_that_they_should() {
        let mut dice = Dice::new(1);
        let mean = |draw: &mut dyn FnMut() -> f64| (0..20_000).map(|_| draw()).sum::<f64>() / 20_000.0;
        assert!((mean(&mut || dice.unit()) - 0.5).abs() < 0.01);
        assert!(mean(&mut || dice.normal()).abs() < 0.03);
        assert!((mean(&mut || dice.exponential(4.0)) - 0.25).abs() < 0.01);
        #[expect(clippy::cast_precision_loss, reason = "below five")]
        let below = mean(&mut || dice.below(5) as f64);
        assert!((below - 2.0).abs() < 0.05);
    }
}
