//! A control plane on a SQLite file of its own, with a bootstrap file that names somebody of every role.

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo};
use http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidings::{
    accept::{Accept, Limits},
    api::{self, Api, Readiness, RequestIds},
    clock::Clock,
    config::Config,
    control::{Bootstrap, Control, Options},
    delivery::{self, Desk, DeskSpec, Desks},
    receipts::{Confirm, Intake},
    seal::Keyring,
    shared::{InProcess, Shared},
    store::{Sqlite, SqliteControl, control::ControlStore},
    telemetry::Metrics,
};
use tidings_core::retry::BudgetSettings;
use tower::ServiceExt;

pub const LIVE: &str = "tk_live_0123456789abcdef0123456789abcdef";
pub const TEST: &str = "tk_test_0123456789abcdef0123456789abcdef";
pub const OTHER: &str = "tk_live_other6789abcdef0123456789abcdef0";
pub const KEY_ID: &str = "key_01h455vb4pex5vsknk084sn02q";
pub const PASSWORD: &str = "correct horse";

pub const FILE: &str = r#"
[[users]]
name = "root"
role = "admin"
password = "correct horse"
[[users]]
name = "vera"
role = "viewer"
password = "correct horse"
[[users]]
name = "otto"
role = "operator"
password = "correct horse"
[[users]]
name = "anna"
role = "approver"
password = "correct horse"

[[apps]]
name = "shop"
live = true
free_text = true
[[apps.keys]]
name = "shop-live"
id = "key_01h455vb4pex5vsknk084sn02q"
secret = "tk_live_0123456789abcdef0123456789abcdef"
scopes = ["messages:send", "messages:read", "verifications", "templates:write", "webhooks:write"]
[[apps.keys]]
name = "shop-test"
secret = "tk_test_0123456789abcdef0123456789abcdef"
scopes = ["messages:send", "messages:read"]
[[apps.templates]]
name = "login-code"
channel = "sms"
category = "otp"
text = "Your code is {{ code }}."
[[apps.templates]]
name = "login-code"
channel = "sms"
category = "otp"
locale = "de"
text = "Ihr Code ist {{ code }}."
[[apps.signatures]]
name = "Acme"

[[apps]]
name = "other"
[[apps.keys]]
name = "other-live"
secret = "tk_live_other6789abcdef0123456789abcdef0"
scopes = ["messages:send", "messages:read"]

[[providers]]
name = "a"
kind = "simulated"
channel = "sms"
price = 0.0100
[[providers]]
name = "b"
kind = "http"
channel = "sms"
settings = { url = "http://127.0.0.1:9000/send", receipt_token = "a-receipt-token-of-b", headers = { Authorization = "Bearer canary-credential" } }

[[routes]]
match = { channel = "sms", category = "otp", prefix = ["+86"], app = ["shop"] }
select = "priority"
providers = ["b", "a"]
[[routes]]
match = { channel = "sms" }
providers = ["a"]
"#;

pub struct World {
    pub dir: TempDir,
    pub keys: String,
    pub clock: Clock,
}

