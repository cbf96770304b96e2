//! Batches: every item stands for itself, and the header covers the whole.

use serde_json::{Value, json};

use crate::harness::{App, LIVE};

#[tokio::test]
async fn one_bad_item_never_fails_the_others_and_pointers_are_relative_to_it() {
    let app = App::start().await;
    let batch = json!({
        "defaults": {"template": "login-code", "params": {"code": "1"}, "metadata": {"from": "defaults"}},
        "messages": [
            {"to": "+8613800138000"},
            {"to": "nobody", "hold": 1},
            {"to": "+8613800138001", "params": {"code": "2"}, "metadata": {"from": "item"}},
            "no object",
            {"to": "+8613800138002", "params": {}, "unknown": true},
        ],
    });
    let answer = app.post(LIVE, "/v1/messages/batch", &batch).await;
    assert_eq!(answer.status, 200);
    let answer = answer.json();
    assert_eq!((&answer["accepted"], &answer["refused"]), (&json!(2), &json!(3)));
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.iter().map(|result| result["index"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert_eq!(results[0]["status"], "accepted");
    let pointers = |result: &Value| -> Vec<String> {
        result["error"]["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((pointers(&results[1]), &results[1]["error"]["status"]), (vec!["/to".to_owned(), "/hold".to_owned()], &json!(422)));
    assert_eq!(pointers(&results[3]), [""]);
    assert_eq!(pointers(&results[4]), ["/unknown"]);
    let merged = app.get(LIVE, &format!("/v1/messages/{}", results[2]["id"].as_str().unwrap())).await.json();
    assert_eq!(merged["metadata"], json!({"from": "item"}), "the merge is shallow");
    app.stop().await;
}

#[tokio::test]
async fn keys_are_one_space_for_single_sends_and_items() {
    let app = App::start().await;
    let single = json!({"to": "+8613800138000", "text": "hello"});
    let first = app.post_with(LIVE, "/v1/messages", &single, &[("idempotency-key", "k1")]).await.json();
    let batch = json!({"messages": [
        {"to": "+8613800138000", "text": "hello", "idempotency_key": "k1"},
        {"to": "+8613800138000", "text": "other", "idempotency_key": "k1"},
        {"to": "+8613800138000", "text": "twice", "idempotency_key": "k2"},
        {"to": "+8613800138000", "text": "twice", "idempotency_key": "k2"},
        {"to": "+8613800138000", "text": "x", "idempotency_key": "not ascii ü"},
    ]});
    let answer = app.post(LIVE, "/v1/messages/batch", &batch).await.json();
    let results = &answer["results"];
    assert_eq!((&results[0]["id"], &results[0]["replayed"]), (&first["id"], &json!(true)));
    assert_eq!(results[1]["error"]["code"], "idempotency_mismatch");
    assert_eq!((&results[3]["id"], &results[3]["replayed"], &results[2]["replayed"]), (&results[2]["id"], &json!(true), &Value::Null));
    assert_eq!(results[4]["error"]["errors"][0]["pointer"], "/idempotency_key");
    let later = app.post_with(LIVE, "/v1/messages", &json!({"to": "+8613800138000", "text": "twice"}), &[("idempotency-key", "k2")]).await;
    assert_eq!((later.header("idempotent-replayed"), &later.json()["id"]), (Some("true"), &results[2]["id"]));
    app.stop().await;
}

#[tokio::test]
async fn the_header_covers_the_batch_as_a_whole() {
    let app = App::start().await;
    let batch = json!({"messages": [{"to": "+8613800138000", "text": "hello"}, {"to": "nobody", "text": "x"}]});
    let first = app.post_with(LIVE, "/v1/messages/batch", &batch, &[("idempotency-key", "b1")]).await;
    let again = app.post_with(LIVE, "/v1/messages/batch", &batch, &[("idempotency-key", "b1")]).await;
    assert_eq!((first.header("idempotent-replayed"), again.header("idempotent-replayed")), (None, Some("true")));
    assert_eq!(again.bytes, first.bytes);
    let other = app
        .post_with(LIVE, "/v1/messages/batch", &json!({"messages": [{"to": "+8613800138000", "text": "y"}]}), &[("idempotency-key", "b1")])
        .await;
    assert_eq!(other.verdict(), (422, "idempotency_mismatch".into()));
    assert_eq!(app.get(LIVE, "/v1/messages").await.json()["data"].as_array().unwrap().len(), 1);
    app.stop().await;
}

#[tokio::test]
async fn a_batch_has_one_to_a_thousand_messages() {
    let app = App::start().await;
    let of = |count: usize| json!({"defaults": {"text": "hello", "hold": true}, "messages": vec![json!({"to": "+8613800138000"}); count]});
    let full = app.post(LIVE, "/v1/messages/batch", &of(1_000)).await.json();
    assert_eq!((&full["accepted"], &full["refused"]), (&json!(1_000), &json!(0)));
    for count in [0, 1_001] {
        let answer = app.post(LIVE, "/v1/messages/batch", &of(count)).await;
        assert_eq!((answer.verdict(), answer.wrong()), ((422, "invalid".into()), vec!["/messages".to_owned()]), "{count}");
    }
    let wrong = app.post(LIVE, "/v1/messages/batch", &json!({"defaults": 1, "messages": {}, "more": 1})).await;
    assert_eq!(wrong.wrong(), ["/defaults", "/messages", "/more"]);
    app.stop().await;
}
