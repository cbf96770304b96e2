//! `tidings bench messages-table`: a store with many messages, and how long the API and the operators' pages take on it.
//!
//! The node runs in this process. Messages are written through its own store (accepted in batches, settled one by one, as
//! delivery does), with many apps, statuses, templates and recipients, frequent and rare. Then every filter of the listing,
//! first pages and cursors from anywhere in the table, and every page of the operators is asked through the real router,
//! after a restart, with nothing of it in this process's memory.

use std::{path::Path, time::Duration};

use anyhow::{Context, ensure};
use axum::{Router, body::Body};
use hdrhistogram::Histogram;
use http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{
    figures::{Aim, Report, Row},
    seed::{self, Seeded},
};
use crate::{
    assembly::{Node, Role},
    clock::Clock,
    config::Config,
};

/// The aims: a listing, and a page of the operators.
const LISTING_MS: f64 = 50.0;
const PAGE_MS: f64 = 100.0;
/// Times that each question is asked, each time from another place in the table.
const TIMES: usize = 100;
const STOP_WITHIN: Duration = Duration::from_secs(60);
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// Only this bench's installation ever knows them.
pub const KEY: &str = "tk_live_bench0123456789abcdef0123456789abcdef";
const PASSWORD: &str = "a bench on loopback";

/// Seeds `rows` messages below `out`, or takes those that were kept there, and measures.
pub async fn run(rows: u64, keep: bool, out: &Path, clock: Clock) -> anyhow::Result<Report> {
    let home = out.join("messages-table");
    let config = configured(&home)?;
    let kept = if keep { Seeded::read(&home, rows)? } else { None };
    let (seeded, written) = match kept {
        Some(seeded) => (seeded, Vec::new()),
        None => {
            let (seeded, took) = fill(&home, &config, rows, clock).await?;
            (seeded, vec![rows as f64 / took.as_secs_f64()])
        }
    };
    let bytes = std::fs::metadata(home.join("data/tidings.db")).map_or(0, |file| file.len());
    let began = clock.moment();
    let node = Node::start(config, Role::Everything).await?;
    let start = clock.moment().since(began);

    let mut asker = Asker { router: node.router(), clock, token: String::new(), seeded, rows: Vec::new() };
    let gib = bytes as f64 / f64::from(1 << 30);
    if !written.is_empty() {
        asker.rows.push(Row::new("messages written: accepted and settled", "1/s", written, Vec::new(), (Aim::None, "stated")));
    }
    let start = Row::new("start of the node", "s", vec![start.as_secs_f64()], Vec::new(), (Aim::None, "stated"));
    asker.rows.push(start.noting(format!("{rows} messages, {gib:.1} GiB")));
    asker.listings().await?;
    asker.pages().await?;
    let rows = std::mem::take(&mut asker.rows);
    drop(asker);
    node.stop(STOP_WITHIN).await;
    if !keep {
        std::fs::remove_dir_all(&home)?;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let report = Report { version: env!("CARGO_PKG_VERSION"), at: clock.now().to_string(), cores, rounds: 1, rows };
    std::fs::write(out.join("messages-table.json"), serde_json::to_vec_pretty(&report)?)?;
    std::fs::write(out.join("messages-table.md"), report.table())?;
    Ok(report)
}

/// Writes the messages into an empty folder; what is remembered of them, and how long it took.
async fn fill(home: &Path, config: &Config, rows: u64, clock: Clock) -> anyhow::Result<(Seeded, Duration)> {
    let data = home.join("data");
    if data.exists() {
        std::fs::remove_dir_all(&data).context("the last run's folder cannot be removed")?;
    }
    Seeded::forget(home)?;
    let node = Node::start(config.clone(), Role::Everything).await?;
    let began = clock.moment();
    let seeded = seed::seed(&node, rows).await?;
    let took = clock.moment().since(began);
    eprintln!("{rows} messages written in {:.0} s", took.as_secs_f64());
    node.stop(STOP_WITHIN).await;
    seeded.write(home, rows)?;
    Ok((seeded, took))
}

fn configured(home: &Path) -> anyhow::Result<Config> {
    std::fs::create_dir_all(home).with_context(|| format!("{} cannot be made", home.display()))?;
    let (file, bootstrap) = (home.join("tidings.toml"), home.join("bootstrap.toml"));
    let apps = seed::APPS.map(|app| format!("[[apps]]\nname = \"{app}\"\nlive = true\nfree_text = true\n")).concat();
    // The key belongs to the last app named before it.
    let key = format!("[[apps.keys]]\nname = \"bench\"\nsecret = \"{KEY}\"\nscopes = [\"messages:send\", \"messages:read\"]\n");
    let apps = apps.replacen("free_text = true\n", &format!("free_text = true\n{key}"), 1);
    let user = format!("[[users]]\nname = \"bench\"\nrole = \"admin\"\npassword = \"{PASSWORD}\"\n");
    let providers = ["a", "b"].map(|name| format!("[[providers]]\nname = \"{name}\"\nkind = \"simulated\"\nchannel = \"sms\"\n")).concat();
    std::fs::write(&bootstrap, format!("{apps}{user}{providers}"))?;
    let (data, bootstrap) = (home.join("data"), bootstrap.to_string_lossy().into_owned());
    let settings =
        json!({"data_dir": data, "bootstrap": {"file": bootstrap}, "log": {"filter": "warn"}, "queue": {"max_messages": 1_000_000_000}});
    std::fs::write(&file, toml::to_string(&settings)?)?;
    Config::load(Some(&file), std::iter::empty(), std::iter::empty()).map_err(|faults| anyhow::anyhow!("{faults}"))
}

struct Asker {
    router: Router,
    clock: Clock,
    /// Of a person's session.
    token: String,
    seeded: Seeded,
    rows: Vec<Row>,
}

struct Answer {
    bytes: Vec<u8>,
    location: Option<String>,
}

impl Asker {
    async fn ask(&self, request: Request<Body>) -> anyhow::Result<(Answer, Duration)> {
        let (what, began) = (request.uri().path().to_owned(), self.clock.moment());
        let response = self.router.clone().oneshot(request).await?;
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, MAX_ANSWER).await?.to_vec();
        let took = self.clock.moment().since(began);
        let fine = parts.status == StatusCode::OK || parts.status.is_redirection();
        ensure!(fine, "{what} answered {}: {}", parts.status, String::from_utf8_lossy(&bytes));
        let location = parts.headers.get(header::LOCATION).and_then(|value| Some(value.to_str().ok()?.to_owned()));
        Ok((Answer { bytes, location }, took))
    }

    /// Every filter, each from the top, along its cursors and from anywhere.
    async fn listings(&mut self) -> anyhow::Result<()> {
        let middle = self.seeded.times[self.seeded.times.len() / 2];
        let later = self.seeded.times[self.seeded.times.len() * 3 / 4];
        let frequent = seed::FREQUENT.replace('+', "%2B");
        let questions: Vec<(String, String)> = [
            ("everything".to_owned(), String::new()),
            ("200 rows".to_owned(), "limit=200".to_owned()),
            ("a recipient with few".to_owned(), format!("to={}", seed::recipient(77).replace('+', "%2B"))),
            ("a recipient with many".to_owned(), format!("to={frequent}")),
            ("a recipient with many, a rare status".to_owned(), format!("to={frequent}&status=expired")),
            ("a reference of one".to_owned(), "reference=order-300".to_owned()),
            ("a reference of many".to_owned(), format!("reference={}", seed::CAMPAIGN)),
            ("an unknown reference".to_owned(), "reference=nothing".to_owned()),
            ("channel".to_owned(), "channel=voice".to_owned()),
            ("category".to_owned(), "category=marketing".to_owned()),
            ("template".to_owned(), "template=login-code".to_owned()),
            ("a rare template".to_owned(), "template=rare@1".to_owned()),
            ("a template that nobody used".to_owned(), "template=nothing".to_owned()),
            ("provider".to_owned(), "provider=b".to_owned()),
            ("a provider that nobody had".to_owned(), "provider=nobody".to_owned()),
            ("test".to_owned(), "test=true".to_owned()),
            ("a span of time".to_owned(), format!("from={middle}&until={later}")),
            ("a span of time, nothing in it".to_owned(), "until=2020-01-01T00:00:00Z".to_owned()),
            ("everything at once".to_owned(), format!("status=delivered&channel=sms&category=otp&test=false&provider=a&from={middle}")),
        ]
        .into_iter()
        .chain(tidings_core::message::Status::ALL.iter().map(|status| (format!("status {status}"), format!("status={status}"))))
        .collect();
        for (name, query) in questions {
            let mut latency = histogram()?;
            let mut cursor: Option<String> = None;
            for time in 0..TIMES {
                // In turn: the top, on along the cursor, somewhere else.
                let from = match time % 3 {
                    0 => None,
                    1 => cursor.clone(),
                    _ => Some(self.seeded.ids[time * self.seeded.ids.len() / TIMES].to_string()),
                };
                let and = from.map_or_else(String::new, |cursor| format!("&cursor={cursor}"));
                let request = Request::get(format!("/v1/messages?{query}{and}").replace("?&", "?"))
                    .header(header::AUTHORIZATION, format!("Bearer {KEY}"))
                    .body(Body::empty())?;
                let (answer, took) = self.ask(request).await?;
                latency.saturating_record(micros(took));
                cursor = serde_json::from_slice::<Value>(&answer.bytes)?["next_cursor"].as_str().map(str::to_owned);
            }
            self.rows.push(row(format!("list: {name}"), &latency, LISTING_MS, "< 50"));
        }
        Ok(())
    }

    /// Every page of the operators, and their search as they type it.
    async fn pages(&mut self) -> anyhow::Result<()> {
        let body = json!({"name": "bench", "password": PASSWORD}).to_string();
        let request = Request::post("/v1/admin/session").header(header::CONTENT_TYPE, "application/json").body(Body::from(body))?;
        let (answer, _) = self.ask(request).await?;
        self.token = serde_json::from_slice::<Value>(&answer.bytes)?["access_token"].as_str().context("a session has a token")?.to_owned();
        let message = self.seeded.ids[self.seeded.ids.len() / 3];
        let mut pages: Vec<(String, String)> = [
            ("home", "/admin".to_owned()),
            ("messages", "/admin/messages".to_owned()),
            ("messages, from the middle", format!("/admin/messages?before={message}")),
            ("messages of a small app", format!("/admin/messages?app={}", seed::APPS[3])),
            ("messages, failed", "/admin/messages?status=failed".to_owned()),
            ("messages, submitted", "/admin/messages?status=submitted".to_owned()),
            ("messages, a rare template", "/admin/messages?template=rare".to_owned()),
            ("messages of a provider that nobody had", "/admin/messages?provider=nobody".to_owned()),
            ("one message", format!("/admin/messages/{message}")),
        ]
        .map(|(name, path)| (name.to_owned(), path))
        .to_vec();
        for page in ["providers", "providers/a", "requests", "apps", "templates", "routing", "suppressions", "users", "audit"] {
            pages.push((page.to_owned(), format!("/admin/{page}")));
        }
        for find in [seed::FREQUENT, &seed::recipient(77), "order-300", "nothing-like-it"] {
            pages.push((format!("search \"{find}\""), self.found(find).await?));
        }
        for (name, path) in pages {
            let mut latency = histogram()?;
            for _ in 0..TIMES / 5 {
                let (_, took) = self.ask(self.page(Method::GET, &path).body(Body::empty())?).await?;
                latency.saturating_record(micros(took));
            }
            self.rows.push(row(format!("page: {name}"), &latency, PAGE_MS, "< 100"));
        }
        Ok(())
    }

    fn page(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(path).header(header::COOKIE, format!("tidings_session={}", self.token))
    }

    /// The address that the search form leads to.
    async fn found(&self, find: &str) -> anyhow::Result<String> {
        let (form, _) = self.ask(self.page(Method::GET, "/admin/messages").body(Body::empty())?).await?;
        let form = String::from_utf8(form.bytes)?;
        let token =
            form.split("name=\"form_token\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).context("the form has a token")?;
        let body = format!("form_token={token}&find={}", find.replace('+', "%2B"));
        let request = self
            .page(Method::POST, "/admin/messages")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(body))?;
        self.ask(request).await?.0.location.context("a search leads to an address")
    }
}

fn row(name: String, latency: &Histogram<u64>, most: f64, words: &'static str) -> Row {
    let ms = |us: u64| us as f64 / 1_000.0;
    let p99 = ms(latency.value_at_quantile(0.99));
    Row::new(name, "ms, p99", vec![p99], Vec::new(), (Aim::AtMost(most), words)).noting(format!(
        "median {:.1}, longest {:.1} of {}",
        ms(latency.value_at_quantile(0.5)),
        ms(latency.max()),
        latency.len()
    ))
}

fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_max(60_000_000, 3)?)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
