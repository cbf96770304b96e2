//! `tidings doctor`: looks at everything that a node stands on, and says what to do about what it finds.
//!
//! It changes nothing and may run beside a running instance. Findings are told in the order in which a node needs things:
//! configuration, folder and disk, backing services, the store, providers in force, clock, the instance itself. No secret is printed: of an
//! address only host and port.

use std::{collections::BTreeMap, fmt, path::Path, time::Duration};

use anyhow::bail;
use clap::Args;
use reqwest::Url;
use tidings_core::time::Timestamp;
use tokio::net::TcpStream;

use super::{Global, healthcheck::reachable};
use crate::{
    clock::Clock,
    config::Config,
    control::{Bootstrap, model::SettingValue},
};

/// A network that is well answers within this, also to the other side of the world.
const PATIENCE: Duration = Duration::from_secs(5);
/// Below this share of free disk bulk is refused; an operator wants to know at twice that.
const DISK_TIGHT: f64 = 0.10;
const DISK_SHEDS: f64 = 0.05;
/// Tokens and signatures of vendors bear half a minute; an HTTP date is exact to a second.
const CLOCK_OFF: Duration = Duration::from_secs(5);

/// Look at configuration, disk, services, providers and clock, and say what to do
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tidings doctor --config tidings.toml
  tidings doctor --config tidings.toml || echo 'something needs attention'")]
pub(super) struct Doctor {}

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    Well(String),
    /// It works, but not for long or not for everybody: what, and what to do.
    Worry(String, &'static str),
    Bad(String, &'static str),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Well(what) => write!(f, "ok     {what}"),
            Self::Worry(what, remedy) => write!(f, "worry  {what}\n       {remedy}"),
            Self::Bad(what, remedy) => write!(f, "BAD    {what}\n       {remedy}"),
        }
    }
}

impl Doctor {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let (config, faults) = global.read();
        let mut findings: Vec<Finding> = faults
            .0
            .iter()
            .map(|fault| Finding::Bad(format!("configuration: {fault}"), "Correct the setting; tidings check lists them all."))
            .collect();
        if findings.is_empty() {
            findings.push(Finding::Well("configuration: sound".to_owned()));
        }
        findings.extend(bootstrap(&config));
        findings.extend(folder(&config.data_dir));
        findings.extend(services(&config).await);
        let (found, addresses) = store(&config).await;
        findings.push(found);
        let clock = Clock::system();
        findings.extend(providers(addresses, &clock).await);
        findings.push(instance(&config).await);
        for finding in &findings {
            println!("{finding}");
        }
        let bad = findings.iter().filter(|finding| matches!(finding, Finding::Bad(..))).count();
        if bad > 0 { bail!("{bad} of {} need attention", findings.len()) } else { Ok(()) }
    }
}

fn bootstrap(config: &Config) -> Vec<Finding> {
    let Some(file) = &config.bootstrap.file else { return Vec::new() };
    match Bootstrap::load(file) {
        Ok(_) => vec![Finding::Well(format!("bootstrap file {}: sound", file.display()))],
        Err(faults) => {
            let bad = |fault| {
                Finding::Bad(format!("bootstrap file {}: {fault}", file.display()), "Correct the file; nothing of it is applied as it is.")
            };
            faults.0.iter().map(bad).collect()
        }
    }
}

