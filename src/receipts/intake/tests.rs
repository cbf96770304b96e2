use bytes::Bytes;
use tempfile::TempDir;
use tidings_core::redact::Redacted;
use tidings_providers::{Context, Http, registry};

use super::*;
use crate::{clock::Clock, seal::Keyring, store::Sqlite};

struct One(Arc<dyn Provider>);

impl Accounts for One {
    fn provider(&self, name: &str) -> Option<Arc<dyn Provider>> {
        (name == "a").then(|| Arc::clone(&self.0))
    }
}

async fn intake(home: &TempDir) -> (Intake, Arc<Metrics>) {
    let keyring = Arc::new(Keyring::parse(&Keyring::line(&[7; 32])).unwrap());
    let (store, _writer) = Sqlite::open(&home.path().join("tidings.db"), keyring, Clock::system(), |_| {}).await.unwrap();
    let metrics = Arc::new(Metrics::new());
    let confirm = Arc::new(Confirm::new(Arc::new(store), Vec::new(), Arc::clone(&metrics), Clock::system()));
    let settings = serde_json::json!({"url": "http://vendor.invalid/", "receipt_token": "t"});
    let sink = Arc::clone(&confirm) as Arc<dyn tidings_providers::ReceiptSink>;
    let context =
        Context { http: Http::new().unwrap(), receipts: sink, now: || tidings_core::time::Timestamp::from_millis(0), random: || 7 };
    let provider = registry::build("http", "a", tidings_core::message::Channel::Sms, settings.as_object().unwrap(), &context).unwrap();
    (Intake::new(Arc::new(One(provider)), confirm, Arc::clone(&metrics)), metrics)
}

fn call(query: &str, body: &str) -> ReceiptRequest {
    ReceiptRequest {
        method: http::Method::POST,
        address: "http://127.0.0.1:8080/v1/receipts/a".to_owned(),
        query: Redacted::new(query.to_owned()),
        headers: http::HeaderMap::new(),
        body: Redacted::new(Bytes::from(body.to_owned())),
    }
}

fn counted(metrics: &Metrics, fate: &str) -> bool {
    metrics.render().contains(&format!("tidings_receipts_total{{fate=\"{fate}\"}} 1\n"))
}

#[tokio::test]
async fn a_receipt_that_came_too_early_is_kept_and_answered_with_200() {
    let home = TempDir::new().unwrap();
    let (intake, metrics) = intake(&home).await;
    let answer = intake.take("a", &call("token=t", r#"{"message_id": "v-1", "status": "delivered"}"#)).await.unwrap();
    assert_eq!(answer, ReceiptAnswer::default());
    assert!(counted(&metrics, "early"));
}

#[tokio::test]
async fn what_is_not_verified_is_refused_and_counted_and_never_believed() {
    let home = TempDir::new().unwrap();
    let (intake, metrics) = intake(&home).await;
    let refusal = intake.take("a", &call("token=x", r#"{"message_id": "v-1", "status": "delivered"}"#)).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Unverified));
    assert!(counted(&metrics, "unverified") && !counted(&metrics, "early"));
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_and_counted() {
    let home = TempDir::new().unwrap();
    let (intake, metrics) = intake(&home).await;
    assert!(matches!(intake.take("a", &call("token=t", "{}")).await, Err(Refusal::Malformed)));
    assert!(counted(&metrics, "unreadable"));
}

#[tokio::test]
async fn nobody_reports_for_a_provider_that_does_not_exist() {
    let home = TempDir::new().unwrap();
    let (intake, _) = intake(&home).await;
    assert!(matches!(intake.take("b", &call("token=t", "{}")).await, Err(Refusal::NoSuchProvider)));
}
