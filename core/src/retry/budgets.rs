//! Who pays for a new round: the app whose message it is, and the provider by whom it failed last.
//!
//! One budget for everybody would let a single app with bad luck use up what the others need, and would let a provider that
//! fails be asked again by the whole platform at once. So each app and each provider has a [`Budget`] of its own, filled by its
//! own first tries. Both must have a token, and both or neither pays: a refusal by one takes nothing from the other.
//!
//! A payer that nobody remembers has a full budget, so that only those are kept that have paid lately, and a thousand quiet
//! apps cost nothing.

use std::{collections::HashMap, hash::Hash};

use super::{Budget, BudgetSettings};
use crate::time::Moment;

/// Payers that are remembered before those with a full budget are forgotten.
const FORGET_FULL_FROM: usize = 256;

/// Whether a round was paid for, and by whom not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payment {
    Paid,
    /// The app's messages were tried again too often, for its first tries.
    AppRefused,
    /// The provider was asked again too often, for its first tries.
    ProviderRefused,
}

/// The budgets of apps (`A`) and providers, the latter by place.
#[derive(Clone, Debug)]
pub struct Budgets<A> {
    settings: BudgetSettings,
    apps: HashMap<A, Budget>,
    providers: HashMap<usize, Budget>,
}

impl<A: Copy + Eq + Hash> Budgets<A> {
    /// Full ones for everybody.
    pub fn new(settings: BudgetSettings) -> Self {
        Self { settings, apps: HashMap::new(), providers: HashMap::new() }
    }

    /// A message of this app is tried for the first time, at this provider.
    pub fn first_try(&mut self, app: A, provider: usize) {
        self.apps.get_mut(&app).into_iter().chain(self.providers.get_mut(&provider)).for_each(Budget::deposit);
    }

    /// A message of `app` starts another round; `provider` was the last that it failed by.
    pub fn pay(&mut self, now: Moment, app: A, provider: Option<usize>) -> Payment {
        let full = Budget::new(self.settings, now);
        forget_full(&mut self.apps, now);
        let of_app = self.apps.entry(app).or_insert_with(|| full.clone());
        if !of_app.affords(now) {
            return Payment::AppRefused;
        }
        if let Some(provider) = provider {
            let of_provider = self.providers.entry(provider).or_insert(full);
            if !of_provider.withdraw(now) {
                return Payment::ProviderRefused;
            }
        }
        of_app.withdraw(now);
        Payment::Paid
    }

    /// Tokens that a provider has left.
    pub fn left_of_provider(&self, now: Moment, provider: usize) -> f64 {
        self.providers.get(&provider).map_or(self.settings.most(), |budget| budget.balance_at(now))
    }

    /// Tokens that the app has left which has least.
    pub fn left_of_poorest_app(&self, now: Moment) -> f64 {
        self.apps.values().map(|budget| budget.balance_at(now)).fold(self.settings.most(), f64::min)
    }

    /// Providers have got other places; `to(place)` is where one is now.
    pub fn move_providers(&mut self, to: impl Fn(usize) -> Option<usize>) {
        self.providers = std::mem::take(&mut self.providers).into_iter().filter_map(|(from, budget)| Some((to(from)?, budget))).collect();
    }
}

fn forget_full<A: Eq + Hash>(budgets: &mut HashMap<A, Budget>, now: Moment) {
    if budgets.len() >= FORGET_FULL_FROM && budgets.len().is_power_of_two() {
        budgets.retain(|_, budget| !budget.is_full(now));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const ONE_IN_FIVE: (f64, f64, f64) = (0.2, 0.0, 5.0);

    fn budgets() -> Budgets<u32> {
        let (per_message, per_s, most) = ONE_IN_FIVE;
        Budgets::new(BudgetSettings::new(per_message, per_s, most).unwrap())
    }

    #[test]
    fn an_app_that_fails_spends_its_own_budget_only() {
        let mut budgets = budgets();
        (0..5).for_each(|_| assert_eq!(budgets.pay(Moment::ZERO, 1, None), Payment::Paid));
        assert_eq!(budgets.pay(Moment::ZERO, 1, None), Payment::AppRefused);
        assert_eq!(budgets.pay(Moment::ZERO, 2, None), Payment::Paid);
        (0..5).for_each(|_| budgets.first_try(1, 0));
        assert_eq!(budgets.pay(Moment::ZERO, 1, None), Payment::Paid, "five first tries are worth one retry");
    }

    #[test]
    fn a_provider_that_fails_many_apps_is_asked_again_within_its_own_budget() {
        let mut budgets = budgets();
        (0..5).for_each(|app| assert_eq!(budgets.pay(Moment::ZERO, app, Some(7)), Payment::Paid));
        assert_eq!(budgets.pay(Moment::ZERO, 9, Some(7)), Payment::ProviderRefused);
        assert_eq!(budgets.pay(Moment::ZERO, 9, Some(8)), Payment::Paid, "another provider is not to blame");
        budgets.move_providers(|place| (place == 7).then_some(0));
        assert!(budgets.left_of_provider(Moment::ZERO, 0) < 1.0 && budgets.left_of_provider(Moment::ZERO, 7) > 4.0);
    }

    #[test]
    fn who_has_a_full_budget_again_is_forgotten() {
        let settings = BudgetSettings::new(0.2, 10.0, 5.0).unwrap();
        let mut budgets = Budgets::new(settings);
        for app in 0..10_000_u32 {
            budgets.pay(Moment::from_start(Duration::from_secs(u64::from(app))), app, None);
        }
        assert!(budgets.apps.len() <= 2 * FORGET_FULL_FROM, "{}", budgets.apps.len());
    }

    proptest! {
        /// Whoever pays: no balance is ever negative or above the most, and nobody gets more than was saved and deposited.
        #[test]
        fn no_budget_is_ever_negative_or_overdrawn(
            steps in prop::collection::vec((0_u64..500, 0_u32..3, 0_usize..3, any::<bool>()), 0..400),
        ) {
            // Poor enough to be empty now and then.
            let settings = BudgetSettings::new(0.2, 0.5, 3.0).unwrap();
            let mut budgets = Budgets::new(settings);
            let mut now = Moment::ZERO;
            let (mut tries, mut paid) = ([0_u32; 3], [0_u32; 3]);
            for (millis, app, provider, retries) in steps {
                now = now + Duration::from_millis(millis);
                if retries {
                    let before = (budgets.left_of_poorest_app(now), budgets.left_of_provider(now, provider));
                    match budgets.pay(now, app, Some(provider)) {
                        Payment::Paid => paid[provider] += 1,
                        Payment::AppRefused | Payment::ProviderRefused => {
                            let after = (budgets.left_of_poorest_app(now), budgets.left_of_provider(now, provider));
                            prop_assert_eq!(before, after, "a refusal takes nothing");
                        }
                    }
                } else {
                    budgets.first_try(app, provider);
                    tries[provider] += 1;
                }
                prop_assert!((0.0..=settings.most()).contains(&budgets.left_of_poorest_app(now)));
                for place in 0..3 {
                    prop_assert!((0.0..=settings.most()).contains(&budgets.left_of_provider(now, place)));
                    let earned = settings.most() + 0.2 * f64::from(tries[place]) + 0.5 * now.as_secs_f64();
                    prop_assert!(f64::from(paid[place]) <= earned + 1e-6);
                }
            }
        }
    }
}
