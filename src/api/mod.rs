//! The HTTP API: this file is its table of contents, then one file per operation.
//!
//! A handler authenticates, reads, calls one use case and shows the result; it decides nothing. [`problem`] is the only place
//! where an error becomes a status, [`frame`] stands around everything. The OpenAPI document is made of the handlers, so
//! what is not described here is not served.

pub mod admin;
mod answer;
mod batch;
mod cancel;
pub mod extract;
mod frame;
mod get;
pub mod list;
mod oauth;
mod operations;
mod preview;
pub mod problem;
mod receipts;
mod release;
pub mod schema;
mod send;
mod session;
pub mod signatures;
pub mod templates;
pub mod view;

use std::{collections::HashSet, ops::Deref, sync::Arc};

use axum::{Router, routing::get};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) use self::admin::client_address;
pub use self::{
    answer::Json,
    frame::{RequestId, RequestIds},
    operations::{Dependency, DependencyStatus, Health, Readiness, metrics_text},
};
use crate::{
    accept::{Accept, Refusal},
    clock::Clock,
    config,
    control::Control,
    store::Messages,
    telemetry::Metrics,
};

/// What handlers share. Cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Shared>);

/// See [`Api`].
pub struct Shared {
    pub http: config::Http,
    pub control: Arc<Control>,
    pub accept: Arc<Accept>,
    pub messages: Arc<dyn Messages>,
    pub receipts: Arc<crate::receipts::Intake>,
    pub desks: Arc<crate::delivery::Desks>,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub readiness: Arc<Readiness>,
    pub request_ids: RequestIds,
}

impl Deref for Api {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Api {
    pub fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    fn count_refusal(&self, refusal: &Refusal) {
        self.metrics.refused(problem::code_of(refusal).as_str());
    }
}

/// Every address that teams, providers and operators' tools call.
///
/// `pages` are the operators' own, rendered on the server.
pub fn router(api: Api, pages: Router<Api>, public_metrics: bool) -> Router {
    let contents = OpenApiRouter::with_openapi(operations_document())
        .routes(routes!(send::send, list::list_messages))
        .routes(routes!(batch::send_batch))
        .routes(routes!(preview::preview))
        .routes(routes!(cancel::cancel_by_reference))
        .routes(routes!(get::get_message))
        .routes(routes!(cancel::cancel_message))
        .routes(routes!(release::release_message))
        .routes(routes!(receipts::report, receipts::report_by_get))
        .merge(oauth::router())
        .merge(session::router())
        .merge(templates::router())
        .merge(signatures::router())
        .merge(admin::router())
        .merge(operational(public_metrics));
    let (router, document) = contents.split_for_parts();
    let document = operations::complete(document);
    let with_query = operations::with_query(&document);
    let router = router
        .route("/openapi.json", get(operations::served(&document)))
        .route("/problems/{code}", get(operations::problem_page))
        .merge(operations::docs())
        .merge(pages);
    framed(router, api, with_query)
}

/// What a worker answers: is it alive, is it ready, how is it doing.
pub fn operations_router(api: Api, public_metrics: bool) -> Router {
    let (router, _) = operational(public_metrics).split_for_parts();
    framed(router, api, HashSet::new())
}

fn operational(public_metrics: bool) -> OpenApiRouter<Api> {
    let router = OpenApiRouter::new().routes(routes!(operations::livez)).routes(routes!(operations::readyz));
    if public_metrics { router.routes(routes!(operations::metrics)) } else { router }
}

/// Puts around a router what stands around every handler.
fn framed(router: Router<Api>, api: Api, with_query: HashSet<(String, String)>) -> Router {
    router.fallback(frame::unmatched).layer(frame::Frame::new(api.clone(), with_query)).with_state(api)
}

fn operations_document() -> utoipa::openapi::OpenApi {
    operations::Base::openapi()
}
