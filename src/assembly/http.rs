//! The listener of a process: the API and what else it serves, and how it closes.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

use super::{Node, Role, watch};
use crate::{
    accept::Accept,
    api::{self, Api, Readiness, RequestIds},
    shutdown::Shutdown,
};

/// Serves until the process is asked to end; returns when the last request has been answered or `shutdown_timeout` is over.
pub async fn serve(node: &Node, role: Role, shutdown: &Shutdown) -> anyhow::Result<()> {
    let http = &node.config.http;
    let tcp = TcpListener::bind(http.listen).await.with_context(|| format!("cannot listen at {}", http.listen))?;
    let readiness = Arc::new(Readiness::default());
    let api = api(node, &readiness);
    let closing = CancellationToken::new();
    let watching = tokio::spawn(watch::run(watch::Watched::of(node, &api), closing.clone()));
    let metrics_elsewhere = match node.config.metrics.listen {
        Some(listen) => Some(serve_metrics(node, listen, &closing).await?),
        None => None,
    };
    let router = match role {
        Role::Everything | Role::Api => api::router(api, OpenApiRouter::new(), metrics_elsewhere.is_none()),
        Role::Worker => api::operations_router(api, metrics_elsewhere.is_none()),
    };
    tracing::info!(listen = %http.listen, "serving");
    let serving = api::listener::serve(tcp, router, http, Arc::clone(&node.metrics), closing.clone());
    tokio::pin!(serving);
    tokio::select! {
        () = &mut serving => {}
        () = drained(shutdown, &readiness, http.drain_delay) => closing.cancel(),
    }
    if tokio::time::timeout(http.shutdown_timeout, serving).await.is_err() {
        tracing::warn!("some requests were still under way at the end of the time given");
    }
    let _ = watching.await;
    Ok(())
}

/// Readiness first: a balancer looks away while connections are still accepted.
async fn drained(shutdown: &Shutdown, readiness: &Readiness, delay: Duration) {
    shutdown.asked().await;
    readiness.drain();
    tokio::time::sleep(delay).await;
}

fn api(node: &Node, readiness: &Arc<Readiness>) -> Api {
    let accept = Accept::new(
        Arc::clone(&node.control),
        Arc::clone(&node.messages),
        node.intake.clone(),
        node.clock,
        Arc::clone(&node.metrics),
        node.config.queue.max_messages,
    );
    Api::new(api::Shared {
        http: node.config.http.clone(),
        control: Arc::clone(&node.control),
        accept: Arc::new(accept),
        messages: Arc::clone(&node.messages),
        clock: node.clock,
        metrics: Arc::clone(&node.metrics),
        readiness: Arc::clone(readiness),
        request_ids: RequestIds::new(node.clock.random()),
    })
}

/// `/metrics` on a listener of its own.
async fn serve_metrics(node: &Node, listen: std::net::SocketAddr, closing: &CancellationToken) -> anyhow::Result<JoinHandle<()>> {
    let tcp = TcpListener::bind(listen).await.with_context(|| format!("cannot listen for metrics at {listen}"))?;
    let metrics = Arc::clone(&node.metrics);
    let router = axum::Router::new().route("/metrics", axum::routing::get(move || std::future::ready(api::metrics_text(&metrics))));
    let (http, metrics, closing) = (node.config.http.clone(), Arc::clone(&node.metrics), closing.clone());
    Ok(tokio::spawn(async move { api::listener::serve(tcp, router, &http, metrics, closing).await }))
}
