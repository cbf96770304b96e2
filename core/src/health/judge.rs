//! Weighing evidence: what ended calls and pending ones mean for the tests, and the tests for the weight.

use std::time::Duration;

use super::{
    Health, Phase, Reading, Signal, Transition,
    batch::Batch,
    hang::{self, Known},
    latency, mean,
    outage::{Cause, FOLLOWED_FIRST},
    share::Hypotheses,
};
use crate::{dice::Dice, fleet::EventKind, time::Moment};

/// The tail at a fresh provider, as a part of the threshold: 4.5 % and 12 % for a threshold of 10 %.
const TAIL_WELL: f64 = 0.45;
const TAIL_ILL: f64 = 1.2;
const TAIL_ALARM_AT: f64 = 7.0;
/// The tail's estimate is drawn towards this part of the threshold with the weight of so many calls.
const TAIL_EXPECTED: f64 = 0.6;
const TAIL_EXPECTED_CALLS: f64 = 60.0;
/// The estimate of failures is drawn towards none with the weight of so many calls.
const FAILURES_EXPECTED_CALLS: f64 = 5.0;
/// How much less evidence is enough while traffic comes back.
const RETURNING_PART: f64 = 0.6;
/// Share of failures that is never held against a provider; and a multiple of its own that is bearable.
const BEARABLE: (f64, f64) = (0.01, 0.30);
const BEARABLE_TIMES: f64 = 3.0;
/// A low share of failures: what the soft test looks for, as a multiple of its threshold.
const FAILURES_ILL: f64 = 2.4;
const FAILURES_ALARM_AT: f64 = 8.0;
/// Weight at the threshold is a quarter: `1/(1 + 3r²)`.
const STEEPNESS: f64 = 3.0;
/// A probe is waited for at least so long: a provider that answers in a millisecond is not out because one answer took ten.
const LEAST_PATIENCE: Duration = Duration::from_millis(500);
/// Soft evidence never takes more: somebody must find out when it is over.
const LEAST_FACTOR: f64 = 0.01;

/// The hard test of failures: a CUSUM for "six of ten fail".
#[derive(Clone, Debug, Default)]
pub struct Failures {
    evidence: f64,
    failed: f64,
    calls: f64,
    /// When the first call began that failed, and the answers to calls since: earlier ones say how it was before.
    began: Option<Moment>,
    answered: f64,
}

impl Failures {
    const FAILING: f64 = 0.6;
    const EJECT_AT: f64 = 13.0;
    const EJECT_RETURNING_AT: f64 = 8.0;
    /// Two timeouts and an error close together happen by chance at a heavy-tailed provider once in some days.
    const LEAST_FAILED: f64 = 4.0;
    /// An ambiguous call is worse than a refused one.
    const AMBIGUOUS: f64 = 1.5;

    fn observe(&mut self, batch: &Batch, bearable: f64) {
        let weighed = f64::from(batch.failed) + f64::from(batch.ambiguous) * Self::AMBIGUOUS;
        let answers = f64::from(batch.answers());
        self.evidence += weighed * (Self::FAILING / bearable).ln() + answers * ((1.0 - Self::FAILING) / (1.0 - bearable)).ln();
        self.failed += f64::from(batch.failed + batch.ambiguous);
        self.calls += f64::from(batch.calls());
        if self.evidence <= 0.0 {
            *self = Self::default();
        }
    }

    /// An own call that began at `started` is in the evidence.
    fn note(&mut self, started: Moment, batch: &Batch) {
        if self.calls == 0.0 {
            return;
        }
        if batch.answers() == 0 {
            self.began = Some(self.began.map_or(started, |began| began.min(started)));
        } else if self.began.is_some_and(|began| started >= began) {
            self.answered += 1.0;
        }
    }

    /// Share of calls that fail now.
    fn fails(&self) -> f64 {
        self.failed / (self.failed + self.answered).max(1.0)
    }
}

/// The part of its weight that a provider keeps whose signal is `ratio` times its threshold.
fn kept(ratio: f64) -> f64 {
    1.0 / (1.0 + STEEPNESS * ratio.max(0.0).powi(2))
}

impl Health {
    fn bearable(&self) -> f64 {
        (self.normal.failure_share * BEARABLE_TIMES).clamp(BEARABLE.0, BEARABLE.1)
    }

