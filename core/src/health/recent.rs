//! The last minute in exact one-second slots: what operators are shown, and the rate and latency that bound calls in flight.

use super::latency;
use crate::time::Moment;

const SLOTS: usize = 64;
/// What "now" means to an operator.
const SHOWN_S: u64 = 30;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    started: u32,
    answered: u32,
    failed: u32,
    slow: u32,
    /// Of those answered.
    answered_slow: u32,
    sum_ln: f64,
    sum_s: f64,
}

/// Sums over the last seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sums {
    pub answered: f64,
    pub calls: f64,
    pub failed: f64,
    pub slow: f64,
    pub sum_ln: f64,
}

/// A ring of seconds.
#[derive(Clone, Debug)]
pub struct Recent {
    slots: [Slot; SLOTS],
    second: u64,
}

impl Recent {
    pub fn new(now: Moment) -> Self {
        Self { slots: [Slot::default(); SLOTS], second: now.since_start().as_secs() }
    }

    fn slot(&mut self, now: Moment) -> &mut Slot {
        let second = now.since_start().as_secs();
        if second > self.second {
            for passed in (self.second + 1)..=second.min(self.second + SLOTS as u64) {
                self.slots[at(passed)] = Slot::default();
            }
            self.second = second;
        }
        &mut self.slots[at(second)]
    }

    pub fn started(&mut self, now: Moment) {
        self.slot(now).started += 1;
    }

    pub fn answered(&mut self, now: Moment, latency_s: f64, slow: bool) {
        let slot = self.slot(now);
        slot.answered += 1;
        slot.slow += u32::from(slow);
        slot.answered_slow += u32::from(slow);
        slot.sum_ln += latency_s.max(latency::edge_s(0)).ln();
        slot.sum_s += latency_s;
    }

    pub fn failed(&mut self, now: Moment, slow: bool) {
        let slot = self.slot(now);
        slot.failed += 1;
        slot.slow += u32::from(slow);
    }

    fn last(&self, now: Moment, seconds: u64) -> impl Iterator<Item = &Slot> {
        let newest = now.since_start().as_secs();
        let oldest = (newest + 1).saturating_sub(seconds.min(SLOTS as u64));
        // A slot beyond what was written is from a minute ago.
        (oldest..=newest.min(self.second)).filter(move |second| *second + SLOTS as u64 > newest).map(|second| &self.slots[at(second)])
    }

    pub fn sums(&self, now: Moment) -> Sums {
        self.last(now, SHOWN_S).fold(Sums::default(), |sums, slot| Sums {
            answered: sums.answered + f64::from(slot.answered),
            calls: sums.calls + f64::from(slot.answered + slot.failed),
            failed: sums.failed + f64::from(slot.failed),
            slow: sums.slow + f64::from(slot.slow),
            sum_ln: sums.sum_ln + slot.sum_ln,
        })
    }

    /// The share of answers of late that were slow, as if `weight` calls more had been answered in time. Calls that were never
    /// answered are in it nowhere.
    pub fn slow_answers(&self, now: Moment, weight: f64) -> f64 {
        let (answered, slow) =
            self.last(now, SHOWN_S).fold((0, 0), |(answered, slow), slot| (answered + slot.answered, slow + slot.answered_slow));
        f64::from(slow) / (f64::from(answered) + weight).max(1.0)
    }

    /// Calls started per second: over ten seconds, or the last two if they were busier.
    pub fn rate(&self, now: Moment) -> f64 {
        let per_s = |seconds: u32| {
            let started: u32 = self.last(now, u64::from(seconds)).map(|slot| slot.started).sum();
            f64::from(started) / (f64::from(seconds) - 1.0 + now.as_secs_f64().fract()).max(0.5)
        };
        per_s(11).max(per_s(2))
    }

    /// Calls started per second over the last minute.
    pub fn slow_rate(&self, now: Moment) -> f64 {
        let started: u32 = self.last(now, 60).map(|slot| slot.started).sum();
        f64::from(started) / now.as_secs_f64().clamp(1.0, 60.0)
    }

    /// Arithmetic mean of latency over the last ten seconds.
    pub fn mean_s(&self, now: Moment) -> Option<f64> {
        let (count, sum) = self.last(now, 10).fold((0, 0.0), |(count, sum), slot| (count + slot.answered, sum + slot.sum_s));
        (count > 0).then(|| sum / f64::from(count))
    }
}

fn at(second: u64) -> usize {
    usize::try_from(second % SLOTS as u64).unwrap_or(0)
}
