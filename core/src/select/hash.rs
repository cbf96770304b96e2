//! Weighted rendezvous hashing: each provider draws a number from the recipient's hash, the best draw wins.
//!
//! When a provider's weight changes or it leaves, only its own recipients move, and they spread over all the others: what a
//! hash ring needs hundreds of points for (Thaler and Ravishankar 1998; weights as in Schindelhauer and Schomaker 2005).

use super::Candidate;
use crate::dice::{Dice, mix};

pub fn pick(candidates: &[Candidate], key: u64) -> usize {
    let draw = |it: &Candidate| {
        let uniform = 1.0 - Dice::new(mix(key) ^ mix(it.place as u64 + 1)).unit();
        -uniform.ln() / it.weight.max(f64::MIN_POSITIVE)
    };
    candidates.iter().min_by(|a, b| draw(a).total_cmp(&draw(b))).map_or(0, |it| it.place)
}
