//! The providers of a worker process: who is well, who has room, who is next. Production and simulator run this very type.
//!
//! One fleet per process and routing revision. A message asks ([`Fleet::choose`]) and gets a [`Ticket`] for one call, with the
//! provider's limit and a slot in flight taken; the ticket is given back with the outcome ([`Fleet::ended`]) or unused
//! ([`Fleet::abandoned`]). Receipts, time ([`Fleet::tick`]) and other processes' summaries come in from outside. Everything
//! is synchronous, holds no clock and costs about a microsecond, so that it can sit behind one lock.
//!
//! What it refuses: to know messages, routes or vendors. Candidates, in the route's order, are the caller's business.

mod choice;
mod choose;
mod config;
mod event;
mod gossip;
mod operate;
mod view;
mod why;

use std::{sync::Arc, time::Duration};

pub use self::{
    choice::{Choice, Ticket, WaitReason},
    config::{Ask, FleetConfig, ProviderSpec},
    event::{Command, Event, EventKind, Order, State},
    gossip::Summary,
    view::ProviderView,
    why::{Because, Manner, Passed, Why},
};
pub use crate::limits::Departs;
use crate::{
    attempt::Outcome,
    dice::Dice,
    health::{Health, HealthSettings, Transition},
    limits::{Contract, Departure, Limits},
    select::Selector,
    time::Moment,
};

/// A provider that throttles for the first time is spared for a second, or for what it asks for if that is less: what it counts is
/// over then, and what it takes is learned from the start of the next one.
const EASED: Duration = Duration::from_secs(1);
/// And for this long more: calls that were under way at its answer have yet to be counted.
const EASED_LONGER: Duration = Duration::from_millis(500);
/// Events kept until they are taken; beyond it the oldest are dropped, so that a fleet nobody listens to stays bounded.
const EVENTS_KEPT: usize = 1_000;

/// The providers of a routing revision with their health, limits and selection.
#[derive(Debug)]
pub struct Fleet {
    members: Vec<Member>,
    limits: Limits,
    selector: Selector,
    dice: Dice,
    tickets: u64,
    next_member: u32,
    /// Tells this process from others in gossip.
    process: u64,
    summaries: u64,
    listens: bool,
    events: Vec<Event>,
}

#[derive(Debug)]
struct Member {
    /// Stays the same when a new revision moves the provider to another place.
    id: u32,
    spec: ProviderSpec,
    health: Health,
    /// Calls that were chosen and have not ended.
    in_flight: u32,
    /// Those of them that have not departed.
    held: u32,
    /// It has just said that it is asked too much: until then whoever has a choice goes elsewhere.
    eased_until: Moment,
    operator: Operator,
    weight_set: Option<u32>,
}

/// What a person has said about a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Operator {
    #[default]
    Silent,
    Paused,
    Pinned,
}

impl Member {
    fn new(id: u32, spec: ProviderSpec, process: u64, now: Moment) -> Self {
        let health = Health::new(settings(&spec), process, now);
        Self { id, spec, health, in_flight: 0, held: 0, eased_until: now, operator: Operator::Silent, weight_set: None }
    }

    /// Calls that have departed and not ended.
    const fn calls_out(&self) -> u32 {
        self.in_flight.saturating_sub(self.held)
    }

    fn weight(&self) -> u32 {
        self.weight_set.unwrap_or(self.spec.weight)
    }
}

const fn settings(spec: &ProviderSpec) -> HealthSettings {
    HealthSettings { thresholds: spec.thresholds, timeout: spec.timeout, receipts: spec.receipts }
}

impl Fleet {
    /// A fleet that knows nothing yet and whose calls go out as they are chosen. `seed` makes its jitter and ties its own.
    pub fn new(config: FleetConfig, seed: u64, now: Moment) -> Self {
        Self::departing(Departure::AtOnce, config, seed, now)
    }

