//! `tidings bench`: load a running instance, or measure everything against a bare relay.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use tidings_core::redact::Secret;
use tokio::net::{TcpListener, lookup_host};

use super::Global;
use crate::{
    bench::{self, Part, Scale, load::Load},
    clock::Clock,
};

const EXAMPLES: &str = "Examples:
  TIDINGS_API_KEY=tk_test_… tidings bench --messages 20000            load the instance on this machine
  TIDINGS_API_KEY=tk_test_… tidings bench --rate 500 --messages 5000  at 500 sends a second
  tidings bench suite                                                 start, measure and compare with a bare relay (make bench)
  tidings bench messages-table                                        every listing and page at ten million messages";

/// Load one running instance and print JSON figures
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Bench {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    load: LoadArgs,
}

#[derive(Debug, Subcommand)]
enum What {
    Suite(Suite),
    MessagesTable(MessagesTable),
    #[command(hide = true)]
    Relay(Relay),
    #[command(hide = true)]
    Profile(Profile),
}

#[derive(Debug, Args)]
struct LoadArgs {
    /// The instance
    #[arg(long, value_name = "URL", env = "TIDINGS_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// An API key of an app with free text; a test key reaches only simulated providers
    #[arg(long, value_name = "KEY", env = "TIDINGS_API_KEY", hide_env_values = true, default_value = "")]
    key: String,
    #[arg(long, default_value_t = 10_000)]
    messages: u64,
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Messages a second [default: as fast as they are answered]
    #[arg(long)]
    rate: Option<f64>,
    /// Messages in one request, up to 1000
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    batch: u16,
    #[arg(long, default_value = "transactional", value_parser = ["otp", "transactional", "marketing"])]
    category: String,
}

/// Measure everything against a bare relay in one run: table, and JSON in the folder
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tidings bench suite --out target/bench
  tidings bench suite --only scheduled --rounds 1                 due messages beside a million scheduled
  tidings bench suite --only batches --rounds 1 --rows 300000
  scripts/services run tidings bench suite --only production --rows 20000    a backlog on PostgreSQL, Redis and Kafka")]
struct Suite {
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    out: PathBuf,
    /// Small numbers: shows that the bench works, not what the machine gives
    #[arg(long)]
    quick: bool,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Messages that wait in the queue, are scheduled, or come in batches [default: 1,000,000; quick: 10,000]
    #[arg(long)]
    rows: Option<u64>,
    /// Measure only these rows
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["floods", "batches", "queued", "hanging", "backlog", "scheduled"])]
    only: Vec<Part>,
}

/// Fill a store with many messages and measure every listing and every operators' page on it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tidings bench messages-table --rows 10000000 --out target/bench")]
struct MessagesTable {
    #[arg(long, default_value_t = 10_000_000)]
    rows: u64,
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    out: PathBuf,
    /// Leave the table there (10 GiB), or ask the one that was left
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Args)]
struct Relay {
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    vendor: SocketAddr,
    #[arg(long, default_value_t = 1_024)]
    in_flight: usize,
}

/// Floods an instance while perf samples it (scripts/budget)
#[derive(Debug, Args)]
struct Profile {
    #[arg(long, default_value_t = 100_000)]
    messages: u64,
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

impl Bench {
    pub async fn run(self, _: &Global) -> anyhow::Result<()> {
        let clock = Clock::system();
        match self.what {
            None => self.load.run(clock).await,
            Some(What::Relay(relay)) => bench::relay::serve(TcpListener::bind(relay.listen).await?, relay.vendor, relay.in_flight).await,
            Some(What::Profile(profile)) => bench::profile(profile.messages, &profile.out, clock).await,
            Some(What::MessagesTable(table)) => {
                let report = bench::messages_table(table.rows, table.keep, &table.out, clock).await?;
                println!("{}", report.table());
                println!("{}", table.out.join("messages-table.json").display());
                Ok(())
            }
            Some(What::Suite(suite)) => {
                let mut scale = if suite.quick { Scale::quick() } else { Scale { rounds: suite.rounds.max(1), ..Scale::full() } };
                scale.queued = suite.rows.unwrap_or(scale.queued).max(1);
                let report = bench::run(scale, &suite.only, &suite.out, clock).await?;
                println!("{}", report.table());
                println!("{}", suite.out.join("figures.json").display());
                Ok(())
            }
        }
    }
}

impl LoadArgs {
    async fn run(self, clock: Clock) -> anyhow::Result<()> {
        ensure!(!self.key.is_empty(), "a key is needed: set TIDINGS_API_KEY");
        let host = self.url.strip_prefix("http://").context("only http:// addresses: the load speaks no TLS")?.trim_end_matches('/');
        let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        let address = lookup_host(&host).await.context("the address cannot be resolved")?.next().context("the address names no host")?;
        let load = Load {
            address,
            key: Secret::new(self.key),
            members: format!("\"category\":\"{}\",\"text\":\"Your order 8812 was shipped.\"", self.category),
            messages: self.messages,
            connections: self.connections.max(1),
            rate: self.rate,
            batch: usize::from(self.batch),
            first_recipient: 0,
            keyed: false,
        };
        let outcome = load.run(clock).await?;
        let ms = |quantile: f64| outcome.latency.value_at_quantile(quantile) as f64 / 1_000.0;
        let figures = serde_json::json!({
            "accepted": outcome.accepted,
            "refused": outcome.refused,
            "refused_status": outcome.refused_status,
            "took_s": outcome.took.as_secs_f64(),
            "accepted_per_s": outcome.accepted as f64 / outcome.took.as_secs_f64(),
            "latency_ms": {"p50": ms(0.5), "p90": ms(0.9), "p99": ms(0.99), "p999": ms(0.999), "max": outcome.latency.max() as f64 / 1_000.0},
        });
        println!("{}", serde_json::to_string_pretty(&figures)?);
        ensure!(outcome.refused == 0, "{} messages were refused", outcome.refused);
        Ok(())
    }
}
