//! One struct of handles per hop of a message's way, each fed by the module of the same name.

use std::time::Duration;

use prometheus::{Gauge, Histogram, IntCounter, IntGauge};
use tidings_core::message::Lane;

use super::handles::{CALL_SECONDS, Names, PerLabel, ROWS, STEP_SECONDS, labels};

labels! {
    /// What the idempotency look-up of a keyed send said.
    IdempotencyAnswer { New = "new", Replayed = "replayed", Mismatch = "mismatch", InProgress = "in_progress", }
}

/// Keyed sends.
pub struct Idempotency(PerLabel<IdempotencyAnswer, IntCounter>);

impl Idempotency {
    pub(super) fn new(names: &Names) -> Self {
        Self(names.counter_per("tidings_idempotency_total", "Keyed sends by what the look-up of their key said.", "answer"))
    }

    pub fn answered(&self, answer: IdempotencyAnswer) {
        self.0.get(answer).inc();
    }
}

/// The store's one writer: a tick is one transaction that carries whatever waits.
pub struct Writer {
    rows: Histogram,
    seconds: Histogram,
    failures: IntCounter,
    /// Writes that wait for the next tick.
    pub waiting: IntGauge,
}

impl Writer {
    pub(super) fn new(names: &Names) -> Self {
        Self {
            rows: names.histogram("tidings_writer_tick_rows", "Writes that one transaction of the writer carried.", ROWS),
            seconds: names.histogram("tidings_writer_tick_seconds", "Time of one transaction of the writer, with its sync.", STEP_SECONDS),
            failures: names.counter("tidings_writer_failures_total", "Transactions of the writer that failed."),
            waiting: names.gauge("tidings_writer_waiting", "Writes that wait for the writer's next tick."),
        }
    }

    pub fn tick(&self, rows: usize, took: Duration) {
        self.rows.observe(rows as f64);
        self.seconds.observe(took.as_secs_f64());
    }

    pub fn failed(&self) {
        self.failures.inc();
    }
}

/// What waits, per lane, and how it is taken.
pub struct Queue {
    messages: PerLabel<Lane, IntGauge>,
    oldest: PerLabel<Lane, Gauge>,
    wait: PerLabel<Lane, Histogram>,
    parked: IntCounter,
    lease_rows: Histogram,
    lease_seconds: Histogram,
    leases_lost: IntCounter,
}

impl Queue {
    pub(super) fn new(names: &Names) -> Self {
        Self {
            messages: names.gauge_per("tidings_queue_messages", "Messages that are due and wait for a worker.", "lane"),
            oldest: names.float_gauge_per("tidings_queue_oldest_seconds", "Age of the oldest message that is due.", "lane"),
            wait: names.histogram_per("tidings_queue_wait_seconds", "Time from due to taken.", "lane", CALL_SECONDS),
            parked: names.counter("tidings_queue_parked_total", "Messages put back with a later time."),
            lease_rows: names.histogram("tidings_lease_refill_messages", "Messages that one refill of leases brought.", ROWS),
            lease_seconds: names.histogram("tidings_lease_refill_seconds", "Time of one refill of leases.", STEP_SECONDS),
            leases_lost: names.counter("tidings_leases_lost_total", "Leases that ran out before their message was finished."),
        }
    }

    /// Messages that wait in `lane`, counted by whoever changes the queue.
    pub fn messages(&self, lane: Lane) -> &IntGauge {
        self.messages.get(lane)
    }

    pub fn oldest(&self, lane: Lane, age: Duration) {
        self.oldest.get(lane).set(age.as_secs_f64());
    }

    /// A worker took a message that had been due for `wait`.
    pub fn taken(&self, lane: Lane, wait: Duration) {
        self.wait.get(lane).observe(wait.as_secs_f64());
    }

    pub fn parked(&self) {
        self.parked.inc();
    }

    pub fn refilled(&self, messages: usize, took: Duration) {
        self.lease_rows.observe(messages as f64);
        self.lease_seconds.observe(took.as_secs_f64());
    }

    pub fn lease_lost(&self) {
        self.leases_lost.inc();
    }
}

labels! {
    /// Whose retry budget was spent.
    RetryPayer {
        /// The app's, whose messages fail.
        App = "app",
        /// The provider's, by which they fail.
        Provider = "provider",
    }
}

/// From accepted to submitted, and from the provider's answer to the durable record of it.
pub struct Delivery {
    submit: PerLabel<Lane, Histogram>,
    settle_lag: Histogram,
    /// Messages that hold a worker's permit.
    pub busy: IntGauge,
    held_up: Histogram,
    retry_budget_refusals: PerLabel<RetryPayer, IntCounter>,
    /// Retry tokens of the app that has least.
    pub retry_tokens_least: Gauge,
}

