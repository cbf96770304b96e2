//! What a provider's own calls say about it, and what follows for its traffic.
//!
//! Hard evidence ejects: calls that hang ([`hang`]), failures in a run. Soft evidence scales the weight and never below one
//! percent: a risen mean ([`mean`]), a fat tail and a low share of failures ([`share`]), missing receipts ([`receipts`]); a reverse
//! test gives it back. So +10 % latency never ejects, and a false alarm costs seconds of weight, not an outage. All tests are
//! sequential and against the provider's own memory ([`baseline`]); the way back is [`outage`]'s. Recipients and texts that are
//! refused speak for a provider, throttled answers say nothing here. Other processes' reports ([`report`]) count like own calls.

mod baseline;
mod batch;
mod hang;
mod judge;
mod latency;
mod mean;
mod outage;
mod receipts;
mod recent;
mod report;
mod share;
mod signal;
mod thresholds;
mod verdict;

use std::time::Duration;

use self::{
    baseline::{Baseline, Normal},
    batch::Batch,
    hang::Hang,
    judge::Failures,
    mean::MeanTest,
    outage::{Outage, Phase},
    receipts::Receipts,
    recent::Recent,
    report::{Counter, Peers},
    share::ShareTest,
};
pub use self::{
    report::Report,
    signal::{Reading, Signal},
    thresholds::Thresholds,
    verdict::LastResort,
};
use crate::{
    attempt::Outcome,
    dice::Dice,
    fleet::{EventKind, State},
    time::Moment,
};

/// How long what is known of pending calls stays good enough to choose by.
const REFRESH_AFTER: Duration = Duration::from_millis(5);
/// Slower than this is the tail.
const TAIL: Duration = Duration::from_secs(1);
/// A peak fades with this part of each newer, quicker sample.
const PEAK_FADES: f64 = 0.1;

/// What health allows a provider now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standing {
    /// Traffic in proportion to `factor` (0–1].
    Open { factor: f64 },
    /// A few calls are late: only for whoever has no choice.
    Doubted { factor: f64 },
    /// One call may find out now whether it is back.
    Probe,
    /// Calls are hanging, too few to be sure: nothing new until they answer.
    Suspected,
    /// Nothing is sent; asking again makes sense at `until`.
    Out { signal: Signal, since: Moment, until: Moment },
}

/// A change that health has decided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transition {
    pub kind: EventKind,
    pub reading: Option<Reading>,
    pub adopted: bool,
    pub again: bool,
}

/// What health must know of the provider.
#[derive(Clone, Copy, Debug)]
pub struct HealthSettings {
    pub thresholds: Thresholds,
    pub timeout: Duration,
    pub receipts: bool,
}

/// The health of one provider, as one process sees it.
#[derive(Clone, Debug)]
pub struct Health {
    settings: HealthSettings,
    me: u64,
    /// It makes no calls: it counts receipts and follows what others decide.
    listens: bool,
    baseline: Baseline,
    normal: Normal,
    normal_is_stale: bool,
    hang: Hang,
    failures: Failures,
    soft: ShareTest,
    tail: ShareTest,
    mean: MeanTest,
    receipts: Receipts,
    recent: Recent,
    timeouts_in_a_row: u32,
    suspicion: f64,
    suspected: bool,
    degraded: bool,
    refreshed_at: Moment,
    ticked_s: u64,
    latency_s: f64,
    /// The busiest rate, and when it was.
    peak: (f64, Moment),
    outage: Outage,
    /// The latest decision: its number, and who made it.
    version: u64,
    owner: u64,
    /// Calls that started earlier say nothing any more.
    reset_at: Moment,
    counter: Counter,
    peers: Peers,
    has_news: bool,
    transitions: Vec<Transition>,
}

impl Health {
    /// A provider that nobody knows; `me` tells this process from others.
    pub fn new(settings: HealthSettings, me: u64, now: Moment) -> Self {
        Self {
            settings,
            me,
            listens: false,
            baseline: Baseline::new(now),
            normal: Normal::of(&baseline::Memory::default()),
            normal_is_stale: false,
            hang: Hang::default(),
            failures: Failures::default(),
            soft: ShareTest::default(),
            tail: ShareTest::default(),
            mean: MeanTest::default(),
            receipts: Receipts::new(),
            recent: Recent::new(now),
            timeouts_in_a_row: 0,
            suspicion: 0.0,
            suspected: false,
            degraded: false,
            refreshed_at: now,
            ticked_s: now.since_start().as_secs(),
            latency_s: 0.0,
            peak: (0.0, now),
            outage: Outage::new(now),
            version: 0,
            owner: 0,
            reset_at: now,
            counter: Counter::default(),
            peers: Peers::default(),
            has_news: false,
            transitions: Vec::new(),
        }
    }

