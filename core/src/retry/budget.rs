//! A bound on retries as a share of first tries: a storm needs more tokens than quiet traffic deposits.
//!
//! The idea is Finagle's `RetryBudget`, known from tower and linkerd2-proxy. First tries deposit a fraction of a token, time
//! deposits a little so that low traffic may retry at all, and the balance is capped so that a quiet night does not buy a storm.

use crate::time::Moment;

/// How a budget fills. Validated: nothing in it is negative, and it can hold a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetSettings {
    per_message: f64,
    per_s: f64,
    most: f64,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a retry budget needs shares and rates of at least 0 and room for one token")]
pub struct InvalidBudget;

impl BudgetSettings {
    /// `per_message` tokens for each first try and `per_s` each second, up to `most`.
    pub fn new(per_message: f64, per_s: f64, most: f64) -> Result<Self, InvalidBudget> {
        let valid = per_message >= 0.0 && per_s >= 0.0 && most >= 1.0 && (per_message + per_s + most).is_finite();
        if valid { Ok(Self { per_message, per_s, most }) } else { Err(InvalidBudget) }
    }

    /// Tokens that can be saved up.
    pub const fn most(&self) -> f64 {
        self.most
    }
}

impl Default for BudgetSettings {
    /// A fifth of first tries and ten a second, at most a hundred saved up.
    fn default() -> Self {
        Self { per_message: 0.2, per_s: 10.0, most: 100.0 }
    }
}

/// Tokens that retries take.
#[derive(Clone, Debug)]
pub struct Budget {
    settings: BudgetSettings,
    tokens: f64,
    filled_at: Moment,
}

impl Budget {
    /// A full budget.
    pub const fn new(settings: BudgetSettings, now: Moment) -> Self {
        Self { tokens: settings.most, settings, filled_at: now }
    }

    /// A message is tried for the first time.
    pub fn deposit(&mut self) {
        self.tokens = (self.tokens + self.settings.per_message).min(self.settings.most);
    }

    /// Takes a token if there is one.
    pub fn withdraw(&mut self, now: Moment) -> bool {
        self.tokens = self.balance_at(now);
        self.filled_at = self.filled_at.max(now);
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }

    /// Whether there is a token to take now.
    pub fn affords(&self, now: Moment) -> bool {
        self.balance_at(now) >= 1.0
    }

    /// Whether nothing more can be saved up.
    pub fn is_full(&self, now: Moment) -> bool {
        self.balance_at(now) >= self.settings.most
    }

    /// Tokens at `now`, never negative.
    pub fn balance_at(&self, now: Moment) -> f64 {
        let passed = now.since(self.filled_at).as_secs_f64();
        (self.tokens + passed * self.settings.per_s).min(self.settings.most)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_balance_is_never_negative_and_never_above_the_cap(steps in prop::collection::vec((0_u64..2_000, any::<bool>()), 0..300)) {
            // Poor enough to be empty now and then.
            let settings = BudgetSettings::new(0.2, 0.3, 3.0).unwrap();
            let mut budget = Budget::new(settings, Moment::ZERO);
            let mut now = Moment::ZERO;
            for (millis, retry) in steps {
                now = now + Duration::from_millis(millis);
                if retry { budget.withdraw(now); } else { budget.deposit(); }
                prop_assert!((0.0..=settings.most()).contains(&budget.balance_at(now)));
            }
        }
    }

    #[test]
    fn a_storm_gets_a_fifth_of_first_tries_and_ten_a_second() {
        let mut budget = Budget::new(BudgetSettings::default(), Moment::ZERO);
        let mut granted = 0;
        for call in 0..10_000_u64 {
            budget.deposit();
            granted += u32::from(budget.withdraw(Moment::from_start(Duration::from_millis(call))));
        }
        assert!((2_190..=2_210).contains(&granted), "100 saved, 2,000 for 10,000 messages, 100 for ten seconds: {granted}");
    }

    #[test]
    fn a_budget_that_could_never_pay_is_refused() {
        assert_eq!(BudgetSettings::new(0.1, 0.0, 0.5), Err(InvalidBudget));
        assert_eq!(BudgetSettings::new(f64::NAN, 0.0, 5.0), Err(InvalidBudget));
        assert!(BudgetSettings::new(0.2, 10.0, 100.0).is_ok());
    }
}
