//! The order in which calls that are written down leave for their provider.
//!
//! A code leaves as soon as the window has room for it: it keeps its distance from other codes only, and the next of the others
//! goes a place later. Others are given a place only if they leave within the timer's grain; who is ready earlier is told
//! when to ask again. So a code passes whoever stands in line: the one who counted on its place asks again behind the others.
//! No place is lost by that: whoever finds that nobody else will ask for the next one waits for it. Of a contract that is used up all
//! the same a small part is kept for codes for as long as there are any, so that they find room when they come.

use std::{collections::VecDeque, time::Duration};

use super::{spacing::Spacing, window::Window};
use crate::{message::Lane, time::Moment};

/// Places this near are given, and asked for this early: a timer is no finer than a millisecond, may be late by another, and
/// several calls may share one.
const SOON: Duration = Duration::from_millis(2);
/// Departures may follow each other this part closer than the rate while there is unused time to make up for.
const CLOSER: f64 = 0.03;
/// So much of it at most.
const MADE_UP_FOR: Duration = Duration::from_secs(1);
/// The part of a second's contract that others leave to codes: half of what ten seconds may lack.
const FOR_CODES: f64 = 0.005;
/// So long after the last one.
const CODES_COME: Duration = Duration::from_secs(10);
/// Nobody is told to ask again sooner.
const SHORTEST: Duration = Duration::from_millis(1);

/// What a call that is ready hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departs {
    /// It has this place: now, or a moment later.
    At(Moment),
    /// It is not its turn before then.
    AskAgain(Moment),
}

/// When those who were told so ask again, the first one first.
#[derive(Clone, Debug, Default)]
struct Line(VecDeque<Moment>);

impl Line {
    /// A time for one more, who should ask at `at`.
    fn stand(&mut self, now: Moment, at: Moment, distance: Duration) -> Moment {
        while self.0.front().is_some_and(|asks| *asks <= now) {
            self.0.pop_front();
        }
        let at = at.max(now + SHORTEST);
        if self.0.front().is_none_or(|first| *first > at) {
            self.0.push_front(at);
            return at;
        }
        let at = self.end().map_or(at, |last| at.max(last + distance));
        self.0.push_back(at);
        at
    }

    fn end(&self) -> Option<Moment> {
        self.0.back().copied()
    }
}

/// Those who leave, and those who wait to.
#[derive(Clone, Debug, Default)]
pub struct Departures {
    given: Spacing,
    /// Of those, the codes.
    given_codes: Spacing,
    last_code: Option<Moment>,
    line: Line,
    /// Time that nobody used: whoever waits may make up for it, as far as the window lets.
    unused: Duration,
}

impl Departures {
    /// When the next code may leave, if no other asks.
    pub fn code_free_at(&self, now: Moment, segments: u32, window: &mut Window) -> Moment {
        window.free_at(self.given_codes.next_at(now), segments)
    }

    /// A call of so many segments, each of which lasts so many seconds, is ready.
    pub fn ask(&mut self, now: Moment, (segments, seconds): (u32, f64), lane: Lane, window: &mut Window) -> Departs {
        let is_code = lane == Lane::Urgent;
        let next = if is_code { &self.given_codes } else { &self.given }.next_at(now);
        let kept = if is_code { 0 } else { self.kept_for_codes(now, seconds) };
        let at = window.free_at(next, segments.saturating_add(kept));
        if at > next {
            // All of the contract is used. Were places any closer, a second's worth would leave early, and then nobody for a while.
            self.unused = Duration::ZERO;
        }
        let lasts = Duration::from_secs_f64(f64::from(segments) * seconds);
        if is_code || at <= now + SOON {
            window.take(at, segments);
            self.unused = (self.unused + at.since(self.given.next_at(Moment::ZERO))).min(MADE_UP_FOR);
            let closer = lasts.mul_f64(CLOSER).min(self.unused);
            self.unused -= closer;
            self.given.take(at, 1, (lasts - closer).as_secs_f64());
            if is_code {
                self.given_codes.take(at, 1, lasts.as_secs_f64());
                self.last_code = Some(now);
            }
            return Departs::At(at);
        }
        Departs::AskAgain(self.line.stand(now, at - SOON, lasts))
    }

