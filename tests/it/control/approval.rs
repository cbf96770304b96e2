//! Requests: what widens waits for other eyes, and what was approved is in force at once on the send path.

use http::Method;
use serde_json::{Value, json};

use super::world::{LIVE, OTHER, Server, World};

pub fn otp(template: &str) -> Value {
    json!({"to": "+8613800138000", "template": template, "params": {"code": "482913"}})
}

pub async fn pending(server: &Server, token: &str, kind: &str) -> String {
    let page = server.get(&format!("/v1/admin/requests?status=pending&kind={kind}"), token).await.expect(200);
    page["data"][0]["id"].as_str().unwrap_or_else(|| panic!("no pending {kind}: {page}")).to_owned()
}

pub async fn decide(server: &Server, token: &str, id: &str, how: &str, body: Value) -> super::world::Answer {
    server.post(&format!("/v1/admin/requests/{id}/{how}"), token, body).await
}

#[tokio::test]
async fn a_template_is_sent_only_once_somebody_else_has_approved_it() {
    let world = World::new();
    let (_control, server) = world.open().await;
    let anna = server.session("anna").await;
    let body = json!({"name": "greeting", "channel": "sms", "category": "otp", "text": "Use {{ code }} now.\nNever share it."});
    let made = server.post("/v1/templates", LIVE, body.clone()).await.expect(201);
    assert_eq!((&made["versions"][0]["status"], &made["versions"][0]["params"]), (&json!("draft"), &json!(["code"])));
    server.post("/v1/templates", LIVE, body).await.refused(409, "already_exists");
    server.post("/v1/messages", LIVE, otp("greeting")).await.refused(422, "template_not_approved");

    let submitted = server.post("/v1/templates/greeting/versions/1/submit", LIVE, json!({})).await.expect(202);
    assert_eq!((&submitted["kind"], &submitted["status"]), (&json!("template_version"), &json!("pending")));
    server.post("/v1/templates/greeting/versions/1/submit", LIVE, json!({})).await.refused(409, "already_exists");
    server.post("/v1/messages", LIVE, otp("greeting")).await.refused(422, "template_not_approved");
    let id = pending(&server, &anna, "template_version").await;
    let approved = decide(&server, &anna, &id, "approve", json!({"comment": "fine"})).await.expect(200);
    assert_eq!((&approved["status"], &approved["decided_by"], &approved["reason"]), (&json!("approved"), &json!("anna"), &json!("fine")));
    let sent = server.post("/v1/messages", LIVE, otp("greeting")).await.expect(202);
    assert_eq!(sent["template"], "greeting@1");

    // The next version shows what changed, is rejected with a reason, and the old one stays in force.
    let next = json!({"text": "Use {{ code }} soon.\nNever share it."});
    server.post("/v1/templates/greeting/versions", LIVE, next).await.expect(201);
    let submitted = server.post("/v1/templates/greeting/versions/2/submit", LIVE, json!({})).await.expect(202);
    assert_eq!(submitted["change"]["diff"], json!(["- Use {{ code }} now.", "+ Use {{ code }} soon.", "  Never share it."]));
    let id = submitted["id"].as_str().unwrap();
    decide(&server, &anna, id, "reject", json!({})).await.refused(422, "invalid");
    decide(&server, &anna, id, "reject", json!({"reason": "soon is vague"})).await.expect(200);
    decide(&server, &anna, id, "approve", json!({})).await.refused(409, "not_pending");
    let shown = server.get("/v1/templates/greeting", LIVE).await.expect(200);
    assert_eq!((&shown["versions"][1]["status"], &shown["versions"][1]["reason"]), (&json!("rejected"), &json!("soon is vague")));
    assert_eq!(server.post("/v1/messages", LIVE, otp("greeting")).await.expect(202)["template"], "greeting@1");
    server.post("/v1/messages", LIVE, otp("greeting@2")).await.refused(422, "template_not_approved");

    server.post("/v1/templates/greeting/archive", LIVE, json!({})).await.expect(200);
    server.post("/v1/messages", LIVE, otp("greeting")).await.refused(422, "template_not_approved");
}

