//! Calls that do not answer, noticed long before their timeout: the age of what is pending is evidence.
//!
//! Calls are taken in the order of their start, as a CUSUM for "from here on, nine of ten hang": a call that is still out at
//! age `a` multiplies the odds by `((1−h)·S(a)+h)/S(a)`, where `S` is the provider's own share of answers slower than `a`; a
//! call that has answered divides them by ten. What one call can say is capped (`S` at least 1 %), because no likelihood is
//! exact: at least four must agree. Below the ejecting threshold lies one that merely stops new calls until those that are
//! out have answered; it costs nothing and dissolves by itself. While new calls are held back there is time to tell a hang from
//! a provider that has become slow, which is the mean's business: only ages that half as much latency again does not explain eject.

use std::{collections::VecDeque, time::Duration};

use super::baseline::Normal;
use crate::time::Moment;

/// Share of calls that hang, under the suspicion.
const HANGING: f64 = 0.9;
/// No age is less likely than this.
const LEAST_SURVIVAL: f64 = 0.01;
/// Nor than two of what the memory rests on.
const LEAST_SAMPLES: f64 = 2.0;
/// Evidence (in nats) that holds new calls back, and that ejects.
pub const SUSPECT_AT: f64 = 8.0;
pub const EJECT_AT: f64 = 18.0;
/// Below it two late calls in a row may be all there is, which at a hundred calls a second is luck some times a minute: they are
/// reason to go elsewhere, but not to wait.
pub const HOLD_BACK_AT: f64 = 12.5;
/// A provider that has just become so many times slower still answers: an ejection needs ages that this does not explain.
const STILL_ANSWERS: f64 = 1.5;
/// No provider is taken to be quicker than this: the pauses of our own process and of the network would look like a hang.
const QUICKEST_S: f64 = 0.1;
/// Nor, before it is ejected, than this: a collector's run at the vendor, a thousand connections that are opened at once or a route that
/// changes is over sooner. New calls are held back meanwhile, so it costs none.
const QUICKEST_TO_EJECT_S: f64 = 0.18;
/// What the memory must rest on before ages mean anything.
pub const MIN_SAMPLES: f64 = 60.0;
/// Calls that are remembered at most; more are out only in a cluster that hangs anyway.
const MOST_CALLS: usize = 4_096;

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Chosen, but something has to be written down first: its age says nothing yet.
    Held,
    Out,
    Answered,
    /// Never answered; it counts with the age that it had.
    Silent(f64),
}

#[derive(Clone, Copy, Debug)]
struct Call {
    started: Moment,
    state: State,
}

/// A call of another process at the time of its summary.
#[derive(Clone, Copy, Debug)]
pub struct Elsewhere {
    pub started: Moment,
    /// Seconds it had been out; `None` if it had answered.
    pub age_s: Option<f64>,
}

/// How ages are judged against a known illness.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Times slower than usual.
    pub slower: f64,
    /// Share of calls in the tail, if that alarm is up.
    pub tail_share: f64,
    /// No provider is taken to be quicker, in seconds.
    pub quickest_s: f64,
}

impl Known {
    pub const fn new(slower: f64, tail_share: f64) -> Self {
        Self { slower, tail_share, quickest_s: QUICKEST_S }
    }

    /// What an ejection needs: ages that half as much latency again, a pause, or the share of slow answers seen of late do not explain.
    pub fn to_eject(self, tail_share: f64) -> Self {
        let tail_share = self.tail_share.max(tail_share);
        Self { slower: self.slower * STILL_ANSWERS, quickest_s: QUICKEST_TO_EJECT_S, tail_share }
    }
}

/// The calls of this process since the oldest that may still matter.
#[derive(Clone, Debug, Default)]
pub struct Hang {
    calls: VecDeque<Call>,
    /// The number of the first call in `calls`.
    first: u64,
    pub out: usize,
}

impl Hang {
    /// A call goes out; the number that ends it.
    pub fn started(&mut self, now: Moment) -> u64 {
        if self.calls.len() >= MOST_CALLS {
            self.forget_first();
        }
        self.calls.push_back(Call { started: now, state: State::Out });
        self.out += 1;
        self.first + self.calls.len() as u64 - 1
    }

    fn forget_first(&mut self) {
        if let Some(call) = self.calls.pop_front() {
            self.first += 1;
            self.out -= usize::from(call.state == State::Out);
        }
    }

    /// Nobody could look for so long: what was answered meanwhile was not heard, and ages say so much less.
    pub fn excuse(&mut self, now: Moment, stalled: Duration) {
        for call in self.calls.iter_mut().filter(|call| call.state == State::Out) {
            call.started = (call.started + stalled).min(now);
        }
    }

