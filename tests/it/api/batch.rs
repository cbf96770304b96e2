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
async fn an_item_that_is_refused_leaves_its_key_to_a_later_one() {
    let app = App::start().await;
    let batch = json!({"messages": [
        {"to": "+8613800138000", "template": "nothing", "idempotency_key": "k1"},
        {"to": "+8613800138000", "text": "hello", "idempotency_key": "k1"},
        {"to": "+8613800138000", "text": "hello", "idempotency_key": "k1"},
    ]});
    let results = app.post(LIVE, "/v1/messages/batch", &batch).await.json()["results"].clone();
    assert_eq!(results[0]["error"]["code"], "unknown_template");
    assert_eq!((&results[1]["replayed"], &results[2]["replayed"], &results[2]["id"]), (&Value::Null, &json!(true), &results[1]["id"]));
    app.stop().await;
}

#[tokio::test]
async fn a_batch_that_is_sent_again_item_by_item_makes_no_second_message() {
    let app = App::start().await;
    let item = |number: usize| json!({"to": "+8613800138000", "text": "hello", "hold": true, "idempotency_key": format!("item-{number}")});
    let of = |numbers: std::ops::Range<usize>| json!({"messages": numbers.map(item).collect::<Vec<_>>()});
    let first = app.post(LIVE, "/v1/messages/batch", &of(0..300)).await.json();
    assert_eq!(first["accepted"], 300);
    let app = app.restart().await;
    let again = app.post(LIVE, "/v1/messages/batch", &of(100..500)).await.json();
    assert_eq!(again["accepted"], 400);
    for (place, result) in again["results"].as_array().unwrap().iter().enumerate() {
        let before = &first["results"][place + 100];
        assert_eq!(result["replayed"] == true, place < 200, "{result}");
        assert!(before.is_null() || before["id"] == result["id"]);
    }
    app.stop().await;
}

/// Transactions of the store's writer so far.
async fn transactions(app: &App) -> u64 {
    let text = String::from_utf8(app.get("", "/metrics").await.bytes).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("tidings_writer_tick_seconds_count ")).unwrap();
    line.parse().unwrap()
}

#[tokio::test]
async fn a_batch_of_a_thousand_is_one_durable_write() {
    // What else a node writes in that time: its own questions whether the store is there.
    const OF_THE_NODE: u64 = 10;
    let app = App::start().await;
    let messages: Vec<Value> = (0..1_000).map(|number| json!({"to": format!("+861380013{number:04}")})).collect();
    let batch = json!({"defaults": {"text": "hello", "hold": true}, "messages": messages});
    let before = transactions(&app).await;
    let answer = app.post(LIVE, "/v1/messages/batch", &batch).await.json();
    let written = transactions(&app).await - before;
    assert_eq!(answer["accepted"], 1_000);
    assert!((1..=OF_THE_NODE).contains(&written), "{written} transactions");
    app.stop().await;
}

#[tokio::test]
async fn what_is_accepted_together_is_one_transaction() {
    let home = tempfile::tempdir().unwrap();
    let keyring = std::sync::Arc::new(tidings::seal::Keyring::parse(&tidings::seal::Keyring::line(&[7; 32])).unwrap());
    let (told, mut ticks) = tokio::sync::mpsc::unbounded_channel();
    let observe = move |tick: tidings::store::Tick| {
        let _ = told.send(tick.requests);
    };
    let path = home.path().join("tidings.db");
    let (store, writer) = tidings::store::Sqlite::open(&path, keyring, tidings::clock::Clock::system(), observe).await.unwrap();
    let messages: Vec<_> = (0..1_000)
        .map(|_| tidings::store::NewMessage::waiting(crate::suites::messages::samples::message(tidings_core::message::Category::Marketing)))
        .collect();
    let verdicts = tidings::store::Messages::accept(&store, messages).await.unwrap();
    assert_eq!(verdicts.len(), 1_000);
    store.close(writer).await;
    assert_eq!(ticks.recv().await, Some(1), "one request in one transaction");
    assert_eq!(ticks.recv().await, None, "and no other");
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
