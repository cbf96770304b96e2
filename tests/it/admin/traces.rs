//! A caller's trace goes through queue, provider and receipt to a collector; failures always do.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, routing::post};
use tidings_core::message::Status;

use super::world::{NUMBER, TEXT, World};
use crate::patience::eventually;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const KEY: &str = "tk_live_0123456789abcdef0123456789abcdef01";

/// Takes what an OTLP collector takes and keeps the bytes: in protobuf, ids and texts stand there as they are.
struct Collector {
    endpoint: String,
    taken: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    async fn start() -> Self {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let take = |State(taken): State<Arc<Mutex<Vec<u8>>>>, body: Bytes| async move { taken.lock().unwrap().extend_from_slice(&body) };
        let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&taken));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { endpoint, taken }
    }

    fn has(&self, bytes: &[u8]) -> bool {
        self.taken.lock().unwrap().windows(bytes.len()).any(|window| window == bytes)
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

async fn send(world: &World, to: &str, traceparent: Option<&str>) -> tidings_core::id::MessageId {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request =
        client.post(format!("http://{}/v1/messages", world.address)).bearer_auth(KEY).json(&serde_json::json!({"to": to, "text": TEXT}));
    if let Some(traceparent) = traceparent {
        request = request.header("traceparent", traceparent);
    }
    let answer: serde_json::Value = request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap();
    answer["id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_trace_reaches_the_collector_with_queue_call_and_receipt() {
    let collector = Collector::start().await;
    let world = World::start_with(&format!("[traces]\nendpoint = \"{}\"\nsample_share = 0.0\n", collector.endpoint)).await;
    let unsampled = send(&world, "+8613900139000", None).await;
    let id = send(&world, NUMBER, Some(&format!("00-{TRACE}-00f067aa0ba902b7-01"))).await;
    eventually(async || [&b"receipt"[..], b"submit", b"queue", b"tidings.provider"].into_iter().all(|name| collector.has(name))).await;
    assert!(collector.has(&unhex(TRACE)), "the caller's trace id");
    assert!(collector.has(&unhex("00f067aa0ba902b7")), "under the caller's span");
    let record = world.node().messages.get(id).await.unwrap().unwrap();
    let told = tidings::telemetry::traces::towards_provider(&record.message, 1).expect("the caller gave a trace");
    let told: Vec<&str> = told.split('-').collect();
    assert_eq!((told[1], told[3]), (TRACE, "01"));
    assert!(collector.has(&unhex(told[2])), "a vendor is told the span of its call");
    assert!(!collector.has(unsampled.uuid().as_bytes()), "what went well and nobody sampled is not kept");
    for secret in [NUMBER, TEXT, KEY, "13800138000"] {
        assert!(!collector.has(secret.as_bytes()), "a span holds what must not leave");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_always_kept() {
    let collector = Collector::start().await;
    let world = World::start_with(&format!("[traces]\nendpoint = \"{}\"\nsample_share = 0.0\n", collector.endpoint)).await;
    // A fixed outcome of simulated providers: an invalid recipient.
    let id = send(&world, "+15005550001", None).await;
    eventually(async || world.node().messages.get(id).await.unwrap().is_some_and(|record| record.status == Status::Failed)).await;
    eventually(async || collector.has(id.uuid().as_bytes())).await;
    assert!(collector.has(b"rejected_recipient"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    let world = World::start_with("[traces]\nendpoint = \"http://127.0.0.1:9\"\nsample_share = 1.0\n").await;
    let id = send(&world, NUMBER, None).await;
    eventually(async || world.node().messages.get(id).await.unwrap().is_some_and(|record| record.status == Status::Delivered)).await;
    eventually(async || world.node().metrics.spans_dropped.get() > 0).await;
    tokio::time::timeout(Duration::from_secs(10), world.stop()).await.unwrap();
}
