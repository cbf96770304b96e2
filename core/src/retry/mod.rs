//! What to do after an attempt: a pure fold over what happened to one message.
//!
//! A [`Course`] remembers what the rules need (attempts that count, who was tried in this round, who will never take this
//! message, whether it may already be out there) and answers with a [`Decision`]. It holds no clock and no message, can be
//! rebuilt from stored attempts after a crash, and production and simulator run the same one.
//!
//! The rules: `accepted` ends it. A recipient that nobody can reach ends it as failed. Content or account refused: the next
//! provider, and after the last one failed. Known not sent: the next provider at once. Ambiguous: the next provider only
//! where a duplicate is better than a gap (otp), else `unknown`, which a receipt may still resolve. Throttled: the next
//! provider, and no attempt was used. When everybody was tried, a new round starts after a full-jitter backoff, paid from
//! the [`Budgets`] of its app and its provider so that retries never become a storm. Ten attempts at most, nothing past expiry.

mod backoff;
mod budget;
mod budgets;
mod set;

use std::time::Duration;

use smallvec::SmallVec;

pub use self::{
    backoff::full_jitter,
    budget::{Budget, BudgetSettings},
    budgets::{Budgets, Payment},
    set::ProviderSet,
};
use crate::{
    attempt::{MAX_ATTEMPTS, Outcome},
    dice::Dice,
    message::{Category, Status},
    time::Moment,
};

/// What a round costs more when the retry budget is empty.
const WITHOUT_TOKEN: Duration = Duration::from_secs(1);

/// What happens to the message now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is out: `submitted`.
    Done(Status),
    /// Another provider, at once.
    NextProvider,
    /// Everybody was tried: all of them again, but not before.
    RetryAt(Moment),
    /// It may have been sent and must not be sent again blindly: `unknown`.
    Unknown,
    /// It ends without having been sent: `failed` or `expired`.
    GiveUp(Status),
}

/// How far one message has come.
#[derive(Clone, Debug)]
pub struct Course {
    category: Category,
    expires_at: Moment,
    candidates: ProviderSet,
    tried: ProviderSet,
    refused: ProviderSet,
    last: Option<usize>,
    attempts: u32,
    rounds: u32,
    ambiguous: bool,
}

impl Course {
    /// A message that nobody has seen, and who may see it.
    pub fn new(category: Category, expires_at: Moment, candidates: impl IntoIterator<Item = usize>) -> Self {
        Self {
            category,
            expires_at,
            candidates: candidates.into_iter().collect(),
            tried: ProviderSet::EMPTY,
            refused: ProviderSet::EMPTY,
            last: None,
            attempts: 0,
            rounds: 0,
            ambiguous: false,
        }
    }

    /// Continues after the attempts that are on record; a provider that is no longer a candidate is `None`.
    ///
    /// A new round begins, because time has passed since; who refused the text or has no account stays out. As many rounds
    /// are behind it as the provider tried most often was tried, so that the backoff goes on where it was.
    #[must_use]
    pub fn resumed(mut self, attempts: impl IntoIterator<Item = (Option<usize>, Outcome)>) -> Self {
        let mut times: SmallVec<[(usize, u32); 8]> = SmallVec::new();
        for (provider, outcome) in attempts {
            self.count(provider, outcome);
            let Some(provider) = provider else { continue };
            match times.iter_mut().find(|(place, _)| *place == provider) {
                Some((_, count)) => *count += 1,
                None => times.push((provider, 1)),
            }
        }
        self.rounds = times.iter().map(|(_, count)| *count).max().unwrap_or(0);
        self.tried = ProviderSet::EMPTY;
        self
    }

    /// Goes on under another routing revision; `to` says where each provider has its place there, if it still has.
    #[must_use]
    pub fn moved(self, candidates: impl IntoIterator<Item = usize>, to: impl Fn(usize) -> Option<usize>) -> Self {
        let place = |set: ProviderSet| set.places().filter_map(&to).collect();
        Self { candidates: candidates.into_iter().collect(), tried: place(self.tried), refused: place(self.refused), ..self }
    }

    /// Whom not to choose: tried in this round, or known to refuse this message.
    pub const fn excluded(&self) -> ProviderSet {
        self.tried.union(self.refused)
    }

    /// Attempts that count.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Who was tried last, if it is still a candidate.
    pub const fn last_tried(&self) -> Option<usize> {
        self.last
    }

    /// Backoffs so far.
    pub const fn rounds(&self) -> u32 {
        self.rounds
    }

    /// Whether one attempt may have reached the provider's network without our knowing.
    pub const fn may_have_been_sent(&self) -> bool {
        self.ambiguous
    }

    pub const fn expires_at(&self) -> Moment {
        self.expires_at
    }

    /// An attempt ended at `now`.
    pub fn ended(&mut self, now: Moment, provider: usize, outcome: Outcome) -> Decision {
        self.count(Some(provider), outcome);
        match outcome {
            Outcome::Accepted => Decision::Done(Status::Submitted),
            Outcome::RejectedRecipient => self.without_success(Status::Failed),
            Outcome::Ambiguous if !self.category.allows_duplicates() => Decision::Unknown,
            _ if self.attempts >= MAX_ATTEMPTS || self.candidates.minus(self.refused).is_empty() => self.without_success(Status::Failed),
            _ if now >= self.expires_at => self.without_success(Status::Expired),
            _ => Decision::NextProvider,
        }
    }

    /// The call hangs at a provider that is out, and another may be tried meanwhile: counts as an ambiguous attempt.
    pub fn left(&mut self, now: Moment, provider: usize) -> Decision {
        self.ended(now, provider, Outcome::Ambiguous)
    }

    /// Everybody who may be chosen was tried: when the next round begins. `pay` is asked once, if there is a next round, and
    /// says whether a retry budget pays for it; without, it begins a second later.
    pub fn exhausted(&mut self, now: Moment, pay: impl FnOnce() -> bool, dice: &mut Dice) -> Decision {
        if self.candidates.minus(self.refused).is_empty() {
            return self.without_success(Status::Failed);
        }
        self.rounds += 1;
        self.tried = ProviderSet::EMPTY;
        let mut pause = full_jitter(self.rounds, dice);
        if !pay() {
            pause += WITHOUT_TOKEN;
        }
        let at = now + pause;
        if at >= self.expires_at { self.expired() } else { Decision::RetryAt(at) }
    }

    /// The message's time is over without a clear end.
    pub const fn expired(&self) -> Decision {
        self.without_success(Status::Expired)
    }

    /// Nobody may take it: no route, or none that is cheap enough.
    pub const fn without_candidate(&self) -> Decision {
        self.without_success(Status::Failed)
    }

    const fn without_success(&self, status: Status) -> Decision {
        if self.ambiguous { Decision::Unknown } else { Decision::GiveUp(status) }
    }

    fn count(&mut self, provider: Option<usize>, outcome: Outcome) {
        self.ambiguous |= outcome == Outcome::Ambiguous;
        self.attempts += u32::from(outcome != Outcome::Throttled);
        let Some(provider) = provider else { return };
        self.last = Some(provider);
        self.tried.insert(provider);
        if matches!(outcome, Outcome::RejectedContent | Outcome::RejectedAccount) {
            self.refused.insert(provider);
        }
    }
}

#[cfg(test)]
mod tests;
