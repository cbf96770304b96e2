//! The vendor that accepts and drops: only receipts tell.
//!
//! Receipts are compared with what is normal for their age, so that a missing one counts long before it is late. Messages
//! submitted in one second form a cohort; the memory of delays is fed by *complete* cohorts only (closed after 90 s), because
//! the first receipts to come are the fast ones. Once a second a CUSUM runs over the open cohorts: each receipt that came
//! divides the odds for "four of ten are dropped", each that is missing multiplies them by what its age makes of it. One
//! second says no more than twenty calls would, because the model is not exact and volume would add up its error.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// Seconds after which a cohort is complete; a receipt that comes later counts as missing.
const COMPLETE_S: usize = 90;
/// Ages of open cohorts, the one that is being completed, and the second that has begun but was not ticked yet.
const SLOTS: usize = COMPLETE_S + 3;
pub const COMPLETE: Duration = Duration::from_secs(COMPLETE_S as u64);
/// Share of dropped messages under the suspicion.
const DROPPED: f64 = 0.4;
/// No age is less likely to be without a receipt than this.
const LEAST_MISSING: f64 = 0.03;
/// The evidence of one second counts as that of so many calls at most.
const MOST_CALLS_A_SECOND: f64 = 20.0;
const ALARM_AT: f64 = 14.0;
const CLEAR_AT: f64 = 4.0;
/// The alarm needs so many receipts due, and this share of them missing.
const LEAST_DUE: f64 = 10.0;
const LEAST_MISSING_SHARE: f64 = 0.15;
/// What the memory must rest on.
const MIN_SAMPLES: f64 = 60.0;
const HALF_LIFE_S: f64 = 3_600.0;
/// The worst that is believed: a single receipt must not prove the contrary.
const MOST_ILL: f64 = 0.9;

/// What was submitted in one second, and the receipts for it.
#[derive(Clone, Debug)]
struct Cohort {
    submitted: u32,
    received: u32,
    by_age_s: [u16; COMPLETE_S],
}

impl Cohort {
    const EMPTY: Self = Self { submitted: 0, received: 0, by_age_s: [0; COMPLETE_S] };
}

/// Submitted and received by the age of the second in which they were submitted, youngest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open(pub Vec<(u32, u32)>);

/// What another process has told of its open cohorts, and when: whole seconds ago, and how far into its second.
#[derive(Clone, Copy, Debug)]
pub struct Elsewhere<'a> {
    pub open: &'a Open,
    pub seconds_ago: usize,
    pub fraction: f64,
}

/// One process's part of a cohort, at the age at which it is known.
#[derive(Clone, Copy, Debug)]
struct Seen {
    age_s: f64,
    submitted: f64,
    received: f64,
}

/// A vendor calls any process: what one received beyond what it submitted is not missing elsewhere. The share of what seems to be
/// missing that this explains.
fn share_received_elsewhere(cohorts: &[Seen]) -> f64 {
    let beyond: f64 = cohorts.iter().map(|seen| (seen.received - seen.submitted).max(0.0)).sum();
    let absent: f64 = cohorts.iter().map(|seen| (seen.submitted - seen.received).max(0.0)).sum();
    if absent > 0.0 { (beyond / absent).min(1.0) } else { 0.0 }
}

/// Complete cohorts, faded; they add up over processes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delays {
    submitted: f32,
    by_age_s: Vec<f32>,
}

impl Default for Delays {
    fn default() -> Self {
        Self { submitted: 0.0, by_age_s: vec![0.0; COMPLETE_S] }
    }
}

impl Delays {
    pub fn join(&mut self, other: &Self) {
        self.submitted += other.submitted;
        self.by_age_s.iter_mut().zip(&other.by_age_s).for_each(|(slot, more)| *slot += more);
    }

    /// Share of messages without a receipt at each age, in seconds.
    fn missing(&self) -> Vec<f64> {
        let (mut received, submitted) = (0.0, f64::from(self.submitted).max(1.0));
        let after = |count: &f32| {
            let before = received;
            received += f64::from(*count);
            // Cohorts are a second long: on average half of this second's receipts are there.
            1.0 - (f64::midpoint(before, received) / submitted).min(1.0)
        };
        self.by_age_s.iter().map(after).collect()
    }
}

/// The receipts of one provider.
#[derive(Clone, Debug)]
pub struct Receipts {
    cohorts: Vec<Cohort>,
    second: u64,
    own: Delays,
    missing: Vec<f64>,
    samples: f64,
    alarm: Option<f64>,
    against: f64,
    evidence: f64,
    share: f64,
    due: f64,
    faded_s: u64,
}

impl Receipts {
    pub fn new() -> Self {
        Self {
            cohorts: vec![Cohort::EMPTY; SLOTS],
            second: 0,
            own: Delays::default(),
            missing: Vec::new(),
            samples: 0.0,
            alarm: None,
            against: 0.0,
            evidence: 0.0,
            share: 0.0,
            due: 0.0,
            faded_s: 0,
        }
    }