    /// Ended calls, a single one of its `own` that began then or others', while the provider serves.
    pub(super) fn weigh(&mut self, now: Moment, batch: &Batch, own: Option<Moment>, dice: &mut Dice) {
        let returning = matches!(self.outage.phase(), Phase::Ramping { .. });
        let part = if returning { RETURNING_PART } else { 1.0 };
        let (calls, failed) = (f64::from(batch.calls()), f64::from(batch.failed + batch.ambiguous));
        let bearable = self.bearable();
        let thresholds = self.settings.thresholds;

        self.failures.observe(batch, bearable);
        if let Some(started) = own {
            self.failures.note(started, batch);
        }
        let low = Hypotheses {
            well: bearable,
            ill: (bearable * BEARABLE_TIMES).max(thresholds.error_rate * FAILURES_ILL).min(0.9),
            alarm_at: FAILURES_ALARM_AT * part,
        };
        self.soft.observe(failed, calls, low);
        let own_tail = self.normal.share_above(super::TAIL.as_secs_f64());
        let well =
            (thresholds.tail_share * TAIL_WELL).max(if self.normal.samples >= hang::MIN_SAMPLES { own_tail * 3.0 } else { 0.0 }).min(0.6);
        let tail = Hypotheses { well, ill: (thresholds.tail_share * TAIL_ILL).max(well * 1.8).min(0.95), alarm_at: TAIL_ALARM_AT * part };
        let slow = f64::from(batch.slower_than(latency::bin(super::TAIL)));
        self.tail.observe(slow, f64::from(batch.answers() + batch.ambiguous), tail);
        let per_s = if self.mean.is_up() { self.recent.rate(now) * self.peers.processes(now) } else { 0.0 };
        self.mean.observe(now, batch, &self.normal, mean::Bar { rise: thresholds.mean_rise, alarm_part: part, per_s });

        let well = self.failures.evidence <= 0.0 && !self.watch_soft_alarms();
        if well && !returning {
            self.baseline.observe(now, batch);
        }
        let eject_at = if returning { Failures::EJECT_RETURNING_AT } else { Failures::EJECT_AT };
        let enough = returning || self.failures.failed >= Failures::LEAST_FAILED;
        if enough && self.failures.evidence >= eject_at {
            let (share, fails) = (self.failures.failed / self.failures.calls.max(1.0), self.failures.fails());
            let reading = Reading {
                name: Signal::ErrorRate,
                value: share,
                baseline: self.normal.failure_share,
                threshold: Failures::FAILING,
                samples: count(self.failures.calls),
            };
            let costly = self.timeouts_in_a_row > 0;
            self.eject(now, reading, (share, fails), costly, dice);
        } else if self.timeouts_in_a_row >= thresholds.consecutive_timeouts.max(1) {
            let reading = self.timeouts_reading(f64::from(self.timeouts_in_a_row), u64::from(self.timeouts_in_a_row));
            self.eject(now, reading, (1.0, 1.0), true, dice);
        }
    }

    fn timeouts_reading(&self, value: f64, samples: u64) -> Reading {
        let threshold = f64::from(self.settings.thresholds.consecutive_timeouts);
        Reading { name: Signal::ConsecutiveTimeouts, value, baseline: 0.0, threshold, samples }
    }

    /// Looks at the ages of pending calls, if that was not done just now.
    pub fn refresh(&mut self, now: Moment, dice: &mut Dice) {
        if now.since(self.refreshed_at) < super::REFRESH_AFTER || !matches!(self.outage.phase(), Phase::In | Phase::Ramping { .. }) {
            return;
        }
        self.refreshed_at = now;
        let known = Known::new(self.mean.slower(), if self.tail.is_up() { self.tail_estimate() } else { 0.0 });
        let elsewhere = self.peers.calls(now, self.reset_at);
        let (evidence, calls) = self.hang.evidence(now, &self.normal, known, elsewhere);
        self.suspicion = evidence;
        self.suspected = evidence >= hang::SUSPECT_AT;
        if !self.suspected {
            return;
        }
        // A tail may show before it is sure enough to scale the weight, and one that is bearable never is: its test begins anew
        // again and again, but the slow answers of late remain.
        let tail_share = self.tail.estimate(0.0, TAIL_EXPECTED_CALLS).max(self.recent.slow_answers(now, TAIL_EXPECTED_CALLS));
        let known = known.to_eject(tail_share);
        let hangs = evidence >= hang::EJECT_AT && self.hang.evidence(now, &self.normal, known, elsewhere).0 >= hang::EJECT_AT;
        // Held back, and everything that was out has ended without an answer: only a probe can tell more. What others told as
        // out has ended too, once its timeout is over: they have made no call since.
        let has_ended = |call: &hang::Elsewhere| call.age_s.is_none() || now.since(call.started) > self.settings.timeout;
        let stuck = self.hang.out == 0 && elsewhere.iter().all(has_ended);
        if hangs || stuck {
            #[expect(clippy::cast_precision_loss, reason = "calls out")]
            let reading = self.timeouts_reading(calls as f64, calls);
            self.eject(now, reading, (1.0, 1.0), true, dice);
        }
    }

