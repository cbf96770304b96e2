//! Calls at even distances, so that what reaches the provider in a second is what was sent in it.
//!
//! A window alone lets a second's worth out at once: between such bursts the time that a commit or the network takes
//! differs by more than a call's distance, and the provider sees two bursts in one second. Spaced calls shift by less than
//! one place. The line is kept twice: when a call is chosen, a little ahead because it has to be written down first, and
//! again when it departs, by the real time. Below a millisecond distances are the timer's.

use std::time::Duration;

use crate::time::Moment;

/// How far ahead of its place a call is chosen: what writing it down takes on a busy disk.
pub const AHEAD: Duration = Duration::from_millis(50);
/// Calls are chosen at this share of the rate. The rest is what lateness is made up by, and what clocks and wires differ by.
pub const PACE: f64 = 0.996;

/// Where the next call's place is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spacing {
    next: Moment,
}

impl Spacing {
    /// When a call may be chosen: `now` if at once.
    pub fn free_at(&self, now: Moment) -> Moment {
        if self.next <= now + AHEAD { now } else { self.next - AHEAD }
    }

    /// Takes the next place for a call of `segments`, each of which lasts `seconds`.
    pub fn take(&mut self, now: Moment, segments: u32, seconds: f64) -> Moment {
        let place = self.next.max(now);
        self.next = place + Duration::from_secs_f64(f64::from(segments) * seconds);
        place
    }

    /// The next place, from `now` on.
    pub fn next_at(&self, now: Moment) -> Moment {
        self.next.max(now)
    }

    /// The next place is not before this.
    pub fn not_before(&mut self, at: Moment) {
        self.next = self.next.max(at);
    }

    /// The rate changed by this factor: places that are taken move with it.
    pub fn stretch(&mut self, now: Moment, factor: f64) {
        self.next = now + self.next.since(now).mul_f64(factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_start(Duration::from_millis(millis))
    }

    #[test]
    fn places_follow_each_other_at_the_rates_distance() {
        let mut spacing = Spacing::default();
        let places: Vec<Moment> = (0..3).map(|_| spacing.take(at(100), 1, 0.04)).collect();
        assert_eq!(places, [at(100), at(140), at(180)]);
        assert_eq!(spacing.free_at(at(100)), at(170), "chosen a little ahead of its place");
        assert_eq!(spacing.free_at(at(175)), at(175));
        assert_eq!(spacing.take(at(1_000), 2, 0.04), at(1_000), "time that nobody used is gone");
        assert_eq!(spacing.take(at(1_000), 1, 0.04), at(1_080), "two segments take two places");
    }

    #[test]
    fn a_rate_that_doubles_halves_the_way_to_the_next_place() {
        let mut spacing = Spacing::default();
        spacing.take(at(0), 1, 1.0);
        spacing.stretch(at(200), 0.5);
        assert_eq!(spacing.take(at(200), 1, 0.5), at(600));
    }
}
