//! Whatever is sent, the answer is one that the document describes: never a 5xx, never a panic.

use axum::body::Body;
use http::Method;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::{App, LIVE, request};

const CASES: u32 = 400;

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        Just(json!("+8613800138000")),
        Just(json!("2099-12-31T23:59:59.999999999+14:00")),
        Just(json!("\u{0}")),
        Just(json!("999999999999999999999999.9")),
    ];
    leaf.prop_recursive(4, 40, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            proptest::collection::btree_map("[a-z_]{0,12}", inner, 0..8)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

/// A right body with some of its fields replaced.
fn mutated() -> impl Strategy<Value = Value> {
    const FIELDS: [&str; 16] = [
        "to",
        "channel",
        "template",
        "locale",
        "params",
        "text",
        "category",
        "signature",
        "send_at",
        "expires_in_s",
        "hold",
        "max_price",
        "reference",
        "metadata",
        "idempotency_key",
        "what",
    ];
    let right = prop_oneof![
        Just(json!({"to": "+8613800138000", "template": "login-code", "params": {"code": "1"}, "hold": true})),
        Just(json!({"to": "+8613800138000", "text": "hello", "hold": true})),
    ];
    (right, proptest::collection::vec((proptest::sample::select(&FIELDS[..]), any_json()), 0..3)).prop_map(|(mut body, changes)| {
        for (field, value) in changes {
            body[field] = value;
        }
        body
    })
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => any_json().prop_map(|json| json.to_string().into_bytes()),
        6 => mutated().prop_map(|json| json.to_string().into_bytes()),
        2 => proptest::collection::vec(mutated(), 0..4).prop_map(|items| json!({"messages": items}).to_string().into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..200),
        1 => (mutated(), any::<proptest::sample::Index>(), any::<u8>()).prop_map(|(json, at, byte)| {
            let mut bytes = json.to_string().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes
        }),
    ]
}

fn call() -> impl Strategy<Value = (Method, String, Vec<u8>, Vec<(String, String)>)> {
    const PATHS: [&str; 9] = [
        "/v1/messages",
        "/v1/messages/batch",
        "/v1/messages/preview",
        "/v1/messages/cancel",
        "/v1/messages/msg_01h455vb4pex5vsknk084sn02q",
        "/v1/messages/msg_01h455vb4pex5vsknk084sn02q/cancel",
        "/v1/messages/msg_01h455vb4pex5vsknk084sn02q/release",
        "/v1/messages/%F0%9F",
        "/v1/receipts/a",
    ];
    const HEADERS: [&str; 5] = ["idempotency-key", "traceparent", "content-type", "accept", "x-forwarded-for"];
    let query = prop_oneof![
        Just(String::new()),
        "[?][a-z]{1,8}=[ -~&&[^#]]{0,12}".prop_map(|query| query.replace(['"', '<', '>', ' ', '\\', '^', '`', '{', '|', '}'], "%"))
    ];
    (
        proptest::sample::select(vec![Method::POST, Method::POST, Method::POST, Method::GET, Method::DELETE]),
        (proptest::sample::select(&PATHS[..]), query).prop_map(|(path, query)| format!("{path}{query}")),
        bytes(),
        proptest::collection::vec((proptest::sample::select(&HEADERS[..]).prop_map(str::to_owned), "[ -~]{0,40}"), 0..2),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_makes_an_answer_that_is_not_described() {
    let app = App::start().await;
    let document = app.get("", "/openapi.json").await.json();
    let handle = tokio::runtime::Handle::current();
    let outcome = tokio::task::block_in_place(|| {
        let mut runner =
            proptest::test_runner::TestRunner::new(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() });
        runner.run(&call(), |(method, path, body, headers)| {
            let mut builder = request(method.clone(), LIVE, &path);
            if !headers.iter().any(|(name, _)| name == "content-type") {
                builder = builder.header("content-type", "application/json");
            }
            for (name, value) in &headers {
                builder = builder.header(name, value);
            }
            let Ok(request) = builder.body(Body::from(body)) else { return Ok(()) };
            let answer = handle.block_on(app.ask(request));
            prop_assert!(answer.status.as_u16() < 500, "{} {}", answer.status, String::from_utf8_lossy(&answer.bytes));
            prop_assert!(answer.header("x-request-id").is_some());
            if answer.status.is_client_error() {
                prop_assert_eq!(answer.header("content-type"), Some("application/problem+json"));
                let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
                let known =
                    tidings::api::problem::Code::ALL.iter().any(|known| known.as_str() == code && known.status() == answer.status.as_u16());
                prop_assert!(known, "{}", code);
            }
            let route = path
                .split('?')
                .next()
                .unwrap_or_default()
                .replace("msg_01h455vb4pex5vsknk084sn02q", "{id}")
                .replace("%F0%9F", "{id}")
                .replace("receipts/a", "receipts/{provider}");
            let described = &document["paths"][&route][method.as_str().to_lowercase()]["responses"];
            let status = answer.status.as_u16().to_string();
            prop_assert!(described.is_null() || !described[&status].is_null(), "{} {} is not described for {}", method, route, status);
            Ok(())
        })
    });
    outcome.unwrap();
    app.stop().await;
}
