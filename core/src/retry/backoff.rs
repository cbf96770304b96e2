//! Exponential backoff with full jitter: uniform between nothing and a bound that doubles.
//!
//! Full jitter spreads a crowd of messages that failed together over the whole interval (Brooker, "Exponential Backoff And
//! Jitter", AWS Architecture Blog 2015).

use std::time::Duration;

use crate::dice::Dice;

const BASE: Duration = Duration::from_millis(500);
const MOST: Duration = Duration::from_secs(30);

/// The pause before backoff round `round`, counted from 1: uniform in [0, min(30 s, 0.5 s · 2^round)).
pub fn full_jitter(round: u32, dice: &mut Dice) -> Duration {
    bound(round).mul_f64(dice.unit())
}

/// The longest that the pause can be.
fn bound(round: u32) -> Duration {
    BASE.saturating_mul(1_u32.checked_shl(round).unwrap_or(u32::MAX)).min(MOST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_bound_never_shrinks_and_the_pause_stays_below_it(round in 0_u32..100, seed: u64) {
            prop_assert!(bound(round) <= bound(round + 1));
            prop_assert!(bound(round) <= MOST);
            prop_assert!(full_jitter(round, &mut Dice::new(seed)) < bound(round));
        }
    }

    #[test]
    fn the_first_bounds_are_one_two_and_four_seconds() {
        assert_eq!([1, 2, 3, 6].map(|round| bound(round).as_secs()), [1, 2, 4, 30]);
    }
}