    pub const fn configure(&mut self, settings: HealthSettings) {
        self.settings = settings;
    }

    /// From now on nothing is decided here.
    pub const fn listen(&mut self) {
        self.listens = true;
    }

    /// A call goes out; the number it is known by from now on.
    pub fn started(&mut self, now: Moment, probe: Option<Probe>) -> u64 {
        self.recent.started(now);
        if let Some(probe) = probe {
            self.outage.probe(now, probe == Probe::LeastBad);
            self.decided_here();
        }
        self.hang.started(now)
    }

    /// This process was held up for so long: pending calls were not heard, so their age says that much less.
    pub fn held_up(&mut self, now: Moment, lasted: Duration) {
        self.hang.excuse(now, lasted);
    }

    /// The call that was started last goes out only when [`Self::sent`] says so.
    pub fn held(&mut self, call: u64, probe: bool) {
        self.hang.held(call);
        if probe {
            self.outage.hold_probe();
        }
    }

    /// A call that was held, since it was chosen, goes out.
    pub fn sent(&mut self, now: Moment, call: u64, chosen: Moment, probe: bool) {
        self.hang.sent(call, now);
        if probe {
            self.outage.probe_sent(chosen, now);
        }
    }

    /// A call has ended.
    pub fn ended(&mut self, now: Moment, call: u64, started: Moment, probe: bool, outcome: Outcome, dice: &mut Dice) {
        let latency = now.since(started);
        if outcome == Outcome::Ambiguous {
            self.hang.silent(call, latency.as_secs_f64());
        } else {
            self.hang.answered(call);
        }
        let batch = Batch::of(outcome, latency);
        if let Some(batch) = &batch {
            self.note(now, latency, outcome, batch);
        }
        let serving = matches!(self.outage.phase(), Phase::In | Phase::Ramping { .. });
        match batch {
            _ if probe && self.outage.awaits(started) => self.probe_ended(now, latency, outcome, dice),
            Some(batch) if serving && started >= self.reset_at => self.weigh(now, &batch, Some(started), dice),
            // Calls from before the ejection say how it was.
            Some(_) if !probe && started > self.outage.since() => {
                let answered = matches!(outcome, Outcome::Accepted | Outcome::RejectedRecipient | Outcome::RejectedContent);
                self.outage.served(!answered, outcome == Outcome::Ambiguous);
            }
            _ => {}
        }
        if outcome == Outcome::Accepted && self.settings.receipts {
            self.receipts.submitted(started.since_start().as_secs());
        }
    }

    /// Counts a call for everybody who shows or tells.
    fn note(&mut self, now: Moment, latency: Duration, outcome: Outcome, batch: &Batch) {
        self.counter.add(batch);
        let slow = latency >= TAIL;
        if batch.answers() > 0 {
            self.recent.answered(now, latency.as_secs_f64(), slow);
            let sample = latency.as_secs_f64();
            self.latency_s = if sample > self.latency_s { sample } else { self.latency_s + (sample - self.latency_s) * PEAK_FADES };
        } else {
            self.recent.failed(now, slow);
            self.has_news = true;
        }
        self.timeouts_in_a_row = if outcome == Outcome::Ambiguous { self.timeouts_in_a_row + 1 } else { 0 };
    }

    /// A call was never made.
    pub fn abandoned(&mut self, call: u64, probe: bool) {
        self.hang.answered(call);
        if probe {
            self.outage.probe_undecided();
        }
    }

    /// A receipt for a message submitted at `submitted_at`.
    pub fn receipt(&mut self, now: Moment, submitted_at: Moment, delivered: bool) {
        if delivered && self.settings.receipts {
            let age_s = usize::try_from(now.since(submitted_at).as_secs()).unwrap_or(usize::MAX);
            self.receipts.received(submitted_at.since_start().as_secs(), age_s);
        }
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Moment, dice: &mut Dice) {
        let batch = self.peers.take_batch();
        if batch.calls() > 0 && matches!(self.outage.phase(), Phase::In | Phase::Ramping { .. }) {
            self.weigh(now, &batch, None, dice);
        }
        self.advance(now, dice);
        self.refresh(now, dice);
        let second = now.since_start().as_secs();
        if second > self.ticked_s {
            self.ticked_s = second;
            self.each_second(now, second);
        }
    }

