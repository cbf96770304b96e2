//! The API from a shell: who is called, with which key, and how a refusal is told. Used by `send`, `messages`, `send-file`.

use std::{io::Write, time::Duration};

use anyhow::{Context, bail};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;
use tidings_core::redact::Secret;

/// Longer than accepting ever takes while the service lives.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the API is and who we are there.
#[derive(Debug, clap::Args)]
pub(super) struct Access {
    /// Address of the API
    #[arg(long, env = "TIDINGS_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// API key; better given by the environment than on the command line
    #[arg(long, env = "TIDINGS_API_KEY", hide_env_values = true)]
    key: Option<String>,
}

/// A client of the API.
pub(super) struct Client {
    http: reqwest::Client,
    url: String,
    key: Secret,
}

/// What the API answered.
pub(super) enum Answer {
    Done(Value),
    Refused(Refused),
}

/// A problem, and after how long it is worth another try.
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) problem: Value,
    pub(super) retry_after: Option<Duration>,
}

impl Refused {
    /// Whether the same request may succeed later.
    pub(super) fn passes(&self) -> bool {
        let code = self.problem["code"].as_str();
        self.status.is_server_error() || self.status == StatusCode::TOO_MANY_REQUESTS || code == Some("idempotency_in_progress")
    }

    /// `422 invalid: /to must be an E.164 number …`
    pub(super) fn line(&self) -> String {
        let code = self.problem["code"].as_str().unwrap_or("no problem document");
        let errors = self.problem["errors"].as_array();
        let fields: Vec<String> = errors
            .into_iter()
            .flatten()
            .map(|error| {
                let place = error["pointer"].as_str().or(error["parameter"].as_str()).unwrap_or_default();
                format!("{place} {}", error["detail"].as_str().unwrap_or_default())
            })
            .collect();
        let detail = if fields.is_empty() { self.problem["detail"].as_str().unwrap_or_default().to_owned() } else { fields.join("; ") };
        format!("{} {code}: {detail}", self.status.as_u16())
    }
}

impl Access {
    pub(super) fn client(self) -> anyhow::Result<Client> {
        let Some(key) = self.key.filter(|key| !key.is_empty()) else {
            bail!("no API key: set TIDINGS_API_KEY");
        };
        reqwest::Url::parse(&self.url).with_context(|| format!("{} is no address of the API, such as http://127.0.0.1:8080", self.url))?;
        let http = reqwest::Client::builder().timeout(PATIENCE).build().context("no HTTP client")?;
        Ok(Client { http, url: self.url.trim_end_matches('/').to_owned(), key: Secret::new(key) })
    }
}

impl Client {
    pub(super) async fn get(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Answer> {
        let mut url = reqwest::Url::parse(&format!("{}{path}", self.url)).context("the address cannot be asked for")?;
        url.query_pairs_mut().extend_pairs(query);
        self.ask(self.http.get(url).bearer_auth(self.key.expose())).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value, idempotency_key: Option<&str>) -> anyhow::Result<Answer> {
        let mut request = self.http.post(format!("{}{path}", self.url)).bearer_auth(self.key.expose()).json(body);
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        self.ask(request).await
    }

    async fn ask(&self, request: RequestBuilder) -> anyhow::Result<Answer> {
        let answer = request.send().await.with_context(|| format!("{} does not answer", self.url))?;
        let status = answer.status();
        let retry_after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs);
        let bytes = answer.bytes().await.context("the answer broke off")?;
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok(if status.is_success() { Answer::Done(body) } else { Answer::Refused(Refused { status, problem: body, retry_after }) })
    }
}

impl Answer {
    /// What was asked for, or an error that says why not.
    pub(super) fn done(self) -> anyhow::Result<Value> {
        match self {
            Self::Done(body) => Ok(body),
            Self::Refused(refused) => bail!("{}", refused.line()),
        }
    }
}

/// Prints an answer so that a person and a program can read it. Whoever reads may have seen enough (`| head`): no failure of ours.
pub(super) fn print(value: &Value) {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}
