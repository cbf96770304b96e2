//! One lane of a worker: its seats, its alarm clock, and how much it takes at once.
//!
//! A lane whose messages find no room at their providers must not be emptied into parking places: each costs a write, and
//! what is parked has left the queue that holds it for nothing. So a lane begins with a few, and after a message had to park
//! it keeps a line of what goes out in three quarters of a second and takes only what is missing in it, but always a few: others
//! may have room. It takes as much as it can carry when the line is short against what goes out, not when all of them parked: a
//! worker that waits for its first grant of a contract would empty the whole queue.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tidings_core::time::Moment;
use tokio::sync::Notify;

use super::seats::Seats;

/// Messages leased at once: a write to the store carries them all.
const MOST_AT_ONCE: usize = 256;
/// What a lane takes at least while its providers are full.
const WHILE_FULL: usize = 8;
/// How long a lane pauses between two takes while its providers are full.
pub const PAUSE_WHILE_FULL: Duration = Duration::from_millis(250);
/// Takes in a second, and for how many of them the line shall last. Who waits for a second parks.
const TAKES: u64 = 4;
const LINE_LASTS: usize = 3;
/// A line of what goes out in so many takes is short: calls are waited for, and no contract.
const SHORT: usize = 1;

pub struct LaneState {
    pub seats: Seats,
    pub woken: Notify,
    /// Messages that hold a permit and wait for room.
    waiting: AtomicUsize,
    full: AtomicBool,
    went: Mutex<Went>,
}

/// How many found room, by quarter of a second.
#[derive(Default)]
struct Went {
    newest: u64,
    counts: [usize; TAKES as usize + 1],
}

impl Went {
    fn forward(&mut self, now: Moment) {
        let quarter = u64::try_from(now.since_start().as_millis() / PAUSE_WHILE_FULL.as_millis()).unwrap_or(u64::MAX);
        let from = (self.newest + 1).max(quarter.saturating_sub(TAKES));
        (from..=quarter).for_each(|passed| self.counts[Self::place(passed)] = 0);
        self.newest = self.newest.max(quarter);
    }

    const fn place(quarter: u64) -> usize {
        (quarter % (TAKES + 1)) as usize
    }

    /// In the second that ended with the last full quarter.
    fn in_last_second(&mut self, now: Moment) -> usize {
        self.forward(now);
        self.counts.iter().sum::<usize>() - self.counts[Self::place(self.newest)]
    }
}

