//! Out, and the way back: ejection, probes, ramp.
//!
//! An ejection lasts longer each time and has jitter, so that a flapping provider is tried less and workers do not march in
//! step. How long depends on what a failed return costs: a refused call loses nothing and is tried after 2 s, a call that
//! hangs may lose a message. The way back is a budget of wasted calls that one process spends for the cluster: a few probes,
//! one at a time, as many as it takes to tell a partly ill provider from a well one, then a ramp, because a provider that
//! has just restarted does not take everything at once. Only a probe's own answer counts: answers to calls from before the
//! ejection say how it was, not how it is.

use std::time::Duration;

use super::signal::{Reading, Signal};
use crate::{dice::Dice, time::Moment};

/// How much longer each ejection is than the one before.
const GROWTH: f64 = 1.7;
const JITTER: f64 = 0.2;
/// First and longest ejection where a failed probe loses nothing.
const HARMLESS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));
/// And where it may lose a message.
const COSTLY: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(18));
/// Between two tries while messages wait for the others, because those are full: one in so many messages of the provider, but not
/// more often than this. Where a try loses nothing, it is no worse for them than waiting; where it may, a longer queue outweighs it.
const PRESSED: (f64, Duration) = (120.0, Duration::from_millis(3_500));
const PRESSED_COSTLY: (f64, Duration) = (300.0, Duration::from_secs(12));
/// Messages wait without a break as long as somebody is told to wait this often at least.
const PRESSED_WITHOUT_BREAK: Duration = Duration::from_millis(250);
/// After such a wait whoever fails a part of its calls takes what the others have no room for, until so many in a row have failed:
/// it fails everything then, and a probe finds out when that is over.
const OVERFLOWS_AFTER: Duration = Duration::from_millis(500);
const OVERFLOWS_UNTIL_FAILED: u32 = 4;
/// At low traffic a probe is a large part of it: at most one in the time of so many messages, up to a limit.
const MESSAGES_A_PROBE: f64 = 30.0;
const COSTLY_MOST: Duration = Duration::from_secs(32);
/// A relapse so soon after the ramp's middle doubles the ejection, up to a limit.
const RELAPSE_WITHIN: Duration = Duration::from_secs(60);
const RELAPSE_MOST: Duration = Duration::from_secs(30);
/// A healthy time of this length takes one ejection off the count.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);
/// Probes in a row: enough to notice the illness that ejected with 98 %.
const PROBE_EVIDENCE: f64 = 3.9;
const PROBES_LEAST: f64 = 3.0;
const PROBES_MOST: f64 = 12.0;
/// Where everybody is out, one that fails less than this, at no cost but a retry, serves on: waiting would be worse.
const STILL_SERVES: f64 = 0.8;
/// Whoever answered any call since the first failure is tried as one that fails so often: a run that ejects looks worse than it is.
const AT_FIRST: f64 = 0.6;
const NONE_ANSWERED: f64 = 0.95;
/// What an ejection knows of the share of failures is worth so many calls, and it is followed over so many.
pub const FOLLOWED_FIRST: f64 = 4.0;
const FOLLOWED_MOST: f64 = 16.0;
/// Share of its traffic at each step of the ramp, and how long a step lasts.
const RAMP: [f64; 3] = [0.15, 0.35, 0.65];
const RAMP_STEP: Duration = Duration::from_millis(2_000);

/// Why it is out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cause {
    pub signal: Signal,
    /// Whether a failed probe may lose a message.
    pub costly: bool,
    /// Share of calls that failed.
    pub share: f64,
    /// The same over calls that began after the first failure, followed by probes, and while it serves on because nobody is left.
    pub fails: f64,
    /// Calls that `fails` rests on.
    pub followed: f64,
    /// Messages a second that the provider used to get.
    pub rate: f64,
    pub reading: Option<Reading>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Phase {
    In,
    Out { until: Moment },
    Probing { successes: u32, needed: u32, out_since: Option<Moment> },
    Ramping { since: Moment },
}

