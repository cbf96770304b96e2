//! `tidings serve`, `tidings api` and `tidings worker`: one process each, by role.

use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;

use super::Global;
use crate::{
    assembly::{Node, Role},
    config::Config,
    server,
    shutdown::Shutdown,
    telemetry::logs,
};

/// Run API, admin pages and workers in one process
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidings serve                                     everything on this machine; the first start makes a demo
  tidings serve --config tidings.toml               with settings of your own
  TIDINGS__BOOTSTRAP__FILE=shop.toml tidings serve   ready to send what the file names")]
pub struct Serve {}

/// Run the API only
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tidings api --config tidings.toml")]
pub struct ApiOnly {}

/// Run workers only
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tidings worker --config tidings.toml")]
pub struct WorkerOnly {}

impl Serve {
    pub async fn run(self, global: &Global) -> anyhow::Result<()> {
        run(global.load()?, Role::Everything).await
    }
}

impl ApiOnly {
    pub async fn run(self, global: &Global) -> anyhow::Result<()> {
        run(global.load()?, Role::Api).await
    }
}

impl WorkerOnly {
    pub async fn run(self, global: &Global) -> anyhow::Result<()> {
        run(global.load()?, Role::Worker).await
    }
}

async fn run(config: Config, role: Role) -> anyhow::Result<()> {
    logs::init(&config.log)?;
    let shutdown = Shutdown::on_signals().context("no signals")?;
    // The address first: a process that cannot listen has changed nothing.
    let listen = config.http.listen.to_string();
    let listener = TcpListener::bind(&listen).await.with_context(|| format!("http.listen: cannot listen on {listen}"))?;
    let metrics_listener = match &config.metrics.listen {
        Some(address) => Some(TcpListener::bind(address).await.with_context(|| format!("metrics.listen: cannot listen on {address}"))?),
        None => None,
    };
    let most = config.http.shutdown_timeout;
    let node = Node::start(config, role).await?;
    tracing::info!(address = %listener.local_addr()?, "ready");
    if let Some(welcome) = &node.welcome {
        welcome.print(node.config.http.public_url.trim_end_matches('/'));
    }
    let (shutting, readiness) = (shutdown.clone(), Arc::clone(&node.readiness));
    tokio::spawn(async move {
        shutting.asked().await;
        readiness.drain();
    });
    if let Some(listener) = metrics_listener {
        let (router, http, metrics, shutdown) =
            (node.metrics_router(), node.config.http.clone(), Arc::clone(&node.metrics), shutdown.clone());
        tokio::spawn(async move { server::serve(listener, router, &http, &metrics, &shutdown).await });
    }
    server::serve(listener, node.router(), &node.config.http, &node.metrics, &shutdown).await;
    node.stop(most).await;
    tracing::info!("ended: everything under way is finished or handed back");
    Ok(())
}
