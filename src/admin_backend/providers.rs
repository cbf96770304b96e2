//! Providers as this node's desk sees them, and the levers.

use std::collections::HashMap;

use tidings_admin::{
    Actor, Error,
    views::{ProviderDetail, ProviderEvent, ProviderRow, ProviderSample, ProviderState, SignalName, SignalView, Steering},
};
use tidings_core::{
    fleet::{Command, ProviderView, State},
    health::{Reading, Signal},
};

use super::{AdminBackend, errors, history::Rates};
use crate::{
    delivery::{Account, Callbacks, FleetEvent},
    telemetry::metrics,
};

/// Minutes that "lately" means.
const LATELY: usize = 5;
/// Events on a page.
const EVENTS: usize = 50;

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

const fn signal(name: Signal) -> SignalName {
    match name {
        Signal::ConsecutiveTimeouts => SignalName::ConsecutiveTimeouts,
        Signal::MeanLatency => SignalName::MeanLatency,
        Signal::TailShare => SignalName::TailShare,
        Signal::ErrorRate => SignalName::ErrorRate,
        Signal::Receipts => SignalName::Receipts,
    }
}

/// Pages show latencies in milliseconds; a reading has seconds.
fn reading(reading: &Reading) -> SignalView {
    let scale = if reading.name == Signal::MeanLatency { 1_000.0 } else { 1.0 };
    SignalView {
        name: signal(reading.name),
        value: reading.value * scale,
        baseline: (reading.samples > 0).then_some(reading.baseline * scale),
        threshold: reading.threshold * scale,
        samples: reading.samples,
    }
}

impl AdminBackend {
    pub(super) fn see_providers(&self) -> Vec<ProviderRow> {
        let desk = self.desks.base();
        let views = desk.view(self.clock.moment());
        let rates = self.history.rates();
        let kinds = self.kinds();
        let own = desk.accounts.iter().zip(&views).filter(|(account, _)| !account.built_in);
        let mut rows: Vec<ProviderRow> = own.map(|(account, view)| self.provider_row(account, view, &rates, &kinds)).collect();
        share_within_channels(&mut rows);
        rows
    }

    fn kinds(&self) -> HashMap<String, String> {
        let snapshot = self.control.snapshot();
        let revisions = snapshot.routing().in_force();
        revisions.flat_map(|revision| revision.document.providers.clone()).map(|provider| (provider.name, provider.kind)).collect()
    }

    fn provider_row(&self, account: &Account, view: &ProviderView, rates: &Rates, kinds: &HashMap<String, String>) -> ProviderRow {
        let name = &*account.spec.name;
        let lately = self.history.lately(name, self.clock.now(), LATELY);
        let calls = lately.calls();
        ProviderRow {
            name: name.to_owned(),
            kind: kinds.get(name).cloned().unwrap_or_default(),
            channel: account.channel,
            state: state(view.state),
            score: f64::from(view.score),
            weight: view.weight,
            share: view.effective_share,
            calls,
            error_share: if calls == 0 { 0.0 } else { lately.errors() as f64 / calls as f64 },
            p50: lately.quantile(0.5, metrics::CALL_BOUNDS),
            p99: lately.quantile(0.99, metrics::CALL_BOUNDS),
            in_flight: view.in_flight,
            max_in_flight: account.spec.max_in_flight,
            rate_per_s: rates.segments.get(name).copied().unwrap_or(0.0),
            limit_per_s: view.limit_per_s.unwrap_or(0.0),
        }
    }

    pub(super) fn see_provider(&self, name: &str) -> Option<ProviderDetail> {
        let desk = self.desks.base();
        let place = desk.place(name)?;
        let account = &desk.accounts[place];
        let view = desk.view(self.clock.moment()).into_iter().nth(place)?;
        let events = self.provider_events(Some(name), EVENTS);
        let row = self.see_providers().into_iter().find(|row| row.name == name)?;
        let last = events.first().filter(|_| row.state != ProviderState::Healthy);
        Some(ProviderDetail {
            since: last.map(|event| event.at),
            why: last.map(|event| format!("{}.", event.text)).filter(|why| why.len() > 1),
            price: format!("{} {} a segment", account.spec.price, account.currency),
            revision: desk.revision,
            signals: view.signals.iter().map(reading).collect(),
            history: self.provider_history(name),
            events,
            receipt_address: self.receipt_address(account),
            row,
        })
    }

