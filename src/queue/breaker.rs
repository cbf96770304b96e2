//! Not asking again and again what does not answer: after a failure one caller in a while tries, the others know at once.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tidings_core::time::Moment;

/// Between two tries while it is away.
const PAUSE: Duration = Duration::from_millis(500);

/// Whether something answered last.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<Option<State>>);

#[derive(Debug)]
struct State {
    since: Moment,
    next_try: Moment,
}

impl Breaker {
    /// Whether to ask now: always while it answers, else once in a while.
    pub fn allows(&self, now: Moment) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            None => true,
            Some(away) if now >= away.next_try => {
                away.next_try = now + PAUSE;
                true
            }
            Some(_) => false,
        }
    }

    pub fn answered(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub fn failed(&self, now: Moment) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = state.as_ref().map_or(now, |away| away.since);
        *state = Some(State { since, next_try: now + PAUSE });
    }

    /// Since when it has been away.
    pub fn away_since(&self) -> Option<Moment> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|away| away.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_away_is_asked_once_in_a_while_until_it_answers() {
        let at = |ms| Moment::from_start(Duration::from_millis(ms));
        let breaker = Breaker::default();
        assert!(breaker.allows(at(0)));
        breaker.failed(at(10));
        assert!(!breaker.allows(at(20)));
        assert!(breaker.allows(at(510)));
        assert!(!breaker.allows(at(520)), "one tries, the others wait");
        breaker.failed(at(600));
        assert_eq!(breaker.away_since(), Some(at(10)));
        breaker.answered();
        assert!(breaker.allows(at(601)) && breaker.away_since().is_none());
    }
}
