//! One decision for the cluster: who made the latest, who may probe, and what others are told.
//!
//! Every decision has a number one above the greatest that was heard of; the greatest (number, then process) wins everywhere,
//! so two processes that eject at once agree as soon as they hear of each other. Whoever owns the decision spends the probes.
//! If the owner falls silent, everybody else may.

use std::time::Duration;

use super::{
    Health, Phase, Transition,
    outage::{Cause, FOLLOWED_FIRST},
    report::{self, Report, ToldPhase, Verdict},
};
use crate::{fleet::EventKind, time::Moment};

impl Health {
    /// This process has just decided.
    pub(super) const fn decided_here(&mut self) {
        self.version += 1;
        self.owner = self.me;
        self.has_news = true;
    }

    /// Whether this process may spend probes.
    pub(super) fn is_mine(&self, now: Moment) -> bool {
        self.owner == self.me || self.peers.is_silent(now, self.owner)
    }

    /// How this provider stands among those that are out; `None` if it serves.
    pub fn last_resort(&self, now: Moment) -> Option<LastResort> {
        let waiting = match self.outage.phase() {
            Phase::Out { .. } => false,
            Phase::Probing { out_since, .. } => out_since.is_some(),
            Phase::In | Phase::Ramping { .. } => return None,
        };
        let costly = self.outage.cause().is_some_and(|cause| cause.costly);
        let tried_at = self.outage.tried_at();
        let pace = if costly { PACE_COSTLY } else { PACE };
        let slower = now.since(self.outage.since()).div_duration_f64(PACE_SLOWS_AFTER).clamp(1.0, PACE_SLOWEST);
        let pace = pace.mul_f64(slower);
        Some(LastResort { costly, tried_at, askable: !waiting && self.is_mine(now), pace })
    }

    /// Whether it gets nothing but probes.
    pub const fn is_out(&self) -> bool {
        matches!(self.outage.phase(), Phase::Out { .. } | Phase::Probing { .. })
    }

    /// Whether it is out only because others were better: where nobody is left, most of its calls still succeed or cost nothing.
    pub fn still_serves(&self) -> bool {
        self.outage.still_serves()
    }

    /// Messages wait because the other providers are full.
    pub fn press(&mut self, now: Moment) {
        self.outage.press(now);
    }

    /// Whether messages that have waited long enough for the others may go to it: it is out, but fails a part of its calls only.
    pub fn takes_overflow(&self, now: Moment) -> bool {
        self.outage.takes_overflow(now)
    }

    /// There is reason to believe that it is back: an ejection ends now.
    pub const fn hurry(&mut self, now: Moment) {
        self.outage.hurry(now);
    }

    /// Whether others should hear of this before the next report is due.
    pub const fn take_news(&mut self) -> bool {
        let news = self.has_news || self.suspicion >= super::hang::SUSPECT_AT / 2.0;
        self.has_news = false;
        news
    }

    /// What others are told. Memories only now and then: they are large and slow.
    pub fn report(&self, now: Moment, with_memories: bool) -> Report {
        let phase = match self.outage.phase() {
            Phase::In => ToldPhase::In,
            Phase::Out { until } => ToldPhase::Out { ends_in: until.since(now) },
            Phase::Probing { .. } => ToldPhase::Probing,
            Phase::Ramping { since } => ToldPhase::Ramping { for_now: now.since(since) },
        };
        let cause = self.outage.cause();
        let ms = |seconds: f64| u32::try_from(Duration::from_secs_f64(seconds.max(0.0)).as_millis()).unwrap_or(u32::MAX);
        let calls = self.hang.recent(now, report::MOST_CALLS);
        Report {
            totals: self.counter.totals(),
            calls: calls.map(|call| (ms(now.since(call.started).as_secs_f64()), call.age_s.map(ms))).collect(),
            receipts: if self.settings.receipts { self.receipts.open(RECEIPTS_TOLD_S) } else { super::receipts::Open::default() },
            memories: with_memories.then(|| Box::new((self.baseline.own().clone(), self.receipts.own().clone()))),
            verdict: Verdict {
                version: self.version,
                owner: self.owner,
                phase,
                signal: cause.map(|cause| cause.signal),
                costly: cause.is_some_and(|cause| cause.costly),
                share: cause.map_or(0.0, |cause| cause.share),
                fails: cause.map_or(1.0, |cause| cause.fails),
                rate: cause.map_or(0.0, |cause| cause.rate),
                count: self.outage.count(),
                lasted: now.since(self.outage.since()),
                reading: cause.and_then(|cause| cause.reading),
                slower: self.outage.slower(),
            },
        }
    }

