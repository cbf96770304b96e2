//! The real binary as a process: started, asked, killed, started again on the same folder and port.

use std::{
    fs::OpenOptions,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
use tokio::process::{Child, Command};

use crate::patience;

pub const KEY: &str = "tk_live_canarykey0123456789abcdef0123456789ab";

pub struct Node {
    pub address: SocketAddr,
    home: PathBuf,
    config: PathBuf,
    reveal: bool,
    child: Child,
    pub client: reqwest::Client,
}

impl Node {
    /// Starts on an empty `data_dir` with these providers and nothing said below warnings.
    pub async fn start(home: &Path, data_dir: &Path, providers: &str) -> Self {
        Self::configured(home, data_dir, providers, "", "warn", false).await
    }

    /// Starts with settings of its listener.
    pub async fn start_with_http(home: &Path, bootstrap: &str, http: &str) -> Self {
        Self::configured(home, &home.join("data"), bootstrap, http, "warn", false).await
    }

    /// Starts with more of a bootstrap file, a log filter, and redaction or not.
    pub async fn start_with(home: &Path, bootstrap: &str, filter: &str, reveal: bool) -> Self {
        Self::configured(home, &home.join("data"), bootstrap, "", filter, reveal).await
    }

    async fn configured(home: &Path, data_dir: &Path, bootstrap: &str, http: &str, filter: &str, reveal: bool) -> Self {
        let address = free_address().await;
        let (config, file) = (home.join("tidings.toml"), home.join("bootstrap.toml"));
        let settings = format!(
            "data_dir = \"{}\"\n[http]\nlisten = \"{address}\"\n{http}\n[bootstrap]\nfile = \"{}\"\n[log]\nfilter = \"{filter}\"\n",
            data_dir.display(),
            file.display()
        );
        std::fs::write(&config, settings).unwrap();
        let app = format!(
            "[[apps]]\nname = \"shop\"\nlive = true\nfree_text = true\n\
             [[apps.keys]]\nname = \"shop\"\nsecret = \"{KEY}\"\nscopes = [\"messages:send\", \"messages:read\"]\n"
        );
        std::fs::write(&file, format!("{app}{bootstrap}")).unwrap();
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
        let child = spawn(home, &config, reveal);
        let mut node = Self { address, home: home.to_owned(), config, reveal, child, client };
        node.ready().await;
        node
    }

    async fn ready(&mut self) {
        if let Err(instead) = patience::ready(&mut self.child, self.address).await {
            panic!("it {instead}:\n{}", self.log());
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// SIGKILL, and waits for the body: nothing of the process runs any more.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    pub async fn start_again(&mut self) {
        self.child = spawn(&self.home, &self.config, self.reveal);
        self.ready().await;
    }

    /// More settings for its next start: another rung.
    pub fn climb(&self, settings: &str) {
        let before = std::fs::read_to_string(&self.config).unwrap();
        std::fs::write(&self.config, before + settings).unwrap();
    }

    /// Another command on the same configuration.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        command.arg(name).stdin(Stdio::null());
        command.arg("--config").arg(&self.config);
        command
    }

    /// Memory that it holds.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().expect("it runs"))).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse().unwrap()
    }

    /// Everything that it ever said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.join("log")).unwrap()
    }

    pub async fn message(&self, id: &str) -> Value {
        let answer = self.client.get(self.url(&format!("/v1/messages/{id}"))).bearer_auth(KEY).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{id} was answered 202 and must be found");
        answer.json().await.unwrap()
    }

    /// Waits until a message's status is one of those.
    pub async fn until_status(&self, id: &str, statuses: &[&str], within: Duration) -> Value {
        let wanted = |message: &Value| statuses.contains(&message["status"].as_str().unwrap());
        let found = patience::answer_within(within, async || Some(self.message(id).await).filter(wanted));
        match found.await {
            Some(message) => message,
            None => panic!("{id} never became {}: {:#}\n{}", statuses.join(" or "), self.message(id).await, self.log()),
        }
    }
}

fn spawn(home: &Path, config: &Path, reveal: bool) -> Child {
    let log = OpenOptions::new().create(true).append(true).open(home.join("log")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    if reveal {
        command.env("TIDINGS_TEST_REVEAL", "1");
    }
    command
        .args(["serve", "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// A port that nobody had a moment ago.
async fn free_address() -> SocketAddr {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
