//! The document against the server: what is described is served, and nothing answers in another form.

use axum::body::Body;
use http::{Method, Request};
use serde_json::Value;

use crate::harness::{App, LIVE};

#[tokio::test]
async fn every_described_operation_is_served_and_refuses_other_methods_with_allow() {
    let app = App::start().await;
    let document = app.get("", "/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    for path in [
        "/v1/messages",
        "/v1/messages/batch",
        "/v1/messages/preview",
        "/v1/messages/cancel",
        "/v1/messages/{id}",
        "/livez",
        "/readyz",
        "/metrics",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
    for (path, item) in paths {
        let concrete = path.replace("{id}", "msg_01h455vb4pex5vsknk084sn02q").replace(['{', '}'], "");
        for method in item.as_object().unwrap().keys() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let answer = app.ask(Request::builder().method(&method).uri(&concrete).body(Body::empty()).unwrap()).await;
            assert_ne!(answer.status, 405, "{method} {path}");
        }
        let answer = app.ask(Request::builder().method("BREW").uri(&concrete).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.verdict(), (405, "method_not_allowed".into()), "{path}");
        assert!(answer.header("allow").is_some(), "{path}");
    }
    app.stop().await;
}

#[tokio::test]
async fn every_problem_code_has_a_page_and_the_docs_work_offline() {
    let app = App::start().await;
    for code in tidings::api::problem::Code::ALL {
        let page = app.get("", code.type_path()).await;
        assert_eq!(page.status, 200, "{}", code.as_str());
        assert!(String::from_utf8(page.bytes).unwrap().contains(code.as_str()));
    }
    let docs = app.get("", "/docs").await;
    let docs = if docs.status.is_redirection() { app.get("", docs.header("location").unwrap()).await } else { docs };
    let page = String::from_utf8(docs.bytes.clone()).unwrap();
    assert_eq!(docs.status, 200);
    assert!(!page.contains("https://"), "nothing is fetched from elsewhere");
    app.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_with_the_requests_id() {
    let app = App::start().await;
    for path in ["/", "/v1", "/v2/messages", "/v1/messages/", "/%ff", "/v1/messages/%00", "/problems/nothing"] {
        let answer = app.get(LIVE, path).await;
        assert_eq!(answer.verdict(), (404, "not_found".into()), "{path}");
        assert_eq!(answer.json()["request_id"].as_str(), answer.header("x-request-id"));
    }
    app.stop().await;
}

#[tokio::test]
async fn metrics_name_what_was_promised() {
    let app = App::start().await;
    let id = app.send(LIVE, &serde_json::json!({"to": "+8613800138000", "text": "hello"})).await;
    app.until(LIVE, &id, "delivered").await;
    let text = String::from_utf8(app.get("", "/metrics").await.bytes).unwrap();
    for name in [
        "tidings_messages_accepted_total{category=\"transactional\",channel=\"sms\"} 1",
        "tidings_messages_finished_total{",
        "tidings_queue_messages{lane=\"urgent\"}",
        "tidings_queue_oldest_seconds{lane=\"bulk\"}",
        "tidings_attempts_total{",
        "tidings_attempt_duration_seconds_count{",
        "tidings_provider_in_flight{",
        "tidings_dependency_up{name=\"database\"} 1",
        "tidings_http_requests_total{method=\"POST\",route=\"/v1/messages\",status=\"202\"} 1",
        "tidings_http_request_duration_seconds_count{route=\"/v1/messages/{id}\"}",
    ] {
        assert!(text.contains(name), "{name} is missing");
    }
    app.stop().await;
}

#[tokio::test]
async fn readiness_says_what_it_stands_on() {
    let app = App::start().await;
    crate::patience::eventually(async || app.get("", "/readyz").await.status == 200).await;
    let ready = app.get("", "/readyz").await.json();
    assert_eq!((&ready["status"], &ready["dependencies"][0]["name"]), (&Value::from("ready"), &Value::from("database")));
    app.node.readiness.drain();
    let draining = app.get("", "/readyz").await;
    assert_eq!((draining.status.as_u16(), &draining.json()["status"]), (503, &Value::from("not_ready")));
    assert_eq!(app.get("", "/livez").await.status, 200);
    app.stop().await;
}
