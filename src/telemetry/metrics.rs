//! The metrics registry: every name that `/metrics` shows, in the order in which a message meets its hop.
//!
//! Names are a contract: alert rules and dashboards in `deploy/` use them, and a test holds the two together. A counter
//! that could exist is shown from the start as zero where its labels are few, so that `rate()` sees the first event.
//! Gauges of queues are counted by whoever changes the queue and never by a query.

mod handles;
mod hops;
mod http;
mod provider;
mod retention;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use prometheus::{Gauge, IntCounter, IntGauge, Registry, TextEncoder};
use serde::{Deserialize, Serialize};
use tidings_core::{
    attempt::Outcome,
    message::{Category, Channel, Lane, Status},
};

pub use self::{
    handles::{ATTEMPT_SECONDS as CALL_BOUNDS, Label, PerLabel},
    hops::{
        Control, Delivery, GrantSource, Grants, Idempotency, IdempotencyAnswer, Queue, ReceiptFate, Receipts, Recorder, RetryPayer, Writer,
    },
    http::Http,
    provider::{MAX_PROVIDERS, Provider, ProviderState, ProviderTotals, Signal},
    retention::Retention,
};
use self::{
    handles::{Names, closed_statuses},
    provider::Providers,
};
use super::Traces;

/// The ways to end without having been delivered.
const FAILED: [Status; 4] = [Status::Failed, Status::Undelivered, Status::Expired, Status::Unknown];

/// What was counted since the process began.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Totals {
    pub accepted: u64,
    /// Calls that providers took.
    pub submitted: u64,
    pub failed: u64,
    pub providers: BTreeMap<String, ProviderTotals>,
}

/// What the other processes of an installation said of their counters, by node.
pub type Elsewhere = BTreeMap<String, Totals>;

/// All metrics of a process. Cheap to share, never cloned: hand out an `Arc`.
pub struct Metrics {
    registry: Registry,
    elsewhere: Mutex<Elsewhere>,
    accepted: Vec<IntCounter>,
    finished: Vec<Option<IntCounter>>,
    refused: prometheus::IntCounterVec,
    shed: PerLabel<Lane, IntCounter>,
    dependency_up: prometheus::IntGaugeVec,
    panics: prometheus::IntCounterVec,
    providers: Providers,
    pub http: Http,
    pub idempotency: Idempotency,
    pub writer: Writer,
    pub queue: Queue,
    pub delivery: Delivery,
    pub grants: Grants,
    pub receipts: Receipts,
    pub recorder: Recorder,
    pub control: Control,
    pub retention: Retention,
    /// Spans that found no room or no collector.
    pub spans_dropped: IntCounter,
    /// Traces of messages, when a collector is named: set once at the start, by the assembly.
    traces: OnceLock<Traces>,
    /// Free space where `data_dir` lies, 0 to 1.
    pub disk_free_ratio: Gauge,
    /// HTTP connections that are open now.
    pub connections: IntGauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        let registry = Registry::new();
        let names = Names::new(&registry);
        let build = names.gauges("tidings_build_info", "1, labelled with the version that runs.", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        names.register_process();
        Self {
            accepted: accepted(&names),
            finished: finished(&names),
            refused: names.counters("tidings_messages_refused_total", "Sends that were refused, by problem code.", &["code"]),
            shed: names.counter_per("tidings_messages_shed_total", "Sends refused because the system was full.", "lane"),
            dependency_up: names.gauges("tidings_dependency_up", "1 while a backing service answers, else 0.", &["name"]),
            panics: names.counters("tidings_task_panics_total", "Supervised tasks that panicked and were replaced.", &["task"]),
            providers: Providers::new(&names),
            http: Http::new(&names),
            idempotency: Idempotency::new(&names),
            writer: Writer::new(&names),
            queue: Queue::new(&names),
            delivery: Delivery::new(&names),
            grants: Grants::new(&names),
            receipts: Receipts::new(&names),
            recorder: Recorder::new(&names),
            control: Control::new(&names),
            retention: Retention::new(&names),
            spans_dropped: names.counter("tidings_spans_dropped_total", "Spans that found no room or no collector."),
            traces: OnceLock::new(),
            disk_free_ratio: names.float_gauge("tidings_disk_free_ratio", "Free share of the disk that holds data_dir."),
            connections: names.gauge("tidings_http_connections", "HTTP connections that are open."),
            registry,
            elsewhere: Mutex::default(),
        }
    }

    /// Messages that were made durable and answered 202.
    pub fn accepted(&self, channel: Channel, category: Category) -> &IntCounter {
        &self.accepted[channel.index() * Category::ALL.len() + category.index()]
    }

    /// Messages that came to an end. Only closed statuses count; asking for another is a no-op.
    pub fn finished(&self, channel: Channel, category: Category, status: Status) {
        let row = channel.index() * Category::ALL.len() + category.index();
        if let Some(Some(counter)) = self.finished.get(row * Status::ALL.len() + status.index()) {
            counter.inc();
        }
    }

    /// Makes traces from now on.
    pub fn trace_with(&self, traces: Traces) {
        // A second set of traces would be a mistake of the assembly; the first stays.
        drop(self.traces.set(traces));
    }

    /// Traces of messages, if a collector is named.
    pub fn traces(&self) -> Option<&Traces> {
        self.traces.get()
    }

    /// A send that was refused. `code` is a problem code, one of a closed set.
    pub fn refused(&self, code: &'static str) {
        self.refused.with_label_values(&[code]).inc();
    }

