//! The run: messages arrive, ask, are called out, answered, retried and settled, in virtual time.
//!
//! One heap of events in the order of time, then of making; everything that is drawn comes from streams of the seed. The
//! engine keeps the rules that all policies share: retry ([`Course`]), limits, and the order of waiting messages.

mod queue;
mod record;
mod slab;

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

pub(super) use self::record::{Record, Submission};
use self::{
    queue::{Served, Waiting},
    slab::Slab,
};
use super::{
    policy::{Call, Pick, Policy},
    scenario::Scenario,
    world::{Fate, World},
};
use crate::{
    attempt::Outcome,
    dice::Dice,
    fleet::Ask,
    limits::{Contract, Departure, Limits},
    message::Status,
    retry::{Budget, BudgetSettings, Course, Decision},
    select::Select,
    time::Moment,
};

/// How often a policy is told the time.
const TICK: Duration = Duration::from_millis(50);

/// What happens at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Tick,
    Arrival,
    CallEnds(usize),
    Receipt {
        worker: usize,
        provider: usize,
        submitted_at: Moment,
        delivered: bool,
    },
    /// The next round of a message, if it is still the same one.
    Round(usize, u64),
    Expiry(usize, u64),
    /// Somebody who waits may go.
    Wake,
}

/// A message on its way.
struct Travelling {
    number: u64,
    worker: usize,
    arrived: Moment,
    valid: bool,
    course: Course,
    /// The call that decides what comes next; calls that were left behind do not.
    current: Option<usize>,
    calls_out: u32,
    calls_made: u32,
    processed: u32,
    delivered: bool,
    settled: bool,
    expiry_set: bool,
}

/// A call that is out.
struct Out {
    message: usize,
    worker: usize,
    call: Option<Call>,
    fate: Fate,
}

pub(super) struct Engine<'a> {
    scenario: &'a Scenario,
    policy: Box<dyn Policy>,
    world: World,
    limits: Limits,
    budget: Budget,
    arrivals: Dice,
    luck: Dice,
    backoffs: Dice,
    events: BinaryHeap<Reverse<(Moment, u64, Event)>>,
    made: u64,
    messages: Slab<Travelling>,
    calls: Slab<Out>,
    waiting: Waiting,
    woken_at: Option<Moment>,
    candidates: Vec<usize>,
    arrived: u64,
    unsettled: u64,
    arriving: bool,
    record: Record,
}

impl<'a> Engine<'a> {
    pub fn new(scenario: &'a Scenario, policy: Box<dyn Policy>, seed: u64) -> Self {
        let contract = |it: &super::scenario::Provider| Contract { max_per_s: it.max_per_s, max_in_flight: it.max_in_flight };
        let dice = Dice::new(seed);
        Self {
            scenario,
            policy,
            world: World::new(scenario),
            limits: Limits::new(scenario.providers.iter().map(contract), Departure::AtOnce),
            budget: Budget::new(BudgetSettings::default(), Moment::ZERO),
            arrivals: dice.fork(1),
            luck: dice.fork(2),
            backoffs: dice.fork(3),
            events: BinaryHeap::new(),
            made: 0,
            messages: Slab::default(),
            calls: Slab::default(),
            waiting: Waiting::default(),
            woken_at: None,
            candidates: (0..scenario.providers.len()).collect(),
            arrived: 0,
            unsettled: 0,
            arriving: true,
            record: Record::new(scenario),
        }
    }

    /// Runs until every message is settled and every call has ended.
    pub fn run(mut self) -> Record {
        self.at(Moment::ZERO + TICK, Event::Tick);
        self.next_arrival(Moment::ZERO);
        while let Some(Reverse((now, _, event))) = self.events.pop() {
            self.happen(now, event);
            if !self.arriving && self.unsettled == 0 && self.calls.is_empty() {
                break;
            }
        }
        self.record.turns.append(&mut self.policy.take_turns());
        self.record
    }

    fn at(&mut self, moment: Moment, event: Event) {
        self.made += 1;
        self.events.push(Reverse((moment, self.made, event)));
    }

