//! How much an app may send: to one recipient, in a day, in a month; set by people over HTTP, told by the send path.

use http::Method;
use serde_json::{Value, json};
use tidings::control::{Actor, model::ActorId};

use super::world::{Answer, LIVE, Server, World};
use crate::harness::App;

const ADA: &str = "+8613800138000";
const BOB: &str = "+8613800138001";
/// Three codes an hour, one advertisement a day.
const CAPS: &str = r#"[{"category": "otp", "max": 3, "window_s": 3600}, {"category": "marketing", "max": 1, "window_s": 86400}]"#;

fn code(to: &str) -> Value {
    json!({"to": to, "template": "login-code", "params": {"code": "482913"}})
}

fn text(to: &str, category: &str) -> Value {
    json!({"to": to, "text": "Hello", "category": category})
}

async fn narrow(server: &Server, fields: Value) {
    let otto = server.session("otto").await;
    server.call(Method::PATCH, "/v1/admin/apps/shop", Some(&otto), Some(fields)).await.expect(200);
}

#[track_caller]
fn reached(answer: Answer, code: &str, limit: &str, most: &str, longest_s: u64) {
    let told = |name: &str| answer.headers[name].to_str().unwrap().to_owned();
    let wait: u64 = told("retry-after").parse().unwrap();
    assert!((1..=longest_s).contains(&wait), "{wait}");
    assert_eq!([told("ratelimit-limit"), told("ratelimit-remaining"), told("ratelimit-reset")], [most, "0", &wait.to_string()]);
    assert_eq!(answer.refused(429, code)["limit"], limit);
}

#[tokio::test]
async fn a_recipient_hears_from_an_app_as_often_as_its_caps_allow_by_category() {
    let world = World::new();
    let (_control, server) = world.open().await;
    narrow(&server, json!({"recipient_caps": serde_json::from_str::<Value>(CAPS).unwrap()})).await;
    let send = async |body: Value| server.post("/v1/messages", LIVE, body).await;
    for _ in 0..3 {
        send(code(ADA)).await.expect(202);
    }
    reached(send(code(ADA)).await, "recipient_capped", "recipient", "3", 3_600);
    // Another recipient, another category, a category without a cap.
    send(code(BOB)).await.expect(202);
    send(text(ADA, "marketing")).await.expect(202);
    reached(send(text(ADA, "marketing")).await, "recipient_capped", "recipient", "1", 86_400);
    send(text(ADA, "transactional")).await.expect(202);

    // In a batch each item stands for itself, and a message that is refused for another reason has not been heard of.
    let mut misspelt = code(BOB);
    misspelt["signature"] = json!("Nobody");
    let items = json!({"messages": [misspelt, code(BOB), code(BOB), code(BOB), code("+8613800138002")]});
    let answer = server.post("/v1/messages/batch", LIVE, items).await.expect(200);
    let codes: Vec<&str> =
        answer["results"].as_array().unwrap().iter().map(|one| one["error"]["code"].as_str().unwrap_or("sent")).collect();
    assert_eq!(codes, ["unknown_signature", "sent", "sent", "recipient_capped", "sent"]);

    // Lifting a cap gives more, so it waits for other eyes.
    let (otto, anna) = (server.session("otto").await, server.session("anna").await);
    let lifted = server.call(Method::PATCH, "/v1/admin/apps/shop", Some(&otto), Some(json!({"recipient_caps": []}))).await.expect(202);
    send(code(ADA)).await.refused(429, "recipient_capped");
    server.post(&format!("/v1/admin/requests/{}/approve", lifted["id"].as_str().unwrap()), &anna, json!({})).await.expect(200);
    send(code(ADA)).await.expect(202);
}

#[tokio::test]
async fn a_day_and_a_month_carry_what_the_app_was_given() {
    let world = World::new();
    let (_control, server) = world.open().await;
    narrow(&server, json!({"monthly_quota": 4})).await;
    let send = async || server.post("/v1/messages", LIVE, code(ADA)).await;
    send().await.expect(202);
    narrow(&server, json!({"daily_quota": 3})).await;
    send().await.expect(202);
    send().await.expect(202);
    reached(send().await, "quota_exceeded", "app_daily", "3", 86_400);
    let (otto, anna) = (server.session("otto").await, server.session("anna").await);
    let more = server.call(Method::PATCH, "/v1/admin/apps/shop", Some(&otto), Some(json!({"daily_quota": 0}))).await.expect(202);
    server.post(&format!("/v1/admin/requests/{}/approve", more["id"].as_str().unwrap()), &anna, json!({})).await.expect(200);
    send().await.expect(202);
    reached(send().await, "quota_exceeded", "app_monthly", "4", 31 * 86_400);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_recipient_heard_before_a_restart_counts() {
    let app = App::start().await;
    let caps = json!({"recipient_caps": serde_json::from_str::<Value>(CAPS).unwrap()});
    let shop = app.node.control.snapshot().app_named("shop").unwrap().id;
    app.node.control.change_app(&Actor::own(ActorId::command()), shop, caps.as_object().unwrap()).await.unwrap();
    for _ in 0..3 {
        app.send(LIVE, &code(ADA)).await;
    }
    let app = app.restart().await;
    assert_eq!(app.post(LIVE, "/v1/messages", &code(ADA)).await.verdict(), (429, "recipient_capped".to_owned()));
    app.send(LIVE, &code(BOB)).await;
    app.stop().await;
}
