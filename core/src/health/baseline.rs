//! What is normal for this provider: its own slow memory of latency and failures.
//!
//! Cross-host statistics mean nothing with two to six providers, so each is compared with itself. A slow poisoning must not
//! drag the memory along: samples enter only after a guard time (a third of the uptime, at most five minutes), and what was
//! measured in the guard time before an alarm, or while one is up, never enters. Old samples fade with a half-life of an hour.
//! Other processes' memories are added to one's own, so that a new process starts warm.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    batch::Batch,
    latency::{self, BINS},
};
use crate::time::Moment;

const HALF_LIFE_S: f64 = 3_600.0;
const GUARD_LEAST: Duration = Duration::from_secs(5);
const GUARD_MOST: Duration = Duration::from_secs(300);
/// Samples are guarded, and the memory is faded, in chunks of this length.
const CHUNK: Duration = Duration::from_secs(1);
/// What is assumed of a provider that nobody knows yet, worth this many calls: one failure in a hundred.
const PRIOR_CALLS: f64 = 30.0;
const PRIOR_FAILURES: f64 = 0.3;

/// Faded counts; they add up over processes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    bins: Vec<f32>,
    failures: f32,
    calls: f32,
}

impl Default for Memory {
    fn default() -> Self {
        Self { bins: vec![0.0; BINS], failures: 0.0, calls: 0.0 }
    }
}

impl Memory {
    #[expect(clippy::cast_precision_loss, reason = "counts of a second")]
    fn add(&mut self, batch: &Batch) {
        for (bin, count) in &batch.answered {
            if let Some(slot) = self.bins.get_mut(usize::from(*bin)) {
                *slot += *count as f32;
            }
        }
        self.failures += (batch.failed + batch.ambiguous) as f32;
        self.calls += batch.calls() as f32;
    }

    pub(super) fn join(&mut self, other: &Self) {
        self.bins.iter_mut().zip(&other.bins).for_each(|(slot, more)| *slot += more.max(0.0));
        self.failures += other.failures;
        self.calls += other.calls;
    }

    fn fade(&mut self, factor: f32) {
        self.bins.iter_mut().for_each(|slot| *slot *= factor);
        self.failures *= factor;
        self.calls *= factor;
    }
}

/// The guarded memory of this process.
#[derive(Clone, Debug)]
pub struct Baseline {
    started: Moment,
    own: Memory,
    faded_at: Moment,
    guarded: VecDeque<(Moment, Memory)>,
}

impl Baseline {
    pub fn new(now: Moment) -> Self {
        Self { started: now, own: Memory::default(), faded_at: now, guarded: VecDeque::new() }
    }

    pub const fn own(&self) -> &Memory {
        &self.own
    }

    /// Puts calls into the guard.
    pub fn observe(&mut self, now: Moment, batch: &Batch) {
        match self.guarded.back_mut() {
            Some((since, memory)) if now.since(*since) < CHUNK => memory.add(batch),
            _ => {
                let mut memory = Memory::default();
                memory.add(batch);
                self.guarded.push_back((now, memory));
            }
        }
    }

    /// An alarm is up: what was measured lately may already be the illness.
    pub fn doubt(&mut self) {
        self.guarded.clear();
    }

    /// Lets time pass; true if the memory has changed.
    #[expect(clippy::cast_possible_truncation, reason = "a factor between 0 and 1")]
    pub fn tick(&mut self, now: Moment) -> bool {
        let guard = (now.since(self.started) / 3).clamp(GUARD_LEAST, GUARD_MOST);
        let mut changed = false;
        while self.guarded.front().is_some_and(|(since, _)| now.since(*since) >= guard + CHUNK) {
            if let Some((_, memory)) = self.guarded.pop_front() {
                self.own.join(&memory);
                changed = true;
            }
        }
        let passed = now.since(self.faded_at);
        if changed && passed >= Duration::from_secs(60) {
            self.own.fade((-passed.as_secs_f64() / HALF_LIFE_S * std::f64::consts::LN_2).exp() as f32);
            self.faded_at = now;
        }
        changed
    }
}

/// What the memories of all processes amount to, ready to be asked.
#[derive(Clone, Debug)]
pub struct Normal {
    /// Answers that it rests on.
    pub samples: f64,
    /// Mean and standard deviation of the logarithm of seconds.
    pub mean_ln: f64,
    pub sigma: f64,
    /// What a rise is measured on.
    pub level: Level,
    /// Share of calls that fail, with a cautious prior.
    pub failure_share: f64,
    /// Logarithm of the share of answers that take longer than each bin's lower edge.
    survival_ln: Vec<f64>,
}

/// What a rise of latency is measured on. People notice milliseconds, not percents: at a provider that answers in five, ten more
/// are nothing, however often they double its mean. So no provider is taken to be quicker than a twentieth of a second: what lacks is
/// added to every latency of it, and +20 % are at least 10 ms.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    /// Seconds added; none at a provider whose mean takes a twentieth of a second.
    lacks_s: f64,
    /// Mean and standard deviation of the logarithm of seconds with what was added.
    pub mean_ln: f64,
    pub sigma: f64,
}

