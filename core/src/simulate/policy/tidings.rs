//! Tidings itself: one fleet per worker, as in production, joined by gossip that is late.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{Call, Pick, Policy, Scenario, Turn, TurnKind};
use crate::{
    attempt::Outcome,
    dice::Dice,
    fleet::{Ask, Choice, Event, EventKind, Fleet, FleetConfig, ProviderSpec, Summary},
    health::Thresholds,
    limits::Limits,
    time::Moment,
};

/// How often a worker tells the others.
const GOSSIP_EVERY: Duration = Duration::from_millis(200);

pub struct Tidings {
    fleets: Vec<Fleet>,
    delay: Duration,
    under_way: VecDeque<(Moment, usize, Arc<Summary>)>,
    published_at: Moment,
    turns: Vec<Turn>,
}

impl Tidings {
    pub fn new(scenario: &Scenario, seed: u64) -> Self {
        let spec = |provider: &super::super::scenario::Provider| ProviderSpec {
            name: Arc::clone(&provider.name),
            weight: provider.weight,
            max_per_s: provider.max_per_s,
            max_in_flight: provider.max_in_flight,
            timeout: provider.timeout,
            price: provider.price,
            receipts: provider.receipts.is_some(),
            thresholds: Thresholds::default(),
        };
        let config = FleetConfig { providers: scenario.providers.iter().map(spec).collect() };
        let seeds = Dice::new(seed).fork(0xF1EE7);
        let fleet = |worker: usize| {
            let mut dice = seeds.fork(worker as u64);
            Fleet::new(config.clone(), dice.next_u64(), Moment::ZERO)
        };
        Self {
            fleets: (0..scenario.workers.count).map(fleet).collect(),
            delay: scenario.workers.gossip_delay,
            under_way: VecDeque::new(),
            published_at: Moment::ZERO,
            turns: Vec::new(),
        }
    }

    fn gossip(&mut self, now: Moment) {
        while let Some((at, from, summary)) = self.under_way.front().filter(|(at, _, _)| *at <= now).cloned() {
            self.under_way.pop_front();
            let late = self.delay + now.since(at);
            for (worker, fleet) in self.fleets.iter_mut().enumerate() {
                if worker != from {
                    fleet.merge(now, &summary, late);
                }
            }
        }
        let due = now.since(self.published_at) >= GOSSIP_EVERY;
        if due {
            self.published_at = now;
        }
        for (worker, fleet) in self.fleets.iter_mut().enumerate() {
            if fleet.take_news() || due {
                self.under_way.push_back((now + self.delay, worker, Arc::new(fleet.summary(now))));
            }
        }
    }
}

/// An event as a turn: only a worker's own decision to send nothing counts as an ejection.
fn turn(event: &Event, fleet: &Fleet) -> Option<Turn> {
    let provider = fleet.place(&event.provider)?;
    let own = event.kind == EventKind::Ejected && !event.adopted && !event.again;
    let note = match &event.reading {
        Some(reading) => format!("{} {:.3} (own {:.3}, threshold {:.3})", reading.name, reading.value, reading.baseline, reading.threshold),
        None => String::new(),
    };
    let note = format!("{}{} {note}", event.kind, if event.adopted { " (adopted)" } else { "" });
    Some(Turn { at: event.at, provider, kind: if own { TurnKind::Ejected } else { TurnKind::Other }, note })
}

impl Policy for Tidings {
    fn choose(&mut self, now: Moment, worker: usize, ask: &Ask<'_>, limits: &mut Limits) -> Pick {
        match self.fleets[worker].choose_within(limits, now, ask) {
            Choice::Call(ticket) => Pick::Call(Call { provider: ticket.provider, started: now, ticket: Some(ticket) }),
            Choice::Wait { until, .. } => Pick::Wait(until),
            Choice::Exhausted | Choice::NoCandidate => Pick::Exhausted,
        }
    }

    fn ended(&mut self, now: Moment, worker: usize, call: Call, outcome: Outcome, limits: &mut Limits) {
        if let Some(ticket) = call.ticket {
            self.fleets[worker].ended_within(limits, now, ticket, outcome, Some(super::super::world::RETRY_AFTER));
        }
    }

    fn receipt(&mut self, now: Moment, worker: usize, provider: usize, submitted_at: Moment, delivered: bool) {
        self.fleets[worker].receipt(now, provider, submitted_at, delivered);
    }

    fn tick(&mut self, now: Moment) {
        for fleet in &mut self.fleets {
            fleet.tick(now);
        }
        if self.fleets.len() > 1 {
            self.gossip(now);
        }
        for fleet in &mut self.fleets {
            for event in fleet.take_events() {
                self.turns.extend(turn(&event, fleet));
            }
        }
    }

    fn hopeless_after(&self, now: Moment, worker: usize, provider: usize) -> Option<Duration> {
        self.fleets[worker].hopeless_after(now, provider)
    }

    fn take_turns(&mut self) -> Vec<Turn> {
        std::mem::take(&mut self.turns)
    }

    fn score(&self, now: Moment, provider: usize) -> f64 {
        f64::from(self.fleets[0].score(now, provider))
    }
}
