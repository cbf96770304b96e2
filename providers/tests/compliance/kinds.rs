//! Every kind that speaks HTTP to a vendor: how it is configured, and how its vendor says yes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::{Value, json};
use tidings_core::{
    id::{AppId, MessageId},
    message::{Category, Channel, Message},
    redact::Redacted,
    time::Timestamp,
};
use tidings_providers::{Context, Http, NotDurable, Provider, Receipt, ReceiptSink, Submission, registry};

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// One row of the suite.
pub struct Row {
    pub kind: &'static str,
    /// Settings that send to `endpoint`.
    pub settings: fn(endpoint: &str) -> Value,
    /// Status and body of an acceptance, and the id in it.
    pub yes: (u16, &'static str, Option<&'static str>),
}

pub const ROWS: &[Row] = &[
    Row {
        kind: "http",
        settings: |endpoint| json!({"url": format!("{endpoint}/send"), "message_id": "/id", "headers": {"authorization": "Bearer canary"}}),
        yes: (200, r#"{"id": "m-1"}"#, Some("m-1")),
    },
    Row {
        kind: "http",
        settings: |endpoint| {
            json!({"url": "https://api.vendor.example/sms", "endpoint": endpoint, "content_type": "form", "message_id": "/data/0/id",
                   "body": "to={{ to }}&text={{ text }}&ref={{ id }}"})
        },
        yes: (202, r#"{"data": [{"id": 77}]}"#, Some("77")),
    },
];

pub fn provider(row: &Row, endpoint: &str) -> Arc<dyn Provider> {
    let settings = (row.settings)(endpoint);
    registry::build(row.kind, "compliance", Channel::Sms, settings.as_object().unwrap(), &context()).unwrap()
}

pub fn context() -> Context {
    Context { http: Http::new().unwrap(), receipts: Arc::new(Nobody), now: || NOW, random: || 7 }
}

pub fn submission(timeout: Duration) -> Submission {
    let message = Message {
        id: MessageId::new(NOW, [7; 10]),
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

/// Kinds that speak HTTP report over HTTP.
struct Nobody;

#[async_trait]
impl ReceiptSink for Nobody {
    async fn confirm(&self, _: &str, _: Vec<Receipt>) -> Result<(), NotDurable> {
        Ok(())
    }
}
