//! Nothing that must not be read reaches logs, metrics or error texts, at the loudest log level there is.
//!
//! The same journey runs twice with a canary of its own for each secret thing. With redaction on, no canary is found
//! anywhere; with it off, each is found in the log. Without the second half the first would also pass if nothing were
//! logged, or if the search were wrong.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    node::{KEY, Node},
    vendor::TestVendor,
};

const PATIENCE: Duration = Duration::from_secs(60);
/// What is secret, and how it would show.
const CANARIES: [(&str, &str); 8] = [
    ("a recipient", "4915112340001"),
    ("a recipient that is refused", "4915112340002"),
    ("a text", "canary-text-71839"),
    ("a template's parameter", "canary-code-55172"),
    ("an API key", KEY),
    ("a key that is none", "tk_live_canarywrong0123456789abcdef0123456789"),
    ("a receipt token", "receipt-token-canary"),
    ("a forged receipt token", "forged-token-canary"),
];
/// Those that no log line has a reason to hold, even unredacted: they must be absent, and need not be found.
const NEVER_FOUND: [(&str, &str); 2] = [("a vendor's credential", "vendor-header-canary"), ("a password", "password-canary-8812")];

/// Everything that somebody may read: log, metrics, problems.
struct Readable {
    log: String,
    metrics: String,
    problems: String,
}

async fn journey(reveal: bool) -> Readable {
    let home = TempDir::new().unwrap();
    let vendor = TestVendor::start(json!({})).await;
    let account = vendor.account("a", "receipts = true");
    let providers = format!(
        "{account}headers = {{ authorization = \"vendor-header-canary\" }}\n\
         [[users]]\nname = \"root\"\nrole = \"admin\"\npassword = \"password-canary-8812\"\n"
    );
    let template = "[[apps.templates]]\nname = \"code\"\nchannel = \"sms\"\ncategory = \"otp\"\ntext = \"Your code is {{ code }}.\"\n";
    let node = Node::start_with(
        home.path(),
        &format!("{template}{providers}"),
        "trace,tidings=trace,hyper=trace,reqwest=trace,sqlx=trace",
        reveal,
    )
    .await;
    let receipts = format!("{}?token=receipt-token-canary", node.url("/v1/receipts/a"));
    vendor.switch(json!({"receipts": {"to": receipts, "delay_ms": 0}})).await;

    let mut problems = String::new();
    let mut ids = Vec::new();
    for body in [
        json!({"to": "+4915112340001", "text": "canary-text-71839"}),
        json!({"to": "+4915112340001", "template": "code", "params": {"code": "canary-code-55172"}}),
        json!({"to": "4915112340002", "text": "canary-text-71839"}),
        json!({"to": "+4915112340001", "template": "code", "params": {"cod": "canary-code-55172"}}),
    ] {
        let answer = node.client.post(node.url("/v1/messages")).bearer_auth(KEY).json(&body).send().await.unwrap();
        let (status, answer) = (answer.status(), answer.text().await.unwrap());
        match status.as_u16() {
            202 => ids.push(serde_json::from_str::<Value>(&answer).unwrap()["id"].as_str().unwrap().to_owned()),
            _ => problems.push_str(&answer),
        }
    }
    assert_eq!(ids.len(), 2, "{problems}");
    for id in &ids {
        node.until_status(id, &["delivered"], PATIENCE).await;
    }
    let wrong = node.client.get(node.url("/v1/messages")).bearer_auth("tk_live_canarywrong0123456789abcdef0123456789");
    problems.push_str(&wrong.send().await.unwrap().text().await.unwrap());
    let forged = node.client.post(node.url("/v1/receipts/a?token=forged-token-canary")).json(&json!({"to": "+4915112340002"}));
    problems.push_str(&forged.send().await.unwrap().text().await.unwrap());
    let login = node.client.post(node.url("/v1/admin/session")).json(&json!({"name": "root", "password": "password-canary-8812-wrong"}));
    problems.push_str(&login.send().await.unwrap().text().await.unwrap());
    let metrics = node.client.get(node.url("/metrics")).send().await.unwrap().text().await.unwrap();
    Readable { log: node.log(), metrics, problems }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_canary_is_found_with_redaction_and_every_one_without() {
    let readable = journey(false).await;
    assert!(readable.log.contains("submitting") && readable.metrics.contains("tidings_attempts_total"), "something is there to be read");
    for (what, canary) in CANARIES.iter().chain(&NEVER_FOUND) {
        for (place, text) in [("the log", &readable.log), ("the metrics", &readable.metrics), ("a problem", &readable.problems)] {
            let line = text.lines().find(|line| line.contains(canary));
            assert!(line.is_none(), "{what} is in {place}: {}", line.unwrap_or_default());
        }
    }

    let revealed = journey(true).await;
    for (what, canary) in CANARIES {
        assert!(revealed.log.contains(canary), "without redaction {what} would be in the log, so that the test can fail");
    }
}