impl Level {
    const QUICKEST_S: f64 = 0.05;

    /// The logarithm on this scale of what takes `ln` on that of plain seconds.
    pub fn of_ln(&self, ln: f64) -> f64 {
        if self.lacks_s > 0.0 { (ln.exp() + self.lacks_s).ln() } else { ln }
    }

    /// Seconds of an answer that lies `times` above the mean; 1 for the mean itself.
    pub fn seconds(&self, times: f64) -> f64 {
        (self.mean_ln.exp() * times - self.lacks_s).max(0.0)
    }
}

/// Below this a provider is taken to be as regular as that: real ones are never more.
const SIGMA_LEAST: f64 = 0.15;
/// Logarithm of no chance at all.
const NEVER_LN: f64 = -20.0;

impl Normal {
    pub fn of(memory: &Memory) -> Self {
        let samples: f64 = memory.bins.iter().map(|count| f64::from(*count)).sum();
        let mean_of = |value: &dyn Fn(f64) -> f64| {
            let weighted = memory.bins.iter().enumerate().map(|(bin, count)| f64::from(*count) * value(latency::middle_ln(bin)));
            weighted.sum::<f64>() / samples.max(1.0)
        };
        let mean_ln = if samples >= 1.0 { mean_of(&|ln| ln) } else { 0.0 };
        let sigma_of = |ln_of: &dyn Fn(f64) -> f64, mean_ln: f64| mean_of(&|ln| (ln_of(ln) - mean_ln).powi(2)).sqrt().max(SIGMA_LEAST);
        let sigma = sigma_of(&|ln| ln, mean_ln);
        let mut level = Level { lacks_s: (Level::QUICKEST_S - mean_ln.exp()).max(0.0), mean_ln, sigma };
        if level.lacks_s > 0.0 && samples >= 1.0 {
            level.mean_ln = mean_of(&|ln| level.of_ln(ln));
            level.sigma = sigma_of(&|ln| level.of_ln(ln), level.mean_ln);
        }
        let mut survival_ln = Vec::with_capacity(BINS + 1);
        let mut left = samples;
        for count in &memory.bins {
            survival_ln.push(if left > 1e-6 { (left / samples).ln().max(NEVER_LN) } else { NEVER_LN });
            left -= f64::from(*count);
        }
        survival_ln.push(NEVER_LN);
        let failure_share = (f64::from(memory.failures) + PRIOR_FAILURES) / (f64::from(memory.calls) + PRIOR_CALLS);
        Self { samples, mean_ln, sigma, level, failure_share, survival_ln }
    }

    /// Logarithm of the share of answers slower than `age_s`, interpolated: steps would add up over many pending calls.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "clamped to the bins")]
    pub fn survival_ln(&self, age_s: f64) -> f64 {
        let at = latency::position(age_s).clamp(0.0, BINS as f64 - 1e-9);
        let bin = at as usize;
        let part = at - bin as f64;
        self.survival_ln[bin] * (1.0 - part) + self.survival_ln[bin + 1] * part
    }

    /// Seconds that only this share of answers exceeds.
    pub fn slowest_s(&self, share: f64) -> f64 {
        let bin = self.survival_ln.partition_point(|survival| *survival > share.ln());
        latency::edge_s(bin.min(BINS))
    }

    /// Share of answers slower than `limit_s`.
    pub fn share_above(&self, limit_s: f64) -> f64 {
        self.survival_ln(limit_s).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_start(Duration::from_secs(seconds))
    }

    fn answer(millis: u64) -> Batch {
        Batch::of(crate::attempt::Outcome::Accepted, Duration::from_millis(millis)).unwrap()
    }

    #[test]
    fn samples_enter_after_the_guard_and_never_if_an_alarm_came_meanwhile() {
        let mut baseline = Baseline::new(at(0));
        baseline.observe(at(0), &answer(100));
        assert!(!baseline.tick(at(5)));
        assert!(baseline.tick(at(6)));
        baseline.observe(at(7), &answer(5_000));
        baseline.doubt();
        assert!(!baseline.tick(at(1_000)));
        assert!(Normal::of(baseline.own()).slowest_s(0.01) < 0.15);
    }

    #[test]
    fn survival_falls_from_all_to_none() {
        let mut memory = Memory::default();
        (50..150).for_each(|millis| memory.add(&answer(millis)));
        let normal = Normal::of(&memory);
        assert!(normal.survival_ln(0.010).abs() < 1e-6);
        assert!((normal.share_above(0.100) - 0.5).abs() < 0.05);
        assert!(normal.share_above(0.200) < 1e-3);
        assert!((normal.mean_ln - 0.1_f64.ln()).abs() < 0.1);
    }
}