    fn at(&self, second: u64) -> usize {
        usize::try_from(second % self.cohorts.len() as u64).unwrap_or(0)
    }

    /// Time is ticked some times a second, so the youngest cohort may be a second ahead.
    const fn is_open(&self, second: u64) -> bool {
        second + COMPLETE_S as u64 >= self.second && second <= self.second + 1
    }

    /// A message was accepted that was submitted in this second.
    pub fn submitted(&mut self, second: u64) {
        if self.is_open(second) {
            let at = self.at(second);
            self.cohorts[at].submitted += 1;
        }
    }

    /// A receipt says delivered. One that says undelivered is as good as none: it never comes.
    pub fn received(&mut self, submitted_second: u64, age_s: usize) {
        if age_s < COMPLETE_S && self.is_open(submitted_second) {
            let at = self.at(submitted_second);
            let cohort = &mut self.cohorts[at];
            cohort.received += 1;
            cohort.by_age_s[age_s] = cohort.by_age_s[age_s].saturating_add(1);
        }
    }

    /// The memory of this process.
    pub const fn own(&self) -> &Delays {
        &self.own
    }

    /// The memory of all processes, this one's included.
    pub fn know(&mut self, all: &Delays) {
        self.samples = f64::from(all.submitted);
        self.missing = all.missing();
    }

    /// The open cohorts, for a summary.
    pub fn open(&self, most: usize) -> Open {
        let ages = 0..most.min(COMPLETE_S);
        Open(ages.map(|age| self.cohort(age).map_or((0, 0), |it| (it.submitted, it.received))).collect())
    }

    fn cohort(&self, age: usize) -> Option<&Cohort> {
        let second = self.second.checked_sub(age as u64)?;
        Some(&self.cohorts[self.at(second)])
    }

