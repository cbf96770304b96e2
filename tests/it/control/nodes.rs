//! Two real processes on one database: what one of them ends, the other refuses within five seconds.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidings::{assembly::Role, clock::Clock, seal::Keyring};
use tidings_core::message::{Category, Channel};

use crate::{
    faults::node::{KEY, Node},
    harness::App,
    patience::within,
    servers,
};

const PEOPLE: &str = r#"
[[users]]
name = "root"
role = "admin"
password = "correct horse"
[[users]]
name = "otto"
role = "operator"
password = "correct horse"
"#;
/// As long as a revocation may take.
const MOST: Duration = Duration::from_secs(5);

struct Process {
    node: Node,
    _home: TempDir,
}

impl Process {
    async fn start(settings: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let key = home.path().join("master.key");
        std::fs::write(&key, Keyring::line(&[7; 32])).unwrap();
        let settings = format!("{settings}\n[secrets]\nmaster_key_file = \"{}\"\n", key.display());
        Self { node: Node::start_with_http(home.path(), PEOPLE, &settings).await, _home: home }
    }

    async fn call(&self, method: Method, path: &str, token: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.node.client.request(method, self.node.url(path)).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str, token: &str) -> u16 {
        self.call(Method::GET, path, token, None).await.0
    }

    async fn session(&self, name: &str) -> Value {
        let body = json!({"name": name, "password": "correct horse"});
        self.node.client.post(self.node.url("/v1/admin/session")).json(&body).send().await.unwrap().json().await.unwrap()
    }

    async fn form(&self, fields: &[(&str, &str)]) -> (u16, Value) {
        let answer = self.node.client.post(self.node.url("/v1/oauth/token")).form(fields).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// How long this process goes on letting a token in.
    async fn refuses(&self, what: &str, path: &str, token: &str) {
        let clock = Clock::system();
        let began = clock.moment();
        within(MOST, what, async || self.get(path, token).await == 401).await;
        println!("{what}: refused there after {:?}", clock.moment().since(began));
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}

async fn what_one_ends_the_other_refuses(settings: &str) {
    let (here, there) = (Process::start(settings).await, Process::start(settings).await);
    let root = here.session("root").await;
    let root = text(&root["access_token"]);
    assert_eq!(there.get("/v1/admin/apps", root).await, 200, "a session is good on every node at once");

    // A key, and the tokens that it was exchanged for.
    let body = json!({"name": "next", "scopes": ["messages:send", "messages:read"]});
    let (status, key) = here.call(Method::POST, "/v1/admin/apps/shop/keys", root, Some(body)).await;
    assert_eq!(status, 201, "{key}");
    // A node asks for what it does not know, but not more than four times a second.
    let known = "a new key is good on the other node";
    within(MOST, known, async || there.get("/v1/messages", text(&key["secret"])).await == 200).await;
    let exchange = [("grant_type", "client_credentials"), ("client_id", text(&key["id"])), ("client_secret", text(&key["secret"]))];
    let (_, tokens) = here.form(&exchange).await;
    assert_eq!(there.get("/v1/messages", text(&tokens["access_token"])).await, 200);

    // A used refresh token that comes again, to the other node, ends its family on both.
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", text(&tokens["refresh_token"]))];
    let (status, next) = here.form(&refresh).await;
    assert_eq!(status, 200, "{next}");
    let (status, refused) = there.form(&refresh).await;
    assert_eq!((status, &refused["error"]), (400, &json!("invalid_grant")));
    here.refuses("a reused family", "/v1/messages", text(&next["access_token"])).await;

    let (_, tokens) = there.form(&exchange).await;
    assert_eq!(here.get("/v1/messages", text(&tokens["access_token"])).await, 200);
    let path = format!("/v1/admin/apps/shop/keys/{}", text(&key["id"]));
    assert_eq!(here.call(Method::DELETE, &path, root, None).await.0, 204);
    there.refuses("a revoked key", "/v1/messages", text(&key["secret"])).await;
    there.refuses("a revoked key's token", "/v1/messages", text(&tokens["access_token"])).await;
    assert_eq!(there.get("/v1/messages", KEY).await, 200, "another key of the app goes on");

    let otto = there.session("otto").await;
    let otto = text(&otto["access_token"]);
    assert_eq!(here.get("/v1/admin/apps", otto).await, 200);
    assert_eq!(there.call(Method::DELETE, "/v1/admin/session", otto, None).await.0, 204);
    here.refuses("a log-out", "/v1/admin/apps", otto).await;
    let otto = there.session("otto").await;
    let otto = text(&otto["access_token"]);
    assert_eq!(here.call(Method::PATCH, "/v1/admin/users/otto", root, Some(json!({"disabled": true}))).await.0, 200);
    there.refuses("a disabled person", "/v1/admin/apps", otto).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_process_ends_another_refuses_within_five_seconds_on_postgres() {
    let Some(database) = servers::database().await else { return };
    what_one_ends_the_other_refuses(&format!("[database]\nurl = \"{database}\"")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_process_ends_another_refuses_within_five_seconds_with_redis() {
    let (Some(database), Some(redis)) = (servers::database().await, servers::redis()) else { return };
    let prefix = servers::fresh_name();
    what_one_ends_the_other_refuses(&format!("[database]\nurl = \"{database}\"\n[redis]\nurl = \"{redis}\"\nkey_prefix = \"{prefix}\""))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_each_process_count_what_all_of_them_did() {
    let (Some(database), Some(redis)) = (servers::database().await, servers::redis()) else { return };
    let keys = tempfile::tempdir().unwrap();
    let key = keys.path().join("master.key");
    std::fs::write(&key, Keyring::line(&[7; 32])).unwrap();
    let (prefix, key) = (servers::fresh_name(), key.display());
    let shared = format!("[redis]\nurl = \"{redis}\"\nkey_prefix = \"{prefix}\"\n[secrets]\nmaster_key_file = \"{key}\"");
    let settings = format!("[database]\nurl = \"{database}\"\n{shared}");
    let one = async || App::start_in(tempfile::tempdir().unwrap(), &settings, Role::Everything).await;
    let (here, there) = (one().await, one().await);
    here.node.metrics.accepted(Channel::Sms, Category::Otp).inc_by(3);
    let heard = |app: &App| app.node.metrics.elsewhere().values().map(|totals| totals.accepted).collect::<Vec<_>>();
    within(MOST, "the other's count", async || heard(&there) == [3]).await;
    assert_eq!(heard(&here), [0], "one does not hear itself");
    drop((here.stop().await, there.stop().await));
}
