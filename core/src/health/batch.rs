//! What calls have come to, counted: one call that just ended here, or all that ended elsewhere since the last summary.

use smallvec::{SmallVec, smallvec};

use super::latency;
use crate::attempt::Outcome;

/// Ended calls by what they say about health. Throttled and abandoned calls are not in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Answers other than failures, by latency bin.
    pub answered: SmallVec<[(u8, u32); 4]>,
    /// Known not to have been processed, or the account does not work.
    pub failed: u32,
    /// Timeouts, resets, unreadable answers.
    pub ambiguous: u32,
}

impl Batch {
    /// The verdict of a single call; `None` if it says nothing about health.
    pub fn of(outcome: Outcome, latency: std::time::Duration) -> Option<Self> {
        match outcome {
            Outcome::Accepted | Outcome::RejectedRecipient | Outcome::RejectedContent => {
                Some(Self { answered: smallvec![(latency::bin(latency), 1)], ..Self::default() })
            }
            Outcome::Unavailable | Outcome::RejectedAccount => Some(Self { failed: 1, ..Self::default() }),
            Outcome::Ambiguous => Some(Self { ambiguous: 1, ..Self::default() }),
            Outcome::Throttled => None,
        }
    }

    pub fn answers(&self) -> u32 {
        self.answered.iter().map(|(_, count)| count).sum()
    }

    pub fn calls(&self) -> u32 {
        self.answers() + self.failed + self.ambiguous
    }

    /// Calls slower than `limit_bin`, timeouts included.
    pub fn slower_than(&self, limit_bin: u8) -> u32 {
        self.ambiguous + self.answered.iter().filter(|(bin, _)| *bin >= limit_bin).map(|(_, count)| count).sum::<u32>()
    }
}
