//! `GET /v1/admin/providers…` and what operators do to providers.

use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value};
use tidings_core::{
    fleet::{Command, ProviderView},
    health::Reading,
    message::Channel,
    time::Timestamp,
};
use utoipa::ToSchema;

use super::{Operator, Page, Viewer};
use crate::{
    api::{
        Api, Json,
        extract::{Body, Object, Query, cursor, limit},
        problem::{Code, Problem},
    },
    control::{Error, fields::Fields},
    delivery::{Desk, FleetEvent},
};

/// A provider at this moment, as this node sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = Provider)]
pub(super) struct ProviderState {
    name: String,
    #[schema(value_type = String, example = "sms")]
    channel: Channel,
    /// `healthy`, `ejected`, `probing`, `ramping`, `paused` or `pinned`.
    #[schema(example = "healthy")]
    state: &'static str,
    /// 0 to 100: health scales the weight by it.
    score: u8,
    weight: u32,
    /// Its part of what would be sent now, 0 to 1.
    effective_share: f64,
    in_flight: u32,
    /// Segments per second that it may get now; null: no limit.
    #[schema(required = true)]
    limit_per_s: Option<f64>,
    signals: Vec<Signal>,
}

/// One of the five things that a provider is judged by.
#[derive(Serialize, ToSchema)]
#[schema(as = ProviderSignal)]
pub(super) struct Signal {
    #[schema(example = "mean_latency")]
    name: &'static str,
    value: f64,
    baseline: f64,
    threshold: f64,
    samples: u64,
}

/// One change of a provider's state, and the numbers or the person behind it.
#[derive(Serialize, ToSchema)]
#[schema(as = ProviderEvent)]
pub(super) struct EventView {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    #[schema(example = "ejected")]
    kind: &'static str,
    state: &'static str,
    #[schema(required = true)]
    signal: Option<Signal>,
    /// Who did it; null: health.
    #[schema(required = true)]
    actor: Option<String>,
    #[schema(required = true)]
    reason: Option<String>,
    /// The routing revision whose desk saw it.
    revision: u32,
}

/// Why, and for `weight` how much.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SteerRequest {
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
    /// With `weight` only; without it the configured weight holds again.
    #[schema(maximum = 1_000_000)]
    weight: Option<u32>,
}

impl Signal {
    fn of(reading: &Reading) -> Self {
        let Reading { name, value, baseline, threshold, samples } = *reading;
        Self { name: name.as_str(), value, baseline, threshold, samples }
    }
}

impl EventView {
    fn of(FleetEvent { at, revision, event, .. }: FleetEvent) -> Self {
        Self {
            at,
            kind: event.kind.as_str(),
            state: event.state.as_str(),
            signal: event.reading.as_ref().map(Signal::of),
            actor: event.actor,
            reason: event.reason,
            revision,
        }
    }
}

fn states(api: &Api, desk: &Desk) -> Vec<ProviderState> {
    let views = desk.view(api.clock.moment());
    let configured = views.into_iter().zip(&desk.accounts).filter(|(_, account)| !account.built_in);
    configured
        .map(|(view, account)| {
            let ProviderView { name, state, score, weight, effective_share, in_flight, limit_per_s, signals } = view;
            let signals = signals.iter().map(Signal::of).collect();
            let (name, state) = (name.to_string(), state.as_str());
            ProviderState { name, channel: account.channel, state, score, weight, effective_share, in_flight, limit_per_s, signals }
        })
        .collect()
}

fn find(api: &Api, name: &str) -> Result<ProviderState, Problem> {
    let all = api.desks.all();
    all.iter().flat_map(|desk| states(api, desk)).find(|provider| provider.name == name).ok_or_else(|| Problem::new(Code::NotFound))
}

/// List providers
#[utoipa::path(
    get, path = "/v1/admin/providers", tag = "Control plane", operation_id = "list_providers",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query, description = "The name after which the page begins")),
    responses((status = 200, description = "Providers in the order of the revision in force", body = Page<ProviderState>)), security(("bearer" = ["viewer"])),
)]
pub(super) async fn list_providers(_: Viewer, mut query: Query, State(api): State<Api>) -> Result<Json, Problem> {
    let limit = limit(&mut query);
    let mut providers = states(&api, &api.desks.base());
    if let Some(after) = query.text("cursor") {
        match providers.iter().position(|provider| provider.name == after) {
            Some(place) => _ = providers.drain(..=place),
            None => query.error("cursor", "format", "must be a next_cursor of this listing"),
        }
    }
    query.finish()?;
    let more = providers.len() > limit;
    providers.truncate(limit);
    let next_cursor = providers.last().filter(|_| more).map(|provider| provider.name.clone());
    Ok(Json::of(&Page { data: providers, next_cursor }))
}

