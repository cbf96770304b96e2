//! Every way in which a send is refused, and that everything wrong is told at once.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    harness::{App, LIVE, NARROW, NOT_LIVE, OTHER, POOR, READ_ONLY, SLOW, TEST},
    patience::answer_within,
};

const TO: &str = "+8613800138000";
/// Looks at what waits are half a second apart.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn every_wrong_field_is_named_at_once() {
    let app = App::start().await;
    let cases: Vec<(Value, Vec<&str>)> = vec![
        (json!({}), vec!["/template", "/to"]),
        (json!({"to": TO}), vec!["/template"]),
        (json!({"to": TO, "text": "x", "template": "login-code"}), vec!["/text"]),
        (json!({"to": TO, "text": ""}), vec!["/text"]),
        (json!({"to": TO, "text": "x".repeat(1_601)}), vec!["/text"]),
        (json!({"to": TO, "text": "x\u{0}"}), vec!["/text"]),
        (
            json!({"to": 5, "text": [], "hold": "yes", "expires_in_s": 1.5, "metadata": [], "max_price": 5}),
            vec!["/expires_in_s", "/hold", "/max_price", "/metadata", "/text", "/to"],
        ),
        (json!({"to": "13800138000", "text": "x", "channel": "pigeon", "category": "spam"}), vec!["/category", "/channel"]),
        (json!({"to": "+86 138 0013 8000", "text": "x", "expires_in_s": 0}), vec!["/expires_in_s", "/to"]),
        (json!({"to": TO, "text": "x", "expires_in_s": 36_001}), vec!["/expires_in_s"]),
        (json!({"to": TO, "text": "x", "reference": "r".repeat(129)}), vec!["/reference"]),
        (
            json!({"to": TO, "text": "x", "metadata": {"k".repeat(41): "v", "a": "v".repeat(501), "b": 1}}),
            vec!["/metadata/a", "/metadata/b", &"KEY"],
        ),
        (
            json!({"to": TO, "text": "x", "metadata": (0..21).map(|n| (n.to_string(), json!("v"))).collect::<serde_json::Map<_, _>>()}),
            vec!["/metadata"],
        ),
        (json!({"to": TO, "text": "x", "params": {}, "locale": "de"}), vec!["/locale", "/params"]),
        (json!({"to": TO, "template": "login-code", "params": {"code": "1"}, "category": "otp"}), vec!["/category"]),
        (json!({"to": TO, "template": "login-code", "params": {"cod": "1", "x": null, "y": [1]}}), vec!["/params/x", "/params/y"]),
        (json!({"to": TO, "template": "login-code", "params": {"cod": "1"}}), vec!["/params/cod", "/params/code"]),
        (json!({"to": TO, "text": "x", "send_at": "2020-01-01T00:00:00Z"}), vec!["/send_at"]),
        (json!({"to": TO, "text": "x", "send_at": "2099-01-01T00:00:00Z"}), vec!["/send_at"]),
        (json!({"to": TO, "text": "x", "send_at": "tomorrow"}), vec!["/send_at"]),
        (json!({"to": TO, "text": "x", "txet": 1, "a/b~c": 2, "idempotency_key": "k"}), vec!["/a~1b~0c", "/idempotency_key", "/txet"]),
    ];
    for (body, expected) in cases {
        let answer = app.post(LIVE, "/v1/messages", &body).await;
        assert_eq!(answer.verdict(), (422, "invalid".into()), "{body}");
        let long = format!("/metadata/{}", "k".repeat(41));
        let mut expected: Vec<String> =
            expected.into_iter().map(|place| if place == "KEY" { long.clone() } else { place.to_owned() }).collect();
        expected.sort();
        assert_eq!(answer.wrong(), expected, "{body}");
    }
    app.stop().await;
}