impl Delivery {
    pub(super) fn new(names: &Names) -> Self {
        Self {
            submit: names.histogram_per(
                "tidings_submit_seconds",
                "Time from due to taken by a provider: what a recipient waits for, apart from the network.",
                "lane",
                CALL_SECONDS,
            ),
            settle_lag: names.histogram("tidings_settle_lag_seconds", "Time from a provider's answer to its durable record.", STEP_SECONDS),
            busy: names.gauge("tidings_delivery_busy", "Messages that workers of this process are delivering."),
            held_up: names.histogram(
                "tidings_worker_held_up_seconds",
                "How late the worker's pulse was where it was late by more than 5 ms: frozen, or without a processor.",
                STEP_SECONDS,
            ),
            retry_budget_refusals: names.counter_per(
                "tidings_retry_budget_refusals_total",
                "Retries put off by a second because a retry budget was spent, by whose it was.",
                "payer",
            ),
            retry_tokens_least: names.float_gauge("tidings_retry_budget_least_app_tokens", "Retry tokens of the app that has least left."),
        }
    }

    /// The worker could do nothing for so long.
    pub fn held_up(&self, lasted: Duration) {
        self.held_up.observe(lasted.as_secs_f64());
    }

    /// A provider took a message that had been due for `after`.
    pub fn submitted(&self, lane: Lane, after: Duration) {
        self.submit.get(lane).observe(after.as_secs_f64());
    }

    pub fn settled(&self, lag: Duration) {
        self.settle_lag.observe(lag.as_secs_f64());
    }

    pub fn retry_refused_by_budget(&self, payer: RetryPayer) {
        self.retry_budget_refusals.get(payer).inc();
    }
}

labels! {
    /// Who granted a share of a provider's contract.
    GrantSource { Redis = "redis", Store = "store", Floor = "floor", }
}

/// Budget grants: how a process gets its share of a cluster-wide limit.
pub struct Grants {
    granted: PerLabel<GrantSource, IntCounter>,
    seconds: Histogram,
}

impl Grants {
    pub(super) fn new(names: &Names) -> Self {
        Self {
            granted: names.counter_per(
                "tidings_limit_grants_total",
                "Grants of a share of a provider's limit, by who gave them.",
                "source",
            ),
            seconds: names.histogram("tidings_limit_grant_seconds", "Time of one grant.", STEP_SECONDS),
        }
    }

    pub fn granted(&self, source: GrantSource, took: Duration) {
        self.granted.get(source).inc();
        self.seconds.observe(took.as_secs_f64());
    }
}

labels! {
    /// What became of a receipt.
    ReceiptFate {
        /// It moved a message forward.
        Applied = "applied",
        /// Known already.
        Repeated = "repeated",
        /// It contradicts a final status.
        Contradicts = "contradicts",
        /// Kept until its message is there.
        Early = "early",
        /// Not signed as its provider signs.
        Unverified = "unverified",
        /// Not in the provider's form.
        Unreadable = "unreadable",
    }
}

pub struct Receipts(PerLabel<ReceiptFate, IntCounter>);

impl Receipts {
    pub(super) fn new(names: &Names) -> Self {
        Self(names.counter_per("tidings_receipts_total", "Receipts by what became of them.", "fate"))
    }

    pub fn received(&self, fate: ReceiptFate) {
        self.0.get(fate).inc();
    }
}

/// The consumer group that writes accepted messages and outcomes from Kafka into the store.
pub struct Recorder {
    rows: Histogram,
    seconds: Histogram,
    /// Records that are published and not yet in the store.
    pub lag: IntGauge,
    /// Messages that nobody had ended some minutes after they were accepted.
    pub unended: IntCounter,
}

impl Recorder {
    pub(super) fn new(names: &Names) -> Self {
        Self {
            rows: names.histogram("tidings_recorder_batch_records", "Records that one batch of the recorder carried.", ROWS),
            seconds: names.histogram("tidings_recorder_batch_seconds", "Time of one batch of the recorder.", STEP_SECONDS),
            lag: names.gauge("tidings_recorder_lag_records", "Records that are published and not yet in the store."),
            unended: names
                .counter("tidings_recorder_unended_total", "Messages by Kafka that nobody had ended ten minutes after they were accepted."),
        }
    }

    pub fn batch(&self, records: usize, took: Duration) {
        self.rows.observe(records as f64);
        self.seconds.observe(took.as_secs_f64());
    }
}

/// The snapshot of apps, keys, templates and routes that a node decides by.
pub struct Control {
    /// Seconds since the snapshot was last known to be current.
    pub snapshot_age: Gauge,
    /// The newest routing revision that is active.
    pub revision: IntGauge,
}

impl Control {
    pub(super) fn new(names: &Names) -> Self {
        Self {
            snapshot_age: names.float_gauge("tidings_snapshot_age_seconds", "Age of the rights and routes that this node decides by."),
            revision: names.gauge("tidings_routing_revision", "Newest active routing revision."),
        }
    }
}
