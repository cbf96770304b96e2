//! One provider: what it does to messages, what speaks against it, and the levers.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use http::StatusCode;
use serde::Deserialize;

use crate::{
    backend::Error,
    chart::Chart,
    page::{self, Layout, fault},
    router::App,
    times::Times,
    views::{ProviderDetail, ProviderSample, Steering},
    visit::{Posted, Refusal, Visit},
};

/// Above any weight that a person writes.
const MAX_WEIGHT: u32 = 10_000;

#[derive(Template)]
#[template(path = "pages/provider.html")]
pub struct Page {
    pub layout: Layout,
    pub provider: ProviderDetail,
    pub latency: Chart,
    pub calls: Chart,
    pub reason: String,
}

impl Page {
    pub fn new(layout: Layout, provider: ProviderDetail) -> Self {
        let (latency, calls) = (latency(&provider.history, &layout.times), calls(&provider.history, &layout.times));
        Self { layout, provider, latency, calls, reason: String::new() }
    }

    /// The address for the vendor; its token is for those who may act.
    fn receipt_address(&self) -> Option<&str> {
        let whole = self.provider.receipt_address.as_ref()?.expose();
        if self.layout.may_operate() { Some(whole) } else { whole.split('?').next() }
    }
}

fn ends(history: &[ProviderSample], times: &Times) -> (String, String) {
    let label = |sample: Option<&ProviderSample>| sample.map_or_else(String::new, |sample| times.minute(&sample.at));
    (label(history.first()), label(history.last()))
}

fn latency(history: &[ProviderSample], times: &Times) -> Chart {
    let (left, right) = ends(history, times);
    let of = |read: fn(&ProviderSample) -> Option<f64>| history.iter().map(read).collect::<Vec<_>>();
    Chart::new(&[("p99", of(|sample| sample.p99_ms)), ("p50", of(|sample| sample.p50_ms))], " ms", left, right)
}

fn calls(history: &[ProviderSample], times: &Times) -> Chart {
    let (left, right) = ends(history, times);
    let of = |read: fn(&ProviderSample) -> u64| history.iter().map(|sample| Some(read(sample) as f64)).collect::<Vec<_>>();
    Chart::new(&[("submitted", of(|sample| sample.calls)), ("failed", of(|sample| sample.errors))], "", left, right)
}

async fn find(app: &App, name: &str) -> Result<ProviderDetail, Refusal> {
    app.backend.provider(name).await?.ok_or(Refusal::Backend(Error::NotFound))
}

pub async fn get(State(app): State<App>, visit: Visit, Path(name): Path<String>) -> Result<Response, Refusal> {
    let provider = find(&app, &name).await?;
    Ok(page::ok(&Page::new(visit.layout("providers", name), provider)))
}

#[derive(Deserialize)]
pub struct Steer {
    action: String,
    reason: String,
    #[serde(default)]
    weight: String,
}

pub async fn steer(
    State(app): State<App>,
    visit: Visit,
    Path(name): Path<String>,
    Posted(form): Posted<Steer>,
) -> Result<Response, Refusal> {
    let weight = form.weight.trim().parse().ok().filter(|weight| *weight <= MAX_WEIGHT);
    let (steering, word) = match form.action.as_str() {
        "pause" => (Some(Steering::Pause), "paused"),
        "resume" => (Some(Steering::Resume), "resumed"),
        "pin" => (Some(Steering::Pin), "pinned"),
        "unpin" => (Some(Steering::Unpin), "unpinned"),
        "weight" => (weight.map(Steering::Weight), "weighted"),
        _ => return Err(Refusal::Unreadable),
    };
    let mut faults = Vec::new();
    if form.reason.trim().is_empty() {
        faults.push(fault("reason", "Say why. The reason is part of the provider's history."));
    }
    let Some(steering) = steering.filter(|_| faults.is_empty()) else {
        if faults.is_empty() {
            faults.push(fault("weight", "A whole number from 0 to 10000."));
        }
        let provider = find(&app, &name).await?;
        let mut page = Page::new(visit.layout("providers", name).with_faults(faults), provider);
        page.reason = form.reason;
        return Ok(page::with_status(StatusCode::UNPROCESSABLE_ENTITY, &page));
    };
    app.backend.steer(&visit.actor(), &name, steering, form.reason.trim()).await?;
    Ok(page::done(&format!("/admin/providers/{name}"), word))
}