#[tokio::test]
async fn a_pending_version_can_be_taken_back_and_submitted_again() {
    let world = World::new();
    let (_control, server) = world.open().await;
    let anna = server.session("anna").await;
    let body = json!({"name": "t", "channel": "sms", "category": "transactional", "text": "Hello {{ name }}"});
    server.post("/v1/templates", LIVE, body).await.expect(201);
    server.post("/v1/templates/t/versions/1/withdraw", LIVE, json!({})).await.refused(409, "not_pending");
    server.post("/v1/templates/t/versions/1/submit", LIVE, json!({})).await.expect(202);
    let id = pending(&server, &anna, "template_version").await;
    assert_eq!(server.post("/v1/templates/t/versions/1/withdraw", LIVE, json!({})).await.expect(200)["status"], "withdrawn");
    decide(&server, &anna, &id, "approve", json!({})).await.refused(409, "not_pending");
    server.post("/v1/templates/t/versions/1/submit", LIVE, json!({})).await.expect(202);
    // Another app has no such template.
    let root = server.session("root").await;
    let key = json!({"name": "w", "scopes": ["templates:write"]});
    let other = server.post("/v1/admin/apps/other/keys", &root, key).await.expect(201);
    server.post("/v1/templates/t/versions/1/withdraw", other["secret"].as_str().unwrap(), json!({})).await.refused(404, "not_found");
}

#[tokio::test]
async fn a_signature_is_used_once_approved() {
    let world = World::new();
    let (_control, server) = world.open().await;
    let anna = server.session("anna").await;
    server.post("/v1/signatures", LIVE, json!({"name": "Globex"})).await.expect(201);
    let signed = |name: &str| {
        let mut body = otp("login-code");
        body["signature"] = name.into();
        body
    };
    server.post("/v1/messages", LIVE, signed("Globex")).await.refused(422, "signature_not_approved");
    server.post("/v1/messages", LIVE, signed("Initech")).await.refused(422, "unknown_signature");
    server.post("/v1/signatures/Globex/withdraw", LIVE, json!({})).await.refused(409, "not_pending");
    server.post("/v1/signatures/Globex/submit", LIVE, json!({})).await.expect(202);
    assert_eq!(server.post("/v1/signatures/Globex/withdraw", LIVE, json!({})).await.expect(200)["status"], "withdrawn");
    server.post("/v1/signatures/Globex/withdraw", LIVE, json!({})).await.refused(409, "not_pending");
    server.post("/v1/signatures/Globex/submit", LIVE, json!({})).await.expect(202);
    server.post("/v1/signatures/Globex/submit", LIVE, json!({})).await.refused(409, "already_exists");
    let id = pending(&server, &anna, "signature").await;
    decide(&server, &anna, &id, "approve", json!({})).await.expect(200);
    server.post("/v1/messages", LIVE, signed("Globex")).await.expect(202);
}

#[tokio::test]
async fn nobody_approves_their_own_request_not_even_through_a_key() {
    let world = World::new();
    let (_control, server) = world.open().await;
    let (anna, root) = (server.session("anna").await, server.session("root").await);
    server.post("/v1/admin/apps", &anna, json!({"name": "new-app"})).await.expect(202);
    let id = pending(&server, &root, "app").await;
    decide(&server, &anna, &id, "approve", json!({})).await.refused(403, "own_request");
    server.post("/v1/admin/apps", &anna, json!({"name": "new-app"})).await.refused(409, "already_exists");
    let request = decide(&server, &root, &id, "approve", json!({})).await.expect(200);
    let app = server.get("/v1/admin/apps/new-app", &anna).await.expect(200);
    assert_eq!((&app["id"], &app["live"]), (&request["app"], &json!(false)));

    let key = json!({"name": "annas", "scopes": ["templates:write"]});
    let key = server.post("/v1/admin/apps/new-app/keys", &anna, key).await.expect(201);
    let secret = key["secret"].as_str().unwrap();
    let body = json!({"name": "t", "channel": "sms", "category": "transactional", "text": "Hello"});
    server.post("/v1/templates", secret, body).await.expect(201);
    server.post("/v1/templates/t/versions/1/submit", secret, json!({})).await.expect(202);
    let id = pending(&server, &root, "template_version").await;
    decide(&server, &anna, &id, "approve", json!({})).await.refused(403, "own_request");
    decide(&server, &root, &id, "approve", json!({})).await.expect(200);
}

