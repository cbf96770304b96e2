use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use async_trait::async_trait;
use serde_json::{Value, json};
use tidings_core::{
    attempt::Outcome,
    id::{AppId, MessageId},
    message::{Category, Channel, Message},
    redact::Redacted,
    time::Timestamp,
};
use tidings_providers::{Context, Http, NotDurable, Provider, Receipt, ReceiptSink, Submission, registry};

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

struct Nobody;

#[async_trait]
impl ReceiptSink for Nobody {
    async fn confirm(&self, _: &str, _: Vec<Receipt>) -> Result<(), NotDurable> {
        Ok(())
    }
}

/// A vendor, an `http` provider that submits to it, and the control of it.
struct Rig {
    provider: Arc<dyn Provider>,
    control: String,
    client: reqwest::Client,
    next: u8,
}

impl Rig {
    async fn new(behaviour: Value) -> Self {
        let listeners = Listeners::bind(ANY_PORT, ANY_PORT).await.unwrap();
        let (called, controlled) = listeners.addresses().unwrap();
        let vendor = Vendor::new(Behaviour::default().changed(&behaviour).unwrap(), 7).unwrap();
        tokio::spawn(vendor.serve(listeners));
        let settings = json!({"url": format!("http://{called}/send"), "message_id": "/id", "error_code": "/code"});
        let context = Context { http: Http::new().unwrap(), receipts: Arc::new(Nobody), now: || NOW, random: || 7 };
        let provider = registry::build("http", "a", Channel::Sms, settings.as_object().unwrap(), &context).unwrap();
        Self { provider, control: format!("http://{controlled}"), client: reqwest::Client::new(), next: 0 }
    }

    async fn submit(&mut self) -> (Outcome, Option<String>) {
        self.next += 1;
        let submission = submission(self.next);
        match self.provider.submit(&submission).await {
            Ok(accepted) => (Outcome::Accepted, accepted.provider_message_id),
            Err(error) => (error.outcome(), Some(error.code().to_string())),
        }
    }

    async fn switch(&self, change: Value) -> u16 {
        self.client.patch(format!("{}/behaviour", self.control)).json(&change).send().await.unwrap().status().as_u16()
    }

    async fn get(&self, path: &str) -> Value {
        self.client.get(format!("{}{path}", self.control)).send().await.unwrap().json().await.unwrap()
    }

    async fn times_processed(&self) -> u64 {
        let id = submission(self.next).reference();
        self.get(&format!("/processed/{id}")).await["times"].as_u64().unwrap()
    }
}

fn submission(number: u8) -> Submission {
    let message = Message {
        id: MessageId::new(NOW, [number; 10]),
        app: AppId::new(NOW, [8; 10]),
        key: None,
        to: Redacted::new("+8613800138000".to_owned()),
        channel: Channel::Sms,
        category: Category::Otp,
        text: Redacted::new("Your code is 482913.".to_owned()),
        subject: None,
        template: None,
        params: Redacted::default(),
        signature: None,
        encoding: None,
        segments: 1,
        reference: None,
        metadata: BTreeMap::new(),
        accepted_at: NOW,
        send_at: None,
        expires_at: NOW + Duration::from_secs(300),
        hold: false,
        max_price: None,
        test: false,
        traceparent: None,
    };
    let timeout = Duration::from_millis(700);
    Submission {
        message: Arc::new(message),
        attempt: 1,
        timeout,
        template: None,
        signature: None,
        receipts: true,
        callback: None,
        traceparent: None,
    }
}

#[tokio::test]
async fn every_behaviour_is_switched_while_running_and_means_what_it_says() {
    let mut rig = Rig::new(json!({})).await;
    let (outcome, id) = rig.submit().await;
    assert_eq!((outcome, rig.times_processed().await), (Outcome::Accepted, 1));
    assert!(id.unwrap().starts_with("sp-"));

    for (behaviour, outcome, code, processed) in [
        (json!({"error_share": 1.0}), Outcome::Unavailable, "http_500", 0),
        (json!({"error_share": 1.0, "error_status": 400, "error_code": "21211"}), Outcome::RejectedContent, "21211", 0),
        (json!({"hang_share": 1.0, "hang_processed_share": 0.0}), Outcome::Ambiguous, "timeout", 0),
        (json!({"hang_share": 1.0, "hang_processed_share": 1.0}), Outcome::Ambiguous, "timeout", 1),
        (json!({"reset_share": 1.0}), Outcome::Ambiguous, "reset", 1),
        (json!({"malformed_share": 1.0}), Outcome::Ambiguous, "malformed", 1),
        (json!({"cut_share": 1.0}), Outcome::Ambiguous, "malformed", 1),
        (json!({"latency_ms": 1_000}), Outcome::Ambiguous, "timeout", 1),
        (json!({"tail_share": 1.0, "tail_ms": 5_000}), Outcome::Ambiguous, "timeout", 0),
        (json!({"refuse": true}), Outcome::Unavailable, "connect", 0),
    ] {
        let put = rig.client.put(format!("{}/behaviour", rig.control)).json(&behaviour).send().await.unwrap();
        assert_eq!(put.status().as_u16(), 200, "{behaviour}");
        if behaviour["refuse"] == true {
            // A connection from before is reset first; then nobody listens.
            rig.submit().await;
        }
        let (seen, seen_code) = rig.submit().await;
        assert_eq!((seen, seen_code.as_deref(), rig.times_processed().await), (outcome, Some(code), processed), "{behaviour}");
    }

    rig.switch(json!({"refuse": null})).await;
    assert_eq!(rig.submit().await.0, Outcome::Accepted, "it listens again at the same address");
}

