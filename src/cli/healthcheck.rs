//! `tidings healthcheck`: asks the instance that the configuration names whether it is ready, for containers and scripts.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;

use super::Global;

/// Longer than a healthy instance ever needs, shorter than the interval of any supervisor.
const PATIENCE: Duration = Duration::from_secs(5);

/// Exit 0 if the instance that the configuration names is ready
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tidings healthcheck --config tidings.toml && echo ready")]
pub(super) struct Healthcheck {}

impl Healthcheck {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let address = reachable(global.load()?.http.listen);
        let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().context("no HTTP client")?;
        let answer =
            client.get(format!("http://{address}/readyz")).send().await.with_context(|| format!("nothing answers at {address}"))?;
        if !answer.status().is_success() {
            bail!("the instance at {address} is not ready: {}", answer.status());
        }
        println!("ready");
        Ok(())
    }
}

/// An unspecified listen address is reached through loopback.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
