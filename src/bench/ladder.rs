//! The same flood on every rung of the deployment ladder, with the CPU time of each group of processes.
//!
//! The servers are those that the environment names (`scripts/services` starts them privately); on one machine they share its
//! cores with Tidings, the load and the vendor, so what each group used says more than the rate.

use std::{collections::HashMap, path::Path};

use anyhow::Context;

use super::{
    figures::{Aim, Row},
    process::used,
    sink::Sink,
    subject::{self, Account},
    suite::Suite,
};
use crate::{clock::Clock, store::postgres::create_database};

/// The variables that `scripts/services` exports, and the setting that each is for.
const SERVERS: [(&str, &str, &str); 3] = [
    ("PostgreSQL", "TIDINGS_TEST_DATABASE_URL", "[database]\nurl"),
    ("Redis", "TIDINGS_TEST_REDIS_URL", "[redis]\nurl"),
    ("Kafka", "TIDINGS_TEST_KAFKA_BROKERS", "[kafka]\nbrokers"),
];
/// A key for stores that nobody keeps.
const MASTER_KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

pub struct Server {
    name: &'static str,
    setting: &'static str,
    address: String,
}

/// What a process on these servers is told beside the usual: it shares no database, keys or topics with whoever was measured before.
pub async fn settings_of(servers: &[Server], key: &Path, clock: Clock) -> anyhow::Result<String> {
    std::fs::write(key, MASTER_KEY)?;
    let name = format!("bench_{}", clock.now().as_millis());
    let mut settings = format!("[secrets]\nmaster_key_file = {}\n", quoted(key));
    for Server { name: server, setting, address } in servers {
        let (address, own) = match *server {
            "PostgreSQL" => (create_database(address, &name).await.context("no database of its own")?, String::new()),
            "Redis" => (address.clone(), format!("key_prefix = \"{name}\"\n")),
            _ => (address.clone(), format!("topic_prefix = \"{name}\"\ngroup = \"{name}\"\n")),
        };
        settings += &format!("{setting} = \"{address}\"\n{own}");
    }
    Ok(settings)
}

impl Server {
    /// Those that the environment names.
    pub fn all() -> anyhow::Result<Vec<Self>> {
        let given = |(name, variable, setting): &(&'static str, &str, &'static str)| {
            let address = std::env::var(variable).with_context(|| format!("{variable} is not set: run it by scripts/services run"))?;
            Ok(Self { name, setting, address })
        };
        SERVERS.iter().map(given).collect()
    }

    /// CPU seconds of the process that was told to listen on this port, and of all that it started.
    fn cpu_s(&self) -> anyhow::Result<f64> {
        let port = self.address.rsplit(['/', ':']).find_map(|part| part.parse::<u16>().ok()).context("an address ends with its port")?;
        let mut parents = HashMap::new();
        let mut roots = Vec::new();
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
            let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
            parents.insert(pid, parent.unwrap_or(0));
            let command = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            // The server's own configuration names the port where its command line does not.
            let named = command.split(['\0', ' ', ':']).any(|word| word == port.to_string())
                || command.split('\0').filter(|word| word.ends_with("server.properties")).any(|file| listens_on(file, port));
            if named && !command.contains("tidings\0") {
                roots.push(pid);
            }
        }
        let belongs = |pid: &u32| {
            std::iter::successors(Some(*pid), |pid| parents.get(pid).copied().filter(|parent| *parent > 1)).any(|pid| roots.contains(&pid))
        };
        Ok(parents.keys().filter(|pid| belongs(pid)).filter_map(|pid| used(*pid).ok()).map(|used| used.cpu_s).sum())
    }
}

fn listens_on(file: &str, port: u16) -> bool {
    std::fs::read_to_string(file).is_ok_and(|text| text.contains(&format!("listeners=PLAINTEXT://127.0.0.1:{port},")))
}

impl Suite {
    /// One process on PostgreSQL, with Redis, with Kafka.
    pub(super) async fn ladder(&mut self) -> anyhow::Result<()> {
        let servers = Server::all()?;
        for (rung, (name, cpu_name)) in [
            ("delivered on PostgreSQL", "CPU per 1,000 on PostgreSQL"),
            ("delivered on PostgreSQL and Redis", "CPU per 1,000 on PostgreSQL and Redis"),
            ("delivered on PostgreSQL, Redis and Kafka", "CPU per 1,000 on PostgreSQL, Redis and Kafka"),
        ]
        .into_iter()
        .enumerate()
        {
            let on = &servers[..=rung];
            let (mut rates, mut cpu, mut notes) = (Vec::new(), Vec::new(), String::new());
            for round in 1..=self.scale.rounds {
                eprintln!("round {round}: {name}");
                let before: Vec<f64> = on.iter().map(Server::cpu_s).collect::<Result<_, _>>()?;
                let flood = self.flood_on(on).await?;
                let messages = (self.scale.flood + self.scale.flood / 20) as f64;
                let mut groups = vec![format!("Tidings {:.3} s", flood.cpu_s_per_1000)];
                for (server, before) in on.iter().zip(before) {
                    groups.push(format!("{} {:.3} s", server.name, (server.cpu_s()? - before) * 1_000.0 / messages));
                }
                notes = format!("{NO_RECEIPTS}; per 1,000: {}", groups.join(", "));
                rates.push(flood.delivered_per_s);
                cpu.push(flood.cpu_s_per_1000);
            }
            let aim = if rung == 2 { (Aim::AtLeast(8_000.0), "≥ 8,000") } else { (Aim::None, "stated") };
            self.rows.push(Row::new(name, "1/s", rates, Vec::new(), aim).noting(notes));
            self.rows.push(Row::new(cpu_name, "s", cpu, Vec::new(), (Aim::None, "stated")).noting("Tidings alone"));
        }
        Ok(())
    }

    async fn flood_on(&mut self, servers: &[Server]) -> anyhow::Result<super::rows::Flood> {
        let sink = Sink::start(self.bench.clock).await?;
        let home = self.home.join("ladder");
        let settings = settings_of(servers, &self.home.join("ladder.key"), self.bench.clock).await?;
        let tidings = subject::tidings_on(&home, &[Account::new("a", sink.address)], &settings, self.bench.clock).await?;
        let flood = self.bench.flood(&tidings, &sink, self.scale.flood).await?;
        tidings.process.stop().await?;
        Ok(flood)
    }
}

const NO_RECEIPTS: &str = "no receipts";

fn quoted(path: &Path) -> String {
    toml::Value::String(path.to_string_lossy().into_owned()).to_string()
}