#[tokio::test]
async fn what_widens_an_app_waits_and_what_narrows_it_acts_at_once() {
    let world = World::new();
    let (_control, server) = world.open().await;
    let (otto, anna) = (server.session("otto").await, server.session("anna").await);
    let patch = async |app: &str, body: Value| server.call(Method::PATCH, &format!("/v1/admin/apps/{app}"), Some(&otto), Some(body)).await;
    let text = json!({"to": "+8613800138000", "text": "Hello"});

    server.post("/v1/messages", OTHER, text.clone()).await.refused(403, "app_not_live");
    let request = patch("other", json!({"live": true, "free_text": true, "daily_quota": 5})).await.expect(202);
    assert_eq!(request["change"], json!({"from": {"free_text": false, "live": false}, "to": {"free_text": true, "live": true}}));
    assert_eq!(server.get("/v1/admin/apps/other", &otto).await.expect(200)["daily_quota"], 5);
    server.post("/v1/messages", OTHER, text.clone()).await.refused(403, "app_not_live");
    decide(&server, &anna, request["id"].as_str().unwrap(), "approve", json!({})).await.expect(200);
    server.post("/v1/messages", OTHER, text.clone()).await.expect(202);

    assert_eq!(patch("shop", json!({"countries": ["+49"]})).await.expect(200)["countries"], json!(["49"]));
    server.post("/v1/messages", LIVE, text.clone()).await.refused(403, "country_not_allowed");
    patch("shop", json!({"countries": []})).await.expect(202);
    assert_eq!(patch("shop", json!({"suspended": true})).await.expect(200)["suspended"], true);
    server.post("/v1/messages", LIVE, text).await.refused(403, "app_suspended");
    patch("shop", json!({"suspended": false})).await.expect(202);
    patch("shop", json!({"livee": true, "max_per_s": -1})).await.refused(422, "invalid");
    patch("nobody", json!({})).await.refused(404, "not_found");
}

#[tokio::test]
async fn a_suppressed_recipient_is_refused_by_every_app_or_by_one() {
    let world = World::new();
    let (_control, server) = world.open().await;
    let otto = server.session("otto").await;
    let body = json!({"to": "+8613800138000", "app": "shop", "reason": "asked for it"});
    let made = server.post("/v1/admin/suppressions", &otto, body.clone()).await.expect(201);
    assert_eq!(made["to"], "+86138****8000");
    server.post("/v1/admin/suppressions", &otto, body).await.refused(409, "already_exists");
    server.post("/v1/messages", LIVE, otp("login-code")).await.refused(422, "recipient_suppressed");
    let path = format!("/v1/admin/suppressions/{}", made["id"].as_str().unwrap());
    server.call(Method::DELETE, &path, Some(&otto), None).await.expect(204);
    server.call(Method::DELETE, &path, Some(&otto), None).await.refused(404, "not_found");
    server.post("/v1/messages", LIVE, otp("login-code")).await.expect(202);
    server.post("/v1/admin/suppressions", &otto, json!({"to": "+8613800138000", "reason": "all"})).await.expect(201);
    server.post("/v1/messages", LIVE, otp("login-code")).await.refused(422, "recipient_suppressed");
}

