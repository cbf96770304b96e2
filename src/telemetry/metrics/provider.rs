//! What is counted for each provider: its calls, its health, its limits, its receipts.
//!
//! Providers come and go with routing revisions, so their handles are made on first use and kept. Beyond
//! [`MAX_PROVIDERS`] names all share the label `other`: revisions are written by people, but nothing may grow for ever.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus::{Gauge, Histogram, IntCounter, IntGauge, core::Metric as _};
use serde::{Deserialize, Serialize};
use tidings_core::attempt::{Ended, Outcome};

use super::handles::{ATTEMPT_SECONDS, CALL_SECONDS, Names, PerLabel, RECEIPT_SECONDS, labels};

/// Far more than anybody configures, few enough for a metrics server.
pub const MAX_PROVIDERS: usize = 200;
const OVERFLOW: &str = "other";

labels! {
    /// What delivery does with a provider at the moment.
    ProviderState {
        Healthy = "healthy",
        Ejected = "ejected",
        Probing = "probing",
        Ramping = "ramping",
        Paused = "paused",
        Pinned = "pinned",
    }
}

labels! {
    /// What speaks against a provider.
    Signal {
        ConsecutiveTimeouts = "consecutive_timeouts",
        MeanLatency = "mean_latency",
        TailShare = "tail_share",
        ErrorRate = "error_rate",
        Receipts = "receipts",
    }
}

/// What was counted for a provider since the process began.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ProviderTotals {
    /// Calls by the place of their outcome.
    pub outcomes: [u64; Outcome::ALL.len()],
    /// Calls by the bucket of their duration; the last is beyond all bounds.
    pub buckets: Vec<u64>,
    pub segments: u64,
}

/// The handles of one provider.
pub struct Provider {
    attempts: PerLabel<Outcome, IntCounter>,
    duration: Histogram,
    segments: IntCounter,
    state: PerLabel<ProviderState, IntGauge>,
    ejections: PerLabel<Signal, IntCounter>,
    /// 0 to 100.
    pub score: Gauge,
    /// Its share of the traffic that could go to it, 0 to 1.
    pub share: Gauge,
    /// Calls that are out.
    pub in_flight: IntGauge,
    /// The contract in segments per second; 0 means none.
    pub limit_per_s: Gauge,
    /// Retry tokens that are left to it.
    pub retry_tokens: Gauge,
    limiter_waits: IntCounter,
    limiter_wait: Histogram,
    receipt_delay: Histogram,
}

impl Provider {
    /// A call ended.
    pub fn attempt(&self, ended: &Ended) {
        self.attempts.get(ended.outcome).inc();
        self.duration.observe(ended.duration.as_secs_f64());
        if ended.outcome == Outcome::Accepted {
            self.segments.inc_by(u64::from(ended.segments));
        }
    }

    /// Everything counted so far, for charts that show changes.
    pub(super) fn totals(&self) -> ProviderTotals {
        let metric = self.duration.metric();
        let mut below = 0;
        let mut apart = |bucket: &prometheus::proto::Bucket| {
            let count = bucket.cumulative_count() - below;
            below = bucket.cumulative_count();
            count
        };
        let histogram = metric.get_histogram();
        let mut buckets: Vec<u64> = histogram.get_bucket().iter().map(&mut apart).collect();
        buckets.push(histogram.get_sample_count() - below);
        let mut outcomes = [0; Outcome::ALL.len()];
        for outcome in Outcome::ALL {
            outcomes[outcome.index()] = self.attempts.get(*outcome).get();
        }
        ProviderTotals { outcomes, buckets, segments: self.segments.get() }
    }

    pub fn state(&self, state: ProviderState) {
        self.state.only(state);
    }

    /// It was taken out because of `signal`.
    pub fn ejected(&self, signal: Signal) {
        self.ejections.get(signal).inc();
    }

    /// A message had to wait, or to park, for this provider's limit.
    pub fn limiter_wait(&self, wait: Duration) {
        self.limiter_waits.inc();
        self.limiter_wait.observe(wait.as_secs_f64());
    }

    /// A receipt came `delay` after the submission.
    pub fn receipt(&self, delay: Duration) {
        self.receipt_delay.observe(delay.as_secs_f64());
    }
}