/// The phase of one provider, and the history that makes ejections longer.
#[derive(Clone, Debug)]
pub struct Outage {
    phase: Phase,
    cause: Option<Cause>,
    since: Moment,
    /// When somebody in the cluster last found out, or began to: the ejection, then each probe's start.
    tried_at: Moment,
    /// The probe that is out was chosen, but its call has not begun.
    held: bool,
    /// There was reason to believe that it is back while a probe was out: what that one says is old.
    hurried: bool,
    /// Ejections that count, and since when the provider has been well.
    count: f64,
    well_since: Moment,
    ramped_at: Option<Moment>,
    doubled: u32,
    /// Since when messages have waited for the others without a break, and when last.
    pressed: Option<(Moment, Moment)>,
    /// Calls in a row that failed since it is out.
    failed_in_a_row: u32,
    /// How much slower than usual its probes were that succeeded, on the logarithmic scale: sum and number.
    slower: (f64, f64),
}

impl Outage {
    pub const fn new(now: Moment) -> Self {
        Self {
            phase: Phase::In,
            cause: None,
            since: now,
            tried_at: now,
            held: false,
            hurried: false,
            count: 0.0,
            well_since: now,
            ramped_at: None,
            doubled: 0,
            pressed: None,
            failed_in_a_row: 0,
            slower: (0.0, 0.0),
        }
    }

    pub const fn phase(&self) -> Phase {
        self.phase
    }

    pub const fn cause(&self) -> Option<Cause> {
        self.cause
    }

    pub const fn since(&self) -> Moment {
        self.since
    }

    pub const fn tried_at(&self) -> Moment {
        self.tried_at
    }

    /// Takes the provider out. A return that failed continues the old outage.
    pub fn eject(&mut self, now: Moment, cause: Cause, dice: &mut Dice) {
        let returning = matches!(self.phase, Phase::Probing { .. } | Phase::Ramping { .. });
        if !returning {
            self.forgive(now);
            (self.since, self.tried_at) = (now, now);
            self.failed_in_a_row = 0;
        }
        let relapse = match self.phase {
            Phase::Ramping { since } => now.since(since) >= RAMP_STEP.mul_f64(1.5),
            Phase::In => self.ramped_at.is_some_and(|at| now.since(at) < RELAPSE_WITHIN),
            Phase::Out { .. } | Phase::Probing { .. } => false,
        };
        self.doubled += u32::from(relapse);
        self.count += 1.0;
        let (base, most) = if cause.costly { (COSTLY.0, Self::costly_most(cause.rate)) } else { HARMLESS };
        let grown = base.mul_f64(GROWTH.powf((self.count - 1.0).min(20.0))).min(most);
        let doubled = grown.mul_f64(2_f64.powi(i32::try_from(self.doubled.min(8)).unwrap_or(8))).min(RELAPSE_MOST.max(grown));
        let lasts = doubled.mul_f64(dice.between(1.0 - JITTER, 1.0 + JITTER));
        let (fails, followed) = match (self.phase, self.cause) {
            (Phase::Probing { .. }, Some(before)) => (before.fails, before.followed),
            // A run of failures in a ramp says no more than what is known of all the calls before.
            (Phase::Ramping { .. }, Some(before)) => {
                let followed = before.followed + cause.followed;
                ((before.fails * before.followed + cause.fails * cause.followed) / followed, followed.min(FOLLOWED_MOST))
            }
            _ if cause.fails < NONE_ANSWERED => (cause.fails.min(AT_FIRST), cause.followed),
            _ => (1.0, cause.followed),
        };
        self.cause = Some(Cause { fails, followed, ..cause });
        let until = if std::mem::take(&mut self.hurried) && returning { now } else { now + lasts };
        self.phase = Phase::Out { until };
        self.slower = (0.0, 0.0);
    }

    fn costly_most(rate: f64) -> Duration {
        let low_traffic = Duration::from_secs_f64((MESSAGES_A_PROBE / rate.max(0.01)).min(COSTLY_MOST.as_secs_f64()));
        low_traffic.max(COSTLY.1)
    }

    #[expect(clippy::cast_precision_loss, reason = "minutes")]
    fn forgive(&mut self, now: Moment) {
        let minutes = now.since(self.well_since).as_secs() / FORGIVEN_AFTER.as_secs();
        self.count = (self.count - minutes as f64).max(0.0);
        if now.since(self.well_since) >= RELAPSE_WITHIN {
            self.doubled = 0;
        }
    }

