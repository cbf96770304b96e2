//! What is measured: an instance of Tidings with a fresh store, or a bare relay, each a process of its own.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, ensure};
use tidings_core::redact::Secret;

use super::process::Process;
use crate::clock::Clock;

/// Only this bench's instance on loopback ever knows it.
const KEY: &str = "tk_live_bench0123456789abcdef0123456789abcdef";

pub struct Subject {
    pub process: Process,
    pub address: SocketAddr,
    pub key: Secret,
    /// Where an instance of Tidings lives.
    home: PathBuf,
}

impl Subject {
    /// Ends the instance and starts it again on its store.
    pub async fn restart(self, clock: Clock) -> anyhow::Result<Self> {
        let Self { process, address, home, .. } = self;
        process.stop().await?;
        start("serve", home, address, clock).await
    }
}

/// An account that the instance submits to.
#[derive(Clone, Debug)]
pub struct Account {
    pub name: &'static str,
    pub vendor: SocketAddr,
    pub max_in_flight: usize,
    /// Contract in segments per second; 0: none.
    pub max_per_s: u32,
    pub timeout: Duration,
}

impl Account {
    pub const fn new(name: &'static str, vendor: SocketAddr) -> Self {
        Self { name, vendor, max_in_flight: 1_024, max_per_s: 0, timeout: Duration::from_secs(3) }
    }
}

/// Starts Tidings on an empty store in `home`.
pub async fn tidings(home: &Path, accounts: &[Account], clock: Clock) -> anyhow::Result<Subject> {
    tidings_on(home, accounts, "", clock).await
}

/// Starts Tidings with these settings beside the usual ones: on other servers.
pub async fn tidings_on(home: &Path, accounts: &[Account], settings: &str, clock: Clock) -> anyhow::Result<Subject> {
    role_on("serve", home, accounts, settings, clock).await
}

/// The same for one role.
pub async fn role_on(role: &str, home: &Path, accounts: &[Account], settings: &str, clock: Clock) -> anyhow::Result<Subject> {
    let address = configure(home, accounts, settings).await?;
    start(role, home.to_owned(), address, clock).await
}

/// Runs a command with these settings to its end.
pub async fn run_once(command: &'static str, home: &Path, accounts: &[Account], settings: &str) -> anyhow::Result<()> {
    configure(home, accounts, settings).await?;
    let ended = tokio::process::Command::new(std::env::current_exe()?).arg(command).arg("--config").arg(home.join("tidings.toml")).status();
    let status = ended.await.with_context(|| format!("tidings {command} cannot be started"))?;
    ensure!(status.success(), "tidings {command} ended with {status}");
    Ok(())
}

async fn configure(home: &Path, accounts: &[Account], settings: &str) -> anyhow::Result<SocketAddr> {
    if home.exists() {
        std::fs::remove_dir_all(home).context("the last run's folder cannot be removed")?;
    }
    std::fs::create_dir_all(home).with_context(|| format!("{} cannot be made", home.display()))?;
    let address = free_address().await?;
    let (config, bootstrap) = (home.join("tidings.toml"), home.join("bootstrap.toml"));
    std::fs::write(&bootstrap, bootstrap_file(accounts))?;
    std::fs::write(&config, config_file(home, address, &bootstrap) + settings)?;
    Ok(address)
}

async fn start(role: &str, home: PathBuf, address: SocketAddr, clock: Clock) -> anyhow::Result<Subject> {
    let (config, log) = (home.join("tidings.toml"), home.join("tidings.log"));
    let config = config.to_str().context("the folder's name is not UTF-8")?;
    let mut process = Process::start(&[role, "--config", config], &log)?;
    process.ready(address, "/readyz", clock).await.with_context(|| format!("see {}", log.display()))?;
    Ok(Subject { process, address, key: Secret::new(KEY.to_owned()), home })
}

/// Starts a bare relay to a vendor.
pub async fn relay(home: &Path, vendor: SocketAddr, in_flight: usize, clock: Clock) -> anyhow::Result<Subject> {
    std::fs::create_dir_all(home)?;
    let address = free_address().await?;
    let (listen, vendor, in_flight) = (address.to_string(), vendor.to_string(), in_flight.to_string());
    let arguments = ["bench", "relay", "--listen", &listen, "--vendor", &vendor, "--in-flight", &in_flight];
    let mut process = Process::start(&arguments, &home.join("relay.log"))?;
    process.ready(address, "/", clock).await?;
    Ok(Subject { process, address, key: Secret::new(KEY.to_owned()), home: home.to_owned() })
}

/// A port that nobody had a moment ago.
async fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(tokio::net::TcpListener::bind("127.0.0.1:0").await?.local_addr()?)
}

fn config_file(home: &Path, address: SocketAddr, bootstrap: &Path) -> String {
    let (data, bootstrap) = (quoted(&home.join("data")), quoted(bootstrap));
    format!("data_dir = {data}\n[http]\nlisten = \"{address}\"\n[bootstrap]\nfile = {bootstrap}\n[log]\nfilter = \"warn\"\n")
}

fn bootstrap_file(accounts: &[Account]) -> String {
    let mut file = format!(
        "[[apps]]\nname = \"bench\"\nlive = true\nfree_text = true\n\
         [[apps.keys]]\nname = \"bench\"\nsecret = \"{KEY}\"\nscopes = [\"messages:send\", \"messages:read\"]\n"
    );
    for account in accounts {
        let Account { name, vendor, max_in_flight, max_per_s, timeout } = account;
        file.push_str(&format!(
            "[[providers]]\nname = \"{name}\"\nkind = \"http\"\nchannel = \"sms\"\nmax_in_flight = {max_in_flight}\nmax_per_s = {max_per_s}\n\
             timeout_ms = {}\nprice = \"0.0100\"\ncurrency = \"EUR\"\nreceipts = false\n\
             [providers.settings]\nurl = \"http://{vendor}/send\"\nmessage_id = \"/id\"\n",
            timeout.as_millis()
        ));
    }
    file
}

fn quoted(path: &Path) -> String {
    toml::Value::String(path.to_string_lossy().into_owned()).to_string()
}