    fn happen(&mut self, now: Moment, event: Event) {
        match event {
            Event::Tick => self.tick(now),
            Event::Arrival => self.arrive(now),
            Event::CallEnds(call) => self.call_ends(now, call),
            Event::Receipt { worker, provider, submitted_at, delivered } => {
                self.policy.receipt(now, worker, provider, submitted_at, delivered);
            }
            Event::Round(message, number) if self.is_travelling(message, number) => {
                if !self.serve_or_queue(now, message) {
                    self.pump(now);
                }
            }
            Event::Expiry(message, number) if self.is_travelling(message, number) && self.messages[message].current.is_none() => {
                let decision = self.messages[message].course.expired();
                self.decided(now, message, decision);
            }
            Event::Round(..) | Event::Expiry(..) => {}
            Event::Wake => {
                if self.woken_at.is_some_and(|at| at <= now) {
                    self.woken_at = None;
                }
                self.pump(now);
            }
        }
    }

    fn tick(&mut self, now: Moment) {
        self.policy.tick(now);
        self.leave_hanging_calls(now);
        self.pump(now);
        self.record.tick(now, self.policy.as_ref());
        self.record.turns.append(&mut self.policy.take_turns());
        self.at(now + TICK, Event::Tick);
    }

    fn next_arrival(&mut self, from: Moment) {
        let mut at = from;
        loop {
            let (rate, until) = self.scenario.load.rate(at.since_start());
            let gap = if rate > 0.0 { self.arrivals.exponential(rate) } else { f64::INFINITY };
            let until = until.unwrap_or(self.scenario.duration);
            let left = until.saturating_sub(at.since_start());
            if gap < left.as_secs_f64() {
                at = at + Duration::from_secs_f64(gap);
                break;
            }
            at = Moment::from_start(until);
            if until >= self.scenario.duration {
                break;
            }
        }
        if at.since_start() < self.scenario.duration {
            self.at(at, Event::Arrival);
        } else {
            self.arriving = false;
        }
    }

    fn arrive(&mut self, now: Moment) {
        let worker = self.arrivals.below(self.scenario.workers.count);
        let valid = self.arrivals.unit() >= self.world.invalid_share(now);
        self.arrived += 1;
        self.unsettled += 1;
        self.budget.deposit();
        self.record.arrived(now, valid);
        let load = &self.scenario.load;
        let message = self.messages.insert(Travelling {
            number: self.arrived,
            worker,
            arrived: now,
            valid,
            course: Course::new(load.category, now + load.expires_in, self.candidates.iter().copied()),
            current: None,
            calls_out: 0,
            calls_made: 0,
            processed: 0,
            delivered: false,
            settled: false,
            expiry_set: false,
        });
        self.next_arrival(now);
        if !self.serve_or_queue(now, message) {
            self.pump(now);
        }
    }

    fn is_travelling(&self, message: usize, number: u64) -> bool {
        self.messages.get(message).is_some_and(|it| it.number == number && !it.settled)
    }

    /// Serves a message if nobody waits; else it takes its place in the order of arrival, and false is returned.
    fn serve_or_queue(&mut self, now: Moment, message: usize) -> bool {
        if self.waiting.is_empty() {
            if let Served::Wait(until) = self.serve(now, message) {
                self.queue(now, message, until);
            }
            return true;
        }
        self.queue(now, message, now);
        false
    }

    fn queue(&mut self, now: Moment, message: usize, until: Moment) {
        let it = &mut self.messages[message];
        let (number, worker, excluded, expires_at) = (it.number, it.worker, it.course.excluded(), it.course.expires_at());
        self.waiting.add((worker, excluded), number, message);
        if !it.expiry_set {
            it.expiry_set = true;
            self.at(expires_at, Event::Expiry(message, number));
        }
        if until > now {
            self.wake(until);
        }
    }

    fn wake(&mut self, at: Moment) {
        if self.woken_at.is_none_or(|earlier| at < earlier) {
            self.woken_at = Some(at);
            self.at(at, Event::Wake);
        }
    }

    /// Lets those who wait go, first come first served, as far as there is room.
    fn pump(&mut self, now: Moment) {
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut earliest: Option<Moment> = None;
        waiting.serve(|number, message| {
            if !self.is_travelling(message, number) {
                return Served::Done;
            }
            let served = self.serve(now, message);
            if let Served::Wait(until) = served {
                earliest = Some(earliest.map_or(until, |earliest| earliest.min(until)));
            }
            served
        });
        // Nobody joins while the queue is being served: `serve` itself queues nothing.
        self.waiting = waiting;
        if let Some(at) = earliest.filter(|at| *at > now) {
            self.wake(at);
        }
    }