    fn provider_history(&self, name: &str) -> Vec<ProviderSample> {
        let millis = |duration: std::time::Duration| duration.as_secs_f64() * 1_000.0;
        let minutes = self.history.minutes(self.clock.now());
        let sample = |minute: &super::history::Minute| {
            let one = minute.providers.get(name).cloned().unwrap_or_default();
            ProviderSample {
                at: minute.at,
                calls: one.calls(),
                errors: one.errors(),
                p50_ms: one.quantile(0.5, metrics::CALL_BOUNDS).map(millis),
                p99_ms: one.quantile(0.99, metrics::CALL_BOUNDS).map(millis),
            }
        };
        minutes.iter().map(sample).collect()
    }

    /// What to enter at the vendor, with the token that proves it is the vendor who calls.
    fn receipt_address(&self, account: &Account) -> Option<tidings_core::redact::Secret> {
        let plain = || Callbacks { public_url: self.public_url.clone() }.address(&account.spec.name, None);
        account.spec.receipts.then(|| account.callback.clone().unwrap_or_else(plain))
    }

    /// Changes, newest first: of one provider or of all.
    pub(super) fn provider_events(&self, name: Option<&str>, most: usize) -> Vec<ProviderEvent> {
        let mut events: Vec<FleetEvent> = match name {
            Some(name) => self.desks.events.of(name),
            None => self.desks.base().accounts.iter().flat_map(|account| self.desks.events.of(&account.spec.name)).collect(),
        };
        events.sort_by_key(|event| std::cmp::Reverse(event.at));
        events.into_iter().take(most).map(event).collect()
    }

    pub(super) async fn steer_provider(&self, actor: &Actor, name: &str, steering: Steering, reason: &str) -> Result<(), Error> {
        let command = match steering {
            Steering::Pause => Command::Pause,
            Steering::Resume => Command::Resume,
            Steering::Pin => Command::Pin,
            Steering::Unpin => Command::Unpin,
            Steering::Weight(weight) => Command::Weight(Some(weight)),
        };
        self.control.steer(&self.acting(actor)?, name, command, reason).await.map_err(errors::control)?;
        self.desks.obey(&self.clock, self.control.steers());
        Ok(())
    }
}

/// A fleet knows nothing of channels, but a share of all traffic says little where they do not compete.
fn share_within_channels(rows: &mut [ProviderRow]) {
    let sums: HashMap<_, f64> = rows.iter().fold(HashMap::new(), |mut sums, row| {
        *sums.entry(row.channel).or_default() += row.share;
        sums
    });
    for row in rows {
        let sum = sums.get(&row.channel).copied().unwrap_or(0.0);
        row.share = if sum > 0.0 { row.share / sum } else { 0.0 };
    }
}

fn event(event: FleetEvent) -> ProviderEvent {
    let FleetEvent { at, event, .. } = event;
    let numbers = event.reading.as_ref().map(|seen| {
        let view = reading(seen);
        let value = |number: f64| tidings_admin::signal_value(view.name, number);
        let baseline = view.baseline.map_or_else(String::new, |baseline| format!(", own normal {}", value(baseline)));
        let name = seen.name.as_str().replace('_', " ");
        format!("{name} {}{baseline}, threshold {}, {} samples", value(view.value), value(view.threshold), view.samples)
    });
    ProviderEvent {
        at,
        provider: event.provider.to_string(),
        kind: event.kind.as_str().replace('_', " "),
        actor: event.actor.unwrap_or_else(|| "health".to_owned()),
        text: event.reason.or(numbers).unwrap_or_default(),
    }
}