fn folder(data_dir: &Path) -> Vec<Finding> {
    let name = data_dir.display();
    if !data_dir.exists() {
        return vec![Finding::Worry(
            format!("data_dir {name}: does not exist yet"),
            "The first start makes it; its parent must be writable.",
        )];
    }
    let mut findings = Vec::new();
    if rustix::fs::access(data_dir, rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_err() {
        findings.push(Finding::Bad(
            format!("data_dir {name}: cannot be written by this user"),
            "Run as the user that owns it, or give it to this one.",
        ));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if std::fs::metadata(data_dir).is_ok_and(|folder| folder.permissions().mode() & 0o077 != 0) {
            findings.push(Finding::Worry(
                format!("data_dir {name}: others may look into it"),
                "chmod 700: it holds the messages and generated secrets.",
            ));
        }
    }
    let free = rustix::fs::statvfs(data_dir).map(|disk| disk.f_bavail as f64 / disk.f_blocks.max(1) as f64);
    findings.push(match free {
        Ok(free) if free < DISK_SHEDS => {
            Finding::Bad(format!("disk: {:.0} % free", free * 100.0), "Sends are refused already, bulk first. Free space now.")
        }
        Ok(free) if free < DISK_TIGHT => {
            Finding::Worry(format!("disk: {:.0} % free", free * 100.0), "At 5 % bulk is refused. Free space or enlarge the disk.")
        }
        Ok(free) => Finding::Well(format!("disk: {:.0} % free", free * 100.0)),
        Err(_) => Finding::Worry("disk: the system does not tell how much is free".to_owned(), "Watch it by other means."),
    });
    findings
}

/// Host and port of an address; `port` where it names none.
fn host_and_port(address: &str, port: u16) -> Option<(String, u16)> {
    let url = Url::parse(address).ok()?;
    Some((url.host_str()?.to_owned(), url.port_or_known_default().unwrap_or(port)))
}

async fn connects(name: &str, host: &str, port: u16, remedy: &'static str) -> Finding {
    match tokio::time::timeout(PATIENCE, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Finding::Well(format!("{name}: {host}:{port} takes connections")),
        Ok(Err(error)) => Finding::Bad(format!("{name}: {host}:{port}: {}", error.kind()), remedy),
        Err(_) => Finding::Bad(format!("{name}: {host}:{port} does not answer within {} s", PATIENCE.as_secs()), remedy),
    }
}

async fn services(config: &Config) -> Vec<Finding> {
    const REMEDY: &str = "Start it, or correct its address; until then the others stand in for it as readyz says.";
    let mut findings = Vec::new();
    for (name, url, port) in [("database", &config.database.url, 5_432), ("redis", &config.redis.url, 6_379)] {
        match url.as_ref().map(|url| host_and_port(url.expose(), port)) {
            Some(Some((host, port))) => findings.push(connects(name, &host, port, REMEDY).await),
            Some(None) => findings
                .push(Finding::Bad(format!("{name}: its address cannot be read"), "Write it as scheme://user:password@host:port/name.")),
            None if name == "database" => findings.push(Finding::Well("database: SQLite in data_dir".to_owned())),
            None => {}
        }
    }
    for broker in config.kafka.brokers.iter().flat_map(|brokers| brokers.split(',')) {
        let (host, port) = broker.trim().rsplit_once(':').unwrap_or((broker.trim(), "9092"));
        findings.push(connects("kafka", host, port.parse().unwrap_or(9_092), REMEDY).await);
    }
    findings
}

/// A provider's name, and where it is called.
type Address = (String, String);

/// Whether the store can be read with this configuration's key, and the providers of the routing that is in force there.
async fn store(config: &Config) -> (Finding, Vec<Address>) {
    let path = crate::assembly::database_in(&config.data_dir);
    if config.database.url.is_none() && !path.exists() {
        let new = Finding::Worry(format!("store: {} does not exist yet", path.display()), "The first start makes it.");
        return (new, bootstrap_addresses(config));
    }
    match tokio::time::timeout(PATIENCE, crate::assembly::control(config)).await {
        Err(_) => {
            let away = format!("store: does not answer within {} s", PATIENCE.as_secs());
            (Finding::Bad(away, "Look at the database's own log; a running instance goes on with what it knows."), Vec::new())
        }
        Ok(Err(error)) => (
            Finding::Bad(
                format!("store: {error:#}"),
                "Check address, user and master key; tidings migrate brings an older schema up to date.",
            ),
            Vec::new(),
        ),
        Ok(Ok(control)) => {
            let snapshot = control.snapshot();
            let Some(revision) = &snapshot.routing().base else {
                return (
                    Finding::Worry("store: reads, and no routing is in force".to_owned(), "Propose and activate a routing revision."),
                    Vec::new(),
                );
            };
            let addresses = revision.document.providers.iter().filter_map(|it| Some((it.name.clone(), address(&it.settings)?))).collect();
            (Finding::Well(format!("store: reads, routing revision {} is in force", revision.number)), addresses)
        }
    }
}

/// Where a provider is called, by the settings of its kind.
fn address(settings: &BTreeMap<String, SettingValue>) -> Option<String> {
    let plain = |name: &str| match settings.get(name)? {
        SettingValue::Plain(value) => Some(value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)),
        SettingValue::Sealed { .. } => None,
    };
    let by_host = || Some(format!("tcp://{}:{}", plain("host")?, plain("port")?));
    plain("url").or_else(|| plain("endpoint")).or_else(|| plain("webhook")).or_else(by_host)
}