    /// Asks for a provider; calls it, starts a new round or says until when to wait.
    fn serve(&mut self, now: Moment, message: usize) -> Served {
        let it = &self.messages[message];
        if now >= it.course.expires_at() {
            let decision = it.course.expired();
            self.decided(now, message, decision);
            return Served::Done;
        }
        let category = self.scenario.load.category;
        let ask = Ask {
            category,
            lane: category.lane(),
            segments: 1,
            key: it.number,
            candidates: &self.candidates,
            tried: it.course.excluded(),
            select: Select::Weighted,
            max_price: None,
        };
        match self.policy.choose(now, it.worker, &ask, &mut self.limits) {
            Pick::Call(call) => self.submit(now, message, call),
            Pick::Wait(until) => return Served::Wait(until),
            Pick::Exhausted => {
                let budget = &mut self.budget;
                let decision = self.messages[message].course.exhausted(now, || budget.withdraw(now), &mut self.backoffs);
                self.decided(now, message, decision);
            }
        }
        Served::Done
    }

    fn submit(&mut self, now: Moment, message: usize, call: Call) {
        let it = &mut self.messages[message];
        let stream = self.luck.fork(it.number).fork(call.provider as u64 + u64::from(it.calls_made) * 64);
        let fate = self.world.submit(now, call.provider, it.valid, stream);
        let (first, worker) = (it.calls_made == 0, it.worker);
        it.calls_made += 1;
        it.calls_out += 1;
        it.processed += u32::from(fate.processed);
        it.delivered |= fate.delivered;
        let (provider, arrived) = (call.provider, it.arrived);
        let call = self.calls.insert(Out { message, worker, call: Some(call), fate });
        self.messages[message].current = Some(call);
        self.record.submitted(now, arrived, provider, &fate, first);
        self.at(now + fate.after, Event::CallEnds(call));
        if let Some((delay, delivered)) = fate.receipt {
            self.at(now + delay, Event::Receipt { worker, provider, submitted_at: now, delivered });
        }
    }

    fn call_ends(&mut self, now: Moment, id: usize) {
        let Out { message, worker, call, fate } = self.calls.remove(id);
        let Some(call) = call else { return };
        let provider = call.provider;
        self.policy.ended(now, worker, call, fate.outcome, &mut self.limits);
        let it = &mut self.messages[message];
        it.calls_out -= 1;
        if it.settled {
            self.forget_if_done(message);
        } else if it.current == Some(id) {
            it.current = None;
            let decision = it.course.ended(now, provider, fate.outcome);
            if !self.decided(now, message, decision) {
                self.serve_or_queue(now, message);
            }
        } else if fate.outcome == Outcome::Accepted {
            self.decided(now, message, Decision::Done(Status::Submitted));
        }
        self.pump(now);
    }

    /// Carries out a decision; false if the message looks for another provider at once.
    fn decided(&mut self, now: Moment, message: usize, decision: Decision) -> bool {
        let status = match decision {
            Decision::NextProvider => return false,
            Decision::RetryAt(at) => {
                let number = self.messages[message].number;
                self.at(at, Event::Round(message, number));
                return true;
            }
            Decision::Done(status) | Decision::GiveUp(status) => status,
            Decision::Unknown => Status::Unknown,
        };
        let it = &mut self.messages[message];
        it.settled = true;
        it.current = None;
        self.unsettled -= 1;
        self.record.settled(now, it.arrived, status);
        self.forget_if_done(message);
        true
    }

    fn forget_if_done(&mut self, message: usize) {
        let it = &self.messages[message];
        if it.settled && it.calls_out == 0 {
            self.record.closed(it.arrived, it.processed, it.delivered, it.valid);
            self.messages.remove(message);
        }
    }

    /// Where duplicates are allowed, calls that hang at a provider that is out are left behind.
    fn leave_hanging_calls(&mut self, now: Moment) {
        if !self.scenario.load.category.allows_duplicates() {
            return;
        }
        let mut left: Vec<usize> = Vec::new();
        for (id, out) in self.calls.iter() {
            let Some(call) = &out.call else { continue };
            let is_current = self.messages.get(out.message).is_some_and(|it| it.current == Some(id));
            let after = self.policy.hopeless_after(now, out.worker, call.provider);
            if is_current && after.is_some_and(|after| now.since(call.started) > after) {
                left.push(id);
            }
        }
        for id in left {
            let out = &self.calls[id];
            let (message, provider) = (out.message, out.call.as_ref().map_or(0, |call| call.provider));
            let it = &mut self.messages[message];
            it.current = None;
            let decision = it.course.left(now, provider);
            if !self.decided(now, message, decision) {
                self.serve_or_queue(now, message);
            }
        }
    }
}
