use std::collections::HashMap;

use tidings_core::attempt::Outcome;

use super::*;
use crate::testing::{Receiver, context, message, submission};

fn simulated(settings: serde_json::Value) -> (Simulated, Arc<Receiver>) {
    let receiver = Receiver::new();
    let provider = Simulated::build("sim", settings.as_object().unwrap(), &context(Arc::clone(&receiver) as _)).unwrap();
    (provider, receiver)
}

#[tokio::test(start_paused = true)]
async fn a_message_is_accepted_and_its_receipt_comes_by_itself() {
    let (provider, receiver) = simulated(serde_json::json!({}));
    let submission = submission(message("+8613800138000"));
    let accepted = provider.submit(&submission).await.unwrap();
    let receipt = receiver.next().await;
    assert_eq!(receipt.provider_message_id, accepted.provider_message_id);
    assert_eq!(receipt.reference, Some(submission.reference()));
    assert_eq!(receipt.status, ReceiptStatus::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_that_is_not_durable_is_reported_again() {
    let (provider, receiver) = simulated(serde_json::json!({}));
    receiver.refuse(3);
    provider.submit(&submission(message("+8613800138000"))).await.unwrap();
    assert_eq!(receiver.next().await.status, ReceiptStatus::Delivered);
}

#[tokio::test(start_paused = true)]
async fn no_receipt_comes_where_none_is_configured() {
    let (provider, receiver) = simulated(serde_json::json!({"latency_p50_ms": 5}));
    let mut submission = submission(message("+8613800138000"));
    submission.receipts = false;
    provider.submit(&submission).await.unwrap();
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(receiver.is_empty());
}

#[tokio::test(start_paused = true)]
async fn fixed_numbers_have_fixed_outcomes_whatever_the_settings_say() {
    let (provider, receiver) = simulated(serde_json::json!({"error_share": 1.0, "hang_share": 1.0, "throttle_per_s": 1}));
    let outcome = |to: &'static str, attempt| {
        let provider = &provider;
        async move {
            let mut submission = submission(message(to));
            submission.attempt = attempt;
            provider.submit(&submission).await.map_or_else(|error| error.outcome(), |_| Outcome::Accepted)
        }
    };
    assert_eq!(outcome("+15005550001", 1).await, Outcome::RejectedRecipient);
    assert_eq!(outcome("+15005550003", 1).await, Outcome::Ambiguous);
    assert_eq!((outcome("+15005550004", 1).await, outcome("+15005550004", 2).await), (Outcome::Throttled, Outcome::Accepted));
    assert_eq!((outcome("+15005550005", 1).await, outcome("+15005550005", 2).await), (Outcome::Unavailable, Outcome::Accepted));
    assert_eq!((receiver.next().await.status, receiver.next().await.status), (ReceiptStatus::Delivered, ReceiptStatus::Delivered));
    assert_eq!(outcome("+15005550002", 1).await, Outcome::Accepted);
    assert_eq!(receiver.next().await.status, ReceiptStatus::Undelivered);
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_is_ambiguous_and_yet_processed() {
    let (provider, receiver) = simulated(serde_json::json!({"latency_p50_ms": 10_000}));
    let submission = submission(message("+8613800138000"));
    let started = clock();
    let error = provider.submit(&submission).await.unwrap_err();
    assert_eq!((error.outcome(), error.code().as_str(), clock() - started), (Outcome::Ambiguous, "timeout", submission.timeout));
    assert_eq!(receiver.next().await.reference, Some(submission.reference()));
}

#[tokio::test(start_paused = true)]
async fn what_is_above_the_throttle_waits_for_the_next_second() {
    let (provider, _receiver) = simulated(serde_json::json!({"latency_p50_ms": 0, "throttle_per_s": 2}));
    let mut seen = HashMap::new();
    for _ in 0..5 {
        let outcome =
            provider.submit(&submission(message("+8613800138000"))).await.map_or_else(|error| error.outcome(), |_| Outcome::Accepted);
        *seen.entry(outcome).or_insert(0) += 1;
    }
    assert_eq!(seen, HashMap::from([(Outcome::Accepted, 2), (Outcome::Throttled, 3)]));
    tokio::time::advance(SECOND).await;
    provider.submit(&submission(message("+8613800138000"))).await.unwrap();
}

#[test]
fn everything_wrong_with_the_settings_is_told_at_once() {
    let settings =
        serde_json::json!({"latency_p5_ms": 3, "error_share": 2, "tail_ms": "long", "receipt_p50_ms": 500, "receipt_p99_ms": 100});
    let errors = Simulated::build("sim", settings.as_object().unwrap(), &context(Receiver::new())).unwrap_err();
    let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "settings.latency_p5_ms: unknown setting, did you mean latency_p50_ms?",
            "settings.error_share: must be a share from 0 to 1",
            "settings.tail_ms: must be a whole number from 0 to 3600000",
            "settings.receipt_p99_ms: must not be below receipt_p50_ms",
        ]
    );
}
