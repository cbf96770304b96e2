//! Two drawn by chance, the quicker one wins: peak EWMA with the power of two choices, as Finagle and Linkerd balance.
//!
//! The cost of a provider is its peak-sensitive mean latency × the calls that it already has (plus this one). Two draws
//! instead of the best of all keep workers that see the same numbers from rushing to the same provider.

use super::Candidate;
use crate::dice::Dice;

pub fn pick(candidates: &[Candidate], dice: &mut Dice) -> usize {
    let first = dice.below(candidates.len());
    let second = match candidates.len() {
        1 => first,
        count => (first + 1 + dice.below(count - 1)) % count,
    };
    let cost = |it: &Candidate| it.latency_s * (f64::from(it.in_flight) + 1.0);
    if cost(&candidates[second]) < cost(&candidates[first]) { candidates[second].place } else { candidates[first].place }
}
