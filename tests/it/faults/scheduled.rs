//! Messages for later: they leave at their time, also if the process died meanwhile, and those that were cancelled do not.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tidings::clock::Clock;
use tidings_core::time::Timestamp;

use super::node::{KEY, Node};

const MESSAGES: usize = 30;
/// Every third is cancelled, half of those before the process dies and half after.
const CANCELLED: usize = 3;
/// Long enough to be killed and to start again before, on a busy machine.
const AHEAD: Duration = Duration::from_secs(8);
const PROVIDER: &str = "[[providers]]\nname = \"a\"\nkind = \"simulated\"\nchannel = \"sms\"\n\
    settings = { latency_p50_ms = 1, latency_p99_ms = 2, receipt_p50_ms = 1, receipt_p99_ms = 2 }\n";

async fn cancel(node: &Node, id: &str) {
    let answer = node.client.post(node.url(&format!("/v1/messages/{id}/cancel"))).bearer_auth(KEY).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn scheduled_messages_outlive_their_process_and_leave_on_time_unless_they_were_cancelled() {
    let home = TempDir::new().unwrap();
    let mut node = Node::start_with_http(home.path(), PROVIDER, "").await;
    let send_at = Clock::system().now() + AHEAD;
    let body = |number: usize| json!({"to": format!("+4915112340{number:03}"), "text": "hello", "send_at": send_at.to_string()});
    let batch = json!({"messages": (0..MESSAGES).map(body).collect::<Vec<_>>()});
    let answer = node.client.post(node.url("/v1/messages/batch")).bearer_auth(KEY).json(&batch).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    let ids: Vec<String> = answer["results"].as_array().unwrap().iter().map(|result| result["id"].as_str().unwrap().to_owned()).collect();
    assert!(answer["results"].as_array().unwrap().iter().all(|result| result["status"] == "scheduled"), "{answer}");
    let cancelled: Vec<&String> = ids.iter().step_by(CANCELLED).collect();
    for id in &cancelled[..cancelled.len() / 2] {
        cancel(&node, id).await;
    }
    node.kill().await;
    node.start_again().await;
    for id in &cancelled[cancelled.len() / 2..] {
        cancel(&node, id).await;
    }
    assert!(Clock::system().now() < send_at, "the machine was too slow: nothing was shown");
    for (number, id) in ids.iter().enumerate().filter(|(number, _)| number % CANCELLED != 0) {
        let message = node.until_status(id, &["delivered"], AHEAD * 4).await;
        let left = time(&message["attempts"][0]["started_at"]);
        assert!(left >= send_at, "message {number} left {:?} early", send_at.since(left));
        assert!(left.since(send_at) < Duration::from_secs(3), "message {number} left {:?} late", left.since(send_at));
    }
    for id in cancelled {
        let message = node.message(id).await;
        assert_eq!((&message["status"], &message["attempts"]), (&json!("cancelled"), &json!([])));
    }
}
