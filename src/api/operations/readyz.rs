//! `GET /readyz`

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::ArcSwap;
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::{Api, answer::Json};

/// A backing service as it was when somebody last looked.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Dependency {
    #[schema(example = "database")]
    pub name: &'static str,
    pub status: DependencyStatus,
    /// What is worse while it, or a part of it, is away, or what was never promised; empty if nothing.
    #[schema(example = "status and admin answer from before the outage")]
    pub degrades: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DependencyStatus {
    Up,
    Down,
}

/// Whether to send traffic here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    Ready,
    /// It works; what does not is said.
    Degraded,
    NotReady,
}

#[derive(Serialize, ToSchema)]
struct Answer<'a> {
    status: Health,
    dependencies: &'a [Dependency],
}

/// What `readyz` says: kept up to date by whoever watches the services, and by the shutdown.
#[derive(Debug, Default)]
pub struct Readiness {
    draining: AtomicBool,
    /// `None` until the first look.
    dependencies: ArcSwap<Option<(Health, Vec<Dependency>)>>,
}

impl Readiness {
    /// Not ready for good: the process is going away.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// What somebody saw just now.
    pub fn observed(&self, health: Health, dependencies: Vec<Dependency>) {
        self.dependencies.store(Arc::new(Some((health, dependencies))));
    }

    /// Whether traffic is welcome.
    pub fn health(&self) -> Health {
        match self.dependencies.load().as_ref() {
            Some((health, _)) if !self.is_draining() => *health,
            _ => Health::NotReady,
        }
    }
}

/// Is it ready for traffic?
///
/// 503 only when it is not; `degraded` says what does not work while a service is away.
#[utoipa::path(get, path = "/readyz", tag = "Operations", operation_id = "readyz",
    responses((status = 200, description = "Ready or degraded", body = Answer), (status = 503, description = "Not ready", body = Answer)), security(()))]
pub(in crate::api) async fn readyz(State(api): State<Api>) -> Response {
    let status = api.readiness.health();
    let seen = api.readiness.dependencies.load();
    let dependencies = seen.as_ref().as_ref().map_or(&[][..], |(_, dependencies)| dependencies);
    let code = if status == Health::NotReady { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, Json::of(&Answer { status, dependencies })).into_response()
}