#[tokio::test]
async fn what_is_above_the_throttle_is_told_how_long_to_wait() {
    let mut rig = Rig::new(json!({"throttle_per_s": 1, "retry_after_s": 3})).await;
    assert_eq!(rig.submit().await.0, Outcome::Accepted);
    assert_eq!(rig.submit().await, (Outcome::Throttled, Some("throttled".to_owned())));
    assert_eq!(rig.provider.submit(&submission(9)).await.unwrap_err().retry_after(), Some(Duration::from_secs(3)));
}

#[tokio::test]
async fn open_calls_are_counted_and_their_high_water_kept() {
    let mut rig = Rig::new(json!({"latency_ms": 100})).await;
    let (one, two) = (submission(1), submission(2));
    let (a, b) = tokio::join!(rig.provider.submit(&one), rig.provider.submit(&two));
    assert!(a.is_ok() && b.is_ok());
    rig.submit().await;
    let figures = rig.get("/figures").await["figures"].clone();
    // The third call was for message 1 again.
    let shown: Vec<_> =
        ["calls", "open", "open_high_water", "processed", "messages", "duplicates"].map(|name| figures[name].as_u64().unwrap()).to_vec();
    assert_eq!(shown, [3, 0, 2, 3, 2, 1]);
}

#[tokio::test]
async fn a_behaviour_that_makes_no_sense_is_refused_and_changes_nothing() {
    let rig = Rig::new(json!({"latency_ms": 5})).await;
    for change in
        [json!({"latenzy_ms": 1}), json!({"error_share": 2.0}), json!({"error_status": 99}), json!({"receipts": {"to": "nowhere"}})]
    {
        assert_eq!(rig.switch(change.clone()).await, 422, "{change}");
    }
    assert_eq!(rig.get("/behaviour").await["latency_ms"], 5);
}

/// Counts receipts by token and status, refusing the first.
async fn receiver() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let log = Arc::clone(&seen);
    let listener = TcpListener::bind(ANY_PORT).await.unwrap();
    let address = listener.local_addr().unwrap();
    let handler = move |uri: http::Uri, axum::Json(receipt): axum::Json<Value>| async move {
        let mut log = log.lock().unwrap();
        log.push(format!("{} {}", uri.query().unwrap_or_default(), receipt["status"].as_str().unwrap()));
        if log.len() == 1 { http::StatusCode::SERVICE_UNAVAILABLE } else { http::StatusCode::OK }
    };
    let app = Router::new().route("/r", axum::routing::post(handler));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, seen)
}

#[tokio::test]
async fn receipts_come_forged_twice_and_out_of_order_if_told_to_and_again_until_taken() {
    let (address, seen) = receiver().await;
    let receipts = json!({"to": format!("http://{address}/r?token=t"), "delay_ms": 0, "before_answer": true, "times": 2, "intermediate": true,
                          "out_of_order": true, "forged_share": 1.0});
    let mut rig = Rig::new(json!({"receipts": receipts})).await;
    assert_eq!(rig.submit().await.0, Outcome::Accepted);
    // They were sent before the answer, so all are there; the forged one was refused and is not repeated.
    assert_eq!(
        *seen.lock().unwrap(),
        ["token=forged undelivered", "token=t delivered", "token=t delivered", "token=t submitted", "token=t submitted"]
    );
}

#[tokio::test]
async fn a_dropped_message_is_accepted_and_never_heard_of_again() {
    let (address, seen) = receiver().await;
    let mut rig =
        Rig::new(json!({"drop_share": 1.0, "receipts": {"to": format!("http://{address}/r"), "delay_ms": 0, "before_answer": true}})).await;
    assert_eq!((rig.submit().await.0, rig.times_processed().await), (Outcome::Accepted, 1));
    assert!(seen.lock().unwrap().is_empty());
}