    /// Hears another process's report, which is `delay` old. Reports may come late, twice and in any order.
    pub fn hear(&mut self, now: Moment, from: u64, sequence: u64, report: &Report, delay: Duration) {
        if !self.peers.hear(now, from, sequence, report, delay) {
            return;
        }
        self.normal_is_stale |= report.memories.is_some();
        let verdict = &report.verdict;
        if (verdict.version, verdict.owner) > (self.version, self.owner) {
            self.adopt(now, verdict, delay);
        }
    }

    fn adopt(&mut self, now: Moment, verdict: &Verdict, delay: Duration) {
        (self.version, self.owner) = (verdict.version, verdict.owner);
        let phase = match verdict.phase {
            ToldPhase::In => Phase::In,
            ToldPhase::Out { ends_in } => Phase::Out { until: now + ends_in.saturating_sub(delay) },
            ToldPhase::Probing => Phase::Probing { successes: 0, needed: 3, out_since: None },
            ToldPhase::Ramping { for_now } => Phase::Ramping { since: now - for_now - delay },
        };
        let Verdict { signal, costly, share, fails, rate, count, lasted, reading, slower, .. } = *verdict;
        let cause = signal.map(|signal| Cause { signal, costly, share, fails, followed: FOLLOWED_FIRST, rate, reading });
        let before = self.outage.phase();
        self.outage.adopt(phase, cause, now - lasted - delay, (count, slower), now);
        let kind = match (before, phase) {
            (Phase::In | Phase::Ramping { .. }, Phase::Out { .. } | Phase::Probing { .. }) => {
                self.baseline.doubt();
                self.start_over(now);
                EventKind::Ejected
            }
            (Phase::In | Phase::Out { .. } | Phase::Probing { .. }, Phase::Ramping { .. }) => {
                self.start_over(now);
                self.presume_slow();
                EventKind::Ramping
            }
            (Phase::Out { .. } | Phase::Probing { .. } | Phase::Ramping { .. }, Phase::In) => EventKind::Healthy,
            _ => return,
        };
        let reading = reading.filter(|_| kind == EventKind::Ejected);
        self.transitions.push(Transition { kind, reading, adopted: true, again: false });
    }
}

/// A provider that is out, where everybody is. The least is the least bad: no message is lost if it is not back, and it was
/// not tried for the longest time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LastResort {
    pub costly: bool,
    /// When somebody in the cluster found out last, as far as is known here.
    pub tried_at: Moment,
    /// Whether this process may try it now.
    pub askable: bool,
    /// Time between two tries, whichever providers they go to.
    pub pace: Duration,
}

/// Where everybody is out, one provider gets one call in this time: what is found out later costs everybody who waits.
const PACE: Duration = Duration::from_millis(1_300);
/// The same where calls hang. A probe is waited for by then for seconds, so the next one goes to another provider meanwhile: what
/// bounds the calls that may be lost is the patience, one call at a time at each.
const PACE_COSTLY: Duration = Duration::from_millis(700);
/// After so long tries become rarer in proportion, up to so many times: whoever has waited for minutes can wait for seconds more.
const PACE_SLOWS_AFTER: Duration = Duration::from_secs(45);
const PACE_SLOWEST: f64 = 8.0;
/// Ages of cohorts that a report tells of.
const RECEIPTS_TOLD_S: usize = 45;
