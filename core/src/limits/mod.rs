//! What a provider's contract allows, kept exactly: segments per second and calls in flight.
//!
//! [`Window`] counts the segments of the last second to the call, so that no second sees more than the contract and ten
//! seconds see all of it; a token bucket would allow twice the contract in the second after a pause. [`Learned`] is the
//! limit that throttled answers teach where the contract says nothing or too much. Both answer with a *time* at which
//! there will be room, so that a message can wait or park until then instead of asking again. [`Spacing`] keeps calls apart,
//! so that the provider counts what was counted here. The contract is the whole cluster's; what this process may use of it
//! is granted from outside by [`Limits::grant`], for a moment at a time; who was never granted anything has it alone.
//!
//! A call that is written down first is *chosen* by the line alone, a little ahead of its place, and held to the window when
//! it *departs*. Were it held to the window when it is chosen, the time that writing takes would be added to every second.

mod learned;
mod pace;
mod spacing;
mod window;

use std::time::Duration;

use self::spacing::{CATCHES_UP, PACE, Spacing};
pub use self::{learned::Learned, window::Window};
use crate::{message::Lane, time::Moment};

/// How soon to ask again when only an ended call makes room. Whoever waits is woken by that; this is for wakes that are lost.
pub const ASK_AGAIN: Duration = Duration::from_millis(100);

/// A lane that was refused keeps lower lanes off the provider until it is served, here or elsewhere, or until this long after the
/// time at which it was told to ask again: long enough that a woken message comes first, short enough that one that has left
/// does not block anybody.
const PRECEDENCE: Duration = Duration::from_millis(50);
/// What a sum of parts may miss of a whole number.
const WHOLE: f64 = 1e-6;
/// Nobody waits longer without leaving the line: messages park then.
const STANDS_IN_LINE: Duration = Duration::from_secs(1);

/// The contract of one provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contract {
    /// Segments per second; 0 = none.
    pub max_per_s: u32,
    /// Calls in flight; 0 = none.
    pub max_in_flight: u32,
}

/// When a call goes out for which room was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Departure {
    /// As it is chosen.
    #[default]
    AtOnce,
    /// Once it is written down: [`Limits::departs`] holds it to the window then.
    WrittenFirst,
}

/// Why there is no room now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The rate allows the next call at this time.
    Rate(Moment),
    /// As many calls are out as may be; room comes with the next answer.
    InFlight,
}

/// The limits of every provider of a fleet, by its place.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    gates: Vec<Gate>,
    departure: Departure,
}

#[derive(Clone, Debug)]
struct Gate {
    contract: Contract,
    granted: Option<Grant>,
    window: Window,
    chosen: Spacing,
    departed: Spacing,
    learned: Learned,
    in_flight: u32,
    /// Until when a lane that was refused comes before lower ones, by [`Lane::index`].
    waits_until: [Option<Moment>; Lane::ALL.len()],
    /// Until when somebody may still wait, of whatever lane.
    waited_for_until: Moment,
}

#[derive(Clone, Copy, Debug)]
struct Grant {
    /// Of the contract, 0 to 1.
    part: f64,
    until: Moment,
}

impl Gate {
    fn new(contract: Contract) -> Self {
        Self {
            contract,
            granted: None,
            window: Window::new(rate(contract.max_per_s)),
            chosen: Spacing::default(),
            departed: Spacing::default(),
            learned: Learned::default(),
            in_flight: 0,
            waits_until: [None; Lane::ALL.len()],
            waited_for_until: Moment::ZERO,
        }
    }

    fn refresh(&mut self, now: Moment) {
        let contract = rate(self.contract.max_per_s);
        let share = if contract.is_finite() { contract * self.part(now) } else { contract };
        let (before, after) = (self.window.rate(), share.min(self.learned.per_s(now)));
        self.window.set_rate(after);
        if before.to_bits() != after.to_bits() && before.is_finite() && after > 0.0 {
            self.chosen.stretch(now, before / after);
            self.departed.stretch(now, before / after);
        }
    }