    /// One whose calls are written down before they go out: until [`Self::sent`], a call's age says nothing about its provider,
    /// because it is the disk's.
    pub fn writing_first(config: FleetConfig, seed: u64, now: Moment) -> Self {
        Self::departing(Departure::WrittenFirst, config, seed, now)
    }

    fn departing(departure: Departure, config: FleetConfig, seed: u64, now: Moment) -> Self {
        let mut dice = Dice::new(seed);
        let process = dice.next_u64();
        let mut fleet = Self {
            members: Vec::new(),
            limits: Limits::new([], departure),
            selector: Selector::default(),
            dice,
            tickets: 0,
            next_member: 0,
            process,
            summaries: 0,
            listens: false,
            events: Vec::new(),
        };
        fleet.reconfigure(config, now);
        fleet
    }

    /// Takes over a new configuration. Providers that stay, by name, keep health, limits in use and what people said.
    pub fn reconfigure(&mut self, config: FleetConfig, now: Moment) {
        let contracts: Vec<Contract> = config.providers.iter().map(ProviderSpec::contract).collect();
        let places: Vec<Option<usize>> =
            config.providers.iter().map(|spec| self.members.iter().position(|it| it.spec.name == spec.name)).collect();
        self.limits.reconfigure(&contracts, &places);
        let mut old: Vec<Option<Member>> = std::mem::take(&mut self.members).into_iter().map(Some).collect();
        for (spec, place) in config.providers.into_iter().zip(places) {
            let member = match place.and_then(|place| old.get_mut(place)?.take()) {
                Some(mut member) => {
                    member.health.configure(settings(&spec));
                    Member { spec, ..member }
                }
                None => {
                    self.next_member += 1;
                    let mut member = Member::new(self.next_member, spec, self.process, now);
                    if self.listens {
                        member.health.listen();
                    }
                    member
                }
            };
            self.members.push(member);
        }
        self.selector = Selector::default();
    }

    /// From now on it only listens: a process that makes no calls counts receipts for those that do, and shows what they
    /// decide, but decides nothing. Who never calls could never find out that a provider is back.
    #[must_use]
    pub fn listening(mut self) -> Self {
        self.listens = true;
        self.members.iter_mut().for_each(|member| member.health.listen());
        self
    }

    /// A call has ended. `retry_after` is what a throttled answer asked for.
    pub fn ended(&mut self, now: Moment, ticket: Ticket, outcome: Outcome, retry_after: Option<Duration>) {
        let mut limits = std::mem::take(&mut self.limits);
        self.ended_within(&mut limits, now, ticket, outcome, retry_after);
        self.limits = limits;
    }

    /// The same with limits that several fleets share, as the simulator's workers do.
    pub(crate) fn ended_within(
        &mut self,
        limits: &mut Limits,
        now: Moment,
        ticket: Ticket,
        outcome: Outcome,
        retry_after: Option<Duration>,
    ) {
        let Some(place) = self.give_back(limits, &ticket) else { return };
        if outcome == Outcome::Throttled {
            let is_news = limits.throttled(now, place, ticket.started, ticket.segments, retry_after);
            if is_news {
                self.members[place].eased_until = now + retry_after.unwrap_or(EASED).min(EASED) + EASED_LONGER;
            }
        }
        self.members[place].health.ended(now, ticket.call, ticket.started, ticket.probe, outcome, &mut self.dice);
        self.collect(now, place);
    }

    /// Whether a call may depart that is ready now, so that calls reach the provider as evenly as they were chosen, codes first.
    /// Nothing while nothing of the contract is granted to this process: ask again.
    pub fn departs(&mut self, now: Moment, ticket: &mut Ticket) -> Option<Departs> {
        let Some(place) = self.place_of(ticket) else { return Some(Departs::At(now)) };
        let departs = self.limits.departs(now, place, ticket.segments, ticket.lane)?;
        if let Departs::At(at) = departs {
            ticket.place = Some(at);
        }
        Some(departs)
    }

