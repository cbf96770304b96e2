//! Every operation of the OpenAPI document, called with what it allows and with what it does not: the answer is one that the
//! document describes, never a 5xx, never a panic. Calls are made from the document, so a new route cannot be forgotten.

use std::collections::BTreeMap;

use axum::body::Body;
use http::{Method, Request};
use proptest::{
    prelude::*,
    test_runner::{TestCaseError, TestRunner},
};
use serde_json::{Map, Value, json};

use super::schema::Schemas;
use crate::harness::{Answer, App, LIVE};

/// Calls of each operation.
const CASES: u32 = 40;

/// One operation of the document.
struct Operation {
    method: Method,
    path: String,
    described: Value,
}

fn operations(document: &Value) -> Vec<Operation> {
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, &Value)| {
        let methods = item.as_object().unwrap().clone();
        let path = path.clone();
        methods.into_iter().filter_map(move |(method, described)| {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).ok().filter(|_| method != "parameters")?;
            Some(Operation { method, path: path.clone(), described })
        })
    };
    let mut all: Vec<Operation> = paths.iter().flat_map(of_path).collect();
    // The control plane last: it may take from the teams what they need.
    all.sort_by_key(|operation| operation.path.starts_with("/v1/admin/"));
    all
}

/// Numbers that decide everything about a call, drawn by proptest so that a failing call can be made again.
#[derive(Debug)]
struct Draw(Vec<u32>, usize);

impl Draw {
    fn below(&mut self, count: usize) -> usize {
        self.1 += 1;
        self.0[self.1 % self.0.len()] as usize % count
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// What no schema asks for.
fn junk(draw: &mut Draw) -> Value {
    let long = "x".repeat(5_000);
    let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
    let all = [
        Value::Null,
        json!(true),
        json!(-1),
        json!(0),
        json!(u64::MAX),
        json!(1.5e308),
        json!(""),
        json!("\u{0}"),
        json!("\u{202e}\u{feff}😀"),
        json!(long),
        json!("999999999999999999999999999999"),
        json!("9999-12-31T23:59:60Z"),
        json!([]),
        json!({}),
        json!({"a": {"b": [null]}}),
        deep,
    ];
    draw.of(&all).clone()
}

/// A value of a schema, now and then with something wrong in it.
fn value(schemas: &Schemas, schema: &Value, draw: &mut Draw) -> Value {
    let schema = schemas.resolved(schema);
    if draw.one_in(25) {
        return junk(draw);
    }
    if let Some(example) = schema.get("example").filter(|_| !draw.one_in(3)) {
        return example.clone();
    }
    if let Some(words) = schema["enum"].as_array() {
        return draw.of(words).clone();
    }
    for (choice, keyword) in [(true, "oneOf"), (true, "anyOf"), (false, "allOf")] {
        let Some(parts) = schema[keyword].as_array() else { continue };
        if choice {
            let part = draw.of(parts).clone();
            return value(schemas, &part, draw);
        }
        let mut all = Map::new();
        for part in parts {
            all.extend(value(schemas, part, draw).as_object().cloned().unwrap_or_default());
        }
        return all.into();
    }
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.clone(),
        Value::Null => return junk(draw),
        kind => vec![kind.clone()],
    };
    match draw.of(&kinds).as_str().unwrap() {
        "object" => object(schemas, schema, draw),
        "array" => (0..draw.below(3)).map(|_| value(schemas, &schema["items"], draw)).collect(),
        "integer" => json!(schema["minimum"].as_i64().unwrap_or(0) + draw.below(20) as i64),
        "number" => json!(1.25),
        "boolean" => json!(draw.one_in(2)),
        "null" => Value::Null,
        _ => text(schema, draw),
    }
}

fn text(schema: &Value, draw: &mut Draw) -> Value {
    if schema["format"] == "date-time" {
        return draw.of(&[json!("2020-01-01T00:00:00Z"), json!("2099-01-01T00:00:00.000Z"), json!("now")]).clone();
    }
    let words = ["+8613800138000", "login-code", "shop", "sms", "0.05", "a", "1", "hello", "msg_01h455vb4pex5vsknk084sn02q", "ü 码"];
    json!(draw.of(&words))
}

fn object(schemas: &Schemas, schema: &Value, draw: &mut Draw) -> Value {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut made = Map::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let wanted = if required.contains(&name.as_str()) { !draw.one_in(20) } else { draw.one_in(3) };
        if wanted {
            made.insert(name.clone(), value(schemas, property, draw));
        }
    }
    let others = &schema["additionalProperties"];
    if others.is_object() && draw.one_in(2) {
        made.insert("code".to_owned(), value(schemas, others, draw));
    }
    if draw.one_in(20) {
        made.insert("what".to_owned(), junk(draw));
    }
    made.into()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A name of this kind that means something.
fn there<'a>(operation: &Operation, parameter: &str, message: &'a str) -> &'a str {
    match parameter {
        "{number}" | "{version}" => "1",
        "{id}" if operation.path.contains("/apps/") => "shop",
        "{id}" => message,
        "{provider}" => "a",
        _ if operation.path.contains("/providers/") => "a",
        _ => "login-code",
    }
}

