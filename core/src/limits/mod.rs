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
//! Codes pass whoever of a lower lane was chosen before them and has not departed.

mod departures;
mod learned;
mod pace;
mod spacing;
mod window;

use std::time::Duration;

pub use self::{departures::Departs, learned::Learned, window::Window};
use self::{
    departures::Departures,
    spacing::{AHEAD, PACE, Spacing},
};
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
    /// Of those, the codes.
    chosen_codes: Spacing,
    departures: Departures,
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
            chosen_codes: Spacing::default(),
            departures: Departures::default(),
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
            self.chosen_codes.stretch(now, before / after);
            self.departures.stretch(now, before / after);
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
    fn free_at(&mut self, now: Moment, segments: u32, lane: Lane, departure: Departure) -> Moment {
        let spaced = |line: Spacing| line.free_at(now);
        match departure {
            _ if self.seconds() == 0.0 || self.window.is_shut() => self.window.free_at(now, segments),
            Departure::AtOnce => self.window.free_at(now, segments).max(spaced(self.chosen)),
            // Others that have been chosen do not keep a code, but what has departed does.
            Departure::WrittenFirst if lane == Lane::Urgent => {
                let departs = self.departures.code_free_at(now, segments, &mut self.window);
                spaced(self.chosen_codes).max(if departs <= now + AHEAD { now } else { departs - AHEAD })
            }
            Departure::WrittenFirst => spaced(self.chosen),
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
        let full = match gate.free_at(now, segments, lane, self.departure).max(gate.learned.blocked_until()) {
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
        now < gate.waited_for_until && gate.in_flight < gate.may_be_out(now) && gate.free_at(now, 1, Lane::Bulk, self.departure) <= now
    }

    /// Takes room for a call that goes out now, or is chosen now and departs later.
    pub fn take(&mut self, now: Moment, provider: usize, segments: u32, lane: Lane) {
        let Some(gate) = self.gates.get_mut(provider) else { return };
        match self.departure {
            Departure::WrittenFirst => {
                let seconds = gate.seconds() / PACE;
                gate.chosen.take(now, segments, seconds);
                if lane == Lane::Urgent {
                    gate.chosen_codes.take(now, segments, seconds);
                }
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

    /// Whether a call that was chosen and is ready to go may depart, so that calls keep their distance and the window its measure.
    /// Nothing while nothing is granted: ask again.
    pub fn departs(&mut self, now: Moment, provider: usize, segments: u32, lane: Lane) -> Option<Departs> {
        let Some(gate) = self.gates.get_mut(provider) else { return Some(Departs::At(now)) };
        gate.refresh(now);
        if gate.window.is_shut() {
            return None;
        }
        let seconds = gate.seconds();
        let departs = gate.departures.ask(now, (segments, seconds), lane, &mut gate.window);
        gate.chosen.not_before(gate.departures.end());
        Some(departs)
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
mod tests;
