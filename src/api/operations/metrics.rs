//! `GET /metrics`

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::header;

use crate::{api::Api, telemetry::Metrics};

/// Prometheus' text format, version 0.0.4
#[utoipa::path(get, path = "/metrics", tag = "Operations", operation_id = "metrics",
    responses((status = 200, description = "All metrics", body = String, content_type = "text/plain; version=0.0.4")), security(()))]
pub(in crate::api) async fn metrics(State(api): State<Api>) -> Response {
    text(&api.metrics)
}

/// Also what a listener of its own serves.
pub fn text(metrics: &Metrics) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render()).into_response()
}
