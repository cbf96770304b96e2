//! A child process under measurement: started, asked what it used, and ended by its own handle.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context, bail};
use tokio::process::{Child, Command};

use crate::clock::Clock;

/// Linux counts CPU time in hundredths of a second towards user space, whatever the kernel's own tick is.
const TICKS_PER_S: f64 = 100.0;
const READY_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const STOP_WITHIN: Duration = Duration::from_secs(30);

pub struct Process {
    child: Child,
    pid: u32,
}

/// What a process has used since it began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    pub cpu_s: f64,
    pub rss_bytes: u64,
}

impl Process {
    /// Starts this same binary with `arguments`; its output goes to `log`.
    pub fn start(arguments: &[&str], log: &Path) -> anyhow::Result<Self> {
        let binary = std::env::current_exe().context("this binary cannot be found")?;
        let log = std::fs::File::create(log).context("the log cannot be made")?;
        let child = Command::new(binary)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("a child process cannot be started")?;
        let pid = child.id().context("the child has ended at once")?;
        Ok(Self { child, pid })
    }

    /// Waits until something says 200 to `GET path`.
    pub async fn ready(&mut self, address: std::net::SocketAddr, path: &str, clock: Clock) -> anyhow::Result<()> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
        let until = clock.moment() + READY_WITHIN;
        while clock.moment() < until {
            if let Some(status) = self.child.try_wait()? {
                bail!("the child process ended with {status}");
            }
            let answer = client.get(format!("http://{address}{path}")).send().await;
            if answer.is_ok_and(|answer| answer.status().as_u16() < 500) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("the child process was not ready within {} s", READY_WITHIN.as_secs())
    }

    pub fn used(&self) -> anyhow::Result<Used> {
        used(self.pid)
    }

    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Asks it to end and waits; a child that does not is killed.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        // The standard library sends no SIGTERM; `kill` is in every POSIX system.
        Command::new("kill").arg("-TERM").arg(self.pid.to_string()).status().await?;
        if tokio::time::timeout(STOP_WITHIN, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }
}

/// CPU time and resident memory of a process, from `/proc`.
pub fn used(pid: u32) -> anyhow::Result<Used> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("no /proc: CPU is measured on Linux only")?;
    // The name may hold spaces; what follows its parenthesis does not.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    // Fields 14 to 17 of proc_pid_stat(5), counted from the third: its own time, and that of children that have ended, without
    // which a server whose helpers end seems to have used less than before.
    Ok(Used { cpu_s: (11..=14).map(ticks).sum::<f64>() / TICKS_PER_S, rss_bytes: kib.unwrap_or(0) * 1024 })
}