    /// What this process may use of the contract. Whoever shares it has nothing once its grant is over.
    fn part(&self, now: Moment) -> f64 {
        self.granted.map_or(1.0, |grant| if grant.until <= now { 0.0 } else { grant.part })
    }

    /// Calls in flight that may be out here. A share of a small cap is one call at least: it would be none anywhere otherwise.
    /// Rounded down, so that the shares never sum to more than the cap.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a u32 is a u32")]
    fn may_be_out(&self, now: Moment) -> u32 {
        match (self.contract.max_in_flight, self.part(now)) {
            (0, _) => u32::MAX,
            (_, 0.0) => 0,
            (cap, part) => ((f64::from(cap) * part + WHOLE) as u32).max(1),
        }
    }

    /// When the line lets a call be chosen, and the window one that goes out at once.
    fn free_at(&mut self, now: Moment, segments: u32, departure: Departure) -> Moment {
        let spaced = if self.seconds() > 0.0 { self.chosen.free_at(now) } else { now };
        match departure {
            Departure::WrittenFirst if !self.window.is_shut() => spaced,
            _ => self.window.free_at(now, segments).max(spaced),
        }
    }

    /// How long one segment lasts at the rate that holds; nothing without one.
    fn seconds(&self) -> f64 {
        let rate = self.window.rate();
        if rate > 0.0 && rate.is_finite() { rate.recip() } else { 0.0 }
    }

    fn is_preceded(&self, now: Moment, lane: Lane) -> bool {
        self.waits_until[..lane.index()].iter().flatten().any(|until| now < *until)
    }

    /// A lane was refused and told to ask again at `at`.
    fn refuse(&mut self, now: Moment, lane: Lane, at: Moment) {
        let until = at.clamp(now, now + STANDS_IN_LINE) + PRECEDENCE;
        self.waits_until[lane.index()] = Some(until);
        self.waited_for_until = self.waited_for_until.max(until);
    }
}

fn rate(max_per_s: u32) -> f64 {
    if max_per_s == 0 { f64::INFINITY } else { f64::from(max_per_s) }
}

impl Limits {
    pub fn new(contracts: impl IntoIterator<Item = Contract>, departure: Departure) -> Self {
        Self { gates: contracts.into_iter().map(Gate::new).collect(), departure }
    }

    pub const fn departure(&self) -> Departure {
        self.departure
    }

    /// The contracts of a new routing revision; `from[place]` is where a provider that stays had its place before.
    pub fn reconfigure(&mut self, contracts: &[Contract], from: &[Option<usize>]) {
        let mut old: Vec<Option<Gate>> = std::mem::take(&mut self.gates).into_iter().map(Some).collect();
        self.gates = contracts
            .iter()
            .zip(from)
            .map(|(contract, from)| match from.and_then(|place| old.get_mut(place)?.take()) {
                Some(gate) => Gate { contract: *contract, ..gate },
                None => Gate::new(*contract),
            })
            .collect();
    }

    /// Whether a call of `segments` may go to `provider` now, and if not, what is in its way.
    pub fn room(&mut self, now: Moment, provider: usize, segments: u32, lane: Lane) -> Result<(), Full> {
        let Some(gate) = self.gates.get_mut(provider) else { return Ok(()) };
        gate.refresh(now);
        let full = match gate.free_at(now, segments, self.departure).max(gate.learned.blocked_until()) {
            at if at > now => Full::Rate(at),
            _ if gate.in_flight >= gate.may_be_out(now) => Full::InFlight,
            _ if gate.is_preceded(now, lane) => Full::Rate(now + PRECEDENCE),
            _ => return Ok(()),
        };
        gate.refuse(now, lane, if let Full::Rate(at) = full { at } else { now + ASK_AGAIN });
        Err(full)
    }

    /// Somebody of this lane waits for room that is not the limits' to give, and asks again at `at`.
    pub fn refused(&mut self, now: Moment, provider: usize, lane: Lane, at: Moment) {
        if let Some(gate) = self.gates.get_mut(provider) {
            gate.refuse(now, lane, at);
        }
    }