/// A message waits for room for as long as this lives.
pub struct InLine<'a>(&'a LaneState);

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl LaneState {
    pub fn new(permits: usize) -> Self {
        Self {
            seats: Seats::new(permits),
            woken: Notify::new(),
            waiting: AtomicUsize::new(0),
            full: AtomicBool::new(true),
            went: Mutex::default(),
        }
    }

    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// How many to take now.
    pub fn at_once(&self, now: Moment) -> usize {
        if !self.is_full() {
            return MOST_AT_ONCE;
        }
        let waiting = self.waiting.load(Ordering::Relaxed);
        self.line(now).saturating_sub(waiting).clamp(WHILE_FULL, MOST_AT_ONCE)
    }

    /// How many should wait while providers are full.
    fn line(&self, now: Moment) -> usize {
        self.went().in_last_second(now) * LINE_LASTS / TAKES as usize
    }

    /// Whether the next take can wait: this one brought what it asked for, or there was nothing to ask for. Where most of what
    /// a queue brings was delivered before, few of many may be left.
    pub fn has_enough(&self, now: Moment, asked: usize, taken: usize) -> bool {
        taken >= asked || self.waiting.load(Ordering::Relaxed) >= self.line(now)
    }

    /// A message waits for room.
    pub fn waits(&self) -> InLine<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        InLine(self)
    }

    /// A message found room, and is not in line any more.
    pub fn goes(&self, now: Moment) {
        let mut went = self.went();
        if self.is_full() && self.waiting.load(Ordering::Relaxed) <= went.in_last_second(now) * SHORT / TAKES as usize {
            self.full.store(false, Ordering::Relaxed);
        }
        went.forward(now);
        let newest = Went::place(went.newest);
        went.counts[newest] += 1;
    }

    /// A message found no room and parks.
    pub fn parked(&self) {
        self.full.store(true, Ordering::Relaxed);
    }

    fn went(&self) -> std::sync::MutexGuard<'_, Went> {
        self.went.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_start(Duration::from_millis(millis))
    }

    /// Plays a lane for a minute before a provider that takes `per_s`: how many parked, and how many calls could not be made
    /// because nobody was in line.
    fn play(per_s: usize) -> (usize, usize) {
        const PERMITS: usize = 1_024;
        let lane = LaneState::new(PERMITS);
        let mut line = std::collections::VecDeque::new();
        let (mut parked, mut dry, mut credit) = (0, 0, 0);
        for now in (0..60_000_u64).step_by(10) {
            if !lane.is_full() || now % 250 == 0 {
                let room = PERMITS - line.len();
                line.extend(std::iter::repeat_n(now, lane.at_once(at(now)).min(room)));
            }
            credit += per_s * 10;
            while credit >= 1_000 {
                credit -= 1_000;
                match line.pop_front() {
                    Some(_) => {
                        lane.waiting.store(line.len(), Ordering::Relaxed);
                        lane.goes(at(now));
                    }
                    // The first few find out whether there is room.
                    None if now < 250 => {}
                    None => dry += 1,
                }
            }
            while line.front().is_some_and(|came| now - came > 1_000) {
                line.pop_front();
                parked += 1;
                lane.parked();
            }
            lane.waiting.store(line.len(), Ordering::Relaxed);
        }
        (parked, dry)
    }

    #[test]
    fn a_lane_before_a_full_provider_never_runs_dry_and_parks_few() {
        for per_s in [10, 25, 50, 100, 400, 1_000] {
            let (parked, dry) = play(per_s);
            assert!(dry == 0, "{per_s}/s: {dry} calls could not be made");
            // The first fill is a guess. After it, nobody parks but who comes as one of the few.
            let few = (WHILE_FULL * 4 * 60).saturating_sub(per_s * 60);
            assert!(parked <= 1_024 + few, "{per_s}/s: {parked} parked");
        }
    }

    #[test]
    fn a_take_that_brought_few_of_what_was_asked_is_followed_by_the_next_at_once() {
        let lane = LaneState::new(100);
        (0..40).for_each(|_| lane.goes(at(100)));
        lane.parked();
        let _in_line = lane.waits();
        assert_eq!(lane.at_once(at(300)), 29);
        assert!(lane.has_enough(at(300), 29, 29));
        assert!(!lane.has_enough(at(300), 29, 3), "the others had been delivered before");
        let _line: Vec<_> = (0..29).map(|_| lane.waits()).collect();
        assert!(lane.has_enough(at(300), 8, 3));
    }

    #[test]
    fn a_lane_takes_much_again_when_nobody_waits() {
        let lane = LaneState::new(10);
        assert_eq!(lane.at_once(at(0)), WHILE_FULL, "it begins with a few");
        let (first, last) = (lane.waits(), lane.waits());
        drop(first);
        lane.goes(at(10));
        assert_eq!(lane.at_once(at(10)), WHILE_FULL, "somebody still waits");
        drop(last);
        lane.goes(at(20));
        assert_eq!(lane.at_once(at(20)), MOST_AT_ONCE);
    }

    #[test]
    fn a_lane_in_which_few_wait_for_a_moment_is_not_full() {
        let lane = LaneState::new(1_000);
        lane.parked();
        (0..1_000).for_each(|call| lane.goes(at(call)));
        let mut line: Vec<_> = (0..300).map(|_| lane.waits()).collect();
        lane.parked();
        lane.goes(at(1_000));
        assert!(lane.is_full(), "nearly a third of a second's calls wait");
        line.truncate(200);
        lane.goes(at(1_000));
        assert!(!lane.is_full());
    }

    #[test]
    fn a_lane_whose_whole_line_parked_goes_on_taking_few() {
        let lane = LaneState::new(10);
        lane.goes(at(0));
        assert_eq!(lane.at_once(at(0)), MOST_AT_ONCE);
        let in_line = lane.waits();
        lane.parked();
        drop(in_line);
        assert_eq!(lane.at_once(at(250)), WHILE_FULL);
    }
}
