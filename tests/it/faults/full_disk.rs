//! A full disk refuses politely and recovers by itself: 503 with `Retry-After`, nothing lost, no restart.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    node::{KEY, Node},
    vendor::TestVendor,
};
use crate::patience::within;

/// Room for the store and a few hundred messages, quickly filled.
const DISK: &str = "size=24m";
/// Messages that are under way when the disk fills up.
const BEFORE: usize = 200;
/// Sends before the disk must have refused one: freed pages of the store last for a while.
const MOST_SENDS: usize = 20_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// A small disk of its own; unmounted at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Nothing where this user may not mount: a visible skip on a laptop, a failure in CI.
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(at).output();
        let mounted = mounted.is_ok_and(|output| output.status.success());
        assert!(mounted || std::env::var("CI").as_deref() != Ok("true"), "a small disk cannot be mounted, and in CI nothing is skipped");
        if !mounted {
            eprintln!("skipped: a small disk cannot be mounted (root may)");
        }
        mounted.then(|| Self(at.to_owned()))
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let mut ballast = std::fs::File::create(self.0.join("ballast")).unwrap();
        let piece = vec![7; 64 * 1024];
        while ballast.write_all(&piece).is_ok() {}
        while ballast.write_all(&piece[..1]).is_ok() {}
    }

    fn relieve(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A disk that stays mounted is the machine's, not the test's, problem: there is no better place to say so.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_with_retry_after_and_recovers_without_restart_or_loss() {
    let home = TempDir::new().unwrap();
    let Some(disk) = SmallDisk::mount(&home.path().join("disk")) else { return };
    let vendor = TestVendor::start(json!({"latency_ms": 500})).await;
    let providers = vendor.account("a", "receipts = false");
    let node = Node::start(home.path(), &home.path().join("disk/data"), &providers).await;

    let mut accepted = Vec::new();
    for number in 0..BEFORE {
        accepted.push(send(&node, number).await.expect("there is room"));
    }
    disk.fill();
    let mut refused = None;
    for number in BEFORE..MOST_SENDS {
        match send(&node, number).await {
            Ok(id) => accepted.push(id),
            Err(answer) => {
                refused = Some(answer);
                break;
            }
        }
    }
    let (status, retry_after, problem) = refused.expect("a full disk takes no more messages");
    assert_eq!(status, 503, "{problem:#}");
    assert!(retry_after.is_some_and(|seconds| seconds > 0), "{problem:#}");
    assert!(["unavailable", "overloaded"].contains(&problem["code"].as_str().unwrap()), "{problem:#}");

    disk.relieve();
    let again = Mutex::new(None);
    within(PATIENCE, "it takes messages again", async || {
        let sent = send(&node, MOST_SENDS).await.ok();
        *again.lock().unwrap() = sent;
        again.lock().unwrap().is_some()
    })
    .await;
    accepted.extend(again.into_inner().unwrap());
    for id in &accepted {
        node.until_status(id, &["submitted"], PATIENCE).await;
    }
    let processed = vendor.processed().await;
    println!("{} accepted around a full disk, all processed once", accepted.len());
    for id in &accepted {
        assert_eq!(processed.get(id), Some(&1), "{id}");
    }
}

type Refused = (u16, Option<u64>, Value);

async fn send(node: &Node, number: usize) -> Result<String, Refused> {
    let to = format!("+49{}", 1_000_000_000 + number);
    let body = json!({"to": to, "text": "Hello", "category": "transactional"});
    let answer = node.client.post(node.url("/v1/messages")).bearer_auth(KEY).json(&body).send().await.unwrap();
    let status = answer.status().as_u16();
    let retry_after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    let body: Value = answer.json().await.unwrap();
    if status == 202 { Ok(body["id"].as_str().unwrap().to_owned()) } else { Err((status, retry_after, body)) }
}
