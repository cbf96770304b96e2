//! What metrics and logs cost per message: the calls that one message makes on its way, with them and without.
//!
//! `cargo bench --bench telemetry`. The aim is under 3 µs a message for both together; `without` is what the loop costs.

use std::{hint::black_box, time::Duration};

use divan::Bencher;
use tidings::telemetry::{Log, Metrics, logs, metrics::IdempotencyAnswer};
use tidings_core::{
    attempt::{Ended, Outcome},
    message::{Category, Channel, Lane, Status},
};

fn main() {
    // As in production: info and above, so a debug line costs only its question.
    logs::init(&Log::default()).expect("the first log of this process");
    divan::main();
}

fn ended() -> Ended {
    Ended {
        outcome: Outcome::Accepted,
        code: None,
        duration: Duration::from_millis(40),
        provider_message_id: None,
        segments: 1,
        cost: None,
    }
}

/// Everything that is counted for a message that is accepted, taken, submitted, settled and confirmed.
fn count(metrics: &Metrics, provider: &tidings::telemetry::metrics::Provider, ended: &Ended) {
    metrics.http.answered(Some("/v1/messages"), "POST", 202, Duration::from_micros(400));
    metrics.idempotency.answered(IdempotencyAnswer::New);
    metrics.accepted(Channel::Sms, Category::Otp).inc();
    metrics.queue.taken(Lane::Urgent, Duration::from_millis(1));
    metrics.delivery.busy.inc();
    provider.attempt(ended);
    metrics.delivery.submitted(Lane::Urgent, Duration::from_millis(41));
    metrics.delivery.settled(Duration::from_millis(4));
    metrics.delivery.busy.dec();
    metrics.receipts.received(tidings::telemetry::metrics::ReceiptFate::Applied);
    metrics.provider("a").receipt(Duration::from_secs(2));
    metrics.finished(Channel::Sms, Category::Otp, Status::Delivered);
    for hop in 0..5 {
        tracing::debug!(hop, "a hop of a message");
    }
}

#[divan::bench]
fn with(bencher: Bencher) {
    let metrics = Metrics::new();
    let provider = metrics.provider("a");
    let ended = ended();
    bencher.bench(|| count(black_box(&metrics), &provider, black_box(&ended)));
}

#[divan::bench]
fn without(bencher: Bencher) {
    let ended = ended();
    bencher.bench(|| black_box(&ended).outcome);
}

/// A scrape, with fifty providers.
#[divan::bench]
fn scrape(bencher: Bencher) {
    let metrics = Metrics::new();
    for number in 0..50 {
        metrics.provider(&format!("provider-{number}")).attempt(&ended());
    }
    bencher.bench(|| black_box(&metrics).render().len());
}
