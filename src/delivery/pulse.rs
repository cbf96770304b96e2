//! What happens by itself: time passes for the fleets, their changes become log lines and events, gauges are set.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use tidings_core::{
    fleet::{Event, EventKind, State},
    health,
    message::{Lane, Status},
    time::Timestamp,
};

use super::{Desk, Desks, Worker};
use crate::telemetry::metrics::{ProviderState, Signal};

/// How often a fleet looks at the calls that are pending.
const TICK: Duration = Duration::from_millis(50);
/// A pulse that is later than that was held up: the process was frozen, or had no processor.
const TIMERS_ARE_LATE: Duration = Duration::from_millis(5);
const GAUGES_EVERY: Duration = Duration::from_secs(1);
/// Events kept in memory for operators.
const EVENTS_KEPT: usize = 1_000;

/// A change of a provider's state, by the calendar.
#[derive(Clone, Debug)]
pub struct FleetEvent {
    /// Counts from 1 in this process.
    pub number: u64,
    pub at: Timestamp,
    pub revision: u32,
    pub event: Event,
}

/// The newest changes of this process's fleets.
#[derive(Debug, Default)]
pub struct EventLog(Mutex<VecDeque<FleetEvent>>);

impl EventLog {
    fn add(&self, mut event: FleetEvent) {
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        event.number = events.back().map_or(0, |newest| newest.number) + 1;
        if events.len() == EVENTS_KEPT {
            events.pop_front();
        }
        events.push_back(event);
    }

    /// What happened to a provider, newest first.
    pub fn of(&self, provider: &str) -> Vec<FleetEvent> {
        let events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().rev().filter(|event| &*event.event.provider == provider).cloned().collect()
    }
}

impl Desks {
    /// Writes changes into the log, the metrics and the list that operators read.
    pub(crate) fn tell(&self, at: Timestamp, desk: &Desk, events: Vec<Event>) {
        for event in events {
            self.tell_one(at, desk, event);
        }
    }

    fn tell_one(&self, at: Timestamp, desk: &Desk, event: Event) {
        let reading = event.reading.as_ref();
        tracing::warn!(
            provider = &*event.provider,
            change = event.kind.as_str(),
            state = event.state.as_str(),
            signal = reading.map(|reading| reading.name.as_str()),
            value = reading.map(|reading| reading.value),
            baseline = reading.map(|reading| reading.baseline),
            threshold = reading.map(|reading| reading.threshold),
            samples = reading.map(|reading| reading.samples),
            actor = event.actor.as_deref(),
            reason = event.reason.as_deref(),
            "a provider changed"
        );
        if let (EventKind::Ejected, Some(reading), Some(place)) = (event.kind, reading, desk.place(&event.provider)) {
            desk.accounts[place].metrics.ejected(signal(reading.name));
        }
        self.events.add(FleetEvent { number: 0, at, revision: desk.revision, event });
    }
}

impl Worker {
    pub(super) async fn run_pulse(self: Arc<Self>) {
        loop {
            let slept = self.clock.moment();
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(TICK) => {}
            }
            let late = self.clock.moment().since(slept).saturating_sub(TICK);
            let held_up = Some(late).filter(|late| *late > TIMERS_ARE_LATE);
            if let Some(late) = held_up {
                self.metrics.delivery.held_up(late);
            }
            for joined in self.store.take_joined() {
                if joined.says.is_final() {
                    self.desks.receipt(&self.clock, &joined.provider, joined.submitted_at, joined.says == Status::Delivered);
                }
            }
            for desk in self.desks.all() {
                self.tick(&desk, held_up);
            }
        }
    }

    /// Apart from the pulse: the store is asked, and a store that hangs must not keep anybody from looking at pending calls.
    pub(super) async fn run_gauges(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(GAUGES_EVERY) => self.set_gauges().await,
            }
        }
    }

    fn tick(&self, desk: &Desk, held_up: Option<Duration>) {
        let (events, trouble) = {
            let mut fleet = desk.fleet();
            let now = self.clock.moment();
            if let Some(lasted) = held_up {
                fleet.held_up(now, lasted);
            }
            fleet.tick(now);
            let trouble = (0..desk.accounts.len()).any(|place| fleet.hopeless_after(now, place).is_some());
            (fleet.take_events(), trouble)
        };
        desk.trouble.store(trouble, Ordering::Relaxed);
        if !events.is_empty() {
            desk.freed.all();
        }
        self.desks.tell(self.clock.now(), desk, events);
    }

    async fn set_gauges(&self) {
        let desk = self.desks.base();
        let now = self.clock.moment();
        let views = desk.view(now);
        {
            let (budgets, _) = &*desk.retry();
            self.metrics.delivery.retry_tokens_least.set(budgets.left_of_poorest_app(now));
            for (place, account) in desk.accounts.iter().enumerate() {
                account.metrics.retry_tokens.set(budgets.left_of_provider(now, place));
            }
        }
        for (view, account) in views.iter().zip(&desk.accounts) {
            account.metrics.score.set(f64::from(view.score));
            account.metrics.share.set(view.effective_share);
            account.metrics.in_flight.set(i64::from(view.in_flight));
            account.metrics.limit_per_s.set(view.limit_per_s.unwrap_or(0.0));
            account.metrics.state(state(view.state));
        }
        if let Ok(waiting) = self.store.waiting(self.clock.now()).await {
            for (lane, waiting) in Lane::ALL.iter().zip(waiting) {
                self.metrics.queue.messages(*lane).set(i64::try_from(waiting.messages).unwrap_or(i64::MAX));
                self.metrics.queue.oldest(*lane, waiting.oldest);
            }
        }
    }
}

const fn signal(signal: health::Signal) -> Signal {
    match signal {
        health::Signal::ConsecutiveTimeouts => Signal::ConsecutiveTimeouts,
        health::Signal::MeanLatency => Signal::MeanLatency,
        health::Signal::TailShare => Signal::TailShare,
        health::Signal::ErrorRate => Signal::ErrorRate,
        health::Signal::Receipts => Signal::Receipts,
    }
}

const fn state(state: State) -> ProviderState {
    match state {
        State::Healthy => ProviderState::Healthy,
        State::Ejected => ProviderState::Ejected,
        State::Probing => ProviderState::Probing,
        State::Ramping => ProviderState::Ramping,
        State::Paused => ProviderState::Paused,
        State::Pinned => ProviderState::Pinned,
    }
}
