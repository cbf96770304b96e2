//! A server as a process of this test's own: killed, stopped, frozen and brought back on the same data and port.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use tokio::process::Child;

const PATIENCE: Duration = Duration::from_secs(60);

pub struct Server {
    pub kind: &'static str,
    pub port: u16,
    folder: PathBuf,
    child: Child,
}

impl Server {
    pub fn start(kind: &'static str, home: &Path) -> Self {
        let port = free_pair();
        let folder = home.join(kind);
        Self { kind, port, child: spawn(kind, &folder, port), folder }
    }

    pub async fn until_it_listens(&mut self) {
        let listens = async {
            loop {
                if tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, listens).await.unwrap_or_else(|_| panic!("{} does not listen", self.kind));
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
        self.child = spawn(self.kind, &self.folder, self.port);
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

fn spawn(kind: &str, folder: &Path, port: u16) -> Child {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/servers").join(kind);
    std::fs::create_dir_all(folder).unwrap();
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.with_extension("log")).unwrap();
    let mut command = tokio::process::Command::new(script);
    command.arg(folder).arg(port.to_string()).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command.kill_on_drop(true).spawn().unwrap()
}

/// Two neighbouring ports that nobody listens on: Kafka's controller takes the second.
fn free_pair() -> u16 {
    loop {
        let first = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if port < u16::MAX && std::net::TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}