    /// A call was never made: the message was cancelled, or somebody else has it.
    pub fn abandoned(&mut self, ticket: Ticket) {
        let mut limits = std::mem::take(&mut self.limits);
        if let Some(place) = self.give_back(&mut limits, &ticket) {
            self.members[place].health.abandoned(ticket.call, ticket.probe);
        }
        self.limits = limits;
    }

    /// A receipt for a message submitted at `submitted_at` says that it was delivered, or not.
    pub fn receipt(&mut self, now: Moment, provider: usize, submitted_at: Moment, delivered: bool) {
        if let Some(member) = self.members.get_mut(provider) {
            member.health.receipt(now, submitted_at, delivered);
        }
    }

    /// Lets time pass: calls that hang, receipts that do not come, ejections that end. Every 20 to 100 ms.
    pub fn tick(&mut self, now: Moment) {
        for place in 0..self.members.len() {
            self.members[place].health.tick(now, &mut self.dice);
            self.collect(now, place);
        }
    }

    /// This process was held up for so long (frozen, or without a processor) and could hear nobody: no provider hung meanwhile.
    pub fn held_up(&mut self, now: Moment, lasted: Duration) {
        self.members.iter_mut().for_each(|member| member.health.held_up(now, lasted));
    }

    /// The age at which a call at this provider is hopeless, if a person has paused it, or it is out or held back because calls hang.
    ///
    /// A message whose category allows duplicates leaves such a call and goes to another provider; the call's ticket is still
    /// given back when it ends. Providers in good standing are never hedged.
    pub fn hopeless_after(&self, now: Moment, provider: usize) -> Option<Duration> {
        let member = self.members.get(provider)?;
        match member.operator {
            Operator::Paused => Some(member.health.slowest_usual()),
            Operator::Silent | Operator::Pinned => member.health.hopeless_after(now),
        }
    }

    /// A provider's score, 0–100.
    pub fn score(&self, now: Moment, provider: usize) -> u8 {
        self.members.get(provider).map_or(0, |member| member.score(now))
    }

    /// What changed since the last time, oldest first.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// This process's part of a provider's contract, 0 to 1, until `until`; then it has none.
    pub fn grant(&mut self, provider: usize, part: f64, until: Moment) {
        self.limits.grant(provider, part, until);
    }

    /// The providers' names, by place.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.members.iter().map(|member| &member.spec.name)
    }

    /// The place of a provider by its name.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.members.iter().position(|member| &*member.spec.name == name)
    }

    /// Where a ticket's provider is now, if it still is.
    fn place_of(&self, ticket: &Ticket) -> Option<usize> {
        let same = |member: &Member| member.id == ticket.member;
        match self.members.get(ticket.provider) {
            Some(member) if same(member) => Some(ticket.provider),
            _ => self.members.iter().position(same),
        }
    }

    /// Frees what a ticket holds; where its provider is now, if it still is.
    fn give_back(&mut self, limits: &mut Limits, ticket: &Ticket) -> Option<usize> {
        let place = self.place_of(ticket)?;
        limits.ended(place);
        let member = &mut self.members[place];
        member.in_flight = member.in_flight.saturating_sub(1);
        member.held = member.held.saturating_sub(u32::from(ticket.held));
        Some(place)
    }

    fn collect(&mut self, now: Moment, place: usize) {
        for transition in self.members[place].health.take_transitions() {
            let (provider, state) = (Arc::clone(&self.members[place].spec.name), self.members[place].state(now));
            let Transition { kind, reading, adopted, again } = transition;
            if kind == EventKind::Ramping && (0..self.members.len()).all(|other| other == place || self.members[other].health.is_out()) {
                // Where everybody was out, whatever had struck them all is over: the others need not sit out their time.
                self.members.iter_mut().for_each(|member| member.health.hurry(now));
            }
            self.record(Event { at: now, provider, kind, state, reading, actor: None, reason: None, adopted, again });
        }
    }

    fn record(&mut self, event: Event) {
        if self.events.len() >= EVENTS_KEPT {
            self.events.remove(0);
        }
        self.events.push(event);
    }
}

#[cfg(test)]
mod tests;