/// Before the first start: the providers that the bootstrap file names.
fn bootstrap_addresses(config: &Config) -> Vec<Address> {
    let Some(Ok(bootstrap)) = config.bootstrap.file.as_ref().map(|file| Bootstrap::load(file)) else { return Vec::new() };
    bootstrap.providers().iter().filter_map(|it| Some((it.name.clone(), address(&it.settings)?))).collect()
}

async fn providers(addresses: Vec<Address>, clock: &Clock) -> Vec<Finding> {
    const REMEDY: &str =
        "Look at name resolution, the firewall and the vendor's status page. Messages go to the other providers meanwhile.";
    let mut findings = Vec::new();
    let client = reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none()).build();
    let mut drift: Option<Duration> = None;
    for (name, address) in addresses {
        let Some((host, port)) = host_and_port(&address, 443) else {
            findings.push(Finding::Bad(format!("provider {name}: its address cannot be read"), "Correct it by a routing revision."));
            continue;
        };
        let subject = format!("provider {name}");
        let found = connects(&subject, &host, port, REMEDY).await;
        if let (Finding::Well(_), Ok(client), true) = (&found, &client, address.starts_with("http"))
            && let Ok(answer) = client.head(format!("{}://{host}:{port}/", address.split(':').next().unwrap_or("https"))).send().await
            && let Some(theirs) = answer.headers().get("date").and_then(|date| read_date(date.to_str().ok()?))
        {
            let now = clock.now();
            drift = Some(now.since(theirs).max(theirs.since(now)));
        }
        findings.push(found);
    }
    findings.extend(drift.map(|drift| match drift {
        off if off > CLOCK_OFF => Finding::Bad(
            format!("clock: {} s away from a provider's", off.as_secs()),
            "Set it by NTP: signed calls and tokens fail, and times in the pages are wrong.",
        ),
        _ => Finding::Well("clock: agrees with the providers'".to_owned()),
    }));
    findings
}

fn read_date(text: &str) -> Option<Timestamp> {
    let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Timestamp::from_millis(zoned.timestamp().as_millisecond()))
}

async fn instance(config: &Config) -> Finding {
    let address = reachable(config.http.listen);
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build();
    let Ok(client) = client else { return Finding::Worry("instance: no HTTP client".to_owned(), "Look at the system's certificates.") };
    match client.get(format!("http://{address}/readyz")).send().await {
        Err(_) => Finding::Worry(format!("instance: nothing answers at {address}"), "Start it with tidings serve, if it should run here."),
        Ok(answer) if !answer.status().is_success() => {
            Finding::Bad(format!("instance: at {address} and not ready"), "GET /readyz names what is away; its log says why.")
        }
        Ok(answer) => match answer.text().await.unwrap_or_default() {
            body if body.contains("degraded") => {
                Finding::Worry(format!("instance: ready at {address}, degraded"), "GET /readyz names what is away.")
            }
            _ => Finding::Well(format!("instance: ready at {address}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_without_their_secrets() {
        assert_eq!(host_and_port("postgres://tidings:secret@db.example/x", 5_432), Some(("db.example".into(), 5_432)));
        assert_eq!(host_and_port("redis://127.0.0.1:7000", 6_379), Some(("127.0.0.1".into(), 7_000)));
        assert_eq!(host_and_port("tcp://smsc.example:2775", 443), Some(("smsc.example".into(), 2_775)));
        assert_eq!(host_and_port("nonsense", 1), None);
    }

    #[test]
    fn the_date_of_an_answer_is_read() {
        assert_eq!(read_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap().to_string(), "1994-11-06T08:49:37.000Z");
    }

    #[tokio::test]
    async fn a_closed_port_is_bad_and_an_open_one_is_well() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(matches!(connects("x", "127.0.0.1", port, "").await, Finding::Well(_)));
        drop(listener);
        assert!(matches!(connects("x", "127.0.0.1", port, "do this").await, Finding::Bad(_, "do this")));
    }

    #[test]
    fn a_folder_that_others_may_enter_is_a_worry() {
        let folder = tempfile::tempdir().unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(super::folder(folder.path()).iter().any(|finding| matches!(finding, Finding::Worry(what, _) if what.contains("others"))));
    }
}