    /// A message of this lane that may have waited here goes elsewhere.
    pub fn served_elsewhere(&mut self, provider: usize, lane: Lane) {
        if let Some(gate) = self.gates.get_mut(provider) {
            gate.waits_until[lane.index()] = None;
        }
    }

    /// Whether somebody waits for this provider who could have room now.
    pub fn has_room_for_waiting(&mut self, now: Moment, provider: usize) -> bool {
        let Some(gate) = self.gates.get_mut(provider) else { return false };
        now < gate.waited_for_until && gate.in_flight < gate.may_be_out(now) && gate.free_at(now, 1, self.departure) <= now
    }

    /// Takes room for a call that goes out now, or is chosen now and departs later.
    pub fn take(&mut self, now: Moment, provider: usize, segments: u32, lane: Lane) {
        let Some(gate) = self.gates.get_mut(provider) else { return };
        match self.departure {
            Departure::WrittenFirst => {
                gate.chosen.take(now, segments, gate.seconds() / PACE);
            }
            Departure::AtOnce => {
                gate.window.take(now, segments);
                gate.chosen.take(now, segments, gate.seconds());
            }
        }
        gate.learned.submitted(now, segments);
        gate.in_flight += 1;
        gate.waits_until[lane.index()] = None;
    }

    /// A call that was chosen at `taken` and given `place` by [`Self::departs`] goes out only now.
    pub fn sent(&mut self, (taken, place): (Moment, Moment), now: Moment, provider: usize, segments: u32) {
        if let Some(gate) = self.gates.get_mut(provider) {
            gate.window.postpone(place, now, segments);
            gate.learned.postponed(taken, now, segments);
        }
    }

    /// When a call that was chosen and is ready to go may depart: `now`, or a little later so that calls keep their distance
    /// and the window its measure. Nothing while nothing is granted: ask again.
    pub fn departs(&mut self, now: Moment, provider: usize, segments: u32) -> Option<Moment> {
        let Some(gate) = self.gates.get_mut(provider) else { return Some(now) };
        gate.refresh(now);
        if gate.window.is_shut() {
            return None;
        }
        let at = gate.window.free_at(gate.departed.next_at(now), segments);
        gate.window.take(at, segments);
        let seconds = gate.seconds();
        if seconds > 0.0 {
            gate.departed.take(at, segments, seconds * CATCHES_UP);
            gate.chosen.not_before(gate.departed);
        }
        Some(at)
    }

    /// A call that took room at `started` has ended.
    pub fn ended(&mut self, provider: usize) {
        if let Some(gate) = self.gates.get_mut(provider) {
            gate.in_flight = gate.in_flight.saturating_sub(1);
        }
    }

    /// The provider answered a call of `segments`, submitted at `started`, that it was too fast. True if nobody knew.
    pub fn throttled(&mut self, now: Moment, provider: usize, started: Moment, segments: u32, retry_after: Option<Duration>) -> bool {
        self.gates.get_mut(provider).is_some_and(|gate| gate.learned.throttled(now, started, segments, retry_after))
    }

    /// This process's part of the contract, 0 to 1, until `until`; then it has none.
    pub fn grant(&mut self, provider: usize, part: f64, until: Moment) {
        if let Some(gate) = self.gates.get_mut(provider) {
            gate.granted = Some(Grant { part: part.clamp(0.0, 1.0), until });
        }
    }

    pub fn in_flight(&self, provider: usize) -> u32 {
        self.gates.get(provider).map_or(0, |gate| gate.in_flight)
    }

