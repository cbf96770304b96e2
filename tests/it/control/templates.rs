//! What a template may say, in which languages, and what of it leaves.

use http::Method;
use serde_json::{Value, json};

use super::{
    approval::{decide, otp, pending},
    world::{LIVE, World},
};

#[tokio::test]
async fn rules_of_content_are_told_before_anybody_waits() {
    let world = World::new();
    let (_control, server) = world.open().await;
    let make = async |category: &str, text: &str| {
        server.post("/v1/templates", LIVE, json!({"name": "t", "channel": "sms", "category": category, "text": text})).await
    };
    let refused = make("otp", "Hello {{ name }}").await.refused(422, "invalid");
    assert_eq!((&refused["errors"][0]["pointer"], &refused["errors"][0]["code"]), (&json!("/text"), &json!("content")));
    make("marketing", "Buy at https://evil.example/now").await.refused(422, "invalid");
    make("marketing", "Buy {{ what").await.refused(422, "invalid");
    make("marketing", "Buy {{ what }}").await.expect(201);

    // A subject is as much a text as the text is, and whoever decides sees how it changes.
    let mail = |subject: &str| json!({"name": "news", "channel": "email", "category": "marketing", "text": "News", "subject": subject});
    let refused = server.post("/v1/templates", LIVE, mail("Win at evil.example.com now")).await.refused(422, "invalid");
    assert_eq!((&refused["errors"][0]["pointer"], &refused["errors"][0]["code"]), (&json!("/subject"), &json!("content")));
    server.post("/v1/templates", LIVE, mail("In spring")).await.expect(201);
    let request = server.post("/v1/templates/news/versions/1/submit", LIVE, json!({})).await.expect(202);
    let anna = server.session("anna").await;
    decide(&server, &anna, request["id"].as_str().unwrap(), "approve", json!({})).await.expect(200);
    server.post("/v1/templates/news/versions", LIVE, json!({"text": "News", "subject": "In autumn"})).await.expect(201);
    let request = server.post("/v1/templates/news/versions/2/submit", LIVE, json!({})).await.expect(202);
    assert_eq!(request["change"]["diff"], json!(["- Subject: In spring", "+ Subject: In autumn", "  News"]));
}

#[tokio::test]
async fn no_parameter_smuggles_in_a_link_and_no_otp_goes_out_without_its_code() {
    let world = World::new();
    let (_control, server) = world.open().await;
    let root = server.session("root").await;
    let made = json!({"name": "greeting", "channel": "sms", "category": "transactional", "text": "Hello {{ name }}, all the best."});
    server.post("/v1/templates", LIVE, made).await.expect(201);
    server.post("/v1/templates/greeting/versions/1/submit", LIVE, json!({})).await.expect(202);
    let id = pending(&server, &root, "template_version").await;
    decide(&server, &root, &id, "approve", json!({})).await.expect(200);
    let greet = async |name: &str| {
        let body = json!({"to": "+8613800138000", "template": "greeting", "params": {"name": name}});
        server.post("/v1/messages", LIVE, body).await
    };
    greet("Ada").await.expect(202);
    for name in ["https://evil.example/x", "see www.evil.example", "evil.com", "HTTPS://EVIL.example"] {
        let refused = greet(name).await.refused(422, "invalid");
        assert_eq!((&refused["errors"][0]["pointer"], &refused["errors"][0]["code"]), (&json!("/params"), &json!("content")), "{name}");
        assert!(!refused.to_string().to_lowercase().contains("evil"), "the answer repeats the parameter");
    }
    let widened = json!({"link_domains": ["evil.example"]});
    let request = server.call(Method::PATCH, "/v1/admin/apps/shop", Some(&root), Some(widened)).await.expect(202);
    let anna = server.session("anna").await;
    decide(&server, &anna, request["id"].as_str().unwrap(), "approve", json!({})).await.expect(200);
    greet("https://evil.example/x").await.expect(202);
    let mut empty = otp("login-code");
    empty["params"]["code"] = json!("");
    server.post("/v1/messages", LIVE, empty).await.refused(422, "invalid");
}

#[tokio::test]
async fn each_language_has_versions_of_its_own_and_the_first_is_sent_where_none_is_named() {
    let world = World::new();
    let (_control, server) = world.open().await;
    let anna = server.session("anna").await;
    let approve = async |number: u32| {
        let path = format!("/v1/templates/hello/versions/{number}/submit");
        let request = server.post(&path, LIVE, json!({})).await.expect(202);
        decide(&server, &anna, request["id"].as_str().unwrap(), "approve", json!({})).await.expect(200);
    };
    let send = async |template: &str, locale: Value| {
        let body = json!({"to": "+8613800138000", "template": template, "locale": locale});
        server.post("/v1/messages/preview", LIVE, body).await
    };
    let body = json!({"name": "hello", "channel": "sms", "category": "transactional", "locale": "en", "text": "Hello"});
    server.post("/v1/templates", LIVE, body).await.expect(201);
    approve(1).await;
    server.post("/v1/templates/hello/versions", LIVE, json!({"text": "Hallo", "locale": "de"})).await.expect(201);
    send("hello", json!("de")).await.refused(422, "template_not_approved");
    approve(2).await;
    server.post("/v1/templates/hello/versions", LIVE, json!({"text": "Guten Tag", "locale": "de"})).await.expect(201);
    approve(3).await;
    for (template, locale, text) in [
        ("hello", Value::Null, "Hello"),
        ("hello", json!("en"), "Hello"),
        ("hello", json!("de"), "Guten Tag"),
        ("hello@2", Value::Null, "Hallo"),
        ("hello@2", json!("de"), "Hallo"),
    ] {
        assert_eq!(send(template, locale).await.expect(200)["text"], text, "{template}");
    }
    send("hello", json!("fr")).await.refused(422, "unknown_template");
    send("hello@2", json!("en")).await.refused(422, "unknown_template");
    send("hello@9", Value::Null).await.refused(422, "unknown_template");
    server.post("/v1/templates/hello/versions", LIVE, json!({"text": "x", "locale": "not a tag"})).await.refused(422, "invalid");
}
