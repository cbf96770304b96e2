//! Smooth weighted round robin, as nginx does it: weights 5, 1, 1 give a a b a c a a, never five in a row.
//!
//! Each choice adds every candidate's weight to its credit, takes the one with the most and charges it the sum. Credits of
//! providers that are not candidates stand still, so a provider that comes back neither owes nor is owed anything.

use super::Candidate;

/// Credits by place in the fleet.
#[derive(Clone, Debug, Default)]
pub struct SmoothWeighted {
    credits: Vec<f64>,
}

impl SmoothWeighted {
    /// Picks one of at least one candidate.
    pub fn pick(&mut self, candidates: &[Candidate]) -> usize {
        let mut total = 0.0;
        let mut best: Option<usize> = None;
        for candidate in candidates {
            if self.credits.len() <= candidate.place {
                self.credits.resize(candidate.place + 1, 0.0);
            }
            total += candidate.weight;
            self.credits[candidate.place] += candidate.weight;
            if best.is_none_or(|best| self.credits[candidate.place] > self.credits[best]) {
                best = Some(candidate.place);
            }
        }
        let place = best.unwrap_or(0);
        self.credits[place] = (self.credits[place] - total).clamp(-total, total);
        place
    }
}