/// Look a provider up
#[utoipa::path(
    get, path = "/v1/admin/providers/{name}", tag = "Control plane", operation_id = "get_provider",
    params(("name" = String, Path)), responses((status = 200, description = "The provider", body = ProviderState)), security(("bearer" = ["viewer"])),
)]
pub(super) async fn get_provider(_: Viewer, name: axum::extract::Path<String>, State(api): State<Api>) -> Result<Json, Problem> {
    Ok(Json::of(&find(&api, &name)?))
}

/// What happened to a provider
#[utoipa::path(
    get, path = "/v1/admin/providers/{name}/events", tag = "Control plane", operation_id = "list_provider_events",
    params(("name" = String, Path), ("limit" = Option<u32>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "Changes of its state, newest first", body = Page<EventView>)), security(("bearer" = ["viewer"])),
)]
pub(super) async fn list_provider_events(
    _: Viewer,
    name: axum::extract::Path<String>,
    mut query: Query,
    State(api): State<Api>,
) -> Result<Json, Problem> {
    let limit = limit(&mut query);
    let before = cursor::<u64>(&mut query).unwrap_or(u64::MAX);
    query.finish()?;
    find(&api, &name)?;
    let mut events: Vec<_> = api.desks.events.of(&name).into_iter().filter(|event| event.number < before).collect();
    let more = events.len() > limit;
    events.truncate(limit);
    let next_cursor = events.last().filter(|_| more).map(|event| event.number.to_string());
    Ok(Json::of(&Page { data: events.into_iter().map(EventView::of).collect(), next_cursor }))
}

macro_rules! steer {
    ($($(#[$doc:meta])* $name:ident, $path:literal, $operation:literal, $command:expr;)*) => {$(
        $(#[$doc])*
        #[utoipa::path(
            post, path = $path, tag = "Control plane", operation_id = $operation, params(("name" = String, Path)),
            request_body(content = SteerRequest),
            responses((status = 200, description = "The provider", body = ProviderState)), security(("bearer" = ["operator"])),
        )]
        pub(super) async fn $name(
            staff: Operator,
            name: axum::extract::Path<String>,
            State(api): State<Api>,
            body: Result<Body<Object>, Problem>,
        ) -> Result<Json, Problem> {
            steer(&staff, &name, &api, body?, $command).await
        }
    )*};
}

steer! {
    /// Send nothing to a provider until it is resumed
    pause_provider, "/v1/admin/providers/{name}/pause", "pause_provider", |_| Command::Pause;
    /// Take a pause back
    resume_provider, "/v1/admin/providers/{name}/resume", "resume_provider", |_| Command::Resume;
    /// Keep a provider in service whatever health says
    pin_provider, "/v1/admin/providers/{name}/pin", "pin_provider", |_| Command::Pin;
    /// Let health decide again
    unpin_provider, "/v1/admin/providers/{name}/unpin", "unpin_provider", |_| Command::Unpin;
    /// Set a provider's weight in place of the configured one
    weigh_provider, "/v1/admin/providers/{name}/weight", "weigh_provider", Command::Weight;
}

async fn steer(
    staff: &Operator,
    name: &str,
    api: &Api,
    Body(Object(fields)): Body<Object>,
    command: fn(Option<u32>) -> Command,
) -> Result<Json, Problem> {
    let weighs = matches!(command(None), Command::Weight(_));
    let (reason, weight) = read(&fields, weighs)?;
    api.control.steer(&staff.actor, name, command(weight), &reason).await?;
    // The other nodes follow within their poll; this one at once.
    api.desks.obey(&api.clock, api.control.steers());
    Ok(Json::of(&find(api, name)?))
}

fn read(body: &Map<String, Value>, weighs: bool) -> Result<(String, Option<u32>), Error> {
    let mut faults = Vec::new();
    let mut fields = Fields::new("", body, &mut faults);
    let reason = fields.required("reason", Fields::text).map(str::to_owned);
    let weight = if weighs { fields.number("weight", 0..=1_000_000) } else { None };
    fields.finish();
    match (reason, faults.is_empty()) {
        (Some(reason), true) => Ok((reason, weight.and_then(|weight| u32::try_from(weight).ok()))),
        _ => Err(Error::Invalid(faults)),
    }
}