    fn eject(&mut self, now: Moment, reading: Reading, (share, fails): (f64, f64), costly: bool, dice: &mut Dice) {
        if self.listens {
            return;
        }
        let again = matches!(self.outage.phase(), Phase::Probing { .. } | Phase::Ramping { .. });
        let rate = if again {
            self.outage.cause().map_or(0.0, |cause| cause.rate)
        } else {
            self.recent.slow_rate(now) * self.peers.processes(now)
        };
        let cause = Cause { signal: reading.name, costly, share, fails, followed: FOLLOWED_FIRST, rate, reading: Some(reading) };
        self.outage.eject(now, cause, dice);
        self.baseline.doubt();
        self.decided_here();
        self.transitions.push(Transition { kind: EventKind::Ejected, reading: Some(reading), adopted: false, again });
        self.start_over(now);
    }

    /// Forgets what the tests have seen: the provider is judged afresh.
    pub(super) fn start_over(&mut self, now: Moment) {
        self.reset_at = now;
        self.hang.reset();
        self.failures = Failures::default();
        self.soft.reset();
        self.tail.reset();
        self.mean.reset();
        self.peers.reset();
        self.timeouts_in_a_row = 0;
        (self.suspicion, self.suspected) = (0.0, false);
        self.watch_soft_alarms();
    }

    pub(super) fn probe_ended(&mut self, now: Moment, latency: Duration, outcome: crate::attempt::Outcome, dice: &mut Dice) {
        use crate::attempt::Outcome;
        match outcome {
            Outcome::Throttled => self.outage.probe_undecided(),
            Outcome::Accepted | Outcome::RejectedRecipient | Outcome::RejectedContent => {
                let slower_ln = latency.as_secs_f64().max(latency::edge_s(0)).ln() - self.normal.mean_ln;
                if self.outage.probe_succeeded(now, slower_ln) {
                    self.start_over(now);
                    self.presume_slow();
                    self.transitions.push(Transition { kind: EventKind::Ramping, reading: None, adopted: false, again: false });
                }
                self.decided_here();
            }
            Outcome::Unavailable | Outcome::RejectedAccount | Outcome::Ambiguous => {
                self.probe_failed(now, outcome == Outcome::Ambiguous, dice);
            }
        }
    }

    /// Traffic comes back to a provider whose probes were slow: it is judged as a slow one.
    pub(super) fn presume_slow(&mut self) {
        let (sum, probes) = self.outage.slower();
        if probes > 0.0 {
            self.mean.presume(sum / probes, probes, &self.normal);
            self.watch_soft_alarms();
        }
    }

    fn probe_failed(&mut self, now: Moment, hung: bool, dice: &mut Dice) {
        self.outage.follow(true);
        let cause = self.outage.cause();
        let shares = cause.map_or((1.0, 1.0), |cause| (cause.share, cause.fails));
        let costly = hung || (cause.is_some_and(|cause| cause.costly) && self.outage.phase() == Phase::In);
        let name = if hung { Signal::ConsecutiveTimeouts } else { cause.map_or(Signal::ErrorRate, |cause| cause.signal) };
        let reading = Reading { name, value: 1.0, baseline: 0.0, threshold: 1.0, samples: 1 };
        self.eject(now, reading, shares, costly, dice);
    }

    /// Ejections that end, probes that hang, ramps that are over.
    pub(super) fn advance(&mut self, now: Moment, dice: &mut Dice) {
        let mine = self.is_mine(now);
        if mine && self.outage.probe_age(now).is_some_and(|age| age > self.probe_patience()) {
            self.probe_failed(now, true, dice);
        }
        let was_out = matches!(self.outage.phase(), Phase::Out { .. });
        if self.outage.tick(now) {
            let kind = if was_out { EventKind::Probing } else { EventKind::Healthy };
            self.transitions.push(Transition { kind, reading: None, adopted: !mine, again: false });
        }
    }

