//! The limit that throttled answers teach.
//!
//! A throttled answer says: in the second before that call you sent more than I take. What was *not* throttled in that
//! second is what the provider takes, so the limit is cut to exactly that, once per burst (calls that were under way
//! when it was cut say nothing new). Then it is held, and later grows to find out whether the provider takes more again.
//! Each time that this is answered by throttling near the old limit, the next try waits longer: a steady limit costs a few
//! throttled calls, not one a second. Growth speeds up as long as it goes well, so a lifted limit is found within seconds.
//! The limit is forgotten once it exceeds twice what was being sent.

use std::time::Duration;

use super::pace::Pace;
use crate::time::Moment;

/// How long a new limit is held before it is tried; doubled each time that the try fails.
const HOLD_FIRST: Duration = Duration::from_secs(5);
const HOLD_MOST: Duration = Duration::from_secs(15);
/// Growth in the first second after the hold; doubles every second up to the most.
const GROWTH_FIRST: f64 = 0.04;
const GROWTH_MOST: f64 = 0.5;
/// A throttled answer within this factor of the limit that held before confirms it.
const CONFIRMS: f64 = 1.3;
/// A limit this far above what is being sent limits nothing.
const FORGET_ABOVE: f64 = 2.0;
/// A `Retry-After` up to this is served by the lower rate; a longer one shuts the provider until then.
const SERVED_BY_RATE: Duration = Duration::from_secs(1);
/// No vendor's `Retry-After` shuts a provider longer than this: then one call finds out.
const SHUT_MOST: Duration = Duration::from_secs(60);

/// What throttled answers have taught about a provider's rate.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    pace: Option<Pace>,
    limit: Option<Limit>,
    blocked_until: Moment,
}

#[derive(Clone, Copy, Debug)]
struct Limit {
    /// What the provider took when it throttled last.
    base: f64,
    cut_at: Moment,
    hold: Duration,
    /// What was being sent when it was learned: beyond, there is nothing to limit.
    sent: f64,
}

impl Limit {
    /// The base while held, then growing ever faster.
    fn at(&self, now: Moment) -> f64 {
        let mut left = now.since(self.cut_at).saturating_sub(self.hold).as_secs_f64();
        let (mut per_s, mut growth) = (self.base, GROWTH_FIRST);
        while left > 0.0 && per_s < self.sent * FORGET_ABOVE {
            per_s *= (1.0 + growth).powf(left.min(1.0));
            left -= 1.0;
            growth = (growth * 2.0).min(GROWTH_MOST);
        }
        per_s
    }
}

impl Learned {
    /// Segments per second that the provider is believed to take; infinite when nothing was learned.
    pub fn per_s(&mut self, now: Moment) -> f64 {
        let Some(limit) = self.limit else { return f64::INFINITY };
        let per_s = limit.at(now);
        if per_s >= limit.sent * FORGET_ABOVE {
            self.limit = None;
            return f64::INFINITY;
        }
        per_s
    }

    /// The provider asked for silence until then.
    pub const fn blocked_until(&self) -> Moment {
        self.blocked_until
    }

    pub fn submitted(&mut self, now: Moment, segments: u32) {
        self.pace.get_or_insert_with(|| Pace::new(now)).add(now, segments);
    }

    /// What was counted at `taken` goes out only now.
    pub fn postponed(&mut self, taken: Moment, now: Moment, segments: u32) {
        if let Some(pace) = &mut self.pace {
            pace.take_back(taken, segments);
            pace.add(now, segments);
        }
    }

    /// A call of `segments` that went out at `started` was throttled. True if that says something new: the provider takes less
    /// than was believed.
    pub fn throttled(&mut self, now: Moment, started: Moment, segments: u32, retry_after: Option<Duration>) -> bool {
        if let Some(pause) = retry_after.filter(|pause| *pause > SERVED_BY_RATE) {
            self.blocked_until = self.blocked_until.max(now + pause.min(SHUT_MOST));
        }
        let Some(pace) = &mut self.pace else { return false };
        pace.take_back(started, segments);
        if self.limit.is_some_and(|limit| started <= limit.cut_at) {
            return false;
        }
        let taken = f64::from(pace.in_second_before(started)).max(1.0);
        let (hold, sent) = match self.limit {
            Some(old) if taken <= old.base * CONFIRMS => ((old.hold * 2).min(HOLD_MOST), old.sent.max(taken)),
            Some(old) => (HOLD_FIRST, old.sent.max(taken)),
            None => (HOLD_FIRST, taken + f64::from(segments)),
        };
        let is_news = self.limit.is_none_or(|old| taken < old.base / CONFIRMS || taken > old.base * CONFIRMS);
        self.limit = Some(Limit { base: taken, cut_at: now, hold, sent });
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_start(Duration::from_millis(millis))
    }

    /// A provider that takes `takes(second)` calls in any second, asked `demand` times a second for `seconds`.
    fn run(demand: u64, seconds: u64, takes: impl Fn(u64) -> usize) -> (Learned, u32) {
        let (mut learned, mut throttled) = (Learned::default(), 0);
        let (mut window, mut taken) = (super::super::Window::new(f64::INFINITY), Vec::<Moment>::new());
        for call in 0..demand * seconds {
            let now = at(call * 1_000 / demand);
            window.set_rate(learned.per_s(now));
            if window.free_at(now, 1) > now {
                continue;
            }
            window.take(now, 1);
            learned.submitted(now, 1);
            let recent = taken.iter().rev().take_while(|at| now.since(**at) < Duration::from_secs(1)).count();
            if recent >= takes(call / demand) {
                throttled += 1;
                learned.throttled(now, now, 1, Some(Duration::from_secs(1)));
            } else {
                taken.push(now);
            }
        }
        (learned, throttled)
    }

    #[test]
    fn a_steady_limit_costs_few_throttled_calls() {
        let (_, throttled) = run(100, 120, |_| 20);
        assert!(throttled <= 25, "{throttled}");
    }

    #[test]
    fn a_lifted_limit_is_found_within_half_a_minute() {
        let (mut learned, _) = run(100, 150, |second| if second < 120 { 20 } else { 1_000 });
        assert!(learned.per_s(at(150_000)) >= 100.0);
    }

    #[test]
    fn a_throttled_answer_without_retry_after_cuts_the_rate_to_what_was_taken_and_lets_it_recover() {
        let mut learned = Learned::default();
        (0..30).for_each(|call| learned.submitted(at(call * 20), 1));
        // The last ten were too many.
        let news = (20..30).filter(|call| learned.throttled(at(700), at(call * 20), 1, None)).count();
        assert_eq!(news, 1, "ten answers, one lesson");
        assert!((learned.per_s(at(700)) - 20.0).abs() < 1e-9, "{}", learned.per_s(at(700)));
        assert_eq!(learned.blocked_until(), Moment::ZERO, "nobody asked for silence");
        assert!((learned.per_s(at(5_600)) - 20.0).abs() < 1e-9, "held for five seconds");
        assert!(learned.per_s(at(8_000)) > 20.0 && learned.per_s(at(20_000)).is_infinite(), "then it grows until it limits nothing");
    }

    #[test]
    fn a_long_retry_after_is_obeyed_to_a_minute() {
        let mut learned = Learned::default();
        learned.submitted(at(0), 1);
        learned.throttled(at(10), at(0), 1, Some(Duration::from_secs(30)));
        assert_eq!(learned.blocked_until(), at(30_010));
        learned.throttled(at(10), at(0), 1, Some(Duration::from_secs(3_600)));
        assert_eq!(learned.blocked_until(), at(60_010));
    }
}
