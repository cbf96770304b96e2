//! Repeated requests: one message, one answer, whatever happens in between.

use std::sync::Arc;

use serde_json::json;

use crate::harness::{App, LIVE, OTHER, TEST};

const KEY: &str = "idempotency-key";

#[tokio::test]
async fn the_same_key_and_equal_json_get_the_first_answer_again_also_after_a_restart() {
    let app = App::start().await;
    let body = json!({"to": "+8613800138000", "text": "hello", "metadata": {"a": "1", "b": "2"}});
    let first = app.post_with(LIVE, "/v1/messages", &body, &[(KEY, "k1")]).await;
    assert_eq!((first.status.as_u16(), first.header("idempotent-replayed")), (202, None));
    let spaced = br#" {"metadata":{"b":"2","a":"1"}, "text" : "hello", "to":"+8613800138000"}"#.to_vec();
    let again = app.post_bytes(LIVE, "/v1/messages", spaced, &[(KEY, "k1")]).await;
    assert_eq!((again.status.as_u16(), again.header("idempotent-replayed")), (202, Some("true")));
    assert_eq!(again.json(), first.json());
    assert_eq!(again.header("location"), first.header("location"));

    let by_another_token = app.post_with(TEST, "/v1/messages", &body, &[(KEY, "k1")]).await;
    assert_eq!(by_another_token.json()["id"], first.json()["id"], "keys belong to the app, not to the token");
    let other = app.post_with(LIVE, "/v1/messages", &json!({"to": "+8613800138000", "text": "bye"}), &[(KEY, "k1")]).await;
    assert_eq!(other.verdict(), (422, "idempotency_mismatch".into()));

    let app = app.restart().await;
    let after = app.post_with(LIVE, "/v1/messages", &body, &[(KEY, "k1")]).await;
    assert_eq!((after.header("idempotent-replayed"), after.json()), (Some("true"), first.json()));
    app.stop().await;
}

#[tokio::test]
async fn fifty_concurrent_requests_with_one_key_make_one_message() {
    let app = Arc::new(App::start().await);
    let requests: Vec<_> = (0..50)
        .map(|_| {
            let app = Arc::clone(&app);
            tokio::spawn(async move {
                app.post_with(LIVE, "/v1/messages", &json!({"to": "+8613800138000", "text": "hello"}), &[(KEY, "one")]).await
            })
        })
        .collect();
    let mut ids = std::collections::HashSet::new();
    for request in requests {
        let answer = request.await.unwrap();
        match answer.verdict() {
            (202, _) => _ = ids.insert(answer.json()["id"].as_str().unwrap().to_owned()),
            (409, code) => assert_eq!(code, "idempotency_in_progress"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(app.get(LIVE, "/v1/messages").await.json()["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_refused_request_releases_its_key() {
    let app = App::start().await;
    let refused = app.post_with(OTHER, "/v1/messages", &json!({"to": "+8613800138000", "text": "x"}), &[(KEY, "k")]).await;
    assert_eq!(refused.verdict(), (403, "free_text_not_allowed".into()));
    let invalid = app.post_with(LIVE, "/v1/messages", &json!({"to": "nobody", "text": "x"}), &[(KEY, "k")]).await;
    assert_eq!(invalid.verdict(), (422, "invalid".into()));
    let right = app.post_with(LIVE, "/v1/messages", &json!({"to": "+8613800138000", "text": "x"}), &[(KEY, "k")]).await;
    assert_eq!(right.status, 202);
    app.stop().await;
}

#[tokio::test]
async fn a_key_is_visible_ascii_and_not_too_long() {
    let app = App::start().await;
    for key in ["", "with blank", &"k".repeat(256)] {
        let answer = app.post_with(LIVE, "/v1/messages", &json!({"to": "+8613800138000", "text": "x"}), &[(KEY, key)]).await;
        assert_eq!((answer.verdict(), answer.wrong()), ((422, "invalid".into()), vec!["Idempotency-Key".to_owned()]), "{key:?}");
    }
    app.stop().await;
}