    /// A probe older than this has failed: four and a half times what one call in a hundred takes.
    fn probe_patience(&self) -> Duration {
        self.slowest(0.01).mul_f64(4.5).max(LEAST_PATIENCE).min(self.settings.timeout)
    }

    fn tail_estimate(&self) -> f64 {
        self.tail.estimate(self.settings.thresholds.tail_share * TAIL_EXPECTED, TAIL_EXPECTED_CALLS)
    }

    /// The part of its weight that soft evidence leaves. Mean and tail measure the same thing, so the worse of them counts.
    pub(super) fn soft_factor(&self) -> f64 {
        let thresholds = &self.settings.thresholds;
        let part = |up: bool, value: f64, threshold: f64| if up { kept(value / threshold) } else { 1.0 };
        let mean = part(self.mean.is_up(), self.mean.rise(), thresholds.mean_rise);
        let tail = part(self.tail.is_up(), self.tail_estimate(), thresholds.tail_share);
        let failures = part(self.soft.is_up(), self.soft.estimate(0.0, FAILURES_EXPECTED_CALLS), thresholds.error_rate);
        let receipts = part(self.receipts.is_up(), self.receipts.missing_share().0, thresholds.receipts_missing);
        (mean.min(tail) * failures * receipts).max(LEAST_FACTOR)
    }

    /// True if a soft alarm is up. The memory is doubted when one comes up; coming up and going are events.
    pub(super) fn watch_soft_alarms(&mut self) -> bool {
        let up = [
            (self.mean.is_up(), Signal::MeanLatency),
            (self.tail.is_up(), Signal::TailShare),
            (self.soft.is_up(), Signal::ErrorRate),
            (self.receipts.is_up(), Signal::Receipts),
        ];
        let first = up.iter().find(|(up, _)| *up).map(|(_, signal)| *signal);
        if first.is_some() != self.degraded {
            self.degraded = first.is_some();
            self.has_news = true;
            let kind = if self.degraded { EventKind::Degraded } else { EventKind::Restored };
            let reading = first.map(|signal| self.soft_reading(signal));
            self.transitions.push(Transition { kind, reading, adopted: false, again: false });
            if self.degraded {
                self.baseline.doubt();
            }
        }
        first.is_some()
    }

    fn soft_reading(&self, signal: Signal) -> Reading {
        let thresholds = &self.settings.thresholds;
        let (value, baseline, threshold) = match signal {
            Signal::MeanLatency => {
                let level = &self.normal.level;
                (level.seconds(1.0 + self.mean.rise()), level.seconds(1.0), level.seconds(1.0 + thresholds.mean_rise))
            }
            Signal::TailShare => (self.tail_estimate(), self.normal.share_above(super::TAIL.as_secs_f64()), thresholds.tail_share),
            Signal::Receipts => (self.receipts.missing_share().0, self.receipts.usual_share(), thresholds.receipts_missing),
            Signal::ErrorRate | Signal::ConsecutiveTimeouts => {
                (self.soft.estimate(0.0, FAILURES_EXPECTED_CALLS), self.normal.failure_share, thresholds.error_rate)
            }
        };
        let samples = if signal == Signal::Receipts { count(self.receipts.missing_share().1) } else { count(self.normal.samples) };
        Reading { name: signal, value, baseline, threshold, samples }
    }

    /// The five signals as they are now.
    pub fn readings(&self, now: Moment) -> Vec<Reading> {
        let sums = self.recent.sums(now);
        let share = |part: f64| if sums.calls > 0.0 { part / sums.calls } else { 0.0 };
        Signal::ALL
            .iter()
            .map(|signal| {
                let reading = self.soft_reading(*signal);
                let (value, samples) = match signal {
                    Signal::ConsecutiveTimeouts => return self.timeouts_reading(f64::from(self.timeouts_in_a_row), count(sums.calls)),
                    Signal::MeanLatency if sums.answered > 0.0 => ((sums.sum_ln / sums.answered).exp(), sums.answered),
                    Signal::MeanLatency => (0.0, 0.0),
                    Signal::TailShare => (share(sums.slow), sums.calls),
                    Signal::ErrorRate => (share(sums.failed), sums.calls),
                    Signal::Receipts => self.receipts.missing_share(),
                };
                Reading { value, samples: count(samples), ..reading }
            })
            .collect()
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of calls")]
fn count(calls: f64) -> u64 {
    calls.round() as u64
}
