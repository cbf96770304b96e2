//! From a send to its end: what the answer says, what can be looked up, listed, cancelled, held and released.

use serde_json::{Value, json};

use crate::harness::{App, LIVE, OTHER, TEST};

fn login(to: &str) -> Value {
    json!({"to": to, "template": "login-code", "params": {"code": "482913"}})
}

#[tokio::test]
async fn an_accepted_message_is_answered_as_promised_and_ends_delivered() {
    let app = App::start().await;
    let body = json!({
        "to": "+8613800138000", "channel": "sms", "template": "login-code", "params": {"code": "482913"}, "signature": "Acme", "send_at": null,
        "expires_in_s": 300, "hold": false, "max_price": null, "reference": "order-8812", "metadata": {"shop": "berlin"},
    });
    let answer = app.post(LIVE, "/v1/messages", &body).await;
    assert_eq!(answer.status, 202);
    let sent = answer.json();
    let id = sent["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), Some(format!("/v1/messages/{id}").as_str()));
    assert!(answer.header("x-request-id").is_some());
    let mut shape = sent.clone();
    for changing in ["id", "accepted_at", "expires_at"] {
        shape[changing] = json!("[changes]");
    }
    insta::assert_json_snapshot!(shape);

    let message = app.until(LIVE, id, "delivered").await;
    assert_eq!(message["cost"], json!({"amount": message["cost"]["amount"], "currency": "CNY"}));
    assert_eq!(message["attempts"][0]["outcome"], "accepted");
    assert!(message["attempts"][0]["why"].as_str().is_some_and(|why| !why.is_empty()));
    let kinds: Vec<&str> = message["timeline"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["accepted", "attempt_started", "attempt_ended", "submitted", "receipt", "delivered"]);
    app.stop().await;
}

#[tokio::test]
async fn test_keys_and_fixed_numbers_have_fixed_ends() {
    let app = App::start().await;
    for (to, end) in
        [("+15005550001", "failed"), ("+15005550002", "undelivered"), ("+15005550004", "delivered"), ("+15005550005", "delivered")]
    {
        let id = app.send(TEST, &login(to)).await;
        let message = app.until(TEST, &id, end).await;
        assert_eq!(message["test"], true, "{to}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_held_message_waits_for_its_release_and_a_scheduled_one_for_its_time() {
    let app = App::start().await;
    let held = app.send(LIVE, &json!({"to": "+8613800138000", "text": "hello", "hold": true})).await;
    assert_eq!(app.get(LIVE, &format!("/v1/messages/{held}")).await.json()["status"], "held");
    let released = app.post(LIVE, &format!("/v1/messages/{held}/release"), &json!({})).await;
    assert_eq!(released.status, 200);
    app.until(LIVE, &held, "delivered").await;
    let again = app.post(LIVE, &format!("/v1/messages/{held}/release"), &json!({})).await;
    assert_eq!(again.verdict(), (409, "not_held".into()));
    assert_eq!(again.json()["message_status"], "delivered");

    // Later than it takes to send and to ask, on a busy machine.
    let soon = app.node.clock.now() + std::time::Duration::from_secs(2);
    let scheduled = app.send(LIVE, &json!({"to": "+8613800138000", "text": "hello", "send_at": soon.to_string()})).await;
    assert_eq!(app.get(LIVE, &format!("/v1/messages/{scheduled}")).await.json()["status"], "scheduled");
    let message = app.until(LIVE, &scheduled, "delivered").await;
    let started: tidings_core::time::Timestamp = message["attempts"][0]["started_at"].as_str().unwrap().parse().unwrap();
    assert!(started >= soon && started.since(soon).as_millis() < 3_000, "it left {} ms after its time", started.since(soon).as_millis());
    app.stop().await;
}

#[tokio::test]
async fn a_message_is_cancelled_before_it_leaves_and_never_after() {
    let app = App::start().await;
    let far = (app.node.clock.now() + std::time::Duration::from_secs(3_600)).to_string();
    let later = |reference: &str| json!({"to": "+8613800138000", "text": "hello", "send_at": far, "reference": reference});
    let id = app.send(LIVE, &later("one")).await;
    let cancelled = app.post(LIVE, &format!("/v1/messages/{id}/cancel"), &json!({})).await;
    assert_eq!((cancelled.status.as_u16(), cancelled.json()["status"].as_str()), (200, Some("cancelled")));

    let done = app.send(LIVE, &json!({"to": "+8613800138000", "text": "hello", "reference": "many"})).await;
    app.until(LIVE, &done, "delivered").await;
    let late = app.post(LIVE, &format!("/v1/messages/{done}/cancel"), &json!({})).await;
    assert_eq!(late.verdict(), (409, "too_late".into()));
    assert_eq!(late.json()["message_status"], "delivered");

    for _ in 0..3 {
        app.send(LIVE, &later("many")).await;
    }
    let by_reference = app.post(LIVE, "/v1/messages/cancel", &json!({"reference": "many"})).await;
    assert_eq!(by_reference.json(), json!({"cancelled": 3, "too_late": 1}));
    app.stop().await;
}

#[tokio::test]
async fn another_apps_message_does_not_exist() {
    let app = App::start().await;
    let id = app.send(LIVE, &json!({"to": "+8613800138000", "text": "hello", "hold": true})).await;
    assert_eq!(app.get(OTHER, &format!("/v1/messages/{id}")).await.verdict(), (404, "not_found".into()));
    for action in ["cancel", "release"] {
        assert_eq!(app.post(OTHER, &format!("/v1/messages/{id}/{action}"), &json!({})).await.verdict(), (404, "not_found".into()));
    }
    assert_eq!(app.get(LIVE, "/v1/messages/msg_nonsense").await.verdict(), (404, "not_found".into()));
    assert_eq!(app.get(OTHER, "/v1/messages").await.json(), json!({"data": [], "next_cursor": null}));
    app.stop().await;
}

#[tokio::test]
async fn listings_are_filtered_and_their_cursors_stay_while_messages_are_added() {
    let app = App::start().await;
    let mut sent = Vec::new();
    for number in 0..5 {
        let body = json!({"to": format!("+861380013800{number}"), "text": "hello", "reference": format!("r{}", number % 2), "hold": true});
        sent.push(app.send(LIVE, &body).await);
    }
    // Newest first is by id, and ids of one millisecond are in no order.
    sent.sort_unstable();
    let ids = |page: &Value| -> Vec<String> {
        page["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    let first = app.get(LIVE, "/v1/messages?limit=2").await.json();
    app.send(LIVE, &json!({"to": "+8613800138009", "text": "between two pages", "hold": true})).await;
    let second = app.get(LIVE, &format!("/v1/messages?limit=2&cursor={}", first["next_cursor"].as_str().unwrap())).await.json();
    let third = app.get(LIVE, &format!("/v1/messages?limit=2&cursor={}", second["next_cursor"].as_str().unwrap())).await.json();
    let mut listed = [ids(&first), ids(&second), ids(&third)].concat();
    listed.reverse();
    assert_eq!(listed, sent);
    assert_eq!(third["next_cursor"], Value::Null);

    let count = async |query: &str| ids(&app.get(LIVE, &format!("/v1/messages?{query}")).await.json()).len();
    assert_eq!(count("reference=r1").await, 2);
    assert_eq!(count("to=%2B8613800138003").await, 1);
    assert_eq!(count("to=+8613800138003").await, 1);
    assert_eq!(count("status=held&channel=sms&category=transactional&test=false").await, 6);
    assert_eq!(count("status=delivered").await, 0);
    assert_eq!(count("template=login-code").await, 0);
    assert_eq!(count("until=2026-01-01T00:00:00Z").await, 0);
    app.stop().await;
}

#[tokio::test]
async fn a_preview_tells_what_a_message_would_be_and_sends_nothing() {
    let app = App::start().await;
    let preview = app.post(LIVE, "/v1/messages/preview", &login("+8613800138000")).await;
    insta::assert_json_snapshot!(preview.json());
    let odd = app.post(LIVE, "/v1/messages/preview", &json!({"to": "+8613800138000", "text": "ça – 码"})).await.json();
    assert_eq!((&odd["encoding"], &odd["non_gsm"]), (&json!("ucs2"), &json!(["ç", "–", "码"])));
    let cheap = app.post(LIVE, "/v1/messages/preview", &json!({"to": "+8613800138000", "text": "x", "max_price": "0.0200"})).await.json();
    assert_eq!(cheap["candidates"], json!([{"provider": "a", "price": "0.0100"}]));
    assert_eq!(app.get(LIVE, "/v1/messages").await.json()["data"], json!([]));
    app.stop().await;
}