    /// Segments of which each lasts so many seconds: none under a small contract, where one would be more than the part.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float saturates, and none is negative")]
    fn kept_for_codes(&self, now: Moment, seconds: f64) -> u32 {
        let come = self.last_code.is_some_and(|last| now.since(last) < CODES_COME);
        if come { (FOR_CODES / seconds) as u32 } else { 0 }
    }

    /// Where the line ends.
    pub fn end(&self) -> Moment {
        self.given.next_at(self.line.end().unwrap_or(Moment::ZERO))
    }

    /// The rate changed by this factor: the next place moves with it.
    pub fn stretch(&mut self, now: Moment, factor: f64) {
        self.given.stretch(now, factor);
        self.given_codes.stretch(now, factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_start(Duration::from_millis(millis))
    }

    /// Plays a line under a contract of `per_s` into which a code comes every `code_every` milliseconds: how long codes waited
    /// at most, and how many calls left in a minute.
    fn play(per_s: u32, crowd: usize, code_every: u64) -> (Duration, usize) {
        let (mut departures, mut window) = (Departures::default(), Window::new(f64::from(per_s)));
        let seconds = f64::from(per_s).recip();
        // Who asks when, and since when it is ready if it is a code.
        let mut asks: Vec<(Moment, Option<Moment>)> = vec![(at(0), None); crowd];
        let (mut longest, mut left) = (Duration::ZERO, 0);
        for millis in 0..60_000 {
            let now = at(millis);
            if millis % code_every == code_every / 2 {
                asks.push((now, Some(now)));
            }
            for (asks_at, code) in &mut asks {
                if *asks_at > now {
                    continue;
                }
                let lane = if code.is_some() { Lane::Urgent } else { Lane::Bulk };
                match departures.ask(now, (1, seconds), lane, &mut window) {
                    Departs::AskAgain(again) => *asks_at = again,
                    Departs::At(leaves) => {
                        left += 1;
                        longest = code.take().map_or(longest, |since| longest.max(leaves.since(since)));
                        // Somebody else is ready then; a code is followed by nobody.
                        *asks_at = if lane == Lane::Urgent { at(u64::MAX / 2_000_000) } else { leaves };
                    }
                }
            }
            asks.retain(|(asks_at, _)| *asks_at < at(100_000));
        }
        (longest, left)
    }

    #[test]
    fn a_code_waits_for_few_places_and_the_line_loses_none() {
        for (per_s, crowd) in [(20, 3), (50, 2), (50, 8), (333, 20), (1_000, 50), (5_000, 250)] {
            let (longest, left) = play(per_s, crowd, 97);
            let kept = f64::from(per_s) * FOR_CODES >= 1.0;
            let place = if kept { Duration::ZERO } else { Duration::from_secs_f64(2.0 / f64::from(per_s)) + SOON };
            assert!(longest <= place, "{per_s}/s, {crowd} in line: a code waited {longest:?}");
            let whole = per_s as usize * 60;
            assert!(left * 1_000 >= whole * 995 && left <= whole + per_s as usize, "{per_s}/s, {crowd} in line: {left} left");
        }
    }

    #[test]
    fn without_a_contract_everybody_leaves_at_once() {
        let (mut departures, mut window) = (Departures::default(), Window::new(f64::INFINITY));
        for lane in [Lane::Urgent, Lane::Bulk, Lane::Normal] {
            assert_eq!(departures.ask(at(1), (1, 0.0), lane, &mut window), Departs::At(at(1)));
        }
    }

    #[test]
    fn codes_leave_at_once_where_the_window_has_room_and_keep_their_distance_from_each_other() {
        let (mut departures, mut window) = (Departures::default(), Window::new(10.0));
        let mut ask = |now, lane| departures.ask(at(now), (1, 0.1), lane, &mut window);
        assert_eq!(ask(0, Lane::Bulk), Departs::At(at(0)));
        assert_eq!(ask(1, Lane::Normal), Departs::AskAgain(at(98)));
        assert_eq!(ask(2, Lane::Urgent), Departs::At(at(2)));
        assert_eq!(ask(2, Lane::Urgent), Departs::At(at(102)));
        assert_eq!(ask(98, Lane::Normal), Departs::AskAgain(at(298)));
    }
}