    /// The rate that holds now, in segments per second; `None` without any limit.
    pub fn per_s(&mut self, now: Moment, provider: usize) -> Option<f64> {
        let gate = self.gates.get_mut(provider)?;
        gate.refresh(now);
        Some(gate.window.rate()).filter(|rate| rate.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_start(Duration::from_millis(millis))
    }

    fn limits(max_per_s: u32, max_in_flight: u32) -> Limits {
        departing(Departure::AtOnce, max_per_s, max_in_flight)
    }

    fn departing(departure: Departure, max_per_s: u32, max_in_flight: u32) -> Limits {
        Limits::new([Contract { max_per_s, max_in_flight }], departure)
    }

    /// Calls as fast as allowed for `seconds`; when they went out.
    fn saturate(limits: &mut Limits, from: Moment, seconds: u64) -> Vec<Moment> {
        let (mut now, mut calls) = (from, Vec::new());
        while now < from + Duration::from_secs(seconds) {
            match limits.room(now, 0, 1, Lane::Normal) {
                Ok(()) => {
                    limits.take(now, 0, 1, Lane::Normal);
                    limits.ended(0);
                    calls.push(now);
                }
                Err(Full::Rate(at)) => now = at,
                Err(Full::InFlight) => unreachable!("every call ended"),
            }
        }
        calls
    }

    #[test]
    fn ten_seconds_see_the_whole_contract_and_no_second_sees_more() {
        for contract in [1, 3, 20, 333, 5_000] {
            let calls = saturate(&mut limits(contract, 0), at(123), 10);
            let whole = contract as usize * 10;
            assert!(calls.len().abs_diff(whole) * 100 <= whole, "{contract}: {}", calls.len());
            let mut oldest = 0;
            for (newest, call) in calls.iter().enumerate() {
                while call.since(calls[oldest]) >= Duration::from_secs(1) {
                    oldest += 1;
                }
                assert!(newest - oldest < contract as usize, "{contract} at {call:?}");
            }
        }
    }

    #[test]
    fn calls_in_flight_stop_at_the_cap_until_one_ends() {
        let mut limits = limits(0, 2);
        limits.take(at(0), 0, 1, Lane::Normal);
        limits.take(at(0), 0, 1, Lane::Normal);
        assert_eq!(limits.room(at(1), 0, 1, Lane::Normal), Err(Full::InFlight));
        limits.ended(0);
        assert_eq!(limits.room(at(2), 0, 1, Lane::Normal), Ok(()));
    }

    #[test]
    fn a_waiting_code_comes_before_waiting_marketing() {
        let mut limits = limits(1, 0);
        limits.take(at(0), 0, 1, Lane::Bulk);
        assert!(limits.room(at(990), 0, 1, Lane::Bulk).is_err());
        assert!(limits.room(at(990), 0, 1, Lane::Urgent).is_err());
        assert!(limits.room(at(1_000), 0, 1, Lane::Bulk).is_err(), "the code is first");
        assert!(limits.room(at(1_000), 0, 1, Lane::Urgent).is_ok());
        limits.take(at(1_000), 0, 1, Lane::Urgent);
        assert!(limits.room(at(2_000), 0, 1, Lane::Bulk).is_ok());
    }

    #[test]
    fn a_grant_lasts_until_its_time_and_never_raises_the_contract() {
        let mut limits = limits(10, 0);
        limits.grant(0, 0.4, at(1_000));
        assert_eq!(limits.per_s(at(0), 0), Some(4.0));
        assert_eq!(limits.per_s(at(1_000), 0), Some(0.0), "others may have it by now");
        limits.grant(0, 4.0, at(2_000));
        assert_eq!(limits.per_s(at(1_000), 0), Some(10.0));
    }

    #[test]
    fn calls_in_flight_are_shared_like_the_rate() {
        let mut limits = limits(0, 4);
        limits.grant(0, 0.5, at(1_000));
        limits.take(at(0), 0, 1, Lane::Normal);
        assert!(limits.room(at(1), 0, 1, Lane::Normal).is_ok());
        limits.take(at(1), 0, 1, Lane::Normal);
        assert_eq!(limits.room(at(2), 0, 1, Lane::Normal), Err(Full::InFlight), "the other half is another process's");
        limits.ended(0);
        limits.ended(0);
        assert_eq!(limits.room(at(1_000), 0, 1, Lane::Normal), Err(Full::InFlight), "the grant is over");
    }

    #[test]
    fn calls_that_are_ready_together_depart_at_the_contracts_distance() {
        let mut limits = departing(Departure::WrittenFirst, 50, 0);
        let departures: Vec<Moment> = (0..4).map(|_| limits.departs(at(1_000), 0, 1).unwrap()).collect();
        let distance = departures[3].since(departures[0]);
        assert!((distance.as_secs_f64() - 0.06 * CATCHES_UP).abs() < 1e-6, "{distance:?}");
        let without = departing(Departure::WrittenFirst, 0, 0).departs(at(7), 0, 1);
        assert_eq!(without, Some(at(7)), "without a rate at once");
    }

    /// Calls as fast as they are chosen, each written down for so long and woken so late; when they went out.
    fn saturate_by_departures(limits: &mut Limits, seconds: u64, writing: impl Fn(usize) -> Duration, woken: Duration) -> Vec<Moment> {
        let (mut now, mut calls) = (at(0), Vec::<Moment>::new());
        // Chosen and written down by then, oldest first.
        let mut chosen = std::collections::VecDeque::new();
        while now < at(seconds * 1_000) {
            while chosen.front().is_some_and(|(_, ready)| *ready <= now) {
                let (taken, _) = chosen.pop_front().expect("it was just seen");
                let place = limits.departs(now, 0, 1).unwrap();
                let goes = (place + if place > now { woken } else { Duration::ZERO }).max(calls.last().copied().unwrap_or_default());
                limits.sent((taken, place), goes, 0, 1);
                limits.ended(0);
                calls.push(goes);
            }
            if limits.room(now, 0, 1, Lane::Normal).is_ok() {
                limits.take(now, 0, 1, Lane::Normal);
                chosen.push_back((now, now + writing(calls.len())));
            }
            now = now + Duration::from_millis(1);
        }
        calls
    }

    #[test]
    fn what_writing_down_takes_is_not_added_to_every_second() {
        let writing = |call: usize| Duration::from_millis([3, 8, 20, 5, 35][call % 5]);
        for (part, per_s) in [(1.0, 50), (0.5, 25)] {
            let mut limits = departing(Departure::WrittenFirst, 50, 0);
            limits.grant(0, part, at(100_000));
            let calls = saturate_by_departures(&mut limits, 60, writing, Duration::from_millis(2));
            let least = per_s * 60 * 995 / 1_000;
            assert!((least..=per_s * 60).contains(&calls.len()), "{part}: {} calls in a minute", calls.len());
            let mut oldest = 0;
            for (newest, call) in calls.iter().enumerate() {
                while call.since(calls[oldest]) >= Duration::from_secs(1) {
                    oldest += 1;
                }
                assert!(newest - oldest < per_s, "{part}: {} calls in the second before {call:?}", newest - oldest + 1);
            }
        }
    }

    #[test]
    fn a_call_that_was_chosen_under_a_grant_does_not_depart_without_one() {
        let mut limits = departing(Departure::WrittenFirst, 50, 0);
        limits.grant(0, 0.5, at(1_000));
        assert!(limits.room(at(990), 0, 1, Lane::Normal).is_ok());
        limits.take(at(990), 0, 1, Lane::Normal);
        assert_eq!(limits.departs(at(1_001), 0, 1), None);
        assert!(limits.room(at(1_001), 0, 1, Lane::Normal).is_err());
        limits.grant(0, 0.5, at(3_000));
        assert_eq!(limits.departs(at(2_000), 0, 1), Some(at(2_000)));
    }

    #[test]
    fn parts_of_a_cap_of_calls_in_flight_never_sum_to_more_than_the_cap() {
        for cap in 1..=40_u32 {
            for workers in 1..=cap {
                let mut limits = limits(0, cap);
                limits.grant(0, 1.0 / f64::from(workers), at(1_000));
                let out = limits.gates[0].may_be_out(at(0));
                assert!(out * workers <= cap && out >= 1, "{out} of {cap} at each of {workers}");
            }
        }
    }

    #[test]
    fn a_provider_that_stays_keeps_what_is_out() {
        let mut limits = limits(0, 1);
        limits.take(at(0), 0, 1, Lane::Normal);
        let contract = Contract { max_per_s: 0, max_in_flight: 1 };
        limits.reconfigure(&[contract, contract], &[None, Some(0)]);
        assert_eq!((limits.in_flight(0), limits.in_flight(1)), (0, 1));
    }
}