    /// A second has just begun. True if a cohort was completed.
    pub fn tick(&mut self, second: u64, elsewhere: &[Elsewhere<'_>]) -> bool {
        let mut completed = false;
        while self.second < second {
            self.second += 1;
            let Some(oldest) = self.second.checked_sub(COMPLETE_S as u64 + 1).map(|second| self.at(second)) else { continue };
            let cohort = std::mem::replace(&mut self.cohorts[oldest], Cohort::EMPTY);
            // Receipts come to any process, also to one that submitted nothing: memories are added up.
            if (cohort.submitted > 0 || cohort.received > 0) && self.alarm.is_none() && self.evidence < ALARM_AT / 2.0 {
                self.learn(&cohort);
                completed = true;
            }
        }
        self.judge(elsewhere);
        completed
    }

    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "counts of a second, a factor below 1")]
    fn learn(&mut self, cohort: &Cohort) {
        let passed = self.second.saturating_sub(self.faded_s);
        if passed >= 60 {
            let keep = (-(passed as f64) / HALF_LIFE_S * std::f64::consts::LN_2).exp() as f32;
            self.own.submitted *= keep;
            self.own.by_age_s.iter_mut().for_each(|slot| *slot *= keep);
            self.faded_s = self.second;
        }
        self.own.submitted += cohort.submitted as f32;
        self.own.by_age_s.iter_mut().zip(cohort.by_age_s).for_each(|(slot, count)| *slot += f32::from(count));
    }

    /// Share that is usually missing of a cohort whose youngest message is `age_s` old.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a cohort")]
    fn usually_missing(&self, age_s: f64) -> f64 {
        if age_s < 0.0 {
            return 1.0;
        }
        let last = self.missing.len() - 1;
        let (at, part) = (age_s as usize, age_s.fract());
        self.missing[at.min(last)] * (1.0 - part) + self.missing[(at + 1).min(last)] * part
    }

    /// Evidence of a cohort for "this share is dropped"; `absent` of it are missing.
    fn weigh(&self, seen: Seen, absent: f64, dropped: f64) -> f64 {
        let Seen { age_s, submitted, received } = seen;
        let missing = self.usually_missing(age_s).max(LEAST_MISSING);
        let evidence = received * (1.0 - dropped).ln() + absent * (((1.0 - dropped) * missing + dropped) / missing).ln();
        evidence * (MOST_CALLS_A_SECOND / submitted.max(1.0)).min(1.0)
    }

    fn judge(&mut self, elsewhere: &[Elsewhere<'_>]) {
        if self.samples < MIN_SAMPLES || self.missing.is_empty() {
            return;
        }
        let ill = self.alarm.unwrap_or(DROPPED).clamp(DROPPED / 2.0, MOST_ILL);
        let (mut evidence, mut against) = (0.0_f64, 0.0_f64);
        let (mut due, mut came) = (0.0, 0.0);
        let (mut recent_due, mut recent_came) = (0.0, 0.0);
        // From the oldest second to the youngest; elsewhere's are as old as they were when they were told.
        for age in (0..COMPLETE_S).rev() {
            let mut cohorts: SmallVec<[Seen; 4]> = SmallVec::new();
            #[expect(clippy::cast_precision_loss, reason = "seconds of a cohort")]
            let seconds = |age: usize| age as f64 - 1.0;
            if let Some(own) = self.cohort(age) {
                cohorts.push(Seen { age_s: seconds(age), submitted: f64::from(own.submitted), received: f64::from(own.received) });
            }
            for told in elsewhere {
                let then = age.checked_sub(told.seconds_ago);
                if let Some((then, (submitted, received))) = then.and_then(|then| Some((then, told.open.0.get(then)?))) {
                    let age_s = seconds(then) + told.fraction;
                    cohorts.push(Seen { age_s, submitted: f64::from(*submitted), received: f64::from(*received) });
                }
            }
            let (mut step, mut back) = (0.0, 0.0);
            let elsewhere = share_received_elsewhere(&cohorts);
            for seen in cohorts {
                let absent = (seen.submitted - seen.received).max(0.0) * (1.0 - elsewhere);
                step += self.weigh(seen, absent, DROPPED);
                back -= self.weigh(seen, absent, ill);
                let expected = seen.submitted * (1.0 - self.usually_missing(seen.age_s));
                due += expected;
                came += seen.received;
                recent_due += expected;
                recent_came += seen.received;
            }
            evidence += step;
            if evidence <= 0.0 {
                (evidence, due, came) = (0.0, 0.0, 0.0);
            }
            against += back;
            if against <= 0.0 {
                (against, recent_due, recent_came) = (0.0, 0.0, 0.0);
            }
        }
        self.evidence = evidence;
        let missing_share = |due: f64, came: f64| if due > 0.0 { (1.0 - came / due).clamp(0.0, 1.0) } else { 0.0 };
        self.due = due;
        self.share = missing_share(due, came);
        match self.alarm {
            None if evidence >= ALARM_AT && due >= LEAST_DUE && self.share >= LEAST_MISSING_SHARE => self.alarm = Some(self.share),
            Some(worst) => {
                self.against = against;
                if against >= CLEAR_AT && missing_share(recent_due, recent_came) < LEAST_MISSING_SHARE {
                    (self.alarm, self.against) = (None, 0.0);
                } else {
                    self.alarm = Some(worst.max(self.share));
                }
            }
            None => {}
        }
    }

    pub const fn is_up(&self) -> bool {
        self.alarm.is_some()
    }

    /// Share of due receipts that are missing since the evidence was zero, and how many were due.
    pub const fn missing_share(&self) -> (f64, f64) {
        (self.share, self.due)
    }

    /// Share of messages that usually stay without a receipt.
    pub fn usual_share(&self) -> f64 {
        self.missing.last().copied().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    /// Twenty messages a second, receipts after 1 to 20 s; from `drops_from` on none comes until `drops_until`.
    fn run(seconds: u64, drops_from: u64, drops_until: u64) -> Vec<bool> {
        let (mut receipts, mut dice) = (Receipts::new(), Dice::new(1));
        let mut under_way: Vec<(u64, u64)> = Vec::new();
        let mut up = Vec::new();
        for second in 0..seconds {
            if receipts.tick(second, &[]) {
                let own = receipts.own().clone();
                receipts.know(&own);
            }
            for _ in 0..20 {
                receipts.submitted(second);
                if !(drops_from..drops_until).contains(&second) && dice.happens(0.97) {
                    under_way.push((second, second + 1 + dice.below(20) as u64));
                }
            }
            under_way.retain(|(submitted, comes)| {
                if *comes <= second {
                    receipts.received(*submitted, usize::try_from(second - submitted).unwrap());
                }
                *comes > second
            });
            up.push(receipts.is_up());
        }
        up
    }

    #[test]
    fn a_vendor_that_drops_is_noticed_before_receipts_are_late_and_forgiven_afterwards() {
        let up = run(600, 300, 400);
        assert!(!up[..300].contains(&true));
        assert!(up[315], "within fifteen seconds, though receipts may take twenty");
        assert!(!up[460]);
    }

    /// The submitting process hears receipts only from another one, which vendors call; both tell each other their open cohorts.
    fn run_apart(drops_from: u64) -> Vec<bool> {
        let (mut sends, mut hears, mut up) = (Receipts::new(), Receipts::new(), Vec::new());
        for second in 0..400 {
            let told = hears.open(COMPLETE_S);
            let elsewhere = Elsewhere { open: &told, seconds_ago: 1, fraction: 0.9 };
            let completed = sends.tick(second, &[elsewhere]) | hears.tick(second, &[]);
            if completed {
                let mut all = sends.own().clone();
                all.join(hears.own());
                sends.know(&all);
            }
            for message in 0..20_u64 {
                sends.submitted(second);
                let age = 1 + message % 10;
                if second >= age && second - age < drops_from {
                    hears.received(second - age, usize::try_from(age).unwrap());
                }
            }
            up.push(sends.is_up());
        }
        up
    }

    #[test]
    fn receipts_that_come_to_another_process_are_not_missing() {
        let up = run_apart(1_000);
        assert!(!up.contains(&true), "{:?}", up.iter().position(|up| *up));
        let up = run_apart(300);
        assert!(!up[..300].contains(&true) && up[320], "and a vendor that drops is noticed all the same");
    }
}
