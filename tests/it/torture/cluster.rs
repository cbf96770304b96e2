//! Two API nodes and two workers, each a process with a folder of its own.

use std::{
    fs::OpenOptions,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::{Child, Command};

use super::{server::Server, wire::Wire};
use crate::patience;

pub const KEY: &str = "tk_live_torture0123456789abcdef0123456789ab";
const MASTER_KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
/// The workers' consumer group, as it is called when nobody says otherwise.
pub const GROUP: &str = "tidings-workers";

pub struct Node {
    pub address: SocketAddr,
    role: &'static str,
    folder: PathBuf,
    child: Child,
}

pub struct Cluster {
    /// api, api, worker, worker.
    pub nodes: Vec<Node>,
    home: PathBuf,
    addresses: [u16; 3],
}

impl Cluster {
    /// Two API nodes and two workers at one vendor. `behind` reaches PostgreSQL, Redis and Kafka by wires that can be cut.
    pub async fn start(home: &Path, servers: &[Server; 3], (wires, behind): (&[Wire; 3], usize), provider: &str) -> Self {
        let app = format!(
            "[[apps]]\nname = \"shop\"\nlive = true\nfree_text = true\n\
             [[apps.keys]]\nname = \"shop\"\nsecret = \"{KEY}\"\nscopes = [\"messages:send\", \"messages:read\"]\n"
        );
        std::fs::write(home.join("bootstrap.toml"), format!("{app}{provider}")).unwrap();
        std::fs::write(home.join("master.key"), MASTER_KEY).unwrap();
        let addresses = [servers[0].port, servers[1].port, servers[2].port];
        let mut cluster = Self { nodes: Vec::new(), home: home.to_owned(), addresses };
        for (number, role) in ["api", "api", "worker", "worker"].into_iter().enumerate() {
            let ports = if number == behind { [wires[0].port, wires[1].port, wires[2].port] } else { addresses };
            cluster.add(role, ports).await;
        }
        cluster
    }

    /// One more worker, or the next node of the four: one after the other, because the first brings the bootstrap file in.
    pub async fn add(&mut self, role: &'static str, [postgres, redis, kafka]: [u16; 3]) {
        let (home, number) = (&self.home, self.nodes.len());
        let folder = home.join(format!("{role}{number}"));
        std::fs::create_dir_all(&folder).unwrap();
        let address = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let settings = format!(
            "data_dir = \"{}\"\n[http]\nlisten = \"{address}\"\n[bootstrap]\nfile = \"{}\"\n[log]\nfilter = \"info\"\n\
             [secrets]\nmaster_key_file = \"{}\"\n[database]\nurl = \"postgres://tidings@127.0.0.1:{postgres}/postgres\"\n\
             [redis]\nurl = \"redis://127.0.0.1:{redis}\"\n[kafka]\nbrokers = \"127.0.0.1:{kafka}\"\npartitions = 6\n",
            folder.join("data").display(),
            home.join("bootstrap.toml").display(),
            home.join("master.key").display(),
        );
        std::fs::write(folder.join("tidings.toml"), settings).unwrap();
        if number == 0 {
            let migrated = command(&folder, "migrate").status().await.unwrap();
            assert!(migrated.success(), "{}", log(&folder));
        }
        let child = command(&folder, role).spawn().unwrap();
        let mut node = Node { address, role, folder, child };
        node.until_ready().await;
        self.nodes.push(node);
    }

    /// One more worker that reaches everything directly.
    pub async fn add_worker(&mut self) {
        self.add("worker", self.addresses).await;
    }

    pub fn database(&self) -> String {
        format!("postgres://tidings@127.0.0.1:{}/postgres", self.addresses[0])
    }

    pub fn redis(&self) -> String {
        format!("redis://127.0.0.1:{}", self.addresses[1])
    }

    pub fn kafka(&self) -> String {
        format!("127.0.0.1:{}", self.addresses[2])
    }

    pub fn apis(&self) -> Vec<SocketAddr> {
        self.nodes.iter().filter(|node| node.role == "api").map(|node| node.address).collect()
    }

    /// The last that each said.
    pub fn logs(&self) -> String {
        let last = |text: String| {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(40)..].join("\n")
        };
        self.nodes.iter().map(|node| format!("== {}\n{}\n", node.folder.display(), last(log(&node.folder)))).collect()
    }
}

impl Node {
    async fn until_ready(&mut self) {
        if let Err(instead) = patience::ready(&mut self.child, self.address).await {
            panic!("{} {instead}:\n{}", self.role, log(&self.folder));
        }
    }

    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        drop(std::process::Command::new("kill").arg(format!("-{name}")).arg(pid).status());
    }

    /// SIGTERM, and waits for an orderly end.
    pub async fn stop(&mut self) {
        self.signal("TERM");
        let status = self.child.wait().await.unwrap();
        assert!(status.success(), "{} ended with {status}:\n{}", self.role, log(&self.folder));
    }

    pub async fn start_again(&mut self) {
        self.child = command(&self.folder, self.role).spawn().unwrap();
        self.until_ready().await;
    }
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap()
}

fn command(folder: &Path, role: &str) -> Command {
    let log = OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    command.args([role, "--config"]).arg(folder.join("tidings.toml"));
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
    command
}