    fn each_second(&mut self, now: Moment, second: u64) {
        self.peak = (self.peak_rate(now), now);
        self.normal_is_stale |= self.baseline.tick(now);
        if self.settings.receipts {
            let elsewhere = self.peers.receipts(now);
            self.normal_is_stale |= self.receipts.tick(second, &elsewhere);
            self.watch_soft_alarms();
        }
        if second.is_multiple_of(60) {
            self.peers.forget_old(now);
        }
        if self.normal_is_stale {
            self.normal_is_stale = false;
            let (mut memory, mut delays) = (self.baseline.own().clone(), self.receipts.own().clone());
            for (theirs, their_delays) in self.peers.memories() {
                memory.join(theirs);
                delays.join(their_delays);
            }
            self.normal = Normal::of(&memory);
            self.receipts.know(&delays);
        }
    }

    /// What health allows now. Fresh as of the last [`Self::refresh`].
    pub fn standing(&self, now: Moment) -> Standing {
        let out = |until: Moment| {
            let signal = self.outage.cause().map_or(Signal::ConsecutiveTimeouts, |cause| cause.signal);
            Standing::Out { signal, since: self.outage.since(), until }
        };
        let factor = || self.outage.factor(now) * self.soft_factor();
        match self.outage.phase() {
            Phase::Out { until } => out(until),
            Phase::Probing { out_since: None, .. } if self.is_mine(now) => Standing::Probe,
            Phase::Probing { .. } => out(now + Duration::from_millis(100)),
            Phase::In | Phase::Ramping { .. } if self.suspicion >= hang::HOLD_BACK_AT => Standing::Suspected,
            Phase::In | Phase::Ramping { .. } if self.suspected => Standing::Doubted { factor: factor() },
            Phase::In | Phase::Ramping { .. } => Standing::Open { factor: factor() },
        }
    }

    pub fn state(&self, now: Moment) -> State {
        match (self.outage.phase(), self.standing(now)) {
            (Phase::In, _) => State::Healthy,
            (Phase::Out { .. }, _) => State::Ejected,
            (Phase::Probing { .. }, _) => State::Probing,
            (Phase::Ramping { .. }, _) => State::Ramping,
        }
    }

    /// Peak EWMA of latency in seconds.
    pub const fn latency_s(&self) -> f64 {
        self.latency_s
    }

    /// Calls out at most: what its rate and latency make likely, and a margin. An implicit ejection for whatever else fails.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    pub fn in_flight_cap(&self, now: Moment) -> u32 {
        if self.normal.samples < hang::MIN_SAMPLES {
            return u32::MAX;
        }
        let usual_s = (self.normal.mean_ln + self.normal.sigma.powi(2) / 2.0).exp();
        let expected = self.peak_rate(now) * self.recent.mean_s(now).unwrap_or(usual_s).max(usual_s);
        (CAP_LEAST + expected + CAP_SPREADS * expected.sqrt()).ceil() as u32
    }

    /// The busiest rate lately: an outage or a pause must not shut out the crowd that waits for its end.
    fn peak_rate(&self, now: Moment) -> f64 {
        self.recent.rate(now).max(self.peak.0 * (-now.since(self.peak.1).as_secs_f64() / PEAK_RATE_FADES_S).exp())
    }

    /// The age at which a call is hopeless, if calls hang.
    pub fn hopeless_after(&self, now: Moment) -> Option<Duration> {
        let hangs = match self.standing(now) {
            Standing::Suspected => self.suspicion >= hang::EJECT_AT,
            Standing::Out { .. } | Standing::Probe => self.outage.cause().is_some_and(|cause| cause.costly),
            Standing::Open { .. } | Standing::Doubted { .. } => false,
        };
        hangs.then(|| self.slowest_usual())
    }

    /// The latency that only one of a hundred calls exceeds.
    pub fn slowest_usual(&self) -> Duration {
        self.slowest(0.01)
    }

    /// The latency that only this share of calls exceeds; the timeout as long as nobody knows.
    fn slowest(&self, share: f64) -> Duration {
        if self.normal.samples < hang::MIN_SAMPLES {
            return self.settings.timeout;
        }
        Duration::from_secs_f64(self.normal.slowest_s(share)).min(self.settings.timeout)
    }

    pub fn take_transitions(&mut self) -> Vec<Transition> {
        std::mem::take(&mut self.transitions)
    }
}

/// The busiest rate fades by two thirds in this time.
const PEAK_RATE_FADES_S: f64 = 120.0;
/// Calls in flight that are always allowed, and how many standard deviations above the expected number.
const CAP_LEAST: f64 = 3.0;
const CAP_SPREADS: f64 = 4.0;

/// Why a call is a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Its ejection is over.
    Due,
    /// Everybody is out and it is the least bad.
    LeastBad,
}
