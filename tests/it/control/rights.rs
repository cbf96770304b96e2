//! Every operation with every kind of caller. The table is made of the description that the routes themselves give, so a new
//! route is in it, and one that says nothing of its callers fails it.

use http::Method;
use serde_json::{Value, json};
use tidings::control::model::{Role, Scope};

use super::world::{LIVE, OTHER, Server, TEST, World};

/// What an operation's description says of its callers.
#[derive(Clone, Debug)]
enum Rule {
    Anybody,
    Machine(Scope),
    Person(Role),
}

#[derive(Clone, Debug)]
struct Operation {
    method: Method,
    path: String,
    rule: Rule,
}

/// Operations that answer whoever comes.
const PUBLIC: &[&str] =
    &["/livez", "/readyz", "/metrics", "/v1/oauth/token", "/v1/oauth/revoke", "/v1/admin/session", "/v1/receipts/{provider}"];

async fn operations(server: &Server) -> Vec<Operation> {
    let document = server.call(Method::GET, "/openapi.json", None, None).await.expect(200);
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in
            item.as_object().unwrap().iter().filter(|(name, _)| ["get", "post", "put", "patch", "delete"].contains(&name.as_str()))
        {
            let named: Vec<&str> = operation["security"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|one| one.get("bearer")?.as_array())
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let rule = match named.as_slice() {
                [] => {
                    assert!(PUBLIC.contains(&path.as_str()), "{method} {path} says nothing of who may call it");
                    Rule::Anybody
                }
                [word] => match (word.parse::<Scope>(), word.parse::<Role>()) {
                    (Ok(scope), _) => Rule::Machine(scope),
                    (_, Ok(role)) => Rule::Person(role),
                    _ => panic!("{method} {path} asks for {word}, which is neither a scope nor a role"),
                },
                many => panic!("{method} {path} asks for {many:?}"),
            };
            operations.push(Operation { method: method.to_uppercase().parse().unwrap(), path: path.clone(), rule });
        }
    }
    operations
}

/// An address that names nothing: who may come in is decided before what is there.
fn filled(path: &str) -> String {
    let id = |prefix: &str| format!("{prefix}_01h455vb4pex5vsknk084sn02q");
    let parts = path.split('/').collect::<Vec<_>>();
    let mut out = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let noun = index.checked_sub(1).and_then(|before| parts.get(before)).copied().unwrap_or_default();
        out.push(match (*part, noun) {
            (part, _) if !part.starts_with('{') => part.to_owned(),
            (_, "messages") => id("msg"),
            (_, "apps") => "shop".to_owned(),
            (_, "keys") => "key_01h455vb4pex5vsknk084sn02r".to_owned(),
            (_, "requests") => id("req"),
            (_, "suppressions") => id("sup"),
            (_, "users") => id("usr"),
            (_, "verifications") => id("vrf"),
            (_, "webhooks") => id("whk"),
            (_, "deliveries") => id("whd"),
            (_, "versions" | "revisions") => "4711".to_owned(),
            _ => "nothing-of-this-name".to_owned(),
        });
    }
    out.join("/")
}