#[tokio::test]
async fn what_the_app_may_not_do_has_a_code_of_its_own() {
    let app = App::start().await;
    let text = |to: &str| json!({"to": to, "text": "x"});
    let cases = [
        ("tk_live_nobody", text(TO), 401, "unauthorized"),
        (READ_ONLY, text(TO), 403, "insufficient_scope"),
        (NOT_LIVE, text(TO), 403, "app_not_live"),
        (OTHER, text(TO), 403, "free_text_not_allowed"),
        (NARROW, json!({"to": TO, "text": "x", "channel": "voice"}), 403, "channel_not_allowed"),
        (NARROW, text("+15005550006"), 403, "country_not_allowed"),
        (LIVE, json!({"to": TO, "template": "nothing"}), 422, "unknown_template"),
        (LIVE, json!({"to": TO, "template": "login-code@9", "params": {"code": "1"}}), 422, "unknown_template"),
        (LIVE, json!({"to": TO, "text": "x", "signature": "Nobody"}), 422, "unknown_signature"),
        (LIVE, json!({"to": TO, "text": "x", "max_price": "0.0001"}), 422, "no_route"),
        (LIVE, json!({"to": "ada@example.org", "text": "x", "channel": "email"}), 422, "no_route"),
    ];
    for (key, body, status, code) in cases {
        let answer = app.post(key, "/v1/messages", &body).await;
        assert_eq!(answer.verdict(), (status, code.to_owned()), "{body}");
        assert_eq!(answer.json()["request_id"].as_str(), answer.header("x-request-id"));
    }
    assert_eq!(app.post(TEST, "/v1/messages", &text(TO)).await.status, 202);
    app.stop().await;
}

#[tokio::test]
async fn who_calls_without_a_valid_token_learns_nothing() {
    let app = App::start().await;
    let mut bodies = std::collections::HashSet::new();
    for authorization in [
        "",
        "Bearer",
        "Bearer ",
        "Basic abc",
        "Bearer tk_live_x",
        "Bearer eyJhbGciOiJub25lIn0.e30.",
        &format!("Bearer {}", "x".repeat(9_000)),
    ] {
        let request =
            http::Request::post("/v1/messages").header("authorization", authorization).body(axum::body::Body::from("{broken")).unwrap();
        let answer = app.ask(request).await;
        assert_eq!(answer.verdict(), (401, "unauthorized".into()), "{authorization:.40}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        let mut body = answer.json();
        body["request_id"] = Value::Null;
        bodies.insert(body.to_string());
    }
    assert_eq!(bodies.len(), 1, "one body for every reason");
    app.stop().await;
}

#[tokio::test]
async fn limits_say_which_and_for_how_long() {
    let app = App::start().await;
    let body = json!({"to": TO, "text": "x"});
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(app.post(SLOW, "/v1/messages", &body).await);
    }
    let limited = answers.iter().find(|answer| answer.status == 429).expect("two a second are allowed");
    assert_eq!(limited.verdict().1, "rate_limited");
    assert_eq!(limited.json()["limit"], "app_per_second");
    assert_eq!((limited.header("ratelimit-limit"), limited.header("ratelimit-remaining")), (Some("2"), Some("0")));
    assert_eq!((limited.header("retry-after"), limited.header("ratelimit-reset")), (Some("1"), Some("1")));

    let batch = app.post(POOR, "/v1/messages/batch", &json!({"messages": vec![body.clone(); 5]})).await.json();
    assert_eq!((&batch["accepted"], &batch["refused"]), (&json!(3), &json!(2)));
    assert_eq!(batch["results"][4]["error"]["limit"], "app_daily");
    let app = app.restart().await;
    let after = app.post(POOR, "/v1/messages", &body).await;
    assert_eq!((after.verdict(), after.json()["limit"].as_str()), ((429, "quota_exceeded".into()), Some("app_daily")));
    app.stop().await;
}

#[tokio::test]
async fn a_full_queue_sheds_bulk_first_and_urgent_last() {
    let app = App::start_with("[queue]\nmax_messages = 20").await;
    let held = json!({"to": TO, "text": "x", "category": "marketing", "hold": true});
    let batch = app.post(LIVE, "/v1/messages/batch", &json!({"messages": vec![held; 40]})).await.json();
    assert_eq!((&batch["accepted"], &batch["results"][39]["error"]["code"]), (&json!(20), &json!("overloaded")));
    let otp = app.post(LIVE, "/v1/messages", &json!({"to": TO, "template": "login-code", "params": {"code": "1"}})).await;
    assert_eq!(otp.status, 202, "codes still go");
    // Whoever counted what waits before the batch was on disk finds more at the next look.
    let news = json!({"to": TO, "template": "news", "params": {"name": "Ada"}});
    let refused = answer_within(PATIENCE, async || Some(app.post(LIVE, "/v1/messages", &news).await).filter(|news| news.status != 202));
    let news = refused.await.expect("there is no room for it");
    assert_eq!(news.verdict(), (503, "overloaded".into()));
    assert!(news.header("retry-after").is_some());
    app.stop().await;
}