impl World {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), keys: Keyring::line(&[7; 32]), clock: Clock::system() }
    }

    pub fn options(&self, node: &str) -> Options {
        let data_dir = self.dir.path().join(node);
        std::fs::create_dir_all(&data_dir).unwrap();
        Options {
            data_dir,
            access_token: Duration::from_secs(900),
            refresh_token: Duration::from_secs(86_400),
            max_stale: Duration::from_secs(900),
        }
    }

    pub async fn store(&self) -> Arc<SqliteControl> {
        Arc::new(SqliteControl::open(&self.dir.path().join("tidings.db")).await.unwrap())
    }

    /// One node on the common store.
    pub async fn node(&self, name: &str) -> Arc<Control> {
        self.node_on(self.store().await, name).await
    }

    pub async fn node_on(&self, store: Arc<dyn ControlStore>, name: &str) -> Arc<Control> {
        Arc::new(Control::open(store, self.keyring(), self.clock, self.options(name)).await.unwrap())
    }

    /// A node that shares wrong passwords and revocations with others beside the store.
    pub async fn node_sharing(&self, store: Arc<dyn ControlStore>, name: &str, shared: Arc<dyn Shared>) -> Arc<Control> {
        let mut control = Control::open(store, self.keyring(), self.clock, self.options(name)).await.unwrap();
        control.share(shared);
        Arc::new(control)
    }

    pub fn keyring(&self) -> Arc<Keyring> {
        Arc::new(Keyring::parse(&self.keys).unwrap())
    }

    /// The whole API in front of a node.
    pub async fn server(&self, control: &Arc<Control>) -> Server {
        let name = uuid::Uuid::from_bytes(self.clock.random()).to_string();
        let (messages, _writer) = Sqlite::open(&self.dir.path().join(name), self.keyring(), self.clock, |_| {}).await.unwrap();
        let metrics = Arc::new(Metrics::new());
        let messages = Arc::new(messages);
        let receipts = Arc::new(Confirm::new(messages.clone(), Vec::new(), Arc::clone(&metrics), self.clock));
        let limits = Limits::new(Arc::new(InProcess::new(self.clock)), Arc::new(InProcess::new(self.clock)));
        let intake = delivery::Intake::default();
        let accept = Accept::new(Arc::clone(control), messages.clone(), intake, self.clock, Arc::clone(&metrics), 1_000_000, limits);
        let nobody =
            DeskSpec { revision: 0, accounts: Vec::new(), routes: Vec::new(), budget: BudgetSettings::default(), seed: 0, listens: false };
        let desks = Arc::new(Desks::new(Desk::new(nobody, self.clock.moment())));
        let api = Api::new(api::Shared {
            http: Config::default().http,
            control: Arc::clone(control),
            accept: Arc::new(accept),
            receipts: Arc::new(Intake::new(Arc::clone(&desks) as _, receipts, Arc::clone(&metrics))),
            desks,
            messages,
            clock: self.clock,
            metrics,
            readiness: Arc::new(Readiness::default()),
            request_ids: RequestIds::new(self.clock.random()),
        });
        Server { router: api::router(api, Router::new(), true) }
    }

    /// A node with the bootstrap file applied, and the API in front of it.
    pub async fn open(&self) -> (Arc<Control>, Server) {
        let control = self.ready().await;
        let server = self.server(&control).await;
        (control, server)
    }

    /// A node with the bootstrap file applied.
    pub async fn ready(&self) -> Arc<Control> {
        let control = self.node("node").await;
        Bootstrap::read(FILE).unwrap().apply(&control).await.unwrap();
        control
    }
}

/// The API, called without a network.
pub struct Server {
    router: Router,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub body: Value,
}

impl Answer {
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }

    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Value {
        assert_eq!((self.status.as_u16(), self.body["code"].as_str()), (status, Some(code)), "{}", self.body);
        self.body
    }
}

impl Server {
    pub async fn send(&self, request: Request<Body>) -> Answer {
        self.send_from(request, [192, 0, 2, 1]).await
    }

    pub async fn send_from(&self, mut request: Request<Body>, address: [u8; 4]) -> Answer {
        request.extensions_mut().insert(ConnectInfo(std::net::SocketAddr::from((address, 40_000))));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 16 << 20).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
    }

    pub async fn call(&self, method: Method, path: &str, token: Option<&str>, body: Option<Value>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = match body {
            Some(body) => request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        self.send(request.unwrap()).await
    }

    pub async fn get(&self, path: &str, token: &str) -> Answer {
        self.call(Method::GET, path, Some(token), None).await
    }

    pub async fn post(&self, path: &str, token: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(token), Some(body)).await
    }

    pub async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(Body::from(body));
        self.send(request.unwrap()).await
    }

    pub async fn log_in(&self, name: &str) -> Value {
        let body = json!({"name": name, "password": PASSWORD});
        self.call(Method::POST, "/v1/admin/session", None, Some(body)).await.expect(200)
    }

    /// A session token of this person.
    pub async fn session(&self, name: &str) -> String {
        self.log_in(name).await["access_token"].as_str().unwrap().to_owned()
    }
}
