//! A whole node in this process: its own data folder, its own bootstrap file, the real router without a socket.

use std::time::Duration;

use axum::{Router, body::Body};
use http::{HeaderMap, Method, Request, StatusCode, header};
use serde_json::Value;
use tempfile::TempDir;
use tidings::{
    assembly::{Node, Role},
    config::Config,
};
use tower::ServiceExt;

/// More than any answer has.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// Keys of the app `shop`, and of another one.
pub const LIVE: &str = "tk_live_0123456789abcdef0123456789abcdef";
pub const TEST: &str = "tk_test_0123456789abcdef0123456789abcdef";
pub const READ_ONLY: &str = "tk_live_reader789abcdef0123456789abcdef0";
pub const OTHER: &str = "tk_live_other6789abcdef0123456789abcdef0";
/// Of apps that are limited in some way, named after it.
pub const SLOW: &str = "tk_live_slow56789abcdef0123456789abcdef0";
pub const POOR: &str = "tk_live_poor56789abcdef0123456789abcdef0";
pub const NARROW: &str = "tk_live_narrow789abcdef0123456789abcdef0";
pub const NOT_LIVE: &str = "tk_live_notlive89abcdef0123456789abcdef0";

const BOOTSTRAP: &str = include_str!("bootstrap.toml");

/// One node, and the folder that it lives in.
pub struct App {
    pub node: Node,
    router: Router,
    home: TempDir,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&self.bytes)))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The status and, for a problem, its code.
    pub fn verdict(&self) -> (u16, String) {
        let code = if self.header("content-type") == Some("application/problem+json") {
            self.json()["code"].as_str().unwrap().to_owned()
        } else {
            String::new()
        };
        (self.status.as_u16(), code)
    }

    /// The pointers and parameters that a problem names.
    pub fn wrong(&self) -> Vec<String> {
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        let mut places: Vec<String> =
            errors.iter().map(|error| error["pointer"].as_str().or(error["parameter"].as_str()).unwrap().to_owned()).collect();
        places.sort();
        places
    }
}

impl App {
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts with these settings beside the usual ones.
    pub async fn start_with(settings: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), settings, Role::Everything).await
    }

    pub async fn start_in(home: TempDir, settings: &str, role: Role) -> Self {
        let (file, bootstrap) = (home.path().join("tidings.toml"), home.path().join("bootstrap.toml"));
        let data_dir = home.path().join("data");
        std::fs::write(&bootstrap, BOOTSTRAP).unwrap();
        let (data_dir, bootstrap) = (data_dir.display(), bootstrap.display());
        std::fs::write(&file, format!("data_dir = \"{data_dir}\"\n{settings}\n[bootstrap]\nfile = \"{bootstrap}\"\n")).unwrap();
        let node = Node::start(Config::load(Some(&file), [], []).unwrap(), role).await.unwrap();
        Self { router: node.router(), node, home }
    }

    /// Ends this node and starts another on the same data.
    pub async fn restart(self) -> Self {
        let Self { node, router, home } = self;
        drop(router);
        node.stop(Duration::from_secs(5)).await;
        Self::start_in(home, "", Role::Everything).await
    }

    /// Ends this node; its data lasts as long as what this returns.
    pub async fn stop(self) -> TempDir {
        drop(self.router);
        self.node.stop(Duration::from_secs(5)).await;
        self.home
    }

    pub async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, MAX_ANSWER).await.unwrap().to_vec();
        Answer { status: parts.status, headers: parts.headers, bytes }
    }

    pub async fn get(&self, key: &str, path: &str) -> Answer {
        self.ask(request(Method::GET, key, path).body(Body::empty()).unwrap()).await
    }

    pub async fn post(&self, key: &str, path: &str, body: &Value) -> Answer {
        self.post_with(key, path, body, &[]).await
    }

    pub async fn post_with(&self, key: &str, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        self.post_bytes(key, path, body.to_string().into_bytes(), headers).await
    }

    pub async fn post_bytes(&self, key: &str, path: &str, body: Vec<u8>, headers: &[(&str, &str)]) -> Answer {
        let mut builder = request(Method::POST, key, path).header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        self.ask(builder.body(Body::from(body)).unwrap()).await
    }

    /// Sends a message that is accepted, and returns its id.
    pub async fn send(&self, key: &str, body: &Value) -> String {
        let answer = self.post(key, "/v1/messages", body).await;
        assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.bytes));
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// Looks a message up until it is in this status.
    pub async fn until(&self, key: &str, id: &str, status: &str) -> Value {
        crate::patience::eventually(async || self.get(key, &format!("/v1/messages/{id}")).await.json()["status"] == status).await;
        self.get(key, &format!("/v1/messages/{id}")).await.json()
    }
}

pub fn request(method: Method, key: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path).header(header::AUTHORIZATION, format!("Bearer {key}"))
}
