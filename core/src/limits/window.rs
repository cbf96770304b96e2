//! At most so many segments in any second: an exact sliding log.
//!
//! Each call holds its segments for one second, so the sum over any second is bounded by construction and a saturated
//! window passes exactly its rate. A fraction of a segment per second stretches the second: 0.5/s is one segment in two
//! seconds, 20.8/s are 21 in 1.01 s. A call larger than the whole window may go when the window is empty and then holds it as long as it
//! has overdrawn: "at most one call above". Memory is bounded because calls within a tenth of a millisecond share an entry.

use std::{collections::VecDeque, time::Duration};

use crate::time::Moment;

/// Calls this close together share an entry; at any rate the log has at most ten thousand entries a second.
const GRAIN: Duration = Duration::from_micros(100);
/// Below this rate a window is shut; asking again after a second is soon enough to see a new grant.
const LEAST_PER_S: f64 = 0.001;
const SECOND: Duration = Duration::from_secs(1);

/// A sliding window over the segments of the last second.
#[derive(Clone, Debug)]
pub struct Window {
    per_s: f64,
    /// How many segments fit, and how long each holds its place.
    fits: u32,
    holds: Duration,
    used: u64,
    log: VecDeque<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    first: Moment,
    frees_at: Moment,
    segments: u32,
}

impl Window {
    /// A window of `per_s` segments a second; infinite = no limit.
    pub fn new(per_s: f64) -> Self {
        let mut window = Self { per_s: f64::NAN, fits: 0, holds: SECOND, used: 0, log: VecDeque::new() };
        window.set_rate(per_s);
        window
    }

    pub const fn rate(&self) -> f64 {
        self.per_s
    }

    /// Changes the rate for calls to come; those that were taken hold their places.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to u32 before the cast")]
    pub fn set_rate(&mut self, per_s: f64) {
        if per_s.to_bits() == self.per_s.to_bits() {
            return;
        }
        self.per_s = per_s;
        if per_s.is_infinite() {
            (self.fits, self.holds) = (u32::MAX, SECOND);
        } else if per_s >= LEAST_PER_S {
            // Rounded up, so that a place is held for a second at least: were it shorter, a second that began under a fraction and
            // ends under the whole contract would see more than either.
            self.fits = per_s.ceil().clamp(1.0, f64::from(u32::MAX)) as u32;
            self.holds = Duration::from_secs_f64(f64::from(self.fits) / per_s);
        }
    }

    /// Whether nothing may go at all.
    pub const fn is_shut(&self) -> bool {
        self.per_s < LEAST_PER_S
    }

    /// When `segments` may go: `now` if at once.
    pub fn free_at(&mut self, now: Moment, segments: u32) -> Moment {
        if self.per_s.is_infinite() {
            return now;
        }
        if self.is_shut() {
            return now + SECOND;
        }
        self.forget(now);
        let room = u64::from(self.fits.saturating_sub(segments));
        let mut used = self.used;
        let mut at = now;
        for entry in &self.log {
            if used <= room {
                break;
            }
            used -= u64::from(entry.segments);
            at = at.max(entry.frees_at);
        }
        at
    }

    /// Takes the place of a call that goes out now, or at a place in the line a little later; also without a limit, so that one learned a moment later knows of it.
    pub fn take(&mut self, now: Moment, segments: u32) {
        self.forget(now);
        let overdraft = f64::from(segments.max(1)) / f64::from(self.fits.max(1));
        let frees_at = now + self.holds.mul_f64(overdraft.max(1.0));
        self.used += u64::from(segments);
        // Others may have places in the line already that come later.
        let after = self.log.partition_point(|entry| entry.first <= now);
        match after.checked_sub(1).and_then(|last| self.log.get_mut(last)) {
            Some(last) if now.since(last.first) < GRAIN && last.frees_at <= frees_at => {
                last.frees_at = frees_at;
                last.segments += segments;
            }
            _ => self.log.insert(after, Entry { first: now, frees_at, segments }),
        }
    }

    /// A call that took its place at `taken` goes out only now, and holds its place from now on: calls that waited for a slow
    /// disk together must not make room for more behind them.
    pub fn postpone(&mut self, taken: Moment, now: Moment, segments: u32) {
        let at = self.log.partition_point(|entry| entry.first <= taken).checked_sub(1);
        if let Some(entry) = at.and_then(|at| self.log.get_mut(at)).filter(|entry| taken.since(entry.first) < GRAIN) {
            let moved = segments.min(entry.segments);
            entry.segments -= moved;
            self.used -= u64::from(moved);
        }
        self.take(now, segments);
    }

    fn forget(&mut self, now: Moment) {
        while self.log.front().is_some_and(|entry| entry.frees_at <= now) {
            self.used -= self.log.pop_front().map_or(0, |entry| u64::from(entry.segments));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_start(Duration::from_millis(millis))
    }

    #[test]
    fn half_a_segment_per_second_is_one_in_two_seconds() {
        let mut window = Window::new(0.5);
        window.take(at(0), 1);
        assert_eq!(window.free_at(at(1_999), 1), at(2_000));
    }

    /// A learned limit that grows step by step ends in the whole contract; no second on the way sees more than that.
    #[test]
    fn a_rate_that_grows_by_fractions_never_lets_a_second_see_more_than_where_it_ends() {
        let mut window = Window::new(7.3);
        let mut calls: Vec<Moment> = Vec::new();
        for millis in 0..20_000_u32 {
            window.set_rate((7.3 * 1.0002_f64.powf(f64::from(millis))).min(200.0));
            let now = at(u64::from(millis));
            while window.free_at(now, 1) == now {
                window.take(now, 1);
                calls.push(now);
            }
        }
        let mut oldest = 0;
        for (newest, call) in calls.iter().enumerate() {
            while call.since(calls[oldest]) >= SECOND {
                oldest += 1;
            }
            assert!(newest - oldest < 200, "{} calls in the second before {call:?}", newest - oldest + 1);
        }
    }

    #[test]
    fn a_long_message_goes_alone_and_is_paid_for_afterwards() {
        let mut window = Window::new(2.0);
        assert_eq!(window.free_at(at(0), 7), at(0));
        window.take(at(0), 7);
        assert_eq!(window.free_at(at(1), 1), at(3_500));
        assert_eq!(window.free_at(at(3_500), 7), at(3_500));
    }

    #[test]
    fn the_time_it_answers_is_the_first_at_which_there_is_room() {
        let mut window = Window::new(3.0);
        for millis in [0, 100, 200] {
            assert_eq!(window.free_at(at(millis), 1), at(millis));
            window.take(at(millis), 1);
        }
        assert_eq!(window.free_at(at(300), 1), at(1_000));
        assert_eq!(window.free_at(at(300), 2), at(1_100));
    }

    #[test]
    fn calls_that_waited_for_the_disk_together_leave_no_room_for_a_second_full_of_others() {
        let mut window = Window::new(3.0);
        for millis in [0, 100, 200] {
            window.take(at(millis), 1);
        }
        for millis in [0, 100, 200] {
            window.postpone(at(millis), at(900), 1);
        }
        assert_eq!(window.free_at(at(1_000), 1), at(1_900));
        assert_eq!(window.free_at(at(1_900), 3), at(1_900));
        window.take(at(2_000), 1);
        window.postpone(at(2_000), at(4_000), 1);
        assert_eq!(window.free_at(at(4_001), 3), at(5_000), "also if its place was free again meanwhile");
    }

    #[test]
    fn a_shut_window_asks_to_come_back() {
        assert_eq!(Window::new(0.0).free_at(at(5), 1), at(1_005));
    }
}