    /// Lets time pass: an ejection ends in probing, a ramp in full traffic. True if the phase has changed.
    pub fn tick(&mut self, now: Moment) -> bool {
        match self.phase {
            Phase::Out { until } if now >= until => {
                self.phase = Phase::Probing { successes: 0, needed: self.probes_needed(), out_since: None };
                true
            }
            Phase::Ramping { since } if now.since(since) >= RAMP_STEP * 3 => {
                self.phase = Phase::In;
                self.cause = None;
                self.well_since = now;
                self.ramped_at = Some(now);
                true
            }
            _ => false,
        }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a dozen")]
    fn probes_needed(&self) -> u32 {
        let share = self.cause.map_or(1.0, |cause| cause.share).clamp(0.01, 0.99);
        (PROBE_EVIDENCE / -(1.0 - share).ln()).ceil().clamp(PROBES_LEAST, PROBES_MOST) as u32
    }

    /// A probe goes out. From an ejection that has not ended, where everybody is out: one answer is enough.
    pub fn probe(&mut self, now: Moment, least_bad: bool) {
        (self.tried_at, self.held) = (now, false);
        match &mut self.phase {
            Phase::Probing { out_since, .. } => *out_since = Some(now),
            Phase::Out { .. } if least_bad => self.phase = Phase::Probing { successes: 0, needed: 1, out_since: Some(now) },
            Phase::Out { .. } | Phase::In | Phase::Ramping { .. } => {}
        }
        if least_bad && let Phase::Probing { needed, .. } = &mut self.phase {
            *needed = 1;
        }
    }

    /// The probe that was chosen last does not go out before [`Self::probe_sent`].
    pub const fn hold_probe(&mut self) {
        self.held = true;
    }

    pub fn probe_sent(&mut self, chosen: Moment, now: Moment) {
        if let Phase::Probing { out_since: Some(since), .. } = &mut self.phase
            && *since == chosen
        {
            *since = now;
            (self.tried_at, self.held) = (now, false);
        }
    }

    /// How long the probe that is out has been waited for.
    pub fn probe_age(&self, now: Moment) -> Option<Duration> {
        match self.phase {
            Phase::Probing { out_since: Some(since), .. } if !self.held => Some(now.since(since)),
            _ => None,
        }
    }

    /// Messages wait because the others are full: one of them may as well find out sooner, if that can lose nothing.
    pub fn press(&mut self, now: Moment) {
        self.pressed = match self.pressed {
            Some((since, last)) if now.since(last) < PRESSED_WITHOUT_BREAK => Some((since, now)),
            _ => Some((now, now)),
        };
        let Some(cause) = self.cause else { return };
        match &mut self.phase {
            Phase::Out { until } => {
                let (messages, least) = if cause.costly { PRESSED_COSTLY } else { PRESSED };
                let traffic = Duration::from_secs_f64(messages / cause.rate.max(0.01));
                // Whoever comes back only to fall again is not hurried.
                let relapses = 2_f64.powi(i32::try_from(self.doubled.min(8)).unwrap_or(8));
                *until = (*until).min(self.tried_at + least.max(traffic).mul_f64(relapses));
            }
            Phase::Probing { needed, .. } if !cause.costly && cause.fails >= NONE_ANSWERED => *needed = 1,
            Phase::Probing { .. } | Phase::In | Phase::Ramping { .. } => {}
        }
    }

    /// Whether it takes messages for which the others have no room: it fails a part of its calls only, not everything just now, and
    /// they have waited for so long that a retry is better.
    pub fn takes_overflow(&self, now: Moment) -> bool {
        let waits_on =
            self.pressed.is_some_and(|(since, last)| now.since(last) < PRESSED_WITHOUT_BREAK && now.since(since) >= OVERFLOWS_AFTER);
        waits_on && self.failed_in_a_row < OVERFLOWS_UNTIL_FAILED && self.still_serves()
    }

    /// Whether it is out, but better than nobody: most likely the next provider's answer would be no better.
    pub fn still_serves(&self) -> bool {
        let out = matches!(self.phase, Phase::Out { .. } | Phase::Probing { .. });
        out && self.cause.is_some_and(|cause| !cause.costly && cause.fails < STILL_SERVES)
    }

    /// A call that was no probe has ended at a provider that is out. Nobody waits for its answer, but it tells how ill it still is;
    /// one that answers nothing is not asked any more.
    pub fn served(&mut self, failed: bool, silent: bool) {
        if let (Phase::Out { .. } | Phase::Probing { .. }, Some(cause)) = (self.phase, &mut self.cause) {
            cause.costly |= silent;
        }
        self.follow(failed);
    }

    /// A call that began since it is ill has ended.
    pub fn follow(&mut self, failed: bool) {
        self.failed_in_a_row = if failed { self.failed_in_a_row + 1 } else { 0 };
        if let Some(cause) = &mut self.cause {
            cause.followed = (cause.followed + 1.0).min(FOLLOWED_MOST);
            cause.fails += (f64::from(u8::from(failed)) - cause.fails) / cause.followed;
        }
    }

    /// An ejection ends now. A probe that is out went out too early: if it fails, the next one follows at once.
    pub const fn hurry(&mut self, now: Moment) {
        match &mut self.phase {
            Phase::Out { until } => *until = now,
            Phase::Probing { out_since, .. } => self.hurried = out_since.is_some(),
            Phase::In | Phase::Ramping { .. } => {}
        }
    }

    /// Whether the probe that went out at `started` is still waited for: one that was given up decides nothing.
    pub fn awaits(&self, started: Moment) -> bool {
        matches!(self.phase, Phase::Probing { out_since: Some(since), .. } if since == started)
    }

    /// A probe was answered, `slower_ln` slower than usual; true if the ramp begins.
    pub fn probe_succeeded(&mut self, now: Moment, slower_ln: f64) -> bool {
        let Phase::Probing { successes, needed, out_since } = &mut self.phase else { return false };
        *successes += 1;
        self.slower = (self.slower.0 + slower_ln, self.slower.1 + 1.0);
        *out_since = None;
        let is_back = *successes >= *needed;
        self.follow(false);
        if is_back {
            self.phase = Phase::Ramping { since: now };
            self.hurried = false;
        }
        is_back
    }

    /// How much slower than usual its last probes were, on the logarithmic scale, and how many.
    pub const fn slower(&self) -> (f64, f64) {
        self.slower
    }

    /// A probe came to nothing that counts: throttled, or never made.
    pub fn probe_undecided(&mut self) {
        if let Phase::Probing { out_since, .. } = &mut self.phase {
            *out_since = None;
        }
    }

    /// Takes over what another process has decided.
    pub fn adopt(&mut self, phase: Phase, cause: Option<Cause>, since: Moment, (count, slower): (f64, (f64, f64)), now: Moment) {
        if phase == Phase::In && self.phase != Phase::In {
            self.well_since = now;
            self.ramped_at = Some(now);
        }
        if matches!(phase, Phase::Probing { .. }) || matches!(self.phase, Phase::In) {
            self.tried_at = now;
        }
        if !matches!(self.phase, Phase::Out { .. } | Phase::Probing { .. }) {
            self.failed_in_a_row = 0;
        }
        (self.phase, self.cause, self.since, self.count, self.slower) = (phase, cause, since, count.max(0.0), slower);
    }

    pub const fn count(&self) -> f64 {
        self.count
    }

    /// The part of its traffic that the phase allows.
    pub fn factor(&self, now: Moment) -> f64 {
        match self.phase {
            Phase::In => 1.0,
            Phase::Out { .. } | Phase::Probing { .. } => 0.0,
            Phase::Ramping { since } => {
                let step = now.since(since).as_nanos() / RAMP_STEP.as_nanos();
                usize::try_from(step).ok().and_then(|step| RAMP.get(step)).copied().unwrap_or(1.0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REFUSED: Cause =
        Cause { signal: Signal::ErrorRate, costly: false, share: 1.0, fails: 1.0, followed: FOLLOWED_FIRST, rate: 25.0, reading: None };

    fn at(seconds: f64) -> Moment {
        Moment::from_start(Duration::from_secs_f64(seconds))
    }

    fn until(outage: &Outage) -> Moment {
        match outage.phase() {
            Phase::Out { until } => until,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_way_back_is_three_probes_and_a_ramp() {
        let mut outage = Outage::new(at(0.0));
        outage.eject(at(10.0), REFUSED, &mut Dice::new(1));
        assert!(!outage.tick(at(10.5)) && outage.tick(at(13.0)));
        for _ in 0..2 {
            outage.probe(at(13.0), false);
            assert!(!outage.probe_succeeded(at(13.1), 0.0));
        }
        outage.probe(at(13.1), false);
        assert!(outage.probe_succeeded(at(13.2), 0.0));
        assert!((outage.factor(at(13.3)) - 0.15).abs() < 1e-9);
        assert!(outage.tick(at(19.3)));
        assert_eq!(outage.phase(), Phase::In);
    }

    #[test]
    fn while_messages_wait_for_the_others_it_is_tried_sooner_the_more_so_the_less_a_try_costs() {
        let waits = |costly, rate, relapses| {
            let (mut outage, mut dice) = (Outage::new(at(0.0)), Dice::new(1));
            outage.doubled = relapses;
            for _ in 0..6 {
                outage.eject(at(10.0), Cause { costly, rate, ..REFUSED }, &mut dice);
            }
            let before = until(&outage);
            outage.press(at(10.0));
            assert!(until(&outage) <= before);
            (until(&outage) < before).then(|| until(&outage).since(at(10.0)).as_millis())
        };
        assert_eq!([waits(false, 100.0, 0), waits(false, 24.0, 0)], [Some(3_500), Some(5_000)], "one in so many messages");
        assert_eq!(waits(true, 100.0, 0), Some(12_000), "where a try may lose a message");
        assert_eq!(waits(false, 1.0, 0), None, "two minutes' messages are no hurry");
        assert_eq!([waits(false, 100.0, 1), waits(false, 100.0, 4)], [Some(7_000), None], "it fell again each time");
    }

    #[test]
    fn probes_that_are_answered_now_and_then_tell_a_part_from_the_whole() {
        let (mut outage, mut dice) = (Outage::new(at(0.0)), Dice::new(1));
        outage.eject(at(10.0), REFUSED, &mut dice);
        assert!(!outage.still_serves(), "as far as anybody knows it fails everything");
        for time in [20.0, 40.0, 60.0] {
            outage.tick(at(time));
            outage.probe(at(time), false);
            outage.probe_succeeded(at(time), 0.0);
            outage.follow(true);
            outage.eject(at(time), REFUSED, &mut dice);
        }
        assert!(outage.still_serves(), "half of its probes were answered");
    }

    #[test]
    fn a_probe_from_before_another_came_back_does_not_lengthen_the_ejection() {
        let (mut outage, mut dice) = (Outage::new(at(0.0)), Dice::new(1));
        outage.eject(at(10.0), REFUSED, &mut dice);
        outage.tick(at(13.0));
        outage.probe(at(13.0), true);
        outage.hurry(at(13.5));
        outage.eject(at(14.0), REFUSED, &mut dice);
        assert_eq!(until(&outage), at(14.0));
        outage.tick(at(14.0));
        outage.probe(at(14.0), true);
        outage.eject(at(15.0), REFUSED, &mut dice);
        assert!(until(&outage) > at(16.0), "this one was sent after it");
    }

    #[test]
    fn a_partly_ill_provider_needs_more_probes() {
        let mut outage = Outage::new(at(0.0));
        outage.eject(at(10.0), Cause { share: 0.3, ..REFUSED }, &mut Dice::new(1));
        outage.tick(at(13.0));
        assert!(matches!(outage.phase(), Phase::Probing { needed: 11, .. }));
    }

    proptest! {
        #[test]
        fn ejections_grow_up_to_their_cap(seed: u64, costly: bool) {
            let mut outage = Outage::new(at(0.0));
            let mut dice = Dice::new(seed);
            let (mut now, mut last) = (at(0.0), Duration::ZERO);
            for _ in 0..12 {
                outage.eject(now, Cause { costly, ..REFUSED }, &mut dice);
                let lasts = until(&outage).since(now);
                prop_assert!(lasts.as_secs_f64() >= last.as_secs_f64() * 0.66, "jitter apart, never shorter");
                prop_assert!(lasts <= COSTLY.1.mul_f64(1.0 + JITTER));
                (now, last) = (until(&outage), lasts);
                outage.tick(now);
            }
        }
    }
}