#[tokio::test]
async fn a_routing_revision_is_reviewed_tried_raised_and_rolled_back() {
    let world = World::new();
    let (control, server) = world.open().await;
    let (otto, anna, root) = (server.session("otto").await, server.session("anna").await, server.session("root").await);
    let revisions = "/v1/admin/routing/revisions";
    let bad = json!({"providers": [{"name": "a", "kind": "simulated", "channel": "sms", "weigth": 1}, {"name": "b", "kind": "http", "channel": "sms"}],
                     "routes": [{"providers": ["c"]}]});
    let refused = server.post(revisions, &otto, bad).await.refused(422, "invalid");
    let pointers: Vec<&str> = refused["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    for pointer in ["/providers/0/weigth", "/providers/1/settings/url", "/routes/0/providers/0"] {
        assert!(pointers.contains(&pointer), "{pointer} is not in {pointers:?}");
    }

    // Secrets that are left out keep their value.
    let document = json!({"providers": [
        {"name": "a", "kind": "simulated", "channel": "sms", "weight": 10},
        {"name": "b", "kind": "http", "channel": "sms", "settings": {"url": "http://127.0.0.1:9001/send"}}], "routes": []});
    let made = server.post(revisions, &anna, document).await.expect(201);
    assert_eq!((&made["number"], &made["status"], &made["percent"]), (&json!(2), &json!("draft"), &json!(0)));
    assert!(!made.to_string().contains("canary-credential"));
    let diff = server.get(&format!("{revisions}/2/diff?from=1"), &otto).await.expect(200);
    let paths: Vec<&str> = diff["changes"].as_array().unwrap().iter().map(|change| change["path"].as_str().unwrap()).collect();
    assert!(
        paths.contains(&"/providers/a/weight") && !paths.iter().any(|path| path.contains("headers") || path.contains("receipt_token")),
        "{paths:?}"
    );

    server.post(&format!("{revisions}/2/activate"), &root, json!({"percent": 10})).await.refused(409, "not_approved");
    let request = server.post(&format!("{revisions}/2/submit"), &anna, json!({})).await.expect(202);
    let id = request["id"].as_str().unwrap();
    decide(&server, &anna, id, "approve", json!({})).await.refused(403, "own_request");
    decide(&server, &root, id, "approve", json!({})).await.expect(200);
    server.post(&format!("{revisions}/2/activate"), &anna, json!({"percent": 10})).await.refused(403, "own_request");
    server.post(&format!("{revisions}/2/activate"), &root, json!({"percent": 0})).await.refused(422, "invalid");

    let share = || {
        let snapshot = control.snapshot();
        let numbers = (0..10_000).map(|n| format!("+86138{n:08}"));
        numbers.filter(|to| snapshot.routing().for_recipient(to).is_some_and(|revision| revision.number == 2)).count()
    };
    let activated = server.post(&format!("{revisions}/2/activate"), &root, json!({"percent": 10})).await.expect(200);
    assert_eq!(activated["percent"], 10);
    assert!((850..1_150).contains(&share()), "{}", share());
    server.post(&format!("{revisions}/2/activate"), &root, json!({"percent": 100})).await.expect(200);
    assert_eq!(share(), 10_000);
    server.post(&format!("{revisions}/1/activate"), &root, json!({"percent": 100})).await.expect(200);
    assert_eq!(share(), 0);
    let rows = server.get(revisions, &otto).await.expect(200);
    assert_eq!((&rows["data"][0]["number"], &rows["data"][0]["percent"], &rows["data"][1]["percent"]), (&json!(2), &json!(0), &json!(100)));

    // A document may be handed in as it is shown: what is shown sealed keeps its value.
    let shown = server.get(&format!("{revisions}/1"), &otto).await.expect(200)["document"].clone();
    assert!(shown.to_string().contains("[sealed]"));
    let number = server.post(revisions, &otto, shown).await.expect(201)["number"].as_u64().unwrap();
    let same = server.get(&format!("{revisions}/{number}/diff?from=1"), &otto).await.expect(200);
    assert_eq!(same["changes"], json!([]));

    // The credential came along although nobody gave it again.
    let snapshot = control.snapshot();
    let provider = snapshot.revision(2).unwrap().document.provider("b").unwrap();
    let opened = tidings::control::routing::open_settings(provider, &control.sealing()).unwrap();
    assert_eq!(opened["headers"]["Authorization"], "Bearer canary-credential");
    for path in [revisions.to_owned(), format!("{revisions}/1"), format!("{revisions}/2")] {
        let shown = server.get(&path, &root).await.expect(200).to_string();
        assert!(!shown.contains("canary-credential") && !shown.contains("a-receipt-token-of-b"), "{path}");
    }
}
