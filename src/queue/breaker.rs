//! Not asking what does not answer: after a failure everybody knows at once, until whoever watches it says that it answers.

use std::sync::{Mutex, PoisonError};

use tidings_core::time::Moment;

/// Whether something answered last.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<Option<Moment>>);

impl Breaker {
    pub fn answered(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub fn failed(&self, now: Moment) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(now);
    }

    /// Since when it has been away.
    pub fn away_since(&self) -> Option<Moment> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_away(&self) -> bool {
        self.away_since().is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_failed_is_away_since_it_failed_first_until_it_answers() {
        let at = |ms| Moment::from_start(Duration::from_millis(ms));
        let breaker = Breaker::default();
        assert!(!breaker.is_away());
        breaker.failed(at(10));
        breaker.failed(at(600));
        assert_eq!(breaker.away_since(), Some(at(10)));
        breaker.answered();
        assert!(!breaker.is_away());
    }
}
