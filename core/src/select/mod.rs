//! Which of the providers that may take a message gets it.
//!
//! [`Selector::pick`] sees only candidates that health and limits allow, each with its *effective* weight (configured weight
//! × score × ramp). Kinds that look at weights use it as it is. Kinds that do not (turns, first in the list, cheapest …)
//! take a provider below full health only as often as its factor says, so that a sick or returning one is spared by every
//! kind alike. All are O(candidates) without allocation.

mod fastest;
mod hash;
mod weighted;

use smallvec::SmallVec;

use self::weighted::SmoothWeighted;
use crate::{dice::Dice, message::words, money::Amount};

words! {
    /// How a route chooses among its providers.
    Select {
        /// Smooth weighted round robin over score × weight.
        Weighted = "weighted",
        /// Everyone in turn.
        RoundRobin = "round_robin",
        /// By chance, in proportion to score × weight.
        Random = "random",
        /// The same recipient to the same provider, as far as weights and health allow.
        ConsistentHash = "consistent_hash",
        /// The one with the fewest calls out for its weight.
        LeastInFlight = "least_in_flight",
        /// The quicker of two drawn by chance: peak EWMA of latency × calls out.
        Fastest = "fastest",
        /// The first healthy one of the list.
        Priority = "priority",
        /// The cheapest healthy one.
        Cheapest = "cheapest",
    }
}

/// A provider that may be chosen now.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Its place in the fleet.
    pub place: usize,
    /// Configured weight × factor.
    pub weight: f64,
    /// 0–1: how much of its usual traffic its health allows.
    pub factor: f64,
    pub in_flight: u32,
    /// Peak EWMA of its latency, in seconds.
    pub latency_s: f64,
    pub price: Amount,
}

/// Candidates of one choice; more than eight spill to the heap.
pub type Candidates = SmallVec<[Candidate; 8]>;

/// What the kinds remember from one choice to the next.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    weighted: SmoothWeighted,
    last: Option<usize>,
}

impl Selector {
    /// Picks one of `candidates`, which are in the order of the route; `None` only if there are none.
    pub fn pick(&mut self, select: Select, candidates: &[Candidate], key: u64, dice: &mut Dice) -> Option<usize> {
        match candidates {
            [] => None,
            [only] => Some(only.place),
            _ => Some(self.pick_among(select, candidates, key, dice)),
        }
    }

    fn pick_among(&mut self, select: Select, candidates: &[Candidate], key: u64, dice: &mut Dice) -> usize {
        match select {
            Select::Weighted => self.weighted.pick(candidates),
            Select::Random => at_random(candidates, dice),
            Select::ConsistentHash => hash::pick(candidates, key),
            Select::RoundRobin => self.next_in_turn(&thinned(candidates, dice)),
            Select::LeastInFlight => {
                self.best_by(&thinned(candidates, dice), |it| f64::from(it.in_flight) / it.weight.max(f64::MIN_POSITIVE))
            }
            Select::Fastest => fastest::pick(&thinned(candidates, dice), dice),
            Select::Priority => thinned(candidates, dice)[0].place,
            #[expect(clippy::cast_precision_loss, reason = "prices are far below 2^52 micros")]
            Select::Cheapest => self.best_by(&thinned(candidates, dice), |it| it.price.as_micros() as f64),
        }
    }

    /// The next after the last one, in the order of the list.
    fn next_in_turn(&mut self, candidates: &[Candidate]) -> usize {
        let after = self.last.and_then(|last| candidates.iter().position(|it| it.place == last)).map_or(0, |at| at + 1);
        let place = candidates[after % candidates.len()].place;
        self.last = Some(place);
        place
    }

    /// The least of a measure; equals share by weight.
    fn best_by(&mut self, candidates: &[Candidate], measure: impl Fn(&Candidate) -> f64) -> usize {
        let least = candidates.iter().map(&measure).fold(f64::INFINITY, f64::min);
        let equals: Candidates = candidates.iter().filter(|it| measure(it) <= least).copied().collect();
        self.weighted.pick(&equals)
    }
}

/// Leaves out each candidate with the probability that its factor lacks; all of them stay rather than none.
fn thinned(candidates: &[Candidate], dice: &mut Dice) -> Candidates {
    let left: Candidates = candidates.iter().filter(|it| it.factor >= 1.0 || dice.happens(it.factor)).copied().collect();
    if left.is_empty() { candidates.iter().copied().collect() } else { left }
}

fn at_random(candidates: &[Candidate], dice: &mut Dice) -> usize {
    let mut left = candidates.iter().map(|it| it.weight).sum::<f64>() * dice.unit();
    for candidate in candidates {
        left -= candidate.weight;
        if left < 0.0 {
            return candidate.place;
        }
    }
    candidates[candidates.len() - 1].place
}

#[cfg(test)]
mod tests;
