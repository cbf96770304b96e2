//! How many segments went out in a second that lies behind us: what the provider had seen when it said "too fast".

use std::time::Duration;

use crate::time::Moment;

/// Milliseconds kept: a second, and the time that a throttled answer may have been under way.
const KEPT_MS: usize = 5_000;

/// Segments by the millisecond, newest five seconds. Allocated with the first throttled answer's provider only.
#[derive(Clone, Debug)]
pub struct Pace {
    by_ms: Box<[u16; KEPT_MS]>,
    newest: u64,
}

impl Pace {
    pub fn new(now: Moment) -> Self {
        Self { by_ms: Box::new([0; KEPT_MS]), newest: millis(now) }
    }

    /// Counts segments that went out at `now`.
    pub fn add(&mut self, now: Moment, segments: u32) {
        self.forward(millis(now));
        let slot = &mut self.by_ms[slot(self.newest)];
        *slot = slot.saturating_add(u16::try_from(segments).unwrap_or(u16::MAX));
    }

    /// Takes back segments that went out at `at` and were refused.
    pub fn take_back(&mut self, at: Moment, segments: u32) {
        let ms = millis(at);
        if ms + (KEPT_MS as u64) > self.newest {
            let slot = &mut self.by_ms[slot(ms)];
            *slot = slot.saturating_sub(u16::try_from(segments).unwrap_or(u16::MAX));
        }
    }

    /// Segments that went out in the second that ends with `at`.
    pub fn in_second_before(&self, at: Moment) -> u32 {
        let last = millis(at).min(self.newest);
        let first = (last + 1).saturating_sub(1_000);
        (first..=last).filter(|ms| ms + (KEPT_MS as u64) > self.newest).map(|ms| u32::from(self.by_ms[slot(ms)])).sum()
    }

    fn forward(&mut self, to: u64) {
        let from = (self.newest + 1).max((to + 1).saturating_sub(KEPT_MS as u64));
        for ms in from..=to {
            self.by_ms[slot(ms)] = 0;
        }
        self.newest = self.newest.max(to);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "milliseconds since the start of a process fit 64 bits")]
fn millis(at: Moment) -> u64 {
    (at.since_start() + Duration::from_micros(0)).as_millis() as u64
}

#[expect(clippy::cast_possible_truncation, reason = "below KEPT_MS")]
const fn slot(ms: u64) -> usize {
    (ms % KEPT_MS as u64) as usize
}
