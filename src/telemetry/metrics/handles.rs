//! How handles are made and kept: registered once under constant names, looked up by the place of a word in its set.
//!
//! A name that is registered twice or malformed is a mistake in this folder and is found by the first test that makes a
//! [`super::Metrics`]; that is why registration may panic and nothing else here can fail.

use std::marker::PhantomData;

use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector,
};
use tidings_core::{
    attempt::Outcome,
    message::{Category, Channel, Lane, Status},
};

const CONSTANT: &str = "metric names in this folder are constant, well-formed and distinct";

/// Seconds from a millisecond to a minute: calls to providers, requests, waits in a queue.
pub(super) const CALL_SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// The same more finely, so that charts of latency read well: each bound at most half as large again as the one before.
pub const ATTEMPT_SECONDS: &[f64] = &[
    0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0,
    7.5, 10.0, 15.0, 30.0, 60.0,
];
/// Seconds from a tenth of a millisecond to a few seconds: transactions and round trips to backing services.
pub(super) const STEP_SECONDS: &[f64] = &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
/// Seconds from a tenth to three days: receipts come when they come.
pub(super) const RECEIPT_SECONDS: &[f64] = &[0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0, 86_400.0, 259_200.0];
/// Rows in one transaction or batch.
pub(super) const ROWS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0, 2_048.0, 4_096.0];

/// A closed set of words that may label a metric.
pub trait Label: Copy + 'static {
    const WORDS: &'static [&'static str];
    fn place(self) -> usize;
}

macro_rules! core_words_are_labels {
    ($($word:ty),*) => {$(
        impl Label for $word {
            const WORDS: &'static [&'static str] = {
                const ALL: &[$word] = <$word>::ALL;
                const N: usize = ALL.len();
                const WORDS: [&str; N] = {
                    let mut words = [""; N];
                    let mut at = 0;
                    while at < N {
                        words[at] = ALL[at].as_str();
                        at += 1;
                    }
                    words
                };
                &WORDS
            };
            fn place(self) -> usize {
                self.index()
            }
        }
    )*};
}
core_words_are_labels!(Channel, Category, Lane, Status, Outcome);

/// Declares an enum whose variants label a metric.
macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $crate::telemetry::metrics::Label for $name {
            const WORDS: &'static [&'static str] = &[$($word),*];
            fn place(self) -> usize {
                self as usize
            }
        }
    };
}
pub(super) use labels;

/// One handle for each word of a set.
pub struct PerLabel<L, H> {
    handles: Vec<H>,
    set: PhantomData<fn(L)>,
}

impl<L: Label, H> PerLabel<L, H> {
    pub(super) fn new(mut handle: impl FnMut(&'static str) -> H) -> Self {
        Self { handles: L::WORDS.iter().map(|word| handle(word)).collect(), set: PhantomData }
    }

    pub fn get(&self, label: L) -> &H {
        &self.handles[label.place()]
    }
}

impl<L: Label> PerLabel<L, IntGauge> {
    /// Sets the gauge of `label` to one and the others to zero: a state among several.
    pub fn only(&self, label: L) {
        for (place, gauge) in self.handles.iter().enumerate() {
            gauge.set(i64::from(place == label.place()));
        }
    }
}

/// Every status with whether a message can end in it.
pub(super) fn closed_statuses() -> impl Iterator<Item = (Status, bool)> {
    Status::ALL.iter().map(|status| (*status, status.is_closed()))
}

/// Makes and registers metrics.
pub(super) struct Names<'a> {
    registry: &'a Registry,
}

impl<'a> Names<'a> {
    pub(super) const fn new(registry: &'a Registry) -> Self {
        Self { registry }
    }

    fn register<C: Collector + Clone + 'static>(&self, collector: C) -> C {
        self.registry.register(Box::new(collector.clone())).expect(CONSTANT);
        collector
    }

    pub(super) fn register_process(&self) {
        #[cfg(target_os = "linux")]
        self.registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self())).expect(CONSTANT);
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help).expect(CONSTANT))
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(Opts::new(name, help), labels).expect(CONSTANT))
    }

    pub(super) fn counter_per<L: Label>(&self, name: &str, help: &str, label: &str) -> PerLabel<L, IntCounter> {
        let family = self.counters(name, help, &[label]);
        PerLabel::new(|word| family.with_label_values(&[word]))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help).expect(CONSTANT))
    }

    pub(super) fn float_gauge(&self, name: &str, help: &str) -> Gauge {
        self.register(Gauge::new(name, help).expect(CONSTANT))
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels).expect(CONSTANT))
    }

    pub(super) fn float_gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::GaugeVec {
        self.register(prometheus::GaugeVec::new(Opts::new(name, help), labels).expect(CONSTANT))
    }

    pub(super) fn gauge_per<L: Label>(&self, name: &str, help: &str, label: &str) -> PerLabel<L, IntGauge> {
        let family = self.gauges(name, help, &[label]);
        PerLabel::new(|word| family.with_label_values(&[word]))
    }

    pub(super) fn float_gauge_per<L: Label>(&self, name: &str, help: &str, label: &str) -> PerLabel<L, Gauge> {
        let family = self.float_gauges(name, help, &[label]);
        PerLabel::new(|word| family.with_label_values(&[word]))
    }

    pub(super) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())).expect(CONSTANT))
    }

    pub(super) fn histograms(&self, name: &str, help: &str, label: &str, buckets: &[f64]) -> HistogramVec {
        self.register(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), &[label]).expect(CONSTANT))
    }

    pub(super) fn histogram_per<L: Label>(&self, name: &str, help: &str, label: &str, buckets: &[f64]) -> PerLabel<L, Histogram> {
        let family = self.histograms(name, help, label, buckets);
        PerLabel::new(|word| family.with_label_values(&[word]))
    }
}