    /// A send that was refused because there was no room for its lane.
    pub fn shed(&self, lane: Lane) {
        self.shed.get(lane).inc();
    }

    /// Whether a backing service (`database`, `redis`, `kafka`) answers.
    pub fn dependency_up(&self, name: &'static str, up: bool) {
        self.dependency_up.with_label_values(&[name]).set(i64::from(up));
    }

    /// A supervised task panicked.
    pub fn panicked(&self, task: &'static str) {
        self.panics.with_label_values(&[task]).inc();
    }

    /// The handles of one provider: keep what this returns where its calls are made.
    pub fn provider(&self, name: &str) -> Arc<Provider> {
        self.providers.get(name)
    }

    /// What was counted since the process began, for charts that show changes.
    pub fn totals(&self) -> Totals {
        let providers = self.providers.totals();
        let taken = |provider: &ProviderTotals| provider.outcomes[Outcome::Accepted.index()];
        Totals {
            accepted: self.accepted.iter().map(IntCounter::get).sum(),
            submitted: providers.values().map(taken).sum(),
            failed: FAILED.iter().map(|status| self.finished_as(*status)).sum(),
            providers,
        }
    }

    /// What the other processes counted, as they said last.
    pub fn elsewhere(&self) -> Elsewhere {
        self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn heard_elsewhere(&self, said: Elsewhere) {
        *self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner) = said;
    }

    fn finished_as(&self, status: Status) -> u64 {
        let of_status = self.finished.iter().skip(status.index()).step_by(Status::ALL.len());
        of_status.flatten().map(IntCounter::get).sum()
    }

    /// The backing services that were ever reported on, and whether they answer.
    pub fn dependencies(&self) -> Vec<(String, bool)> {
        let families = prometheus::core::Collector::collect(&self.dependency_up);
        let metrics = families.iter().flat_map(|family| family.get_metric());
        let name = |metric: &prometheus::proto::Metric| metric.get_label().first().map(|label| label.value().to_owned());
        metrics.filter_map(|metric| Some((name(metric)?, metric.get_gauge().get_value() > 0.5))).collect()
    }

    /// Everything in Prometheus' text format.
    pub fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

fn accepted(names: &Names) -> Vec<IntCounter> {
    let family = names.counters("tidings_messages_accepted_total", "Messages made durable and answered 202.", &["channel", "category"]);
    let mut handles = Vec::new();
    for channel in Channel::ALL {
        for category in Category::ALL {
            handles.push(family.with_label_values(&[channel.as_str(), category.as_str()]));
        }
    }
    handles
}

fn finished(names: &Names) -> Vec<Option<IntCounter>> {
    let family = names.counters(
        "tidings_messages_finished_total",
        "Messages that came to an end, by the status they ended in; a late receipt counts again.",
        &["channel", "category", "status"],
    );
    let mut handles = Vec::new();
    for channel in Channel::ALL {
        for category in Category::ALL {
            handles.extend(
                closed_statuses().map(|(status, closed)| {
                    closed.then(|| family.with_label_values(&[channel.as_str(), category.as_str(), status.as_str()]))
                }),
            );
        }
    }
    handles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_is_found_under_its_labels() {
        let metrics = Metrics::new();
        for channel in Channel::ALL {
            for category in Category::ALL {
                metrics.accepted(*channel, *category).inc();
                for status in Status::ALL {
                    metrics.finished(*channel, *category, *status);
                }
            }
        }
        let text = metrics.render();
        assert!(text.contains("tidings_messages_accepted_total{category=\"marketing\",channel=\"push\"} 1\n"), "{text}");
        assert!(text.contains("tidings_messages_finished_total{category=\"otp\",channel=\"sms\",status=\"delivered\"} 1\n"));
        assert!(!text.contains("status=\"delivering\""), "a message that is under way has not finished");
        assert!(!text.contains("} 2\n"), "two label sets share a counter");
    }

    #[test]
    fn a_provider_is_counted_once_however_often_it_is_asked_for() {
        let metrics = Metrics::new();
        let ended = |outcome, millis| tidings_core::attempt::Ended {
            outcome,
            code: None,
            duration: std::time::Duration::from_millis(millis),
            provider_message_id: None,
            segments: 3,
            cost: None,
        };
        metrics.provider("a").attempt(&ended(Outcome::Accepted, 40));
        metrics.provider("a").attempt(&ended(Outcome::Ambiguous, 3_000));
        let totals = &metrics.totals().providers["a"];
        assert_eq!((totals.segments, totals.buckets.iter().sum::<u64>()), (3, 2));
        let text = metrics.render();
        assert!(text.contains("tidings_attempts_total{outcome=\"accepted\",provider=\"a\"} 1"));
        assert!(text.contains("tidings_attempt_duration_seconds_count{provider=\"a\"} 2"));
    }

    #[test]
    fn more_providers_than_the_bound_share_one_label() {
        let metrics = Metrics::new();
        for number in 0..MAX_PROVIDERS + 20 {
            metrics.provider(&format!("p{number}")).in_flight.set(1);
        }
        let series = metrics.render().lines().filter(|line| line.starts_with("tidings_provider_in_flight{")).count();
        assert_eq!(series, MAX_PROVIDERS + 1);
    }

    #[test]
    fn a_dependency_that_goes_away_reads_zero() {
        let metrics = Metrics::new();
        metrics.dependency_up("redis", true);
        metrics.dependency_up("redis", false);
        assert!(metrics.render().contains("tidings_dependency_up{name=\"redis\"} 0"));
    }
}