    /// The call does not go out yet.
    pub fn held(&mut self, number: u64) {
        if let Some(call) = self.call(number).filter(|call| call.state == State::Out) {
            call.state = State::Held;
            self.out -= 1;
        }
    }

    /// A call that was held goes out.
    pub fn sent(&mut self, number: u64, now: Moment) {
        if let Some(call) = self.call(number).filter(|call| call.state == State::Held) {
            *call = Call { started: now, state: State::Out };
            self.out += 1;
        }
    }

    fn call(&mut self, number: u64) -> Option<&mut Call> {
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok())?;
        self.calls.get_mut(at)
    }

    fn set(&mut self, number: u64, state: State) {
        if let Some(call) = self.call(number) {
            let before = call.state;
            if matches!(before, State::Out | State::Held) {
                call.state = state;
            }
            self.out -= usize::from(before == State::Out);
        }
        while self.calls.front().is_some_and(|call| call.state == State::Answered) {
            self.forget_first();
        }
    }

    /// It answered, or was never made.
    pub fn answered(&mut self, number: u64) {
        self.set(number, State::Answered);
    }

    /// It ended without an answer at this age.
    pub fn silent(&mut self, number: u64, age_s: f64) {
        self.set(number, State::Silent(age_s));
    }

    /// Forgets everything: calls that are out now say nothing about what comes.
    pub fn reset(&mut self) {
        self.first += self.calls.len() as u64;
        self.calls.clear();
        self.out = 0;
    }

    /// The calls that matter now, for a summary: when started, and age if it is out or was never answered.
    pub fn recent(&self, now: Moment, most: usize) -> impl Iterator<Item = Elsewhere> + '_ {
        let skip = self.calls.len().saturating_sub(most);
        self.calls.iter().skip(skip).map(move |call| Elsewhere {
            started: call.started,
            age_s: match call.state {
                State::Out => Some(now.since(call.started).as_secs_f64()),
                State::Held => Some(0.0),
                State::Answered => None,
                State::Silent(age_s) => Some(age_s),
            },
        })
    }

    /// The evidence in nats that calls hang now, and how many calls speak for it. `elsewhere` is in the order of starts.
    pub fn evidence(&mut self, now: Moment, normal: &Normal, known: Known, elsewhere: &[Elsewhere]) -> (f64, u64) {
        if normal.samples < MIN_SAMPLES {
            return (0.0, 0);
        }
        let slower = known.slower.max(known.quickest_s / normal.mean_ln.exp());
        let floor = LEAST_SURVIVAL.max(LEAST_SAMPLES / normal.samples).max(1.5 * known.tail_share);
        let weigh = |age_s: Option<f64>| match age_s {
            None => (1.0 - HANGING).ln(),
            Some(age_s) => {
                let survival_ln = normal.survival_ln(age_s / slower).max(floor.ln());
                ((1.0 - HANGING) * survival_ln.exp() + HANGING).ln() - survival_ln
            }
        };
        let (mut sum, mut calls, mut settled) = (0.0_f64, 0, true);
        let (mut forget, mut others) = (0, elsewhere.iter().peekable());
        let mut step = |evidence: f64| {
            sum += evidence;
            calls += 1;
            if sum <= 0.0 {
                (sum, calls) = (0.0, 0);
            }
            sum
        };
        for (at, call) in self.calls.iter().enumerate() {
            while let Some(other) = others.next_if(|other| other.started <= call.started) {
                step(weigh(other.age_s));
            }
            let age_s = match call.state {
                State::Out => {
                    settled = false;
                    Some(now.since(call.started).as_secs_f64())
                }
                State::Held => {
                    settled = false;
                    continue;
                }
                State::Answered => None,
                State::Silent(age_s) => Some(age_s),
            };
            // What lies before a point where nothing speaks for a hang, and can change no more, is over.
            if step(weigh(age_s)) <= 0.0 && settled {
                forget = at + 1;
            }
        }
        others.for_each(|other| {
            step(weigh(other.age_s));
        });
        (0..forget).for_each(|_| self.forget_first());
        (sum, calls)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::baseline::Memory, *};
    use crate::health::batch::Batch;

    const HEALTHY: Known = Known::new(1.0, 0.0);

    fn at(millis: u64) -> Moment {
        Moment::from_start(Duration::from_millis(millis))
    }

    /// A provider that answers in 50 to 250 ms.
    fn normal() -> Normal {
        let mut baseline = super::super::baseline::Baseline::new(at(0));
        for millis in 50..250 {
            baseline.observe(at(0), &Batch::of(crate::attempt::Outcome::Accepted, Duration::from_millis(millis)).unwrap());
        }
        baseline.tick(at(60_000));
        let mut memory = Memory::default();
        memory.join(baseline.own());
        Normal::of(&memory)
    }

    #[test]
    fn ten_calls_that_stay_out_are_a_hang_and_three_are_not() {
        let mut hang = Hang::default();
        (0..3).for_each(|call| {
            hang.started(at(call * 40));
        });
        assert!(hang.evidence(at(10_000), &normal(), HEALTHY, &[]).0 < EJECT_AT);
        (3..10).for_each(|call| {
            hang.started(at(call * 40));
        });
        let (evidence, calls) = hang.evidence(at(500), &normal(), HEALTHY, &[]);
        assert!(evidence >= EJECT_AT && calls >= 4, "{evidence} of {calls}");
        assert!(hang.evidence(at(500), &normal(), Known { slower: 4.0, ..HEALTHY }, &[]).0 < SUSPECT_AT, "known to be slow");
    }

    #[test]
    fn calls_that_are_not_out_yet_say_nothing() {
        let mut hang = Hang::default();
        let calls: Vec<u64> = (0..10).map(|call| hang.started(at(call))).collect();
        calls.iter().for_each(|call| hang.held(*call));
        assert!(hang.evidence(at(2_000), &normal(), HEALTHY, &[]).0 <= 0.0);
        calls.iter().for_each(|call| hang.sent(*call, at(2_000)));
        assert_eq!(hang.out, 10);
        assert!(hang.evidence(at(2_500), &normal(), HEALTHY, &[]).0 >= EJECT_AT);
        calls.into_iter().for_each(|call| hang.answered(call));
        assert_eq!((hang.calls.len(), hang.out), (0, 0));
    }

    #[test]
    fn a_pause_of_our_own_is_no_hang_of_a_provider_that_answers_in_a_millisecond() {
        let mut memory = Memory::default();
        let mut baseline = super::super::baseline::Baseline::new(at(0));
        for _ in 0..200 {
            baseline.observe(at(0), &Batch::of(crate::attempt::Outcome::Accepted, Duration::from_millis(1)).unwrap());
        }
        baseline.tick(at(60_000));
        memory.join(baseline.own());
        let mut hang = Hang::default();
        (0..50).for_each(|_| {
            hang.started(at(0));
        });
        assert!(hang.evidence(at(80), &Normal::of(&memory), HEALTHY, &[]).0 <= 0.0);
        assert!(hang.evidence(at(500), &Normal::of(&memory), HEALTHY, &[]).0 >= EJECT_AT);
        assert!(hang.evidence(at(150), &Normal::of(&memory), HEALTHY, &[]).0 >= EJECT_AT, "new calls wait");
        assert!(hang.evidence(at(150), &Normal::of(&memory), HEALTHY.to_eject(0.0), &[]).0 <= 0.0, "but nobody is ejected for a pause");
        assert!(hang.evidence(at(500), &Normal::of(&memory), HEALTHY.to_eject(0.0), &[]).0 >= EJECT_AT);
    }

    #[test]
    fn the_time_in_which_this_process_was_held_up_is_no_age() {
        let mut hang = Hang::default();
        (0..10).for_each(|call| {
            hang.started(at(call * 40));
        });
        hang.excuse(at(30_000), Duration::from_secs(29));
        assert!(hang.evidence(at(30_000), &normal(), HEALTHY, &[]).0 >= EJECT_AT, "a second is left");
        hang.excuse(at(30_000), Duration::from_secs(1));
        assert!(hang.evidence(at(30_000), &normal(), HEALTHY, &[]).0 <= 0.0);
        assert!(hang.evidence(at(30_500), &normal(), HEALTHY, &[]).0 >= EJECT_AT, "who goes on hanging is noticed");
    }

    #[test]
    fn answers_dissolve_the_suspicion_and_are_forgotten() {
        let mut hang = Hang::default();
        let calls: Vec<u64> = (0..10).map(|call| hang.started(at(call * 40))).collect();
        assert!(hang.evidence(at(380), &normal(), HEALTHY, &[]).0 >= SUSPECT_AT);
        calls.into_iter().for_each(|call| hang.answered(call));
        assert!(hang.evidence(at(400), &normal(), HEALTHY, &[]).0 <= 0.0);
        assert_eq!((hang.calls.len(), hang.out), (0, 0));
    }

    #[test]
    fn what_hangs_elsewhere_counts_too() {
        let elsewhere: Vec<Elsewhere> = (0..8).map(|call| Elsewhere { started: at(call), age_s: Some(0.4) }).collect();
        assert!(Hang::default().evidence(at(500), &normal(), HEALTHY, &elsewhere).0 >= EJECT_AT);
    }
}