/// Where the call goes: parameters of the path are names of things that are there, or not, or nonsense.
fn address(operation: &Operation, schemas: &Schemas, draw: &mut Draw, message: &str) -> String {
    let names = [message, "msg_01h455vb4pex5vsknk084sn02q", "shop", "a", "1", "login-code", "%F0%9F", "%00", "..%2F..", "key_1", "-1"];
    let mut pieces: Vec<String> = operation.path.split('/').map(str::to_owned).collect();
    for piece in pieces.iter_mut().filter(|piece| piece.starts_with('{')) {
        *piece = if draw.one_in(2) { there(operation, piece, message) } else { draw.of(&names) }.to_owned();
    }
    let mut query = Vec::new();
    for parameter in operation.described["parameters"].as_array().into_iter().flatten().filter(|parameter| parameter["in"] == "query") {
        if draw.one_in(4) {
            let given = plain(&value(schemas, &parameter["schema"], draw));
            query.push(format!("{}={}", parameter["name"].as_str().unwrap(), encoded(&given)));
        }
    }
    if draw.one_in(15) {
        query.push(draw.of(&["what=1", "limit=1&limit=2", "%FF=%FF", "=", "cursor=%00"]).to_string());
    }
    let path = pieces.join("/");
    if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
}

/// The body in a content type that is described, or broken on its way.
fn body(operation: &Operation, schemas: &Schemas, draw: &mut Draw) -> (Vec<u8>, String) {
    let Some((kind, content)) = operation.described["requestBody"]["content"].as_object().and_then(|content| content.iter().next()) else {
        return (Vec::new(), String::new());
    };
    let made = value(schemas, &content["schema"], draw);
    let mut bytes = if kind == "application/json" {
        made.to_string().into_bytes()
    } else {
        let fields = made.as_object().cloned().unwrap_or_default();
        fields.iter().map(|(name, value)| format!("{name}={}", encoded(&plain(value)))).collect::<Vec<_>>().join("&").into_bytes()
    };
    match draw.below(14) {
        0 => bytes.truncate(bytes.len() / 2),
        1 => bytes.push(0xff),
        2 => bytes.extend_from_slice(b"{}"),
        _ => {}
    }
    let kind =
        if draw.one_in(14) { (*draw.of(&["text/plain", "", "application/json; charset=latin1", "*/*"])).to_owned() } else { kind.clone() };
    (bytes, kind)
}