/// All providers seen so far, and the families that their handles belong to.
pub(super) struct Providers {
    known: Mutex<HashMap<String, Arc<Provider>>>,
    attempts: prometheus::IntCounterVec,
    duration: prometheus::HistogramVec,
    segments: prometheus::IntCounterVec,
    state: prometheus::IntGaugeVec,
    ejections: prometheus::IntCounterVec,
    score: prometheus::GaugeVec,
    share: prometheus::GaugeVec,
    in_flight: prometheus::IntGaugeVec,
    limit_per_s: prometheus::GaugeVec,
    retry_tokens: prometheus::GaugeVec,
    limiter_waits: prometheus::IntCounterVec,
    limiter_wait: prometheus::HistogramVec,
    receipt_delay: prometheus::HistogramVec,
}

impl Providers {
    pub(super) fn new(names: &Names) -> Self {
        let gauge = |name, help| names.float_gauges(name, help, &["provider"]);
        Self {
            known: Mutex::default(),
            attempts: names.counters("tidings_attempts_total", "Calls to providers that ended.", &["provider", "outcome"]),
            duration: names.histograms(
                "tidings_attempt_duration_seconds",
                "How long calls to providers took.",
                "provider",
                ATTEMPT_SECONDS,
            ),
            segments: names.counters("tidings_segments_total", "Segments that providers took.", &["provider"]),
            state: names.gauges("tidings_provider_state", "1 for the state that a provider is in.", &["provider", "state"]),
            ejections: names.counters(
                "tidings_provider_ejections_total",
                "Times that a provider was taken out, by what spoke against it.",
                &["provider", "signal"],
            ),
            score: gauge("tidings_provider_score", "Health of a provider, 0 to 100."),
            share: gauge("tidings_provider_share", "Share of the traffic that a provider gets, 0 to 1."),
            in_flight: names.gauges("tidings_provider_in_flight", "Calls to a provider that are out.", &["provider"]),
            limit_per_s: gauge("tidings_provider_limit_segments_per_second", "The provider's contract; 0 means none."),
            retry_tokens: gauge("tidings_retry_budget_tokens", "Retries that the provider's budget still allows at once."),
            limiter_waits: names.counters("tidings_limiter_waits_total", "Times that a message waited for a limit.", &["provider"]),
            limiter_wait: names.histograms(
                "tidings_limiter_wait_seconds",
                "How long messages waited for a limit.",
                "provider",
                CALL_SECONDS,
            ),
            receipt_delay: names.histograms(
                "tidings_receipt_delay_seconds",
                "Time from submission to its receipt.",
                "provider",
                RECEIPT_SECONDS,
            ),
        }
    }

    pub(super) fn get(&self, name: &str) -> Arc<Provider> {
        // The lock only guards the map; a panic elsewhere cannot leave it half changed.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(provider) = known.get(name) {
            return Arc::clone(provider);
        }
        let name = if known.len() >= MAX_PROVIDERS { OVERFLOW } else { name };
        Arc::clone(known.entry(name.to_owned()).or_insert_with(|| Arc::new(self.make(name))))
    }

    pub(super) fn totals(&self) -> BTreeMap<String, ProviderTotals> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|(name, provider)| (name.clone(), provider.totals())).collect()
    }

    fn make(&self, name: &str) -> Provider {
        Provider {
            attempts: PerLabel::new(|outcome| self.attempts.with_label_values(&[name, outcome])),
            duration: self.duration.with_label_values(&[name]),
            segments: self.segments.with_label_values(&[name]),
            state: PerLabel::new(|state| self.state.with_label_values(&[name, state])),
            ejections: PerLabel::new(|signal| self.ejections.with_label_values(&[name, signal])),
            score: self.score.with_label_values(&[name]),
            share: self.share.with_label_values(&[name]),
            in_flight: self.in_flight.with_label_values(&[name]),
            limit_per_s: self.limit_per_s.with_label_values(&[name]),
            retry_tokens: self.retry_tokens.with_label_values(&[name]),
            limiter_waits: self.limiter_waits.with_label_values(&[name]),
            limiter_wait: self.limiter_wait.with_label_values(&[name]),
            receipt_delay: self.receipt_delay.with_label_values(&[name]),
        }
    }
}
