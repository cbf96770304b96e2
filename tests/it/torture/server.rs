//! A server as a process of this test's own: killed, stopped, frozen and brought back on the same data and port.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use tokio::process::Child;

use super::wire::Wire;
use crate::patience::within;

const PATIENCE: Duration = Duration::from_secs(60);

pub struct Server {
    pub kind: &'static str,
    pub port: u16,
    folder: PathBuf,
    /// The wire's port: Kafka names it to whoever comes by it.
    proxied: u16,
    /// The port of the Kafka broker that this one joins.
    joins: Option<u16>,
    child: Child,
}

impl Server {
    /// Starts a server and a wire to it.
    pub async fn start(kind: &'static str, home: &Path) -> (Self, Wire) {
        let port = free_ports();
        let folder = home.join(kind);
        // Kafka's clients go where it says that it is: on its third port it says that it is at the wire.
        let wire = Wire::to(if kind == "kafka" { port + 2 } else { port }).await;
        (Self { kind, port, child: spawn(kind, &folder, port, wire.port, None), folder, proxied: wire.port, joins: None }, wire)
    }

    /// A second Kafka broker of the same cluster.
    pub fn join(first: &Self, home: &Path) -> Self {
        let (port, folder, joins) = (free_ports(), home.join("kafka-2"), Some(first.port));
        Self { kind: "kafka", port, child: spawn("kafka", &folder, port, port, joins), folder, proxied: port, joins }
    }

    /// PostgreSQL, Redis and Kafka, and the wires to them.
    pub async fn start_all(home: &Path) -> ([Self; 3], [Wire; 3]) {
        let (postgres, to_postgres) = Self::start("postgres", home).await;
        let (redis, to_redis) = Self::start("redis", home).await;
        let (kafka, to_kafka) = Self::start("kafka", home).await;
        let mut servers = [postgres, redis, kafka];
        for server in &mut servers {
            server.until_it_listens().await;
        }
        (servers, [to_postgres, to_redis, to_kafka])
    }

    pub async fn until_it_listens(&mut self) {
        let listens = async || tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok();
        within(PATIENCE, &format!("{} listens", self.kind), listens).await;
    }

    pub async fn kill(&mut self) {
        self.signal("KILL");
        self.child.wait().await.unwrap();
    }

    /// An orderly shutdown.
    pub async fn stop(&mut self) {
        let pid = self.child.id().expect("it runs").to_string();
        signal(if self.kind == "postgres" { "INT" } else { "TERM" }, &[pid]);
        self.child.wait().await.unwrap();
    }

    pub fn freeze(&self) {
        self.signal("STOP");
    }

    pub fn thaw(&self) {
        self.signal("CONT");
    }

    pub fn start_again(&mut self) {
        self.child = spawn(self.kind, &self.folder, self.port, self.proxied, self.joins);
    }

    /// To the process and all below it: PostgreSQL's own children lead sessions of their own.
    fn signal(&self, name: &str) {
        signal(name, &family(self.child.id().expect("it runs")));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(pid) = self.child.id() {
            signal("KILL", &family(pid));
        }
    }
}

fn signal(name: &str, pids: &[String]) {
    // One that has gone meanwhile is no failure.
    drop(Command::new("kill").arg(format!("-{name}")).args(pids).stderr(Stdio::null()).status());
}

fn family(root: u32) -> Vec<String> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        if let Some(parent) = after_name.split_whitespace().nth(1).and_then(|parent| parent.parse::<u32>().ok()) {
            parents.push((pid, parent));
        }
    }
    let mut all = vec![root];
    let mut at = 0;
    while at < all.len() {
        let parent = all[at];
        all.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    all.iter().map(u32::to_string).collect()
}

fn spawn(kind: &str, folder: &Path, port: u16, proxied: u16, joins: Option<u16>) -> Child {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/servers").join(kind);
    std::fs::create_dir_all(folder).unwrap();
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.with_extension("log")).unwrap();
    let mut command = tokio::process::Command::new(script);
    command.env("TIDINGS_KAFKA_PROXIED_PORT", proxied.to_string());
    if let Some(first) = joins {
        command.env("TIDINGS_KAFKA_JOINS", first.to_string());
    }
    command.arg(folder).arg(port.to_string()).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command.kill_on_drop(true).spawn().unwrap()
}

/// Three neighbouring ports that nobody listens on: Kafka's controller takes the second, its wire the third.
fn free_ports() -> u16 {
    loop {
        let first = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let free = |port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        if port < u16::MAX - 1 && free(port + 1) && free(port + 2) {
            return port;
        }
    }
}
