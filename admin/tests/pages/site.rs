//! The pages over samples, asked in process as a browser would ask them.

use std::sync::Arc;

use axum::{Router, body::Body};
use http::{Request, header};
use tidings_admin::{Settings, router, samples::SampleBackend};
use tower::ServiceExt;

pub struct Site {
    pub router: Router,
    pub cookie: String,
}

pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn location(&self) -> &str {
        self.header("location")
    }

    /// The session cookie that this answer sets.
    pub fn cookie(&self) -> Option<String> {
        let lines = self.headers.get_all(header::SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
        lines.filter(|line| line.starts_with("tidings_session=")).map(|line| line.split(';').next().unwrap().to_owned()).next_back()
    }
}

impl Site {
    pub fn new() -> Self {
        let settings = Settings { secure: false, calling_codes: vec!["86".to_owned()] };
        Self { router: router(Arc::new(SampleBackend), settings), cookie: String::new() }
    }

    pub async fn logged_in(name: &str) -> Self {
        let mut site = Self::new();
        site.cookie = site.get("/admin/login").await.cookie().expect("the log-in page sets a cookie");
        let answer = site.post("/admin/login", &[("name", name), ("password", "a sample password")]).await;
        assert_eq!(answer.status, 303, "{}", answer.body);
        site.cookie = answer.cookie().expect("a log-in sets a new cookie");
        site
    }

    pub async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = axum::body::to_bytes(response.into_body(), 1 << 24).await.unwrap();
        Answer { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).header("cookie", &self.cookie).body(Body::empty()).unwrap()).await
    }

    /// The token of the forms of this session.
    pub async fn token(&self) -> String {
        let body = self.get("/admin/nowhere-but-here").await.body;
        let body = if body.is_empty() { self.get("/admin/login").await.body } else { body };
        let from = body.split("name=\"form_token\" value=\"").nth(1).expect("every page has a form");
        from.split('"').next().unwrap().to_owned()
    }

    pub fn form(&self, path: &str, fields: &[(&str, &str)]) -> http::request::Builder {
        let _ = fields;
        Request::post(path).header("cookie", &self.cookie).header("content-type", "application/x-www-form-urlencoded")
    }

    /// Posts a form as our own page would.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.token().await;
        let mut all = vec![("form_token", token.as_str())];
        all.extend_from_slice(fields);
        self.ask(self.form(path, fields).header("sec-fetch-site", "same-origin").body(Body::from(encode(&all))).unwrap()).await
    }

    /// The first address on a page that begins like this.
    pub async fn find(&self, page: &str, begins: &str) -> String {
        let body = self.get(page).await.body;
        let from = body.find(&format!("\"{begins}")).unwrap_or_else(|| panic!("{page} has no link to {begins}"));
        body[from + 1..].split('"').next().unwrap().to_owned()
    }
}

pub fn encode(fields: &[(&str, &str)]) -> String {
    let escape = |text: &str| {
        text.bytes()
            .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
            .collect::<String>()
    };
    fields.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect::<Vec<_>>().join("&")
}

/// Every page that this person may see, with every sample that it can show.
pub fn every_page(name: &str) -> Vec<String> {
    use tidings_admin::samples;
    let mut pages: Vec<String> = [
        "/admin",
        "/admin?done=paused",
        "/admin/messages",
        "/admin/messages?status=failed&when=evening",
        "/admin/messages?provider=nobody",
        "/admin/messages?from=2026-11-20T18%3A00&until=2026-11-20T23%3A00",
        "/admin/providers",
        "/admin/providers/aliyun-main",
        "/admin/providers/tencent-main",
        "/admin/providers/mail",
        "/admin/requests",
        "/admin/requests?status=approved",
        "/admin/requests?status=all",
        "/admin/apps",
        "/admin/templates",
        "/admin/routing",
        "/admin/routing/14",
        "/admin/routing/13",
        "/admin/routing/1",
        "/admin/suppressions",
    ]
    .map(ToOwned::to_owned)
    .to_vec();
    for message in [
        samples::message_unknown(),
        samples::message_delivered_after_failover(),
        samples::message_undelivered(),
        samples::message_failed(),
        samples::message_scheduled(),
    ] {
        pages.push(format!("/admin/messages/{}", message.row.id));
    }
    pages.push(format!("/admin/requests/{}", samples::request_detail().row.id));
    pages.push(format!("/admin/apps/{}", samples::app_detail().app.id));
    if name == "root" {
        pages.extend(["/admin/users", "/admin/audit", "/admin/audit?actor=mei"].map(ToOwned::to_owned));
    }
    pages
}