struct Callers {
    /// Tokens that nobody may come in with.
    dead: Vec<(&'static str, Option<String>)>,
    machines: Vec<(&'static str, String, Vec<Scope>)>,
    people: Vec<(Role, String)>,
}

async fn callers(world: &World, server: &Server) -> Callers {
    let root = server.session("root").await;
    let all: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    let new_key = async |name: &str, scopes: &[&str]| {
        server.post("/v1/admin/apps/shop/keys", &root, json!({"name": name, "scopes": scopes})).await.expect(201)
    };
    let revoked = new_key("revoked", &all).await;
    let path = format!("/v1/admin/apps/shop/keys/{}", revoked["id"].as_str().unwrap());
    server.call(Method::DELETE, &path, Some(&root), None).await.expect(204);
    let logged_out = server.session("root").await;
    server.call(Method::DELETE, "/v1/admin/session", Some(&logged_out), None).await.expect(204);
    let expired = format!("tk_live_{}", "e".repeat(40));
    let file = format!(
        "[[apps]]\nname = \"shop\"\n[[apps.keys]]\nname = \"expired\"\nsecret = \"{expired}\"\nscopes = {all:?}\nexpires_at = \"2020-01-01T00:00:00Z\"\n"
    );
    let node = world.node("expired").await;
    tidings::control::Bootstrap::read(&file).unwrap().apply(&node).await.unwrap();

    let mut dead = vec![
        ("no token", None),
        ("no such key", Some(format!("tk_live_{}", "x".repeat(40)))),
        ("revoked key", revoked["secret"].as_str().map(str::to_owned)),
        ("expired key", Some(expired)),
        ("logged out", Some(logged_out.clone())),
        ("forged token", Some(format!("{}x", server.session("root").await))),
        ("no token at all", Some("eyJhbGciOiJub25lIn0.e30.".to_owned())),
    ];
    dead.push(("a token of nobody's key", Some(logged_out.replace('.', ".a"))));
    let mut machines = vec![
        ("live key", LIVE.to_owned(), Scope::ALL.to_vec()),
        ("test key", TEST.to_owned(), vec![Scope::MessagesSend, Scope::MessagesRead]),
        ("other app's key", OTHER.to_owned(), vec![Scope::MessagesSend, Scope::MessagesRead]),
    ];
    for scope in Scope::ALL {
        let key = new_key(scope.as_str(), &[scope.as_str()]).await;
        machines.push(("key of one scope", key["secret"].as_str().unwrap().to_owned(), vec![*scope]));
    }
    let mut people = Vec::new();
    for (name, role) in [("vera", Role::Viewer), ("otto", Role::Operator), ("anna", Role::Approver), ("root", Role::Admin)] {
        people.push((role, server.session(name).await));
    }
    Callers { dead, machines, people }
}

#[tokio::test]
async fn every_operation_takes_whom_it_says_and_nobody_else() {
    let world = World::new();
    let (_control, server) = world.open().await;
    let callers = callers(&world, &server).await;
    let operations = operations(&server).await;
    let mut cells = 0;
    for operation in operations.iter().filter(|operation| !matches!(operation.rule, Rule::Anybody)) {
        let path = filled(&operation.path);
        let body = (operation.method != Method::GET && operation.method != Method::DELETE).then(|| json!({"nothing": "of this name"}));
        let call = async |token: Option<&str>| server.call(operation.method.clone(), &path, token, body.clone()).await;
        let at = format!("{} {path}", operation.method);
        // Whoever is let in ends their own session by this one.
        let ends_session = operation.path == "/v1/admin/session";
        let mut refusals = Vec::new();
        for (who, token) in &callers.dead {
            let answer = call(token.as_deref()).await;
            assert_eq!((answer.status.as_u16(), &answer.body["code"]), (401, &json!("unauthorized")), "{at} with {who}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
            let mut body = answer.body;
            body["request_id"] = Value::Null;
            refusals.push(body);
            cells += 1;
        }
        assert!(refusals.windows(2).all(|pair| pair[0] == pair[1]), "{at}: the answer tells why somebody is not let in");
        for (who, token, scopes) in &callers.machines {
            let answer = call(Some(token)).await;
            let code = answer.body["code"].as_str().unwrap_or_default().to_owned();
            match &operation.rule {
                Rule::Machine(scope) if scopes.contains(scope) => {
                    assert!(!matches!(code.as_str(), "unauthorized" | "insufficient_scope" | "role_required"), "{at} with {who}: {code}");
                    assert!(answer.status.as_u16() < 500, "{at} with {who}: {}", answer.body);
                }
                Rule::Machine(_) => assert_eq!(code, "insufficient_scope", "{at} with {who} of {scopes:?}"),
                Rule::Person(_) => assert_eq!(code, "role_required", "{at} with {who}"),
                Rule::Anybody => {}
            }
            cells += 1;
        }
        for (role, token) in callers.people.iter().filter(|_| !ends_session) {
            let answer = call(Some(token)).await;
            let code = answer.body["code"].as_str().unwrap_or_default().to_owned();
            match &operation.rule {
                Rule::Person(least) if role >= least => {
                    assert!(!matches!(code.as_str(), "unauthorized" | "insufficient_scope" | "role_required"), "{at} as {role}: {code}");
                    assert!(answer.status.as_u16() < 500, "{at} as {role}: {}", answer.body);
                }
                Rule::Person(_) => assert_eq!(code, "role_required", "{at} as {role}"),
                Rule::Machine(_) => assert_eq!(code, "insufficient_scope", "{at} as {role}"),
                Rule::Anybody => {}
            }
            cells += 1;
        }
    }
    println!("{} operations, {cells} cells", operations.len());
    assert!(operations.len() > 40 && cells > 700, "{} operations, {cells} cells", operations.len());
}

/// Something in every listing.
async fn furnish(server: &Server) -> (String, String) {
    let otto = server.session("otto").await;
    let body = json!({"to": "+8613800138000", "template": "login-code", "params": {"code": "482913"}, "reference": "order-1"});
    let message = server.post("/v1/messages", LIVE, body).await.expect(202);
    let suppressed = json!({"to": "+8613800138001", "app": "shop", "reason": "asked for it"});
    server.post("/v1/admin/suppressions", &otto, suppressed).await.expect(201);
    let request = server.post("/v1/admin/apps", &otto, json!({"name": "new-app"})).await.expect(202);
    (message["id"].as_str().unwrap().to_owned(), request["id"].as_str().unwrap().to_owned())
}

/// The same in every run: ids by their kind, times as such, and of a listing the row that comes first in the alphabet, because
/// what was made in one millisecond has no order.
fn steady(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(name, value)| match (name.as_str(), value) {
                ("data", Value::Array(rows)) => (name.clone(), rows.iter().map(steady).min_by_key(Value::to_string).into_iter().collect()),
                ("request_id" | "next_cursor", Value::String(_)) => (name.clone(), json!("[text]")),
                _ => (name.clone(), steady(value)),
            })
            .collect(),
        Value::Array(values) => values.iter().map(steady).collect(),
        Value::String(text) if text.parse::<tidings_core::time::Timestamp>().is_ok() => json!("[time]"),
        Value::String(text) if uuid::Uuid::try_parse(text).is_ok() => json!("[uuid]"),
        Value::String(text) => match text.split_once('_') {
            Some((prefix, rest)) if rest.len() == 26 && rest.bytes().all(|b| b.is_ascii_alphanumeric()) => json!(format!("[{prefix}]")),
            _ => value.clone(),
        },
        other => other.clone(),
    }
}

#[tokio::test]
async fn what_each_role_sees_is_what_it_saw_before() {
    let world = World::new();
    let (_control, server) = world.open().await;
    let (message, request) = furnish(&server).await;
    let seen_by = |operation: &Operation| operation.method == Method::GET && matches!(operation.rule, Rule::Person(_));
    let reads: Vec<(String, String)> = operations(&server)
        .await
        .into_iter()
        .filter(seen_by)
        .map(|operation| {
            let address = match operation.path.as_str() {
                "/v1/admin/messages/{id}" => format!("/v1/admin/messages/{message}"),
                "/v1/admin/requests/{id}" => format!("/v1/admin/requests/{request}"),
                "/v1/admin/users/{id}" => "/v1/admin/users/otto".to_owned(),
                path => filled(path).replace("4711", "1"),
            };
            (operation.path, address)
        })
        .collect();
    let mut seen = serde_json::Map::new();
    let mut below: Option<Value> = None;
    for (name, role) in [("vera", "viewer"), ("otto", "operator"), ("anna", "approver"), ("root", "admin")] {
        let token = server.session(name).await;
        let mut sees = json!({});
        let mut more = json!({});
        for (path, address) in &reads {
            let answer = server.get(address, &token).await;
            sees[path] = if answer.status == 200 { steady(&answer.body) } else { answer.body["code"].clone() };
            // A role sees what those before it see; only what is more is listed.
            if below.as_ref().is_none_or(|below| below[path] != sees[path]) {
                more[path] = sees[path].clone();
            }
        }
        below = Some(sees);
        seen.insert(role.to_owned(), more);
    }
    insta::assert_json_snapshot!(seen);
}

#[tokio::test]
async fn what_belongs_to_another_app_is_not_there() {
    let world = World::new();
    let (_control, server) = world.open().await;
    let body = json!({"to": "+8613800138000", "template": "login-code", "params": {"code": "482913"}});
    let sent = server.post("/v1/messages", LIVE, body).await.expect(202);
    let path = format!("/v1/messages/{}", sent["id"].as_str().unwrap());
    server.get(&path, LIVE).await.expect(200);
    server.get(&path, OTHER).await.refused(404, "not_found");
    // The staff sees it with its recipient masked, and every sight of the rest is on record.
    let otto = server.session("otto").await;
    let path = format!("/v1/admin/messages/{}", sent["id"].as_str().unwrap());
    let seen = server.get(&path, &otto).await.expect(200);
    assert_eq!(seen["to"], "+86138****8000");
    assert!(!seen.to_string().contains("482913"));
    server.post(&format!("{path}/reveal"), &otto, json!({})).await.refused(422, "invalid");
    let revealed = server.post(&format!("{path}/reveal"), &otto, json!({"reason": "a customer asks"})).await.expect(200);
    assert_eq!(revealed, json!({"to": "+8613800138000", "text": "Your code is 482913."}));
    let anna = server.session("anna").await;
    let log = server.get("/v1/admin/audit?action=message.revealed", &anna).await.expect(200);
    assert_eq!(
        (&log["data"][0]["actor"], &log["data"][0]["reason"], &log["data"][0]["address"]),
        (&json!("otto"), &json!("a customer asks"), &json!("192.0.2.1"))
    );
    assert!(log["data"][0]["request_id"].is_string());
}
