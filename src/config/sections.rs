//! One struct per section of the configuration, with its defaults. What each setting means is explained in
//! `docs/CONFIGURATION.md`, which lists the same names in the same order.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use tidings_core::{health::Thresholds, redact::Secret, retry::BudgetSettings};

use super::{
    reader::Reader,
    setting::{Network, Setting},
};
use crate::telemetry::{Log, logs::Format, traces};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// `[http]`: the main listener.
#[derive(Clone, Debug)]
pub struct Http {
    pub listen: SocketAddr,
    /// What providers and links call, without a slash at its end.
    pub public_url: String,
    pub shutdown_timeout: Duration,
    pub drain_delay: Duration,
    pub max_body_bytes: usize,
    pub max_batch_bytes: usize,
    pub trusted_proxies: Vec<Network>,
    pub max_connections: usize,
    pub header_timeout: Duration,
    pub body_timeout: Duration,
}

impl Http {
    pub(super) fn read(from: &mut Reader) -> Self {
        let listen = from.get("http.listen", SocketAddr::from(([127, 0, 0, 1], 8080)));
        Self {
            listen,
            public_url: from.get("http.public_url", HttpUrl(address_of(listen))).0,
            shutdown_timeout: from.seconds("http.shutdown_timeout_s", 20, 0..=3_600),
            drain_delay: from.millis("http.drain_delay_ms", 500, 0..=600_000),
            max_body_bytes: from.within("http.max_body_bytes", MIB, KIB..=64 * MIB),
            max_batch_bytes: from.within("http.max_batch_bytes", 16 * MIB, KIB..=256 * MIB),
            trusted_proxies: from.get("http.trusted_proxies", Vec::new()),
            max_connections: from.within("http.max_connections", 20_000, 1..=1_000_000),
            header_timeout: from.seconds("http.header_timeout_s", 60, 1..=3_600),
            body_timeout: from.seconds("http.body_timeout_s", 30, 1..=3_600),
        }
    }
}

/// How the listener is reached from this machine.
fn address_of(listen: SocketAddr) -> String {
    if listen.ip().is_unspecified() { format!("http://127.0.0.1:{}", listen.port()) } else { format!("http://{listen}") }
}

struct HttpUrl(String);

impl Setting for HttpUrl {
    const EXPECTED: &'static str = "an address that begins with http:// or https://";
    fn from_value(value: &toml::Value) -> Option<Self> {
        let text = value.as_str()?;
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"))?;
        let plain = !rest.is_empty() && !rest.starts_with('/') && !rest.contains(['?', '#', ' ']);
        plain.then(|| Self(text.trim_end_matches('/').to_owned()))
    }
}

/// `[metrics]`: a listener of its own, so that `/metrics` need not face the teams.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub listen: Option<SocketAddr>,
}

impl Metrics {
    pub(super) fn read(from: &mut Reader) -> Self {
        Self { listen: from.get("metrics.listen", None) }
    }
}

/// `[database]`: without a URL, SQLite in `data_dir`.
#[derive(Clone, Debug)]
pub struct Database {
    pub url: Option<Secret>,
}

impl Database {
    pub(super) fn read(from: &mut Reader) -> Self {
        Self { url: from.secret_address("database.url", &["postgres", "postgresql"]) }
    }
}

/// `[redis]`: without a URL, limits, claims and idempotency are kept in the process and the store.
#[derive(Clone, Debug)]
pub struct Redis {
    pub url: Option<Secret>,
    pub key_prefix: String,
}

impl Redis {
    pub(super) fn read(from: &mut Reader) -> Self {
        Self {
            url: from.secret_address("redis.url", &["redis", "rediss", "valkey", "valkeys", "redis+unix", "valkey+unix", "unix"]),
            key_prefix: from.get("redis.key_prefix", "tidings".to_owned()),
        }
    }
}

/// `[kafka]`: without brokers, the store is the queue.
#[derive(Clone, Debug)]
pub struct Kafka {
    pub brokers: Option<String>,
    pub topic_prefix: String,
    pub group: String,
    pub partitions: u32,
    /// 0 means: one replica per broker, three at most.
    pub replication: u32,
}

impl Kafka {
    pub(super) fn read(from: &mut Reader) -> Self {
        Self {
            brokers: Some(from.get("kafka.brokers", String::new())).filter(|brokers| !brokers.is_empty()),
            topic_prefix: from.get("kafka.topic_prefix", "tidings".to_owned()),
            group: from.get("kafka.group", "tidings-workers".to_owned()),
            partitions: from.within("kafka.partitions", 12, 1..=10_000),
            replication: from.within("kafka.replication", 0, 0..=100),
        }
    }
}

/// `[queue]`: how much may wait before sends are refused.
#[derive(Clone, Debug)]
pub struct Queue {
    pub max_messages: u64,
}

impl Queue {
    pub(super) fn read(from: &mut Reader) -> Self {
        Self { max_messages: from.within("queue.max_messages", 10_000_000, 1..=10_000_000_000) }
    }
}

/// `[webhooks]`.
#[derive(Clone, Debug)]
pub struct Webhooks {
    pub allow_private: bool,
}

impl Webhooks {
    pub(super) fn read(from: &mut Reader) -> Self {
        Self { allow_private: from.get("webhooks.allow_private", false) }
    }
}