#[tokio::test]
async fn bodies_are_json_in_utf8_and_bounded() {
    let app = App::start_with("[http]\nmax_body_bytes = 4096\nmax_batch_bytes = 8192").await;
    let post = async |body: Vec<u8>, kind: &str| {
        let request = crate::harness::request(http::Method::POST, LIVE, "/v1/messages").header("content-type", kind);
        app.ask(request.body(axum::body::Body::from(body)).unwrap()).await.verdict()
    };
    let json = "application/json";
    assert_eq!(post(b"{\"to\":".to_vec(), json).await, (400, "malformed_json".into()));
    assert_eq!(post(vec![b'"', 0xff, b'"'], json).await, (400, "malformed_json".into()));
    assert_eq!(
        post(format!("{{\"x\":{}{}}}", "[".repeat(1_000), "]".repeat(1_000)).into_bytes(), json).await,
        (400, "malformed_json".into())
    );
    assert_eq!(post(b"{}".to_vec(), "text/plain").await, (415, "unsupported_media_type".into()));
    assert_eq!(post(vec![b' '; 5_000], json).await, (413, "too_large".into()));
    let big = format!("{{\"messages\":[{}\"\"]}}", " ".repeat(9_000)).into_bytes();
    assert_eq!(app.post_bytes(LIVE, "/v1/messages/batch", big, &[]).await.verdict(), (413, "too_large".into()));
    app.stop().await;
}

#[tokio::test]
async fn an_operation_without_parameters_takes_none() {
    let app = App::start().await;
    let body = json!({"to": TO, "text": "x", "hold": true});
    let id = app.send(LIVE, &body).await;
    let root = json!({"name": "root", "password": "correct horse battery"});
    let token = app.post("", "/v1/admin/session", &root).await.json()["access_token"].as_str().unwrap().to_owned();
    for (method, key, path, body) in [
        ("POST", LIVE, "/v1/messages".to_owned(), Some(&body)),
        ("POST", LIVE, "/v1/messages/preview".to_owned(), Some(&body)),
        ("GET", LIVE, format!("/v1/messages/{id}"), None),
        ("POST", LIVE, format!("/v1/messages/{id}/release"), None),
        ("POST", "", "/v1/admin/session".to_owned(), Some(&root)),
        ("GET", token.as_str(), format!("/v1/admin/messages/{id}"), None),
    ] {
        let asked = async |query: &str| {
            let request = crate::harness::request(method.parse().unwrap(), key, &format!("{path}{query}"));
            let bytes = body.map(Value::to_string).unwrap_or_default();
            app.ask(request.header("content-type", "application/json").body(axum::body::Body::from(bytes)).unwrap()).await
        };
        let answer = asked("?dry_run=true").await;
        assert_eq!((answer.verdict(), answer.wrong()), ((422, "invalid".into()), vec!["dry_run".to_owned()]), "{path}");
        assert!(asked("?").await.status.is_success(), "{path}");
    }
    let nobody = app.get("tk_live_nobody", &format!("/v1/messages/{id}?what=1")).await;
    assert_eq!(nobody.verdict(), (401, "unauthorized".into()), "who calls is asked first");
    let may_not = app.post(READ_ONLY, "/v1/messages?what=1", &body).await;
    assert_eq!(may_not.verdict(), (403, "insufficient_scope".into()), "and then what they may do");
    let page = app.get(&token, "/v1/admin/providers?cursor=nobody").await;
    assert_eq!((page.verdict(), page.wrong()), ((422, "invalid".into()), vec!["cursor".to_owned()]), "no page before it ended there");
    assert_eq!(app.get(LIVE, "/v1/messages").await.json()["data"].as_array().unwrap().len(), 2, "nothing was sent");
    app.stop().await;
}

#[tokio::test]
async fn unknown_parameters_and_words_in_a_query_are_refused() {
    let app = App::start().await;
    for (query, wrong) in [
        ("statos=held", "statos"),
        ("status=lost", "status"),
        ("channel=pigeon", "channel"),
        ("category=spam", "category"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("cursor=nonsense", "cursor"),
        ("from=yesterday", "from"),
        ("test=perhaps", "test"),
        ("template=a@b", "template"),
        ("reference=a&reference=b", "reference"),
    ] {
        let answer = app.get(LIVE, &format!("/v1/messages?{query}")).await;
        assert_eq!((answer.verdict(), answer.wrong()), ((422, "invalid".into()), vec![wrong.to_owned()]), "{query}");
    }
    app.stop().await;
}
