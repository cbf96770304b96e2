//! Typical latency against the provider's own.
//!
//! A CUSUM for a rise of the mean on the logarithmic scale. The arithmetic mean would be decided by the tail (8 % of calls at
//! a second move it by half), so each call says at most two and a half standard deviations; the tail has its own test. One
//! and a half standard errors of the memory are given away, because the memory has its own error. Calls needed are about
//! `2·10·σ²/δ²`: 160 for a moderate spread, 590 for a heavy one.
//!
//! A busy provider makes a hundred calls in a twentieth of a second, and they share one mood: a queue, a collector, a burst.
//! Evidence of illness counts at once, because it may be one; the alarm is taken back only after a whole second that spoke
//! against it, or alarm and relief would alternate with every burst. And little in absolute terms is no rise ([`Level`]).
//!
//! [`Level`]: super::baseline::Level

use std::time::Duration;

use super::{baseline::Normal, batch::Batch, latency};
use crate::time::Moment;

/// Evidence (nats) that raises and that takes back the alarm.
const ALARM_AT: f64 = 10.0;
const CLEAR_AT: f64 = 6.0;
/// What the memory must rest on.
pub const MIN_SAMPLES: f64 = 200.0;
/// Most that one call says, in standard deviations.
const WINSOR: f64 = 2.5;
const GIVEN_AWAY_ERRORS: f64 = 1.5;
/// The alarm needs a mean of at least this part of the threshold since the evidence was zero.
const LEAST_PART: f64 = 0.75;
/// Evidence in a few probes that a provider comes back slow; one probe in a hundred of a well one says so by chance.
const PRESUMED_AT: f64 = 3.0;
/// Calls over which the present rise is estimated while the alarm is up, but at least a second's.
const MEMORY_CALLS: f64 = 60.0;
/// The alarm is taken back by what was seen for at least so long without a moment that spoke for it.
const WELL_FOR: Duration = Duration::from_secs(1);

/// What is too much.
#[derive(Clone, Copy, Debug)]
pub struct Bar {
    /// The threshold: 0.2 for +20 %.
    pub rise: f64,
    /// Less evidence is enough while traffic comes back.
    pub alarm_part: f64,
    /// Calls that the provider gets in a second.
    pub per_s: f64,
}

/// The test of the mean.
#[derive(Clone, Debug, Default)]
pub struct MeanTest {
    evidence: f64,
    sum: f64,
    calls: f64,
    alarm: Option<Alarm>,
}

#[derive(Clone, Copy, Debug)]
struct Alarm {
    /// The worst estimate, slowly forgotten.
    illness: f64,
    against: f64,
    /// When evidence against it was none the last time; no matter where a few probes were all that spoke for it.
    ill_at: Option<Moment>,
    /// Without the cap on single calls: how many times slower ages must be taken.
    slower_ln: f64,
}

impl MeanTest {
    /// Answers have come.
    pub fn observe(&mut self, now: Moment, batch: &Batch, normal: &Normal, bar: Bar) {
        if normal.samples < MIN_SAMPLES {
            return;
        }
        let level = &normal.level;
        let most = WINSOR * level.sigma;
        let given_away = GIVEN_AWAY_ERRORS * level.sigma / normal.samples.sqrt();
        let (mut sum, mut raw, calls) = (0.0, 0.0, f64::from(batch.answers()));
        for (bin, count) in &batch.answered {
            let ln = latency::middle_ln(usize::from(*bin));
            sum += f64::from(*count) * ((level.of_ln(ln) - level.mean_ln).clamp(-most, most) - given_away);
            raw += f64::from(*count) * (ln - normal.mean_ln);
        }
        if calls == 0.0 {
            return;
        }
        let rise = bar.rise;
        let variance = level.sigma.powi(2);
        match &mut self.alarm {
            None => {
                let delta = (1.0 + rise).ln();
                self.evidence += (sum * delta - calls * delta.powi(2) / 2.0) / variance;
                self.sum += sum;
                self.calls += calls;
                if self.evidence <= 0.0 {
                    *self = Self::default();
                } else if self.evidence >= ALARM_AT * bar.alarm_part && self.sum / self.calls >= (1.0 + rise * LEAST_PART).ln() {
                    let illness = self.sum / self.calls;
                    self.alarm = Some(Alarm { illness, against: 0.0, ill_at: Some(now), slower_ln: illness.max(raw / calls) });
                }
            }
            Some(alarm) => {
                let keep = (-calls / MEMORY_CALLS.max(bar.per_s)).exp();
                self.sum = self.sum * keep + sum;
                self.calls = self.calls * keep + calls;
                alarm.illness = (alarm.illness * keep.sqrt().sqrt()).max(self.sum / self.calls);
                alarm.slower_ln = alarm.slower_ln * keep + raw / calls * (1.0 - keep);
                let ill = alarm.illness.max((1.0 + rise * LEAST_PART).ln() / 2.0);
                // No more than it takes, or one good moment would outweigh the bad ones that follow.
                alarm.against = (alarm.against + (calls * ill.powi(2) / 2.0 - sum * ill) / variance).clamp(0.0, CLEAR_AT);
                if alarm.against <= 0.0 {
                    alarm.ill_at = Some(now);
                } else if alarm.against >= CLEAR_AT && alarm.ill_at.is_none_or(|ill_at| now.since(ill_at) >= WELL_FOR) {
                    *self = Self::default();
                }
            }
        }
    }

    /// The probes of a return were `ln` slower than usual each, on the logarithmic scale: a provider that comes back slow is
    /// known to be slow from its first call on, so that ages are not taken for a hang again.
    pub fn presume(&mut self, ln: f64, probes: f64, normal: &Normal) {
        let level = &normal.level;
        let above = level.of_ln(normal.mean_ln + ln) - level.of_ln(normal.mean_ln);
        let evidence = probes * above.max(0.0).powi(2) / (2.0 * level.sigma.powi(2));
        if normal.samples >= MIN_SAMPLES && evidence >= PRESUMED_AT {
            let illness = above.min(WINSOR * level.sigma);
            (self.sum, self.calls) = (illness * probes, probes);
            self.alarm = Some(Alarm { illness, against: 0.0, ill_at: None, slower_ln: ln });
        }
    }

    pub const fn is_up(&self) -> bool {
        self.alarm.is_some()
    }

    /// The present rise on the provider's level: 0.2 for +20 %.
    pub fn rise(&self) -> f64 {
        if self.calls > 0.0 { (self.sum / self.calls).exp() - 1.0 } else { 0.0 }
    }

    /// How many times slower than usual calls are, if the alarm is up.
    pub fn slower(&self) -> f64 {
        self.alarm.map_or(1.0, |alarm| alarm.slower_ln.exp().max(1.0))
    }

    pub fn reset(&mut self) {
        *self = Self::default();
    }
}