/// `[secrets]`: the keys that seal what is at rest, one a line; the first seals, all open.
#[derive(Clone, Debug)]
pub struct Secrets {
    pub master_key: Option<Secret>,
}

impl Secrets {
    pub(super) fn read(from: &mut Reader) -> Self {
        Self { master_key: from.secret("secrets.master_key") }
    }
}

/// `[bootstrap]`: what to make on a start where it does not exist yet.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    pub file: Option<PathBuf>,
}

impl Bootstrap {
    pub(super) fn read(from: &mut Reader) -> Self {
        Self { file: from.get("bootstrap.file", None) }
    }
}

/// `[verifications]`: how often a code may be sent.
#[derive(Clone, Debug)]
pub struct Verifications {
    pub resend: Duration,
    pub per_number_hour: u32,
    pub per_number_day: u32,
    pub per_address_hour: u32,
}

impl Verifications {
    pub(super) fn read(from: &mut Reader) -> Self {
        Self {
            resend: from.seconds("verifications.resend_s", 60, 0..=3_600),
            per_number_hour: from.get("verifications.per_number_hour", 5),
            per_number_day: from.get("verifications.per_number_day", 10),
            per_address_hour: from.get("verifications.per_address_hour", 20),
        }
    }
}

/// `[workers]`: how many messages a process has in hand at once, by lane: lanes share no permits.
#[derive(Clone, Debug)]
pub struct Workers {
    pub urgent: usize,
    pub normal: usize,
    pub bulk: usize,
    pub lease: Duration,
}

impl Workers {
    pub(super) fn read(from: &mut Reader) -> Self {
        Self {
            urgent: from.within("workers.urgent", 1_024, 1..=100_000),
            normal: from.within("workers.normal", 1_024, 1..=100_000),
            bulk: from.within("workers.bulk", 512, 1..=100_000),
            lease: from.seconds("workers.lease_s", 30, 5..=3_600),
        }
    }
}

/// `[health]`: what makes a provider sick, for those of whose revision says nothing else. Explained in `docs/FAILOVER.md`.
#[derive(Clone, Copy, Debug)]
pub struct Health {
    pub thresholds: Thresholds,
}

impl Health {
    pub(super) fn read(from: &mut Reader) -> Self {
        let usual = Thresholds::default();
        Self {
            thresholds: Thresholds {
                consecutive_timeouts: from.within("health.consecutive_timeouts", usual.consecutive_timeouts, Thresholds::TIMEOUTS),
                mean_rise: from.within("health.mean_rise", usual.mean_rise, Thresholds::RISES),
                tail_share: from.within("health.tail_share", usual.tail_share, Thresholds::SHARES),
                error_rate: from.within("health.error_rate", usual.error_rate, Thresholds::SHARES),
                receipts_missing: from.within("health.receipts_missing", usual.receipts_missing, Thresholds::SHARES),
            },
        }
    }
}

/// `[retries]`: how many rounds an app's messages may begin, and how often a provider is asked again, for their first tries.
#[derive(Clone, Copy, Debug)]
pub struct Retries {
    pub budget: BudgetSettings,
}

impl Retries {
    pub(super) fn read(from: &mut Reader) -> Self {
        let per_message = from.within("retries.budget_per_message", 0.2, 0.0..=100.0);
        let per_s = from.within("retries.budget_per_s", 10.0, 0.0..=100_000.0);
        let most = from.within("retries.budget_most", 100.0, 1.0..=1_000_000.0);
        // Each is within bounds that make a budget; were it not, the default is a safe one.
        Self { budget: BudgetSettings::new(per_message, per_s, most).unwrap_or_default() }
    }
}

impl Setting for Format {
    const EXPECTED: &'static str = "\"text\" or \"json\"";
    fn from_value(value: &toml::Value) -> Option<Self> {
        match value.as_str()? {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

struct Directives(String);

impl Setting for Directives {
    const EXPECTED: &'static str = "filter directives such as info or info,tidings=debug";
    fn from_value(value: &toml::Value) -> Option<Self> {
        let text = value.as_str()?;
        Log { format: Format::Text, filter: text.to_owned() }.validate().ok().map(|()| Self(text.to_owned()))
    }
}

/// `[traces]`: OTLP over HTTP; without an endpoint, off.
pub(super) fn read_traces(from: &mut Reader) -> traces::Settings {
    traces::Settings {
        endpoint: from.get("traces.endpoint", MaybeUrl(None)).0,
        sample_share: from.within("traces.sample_share", 0.01, 0.0..=1.0),
    }
}

/// An address that need not be given.
pub(super) struct MaybeUrl(pub(super) Option<String>);

impl Setting for MaybeUrl {
    const EXPECTED: &'static str = "an address that begins with http:// or https://, or empty";
    fn from_value(value: &toml::Value) -> Option<Self> {
        if value.as_str() == Some("") {
            return Some(Self(None));
        }
        HttpUrl::from_value(value).map(|url| Self(Some(url.0)))
    }
}

/// `[log]`.
pub(super) fn read_log(from: &mut Reader) -> Log {
    Log { format: from.get("log.format", Format::Text), filter: from.get("log.filter", Directives("info".to_owned())).0 }
}
