//! What may happen on the wire, and what every adapter must call it.

use std::time::Duration;

use tidings_core::attempt::Outcome;
use tokio::net::TcpListener;

use crate::{
    kinds::{ROWS, Row, provider, submission},
    vendor::{Vendor, Wire},
};

/// Long enough for a loopback call on a busy machine, short enough to wait for.
const TIMEOUT: Duration = Duration::from_millis(1_000);

type Seen = (Outcome, Option<String>, Option<String>);

async fn submit(row: &Row, endpoint: &str) -> Seen {
    let (provider, submission) = (provider(row, endpoint), submission(TIMEOUT));
    let result = tokio::time::timeout(TIMEOUT * 3, provider.submit(&submission)).await;
    match result.unwrap_or_else(|_| panic!("{}: the time-out bounds the whole call", row.kind)) {
        Ok(accepted) => (Outcome::Accepted, None, accepted.provider_message_id),
        Err(error) => (error.outcome(), Some(error.code().to_string()), None),
    }
}

/// Every kind against a vendor that does `wire`: what it calls it, and that it called once.
async fn every_kind_says(wire: Wire, outcome: Outcome, code: &str) {
    for row in ROWS {
        let vendor = Vendor::that_does(wire.clone()).await;
        let (seen, seen_code, _) = submit(row, &format!("http://{}", vendor.address)).await;
        assert_eq!((seen, seen_code.as_deref()), (outcome, Some(code)), "{}: {wire:?}", row.kind);
        assert_eq!(vendor.processed(), 1, "{}: {wire:?} must not be called twice", row.kind);
    }
}

#[tokio::test]
async fn an_acceptance_carries_the_vendors_id() {
    for row in ROWS {
        let (status, body, id) = row.yes;
        let vendor = Vendor::that_does(Wire::Answer { status, headers: "", body }).await;
        assert_eq!(
            submit(row, &format!("http://{}", vendor.address)).await,
            (Outcome::Accepted, None, id.map(str::to_owned)),
            "{}",
            row.kind
        );
        let request = vendor.requests().remove(0);
        assert!(request.contains("482913") && request.contains("8613800138000"), "{}: {request}", row.kind);
        let line = request.lines().next().unwrap_or_default();
        assert!(
            !line.contains("482913") && !line.contains("8613800138000"),
            "{}: the address carries neither text nor recipient",
            row.kind
        );
    }
}

#[tokio::test]
async fn a_status_without_a_mapping_means_what_the_table_says() {
    for (status, outcome) in [
        (401, Outcome::RejectedAccount),
        (403, Outcome::RejectedAccount),
        (422, Outcome::RejectedContent),
        (429, Outcome::Throttled),
        (500, Outcome::Unavailable),
        (502, Outcome::Ambiguous),
        (503, Outcome::Unavailable),
        (504, Outcome::Ambiguous),
    ] {
        every_kind_says(Wire::Answer { status, headers: "", body: "" }, outcome, &format!("http_{status}")).await;
    }
}

#[tokio::test]
async fn throttling_carries_the_time_to_wait() {
    for row in ROWS {
        let vendor = Vendor::that_does(Wire::Answer { status: 429, headers: "retry-after: 7\r\n", body: "" }).await;
        let error = provider(row, &format!("http://{}", vendor.address)).submit(&submission(TIMEOUT)).await.unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)), "{}", row.kind);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Vendor::that_does(Wire::Answer { status: 200, headers: "", body: "{}" }).await;
    let location: &'static str = format!("location: http://{}/send\r\n", elsewhere.address).leak();
    every_kind_says(Wire::Answer { status: 307, headers: location, body: "" }, Outcome::Unavailable, "http_307").await;
    assert_eq!(elsewhere.processed(), 0);
}

#[tokio::test]
async fn silence_after_the_request_is_ambiguous() {
    every_kind_says(Wire::Silence, Outcome::Ambiguous, "timeout").await;
    every_kind_says(Wire::SilenceInside, Outcome::Ambiguous, "timeout").await;
}

#[tokio::test]
async fn a_connection_lost_after_the_request_is_ambiguous() {
    every_kind_says(Wire::Reset, Outcome::Ambiguous, "reset").await;
    every_kind_says(Wire::Close, Outcome::Ambiguous, "reset").await;
    every_kind_says(Wire::ResetInside, Outcome::Ambiguous, "reset").await;
}

#[tokio::test]
async fn an_answer_that_is_cut_short_or_not_http_is_ambiguous() {
    every_kind_says(Wire::CutShort, Outcome::Ambiguous, "malformed").await;
    every_kind_says(Wire::Noise, Outcome::Ambiguous, "malformed").await;
    every_kind_says(Wire::Flood, Outcome::Ambiguous, "malformed").await;
    every_kind_says(Wire::Answer { status: 200, headers: "", body: "<html>" }, Outcome::Ambiguous, "malformed").await;
}

#[tokio::test]
async fn a_vendor_that_cannot_be_reached_is_unavailable() {
    // Nobody listens where a listener has just been.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for endpoint in [format!("http://{closed}"), "http://nowhere.invalid".to_owned()] {
        for row in ROWS {
            assert_eq!(submit(row, &endpoint).await, (Outcome::Unavailable, Some("connect".to_owned()), None), "{}: {endpoint}", row.kind);
        }
    }
}

/// A TLS hello to a vendor that never answers it is a connect that times out: nothing of the message has left.
#[tokio::test]
async fn a_connect_that_times_out_is_unavailable() {
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://{}", mute.local_addr().unwrap());
    for row in ROWS {
        assert_eq!(submit(row, &endpoint).await, (Outcome::Unavailable, Some("connect".to_owned()), None), "{}", row.kind);
    }
}

#[tokio::test]
async fn no_error_repeats_what_must_not_be_read() {
    for wire in [Wire::Reset, Wire::Noise, Wire::Answer { status: 400, headers: "", body: "Bearer canary +8613800138000" }] {
        for row in ROWS {
            let vendor = Vendor::that_does(wire.clone()).await;
            let provider = provider(row, &format!("http://{}", vendor.address));
            let error = provider.submit(&submission(TIMEOUT)).await.unwrap_err();
            let shown = format!("{error} {error:?}");
            for secret in ["canary", "13800138000", "482913"] {
                assert!(!shown.contains(secret), "{}: {shown}", row.kind);
            }
        }
    }
}