fn call(operation: &Operation, schemas: &Schemas, draw: &mut Draw, token: &str, message: &str) -> Option<Request<Body>> {
    let mut request = Request::builder().method(&operation.method).uri(address(operation, schemas, draw, message));
    let tokens = [format!("Bearer {token}"), format!("bearer  {token}"), "Bearer x".to_owned(), "Basic eDp5".to_owned(), String::new()];
    let token = if draw.one_in(20) { draw.of(&tokens) } else { &tokens[0] };
    if !token.is_empty() {
        request = request.header("authorization", token);
    }
    let (bytes, kind) = body(operation, schemas, draw);
    if !kind.is_empty() {
        request = request.header("content-type", kind);
    }
    for name in ["idempotency-key", "traceparent", "accept", "x-forwarded-for", "x-request-id", "if-none-match"] {
        if draw.one_in(10) {
            let values: [&[u8]; 6] =
                [b"k1", b"", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", b"\xff\xfe", b"a b", b"text/csv"];
            request = request.header(name, *draw.of(&values));
        }
    }
    request.body(Body::from(bytes)).ok()
}

/// The answer is one of those that the document describes for the operation.
fn is_described(operation: &Operation, schemas: &Schemas, answer: &Answer) -> Result<(), TestCaseError> {
    let status = answer.status.as_u16();
    let place = format!("{} {} answered {status}: {}", operation.method, operation.path, String::from_utf8_lossy(&answer.bytes));
    prop_assert!(status < 500, "{}", place);
    prop_assert!(answer.header("x-request-id").is_some(), "{}", place);
    let described = schemas.resolved(&operation.described["responses"][status.to_string()]);
    // A broken address is no operation's.
    if described.is_null() && status == 404 && operation.path.contains('{') {
        return Ok(());
    }
    prop_assert!(described.is_object(), "{} is not described", place);
    let kind = answer.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default().to_owned();
    let Some(contents) = described["content"].as_object() else {
        prop_assert!(answer.bytes.is_empty(), "{} has a body that is not described", place);
        return Ok(());
    };
    let content = contents.iter().find(|(name, _)| name.split(';').next() == Some(kind.as_str()));
    let Some((_, content)) = content else { return Err(TestCaseError::fail(format!("{place} is {kind:?}, which is not described"))) };
    if kind.ends_with("json") {
        let body: Value = serde_json::from_slice(&answer.bytes).map_err(|error| TestCaseError::fail(format!("{place}: {error}")))?;
        schemas.check(&content["schema"], &body).map_err(|fault| TestCaseError::fail(format!("{place}: {fault}")))?;
        if kind == "application/problem+json" {
            let known = tidings::api::problem::Code::ALL.iter().any(|code| body["code"] == code.as_str() && status == code.status());
            prop_assert!(known && body["status"] == status, "{}", place);
        }
    }
    Ok(())
}

async fn session(app: &App) -> String {
    let answer = app.post("", "/v1/admin/session", &json!({"name": "root", "password": "correct horse battery"})).await;
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_answers_as_the_document_says_whatever_it_is_asked() {
    let app = App::start().await;
    let document = app.get("", "/openapi.json").await.json();
    let schemas = Schemas::of(&document);
    let message = app.send(LIVE, &json!({"to": "+8613800138000", "text": "hello", "hold": true})).await;
    let handle = tokio::runtime::Handle::current();
    let mut answered: BTreeMap<String, usize> = BTreeMap::new();
    let mut token = session(&app).await;
    let mut faults: Vec<String> = Vec::new();
    for operation in operations(&document) {
        let tally = std::cell::RefCell::new((&mut answered, &mut token));
        let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
        let outcome = tokio::task::block_in_place(|| {
            TestRunner::new(config).run(&proptest::collection::vec(any::<u32>(), 64), |numbers| {
                let (answered, token) = &mut *tally.borrow_mut();
                let bearer = if operation.path.starts_with("/v1/admin/") { token.as_str() } else { LIVE };
                let Some(request) = call(&operation, &schemas, &mut Draw(numbers, 0), bearer, &message) else { return Ok(()) };
                let answer = handle.block_on(app.ask(request));
                is_described(&operation, &schemas, &answer)?;
                if answer.status.is_success() {
                    *answered.entry(format!("{} {}", operation.method, operation.path)).or_default() += 1;
                }
                if operation.path == "/v1/admin/session" && answer.status == 204 {
                    **token = handle.block_on(session(&app));
                }
                Ok(())
            })
        });
        faults.extend(outcome.err().map(|fault| fault.to_string().lines().next().unwrap_or_default().to_owned()));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // Calls that are only ever refused would prove little.
    for often in [
        "POST /v1/messages",
        "POST /v1/messages/batch",
        "POST /v1/messages/preview",
        "GET /v1/messages",
        "GET /v1/messages/{id}",
        "GET /v1/templates",
        "GET /v1/admin/apps",
        "GET /v1/admin/messages",
    ] {
        assert!(answered.get(often).is_some_and(|count| *count > 2), "{often} hardly ever succeeded: {answered:?}");
    }
    app.stop().await;
}
