//! One recipient's data: shown whole, deleted whole, by commands beside a running process; and what is old enough leaves.

use std::{path::Path, sync::Arc, time::Duration};

use assert_cmd::Command;
use serde_json::{Value, json};
use tidings::{
    assembly::Role,
    config::Config,
    control::{Actor, model::ActorId},
    retention::{Retention, Round},
    store::Messages,
    telemetry::Metrics,
};
use tidings_core::{message::Category, redact::Redacted};

use crate::{
    harness::{App, LIVE},
    suites::queue::{
        cases::{message, new},
        on_kafka_unrecorded,
    },
};

const TO: &str = "+8613800138222";
const OTHER: &str = "+8613800138333";

fn tidings(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    command.env("TIDINGS__DATA_DIR", data).args(arguments);
    command
}

async fn run(mut command: Command) -> assert_cmd::assert::Assert {
    tokio::task::spawn_blocking(move || command.assert()).await.unwrap()
}

fn texted(to: &str) -> Value {
    json!({"to": to, "template": "login-code", "params": {"code": "482913"}, "reference": "order-9"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipients_data_is_exported_and_deleted_by_commands_beside_a_running_process() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let app = App::start_in(home, "", Role::Everything).await;
    let sent = app.send(LIVE, &texted(TO)).await;
    let other = app.send(LIVE, &texted(OTHER)).await;
    app.until(LIVE, &sent, "delivered").await;
    app.until(LIVE, &other, "delivered").await;
    let mut later = texted(TO);
    later["send_at"] = json!((app.node.clock.now() + Duration::from_hours(24)).to_string());
    let scheduled = app.send(LIVE, &later).await;

    let exported = run(tidings(&data, &["recipient", "export", "--to", TO])).await.success();
    let exported: Value = serde_json::from_slice(&exported.get_output().stdout).unwrap();
    let messages = exported["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 2);
    let first = messages.iter().find(|message| message["id"] == sent.as_str()).unwrap();
    assert_eq!((&first["text"], &first["params"]["code"]), (&json!("Your code is 482913."), &json!("482913")));
    assert!(!first["attempts"].as_array().unwrap().is_empty() && !first["timeline"].as_array().unwrap().is_empty());

    run(tidings(&data, &["recipient", "delete", "--to", TO])).await.success();
    for id in [&sent, &scheduled] {
        assert_eq!(app.get(LIVE, &format!("/v1/messages/{id}")).await.status, 404);
    }
    assert_eq!(app.get(LIVE, &format!("/v1/messages/{other}")).await.status, 200);
    let left = run(tidings(&data, &["recipient", "export", "--to", TO])).await.success();
    let left: Value = serde_json::from_slice(&left.get_output().stdout).unwrap();
    assert_eq!(left["messages"], json!([]));

    // The log tells that it happened, and not to whom.
    app.node.control.refresh().await.unwrap();
    let log = app.node.control.audit_log(&tidings::control::audit::Filter::default(), None, 200).await.unwrap();
    let log = serde_json::to_string(&log).unwrap();
    for action in ["recipient.exported", "recipient.erasure_ordered", "recipient.erased"] {
        assert!(log.contains(action), "{action} is not in the log");
    }
    assert!(!log.contains(TO) && !log.contains("38222"), "the log names the recipient");
    let _home = app.stop().await;

    // Nobody runs: the command does it itself.
    run(tidings(&data, &["recipient", "delete", "--to", OTHER])).await.success();
    let left = run(tidings(&data, &["recipient", "export", "--to", OTHER])).await.success();
    let left: Value = serde_json::from_slice(&left.get_output().stdout).unwrap();
    assert_eq!(left["messages"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_waits_for_what_kafka_holds_and_no_store_has_seen() {
    let Some(mut kafka) = on_kafka_unrecorded().await else { return };
    let world = super::world::World::new();
    let control = world.ready().await;
    let mut sent = message(Category::Transactional);
    sent.to = Redacted::new(TO.to_owned());
    let id = sent.id;
    kafka.road.accept(vec![new(sent)]).await.unwrap();
    control.order_erasure(&Actor::own(ActorId::command()), &Redacted::new(TO.to_owned())).await.unwrap();
    let (messages, metrics) = (Arc::clone(&kafka.road), Arc::new(Metrics::new()));
    let retention = Retention::new(messages, Arc::clone(&control), Config::default().retention, world.clock, metrics);
    let order = control.orders().unwrap().remove(0);
    assert!(!retention.carry_out(&order).await.unwrap(), "an accepted message is in Kafka alone, and its deletion is called complete");
    assert!(control.snapshot().erasures().next().is_some(), "the order is forgotten");

    kafka.record();
    crate::patience::within(Duration::from_secs(30), "the deletion", async || retention.carry_out(&order).await.unwrap()).await;
    assert!(control.snapshot().erasures().next().is_none());
    assert!(kafka.road.get(id).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suppression_outlives_its_recipients_data_without_showing_them() {
    let app = App::start().await;
    let actor = Actor::own(ActorId::command());
    let to = Redacted::new(TO.to_owned());
    app.node.control.opt_out(&actor, &to, None, "wrote STOP to us").await.unwrap();
    app.node.control.order_erasure(&actor, &to).await.unwrap();
    crate::patience::eventually(async || app.node.control.snapshot().erasures().next().is_none()).await;
    let snapshot = app.node.control.snapshot();
    let kept = snapshot.suppressions().next().unwrap();
    assert_eq!((kept.masked.as_str(), kept.reason.as_str()), ("[erased]", "[erased]"));
    assert_eq!(app.post(LIVE, "/v1/messages", &texted(TO)).await.verdict(), (422, "recipient_suppressed".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_of_retention_deletes_by_category_and_counts() {
    let app = App::start().await;
    let otp = app.send(LIVE, &texted(TO)).await;
    let text = app.send(LIVE, &json!({"to": TO, "text": "Hello"})).await;
    let held = app.send(LIVE, &json!({"to": TO, "text": "Hello", "hold": true})).await;
    app.until(LIVE, &otp, "delivered").await;
    app.until(LIVE, &text, "delivered").await;
    let settings = [("retention.otp_days".to_owned(), "4".to_owned()), ("retention.transactional_days".to_owned(), "8".to_owned())];
    let periods = Config::load(None, [], settings).unwrap().retention;
    let node = &app.node;
    let (messages, control, metrics) = (Arc::clone(&node.messages), Arc::clone(&node.control), Arc::clone(&node.metrics));
    let mut retention = Retention::new(messages, control, periods, node.clock, metrics);
    let days = |days: u64| node.clock.now() + Duration::from_hours(24 * days);
    let status = async |id: &str| app.get(LIVE, &format!("/v1/messages/{id}")).await.status.as_u16();

    assert_eq!(retention.round(days(3)).await.unwrap(), Round::default());
    assert_eq!(retention.round(days(5)).await.unwrap(), Round { messages: 1, weeks: 0 });
    assert_eq!((status(&otp).await, status(&text).await, status(&held).await), (404, 200, 200));
    assert_eq!(retention.round(days(9)).await.unwrap(), Round { messages: 1, weeks: 0 });
    assert_eq!((status(&text).await, status(&held).await), (404, 200), "a message that is not closed stays");
    // Closed meanwhile, behind where the last round came to: the next whole round finds it.
    app.post(LIVE, &format!("/v1/messages/{held}/cancel"), &json!({})).await;
    assert_eq!(retention.round(days(11)).await.unwrap(), Round { messages: 1, weeks: 0 });
    let shown = node.metrics.render();
    assert!(shown.contains("tidings_messages_forgotten_total{category=\"otp\"} 1"), "{shown}");
    assert!(shown.contains("tidings_messages_forgotten_total{category=\"transactional\"} 2"));
    app.stop().await;
}

#[test]
fn retention_shorter_than_what_receipts_need_is_refused() {
    let flag = |value: &str| Config::load(None, [], [("retention.otp_days".to_owned(), value.to_owned())]);
    assert!(flag("3").unwrap_err().to_string().contains("retention.otp_days must be 0"));
    assert_eq!(flag("0").unwrap().retention.otp, None);
    assert_eq!(flag("4").unwrap().retention.otp, Some(Duration::from_hours(96)));
}
