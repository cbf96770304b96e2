//! SIGKILL at any moment loses nothing and doubles nothing, except an otp whose first sending nobody can know about.
//!
//! Ten times under load, with at least [`LEAST_OPEN`] attempts open each time, the process dies and starts again. What its
//! vendor counted is then held against what every message says of itself.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::RwLock, task::JoinSet};

use super::{node::Node, vendor::TestVendor};
use crate::patience::{let_pass, within};

const KILLS: usize = 10;
/// Attempts open at each kill, as the vendor counts them.
const LEAST_OPEN: u64 = 50;
/// Kills that found the vendor having accepted what was not settled.
const LEAST_BETWEEN: usize = 3;
/// Calls that must be open a moment before: some end while the signal is on its way.
const ENOUGH_OPEN: u64 = 100;
/// Messages that the vendor processes before every second kill.
const PROCESSED_FIRST: u64 = 20;
const SENDERS: usize = 16;
/// Between two sends of one sender.
const PACE: Duration = Duration::from_millis(20);
const CATEGORIES: [&str; 3] = ["otp", "transactional", "marketing"];
const CLOSED: [&str; 7] = ["submitted", "delivered", "undelivered", "failed", "expired", "cancelled", "unknown"];
const PATIENCE: Duration = Duration::from_secs(60);

/// A message that was answered 202.
struct Accepted {
    id: String,
    category: &'static str,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_kills_under_load_lose_nothing_and_double_nothing_but_codes() {
    let home = TempDir::new().unwrap();
    let vendor = TestVendor::start(json!({"latency_ms": 1_000})).await;
    let limits = "max_in_flight = 200\nreceipts = false\ntimeout_ms = 5000";
    let providers = format!("{}{}", vendor.account("a", limits), vendor.account("b", limits));
    let node = Arc::new(RwLock::new(Node::start(home.path(), &home.path().join("data"), &providers).await));

    let accepted = Arc::<Mutex<Vec<Accepted>>>::default();
    let stop = Arc::new(AtomicBool::new(false));
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        senders.spawn(send_until(Arc::clone(&stop), Arc::clone(&node), sender, Arc::clone(&accepted)));
    }
    let (in_flight, between) = kill_and_start(&node, &vendor).await;
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = senders.join_next().await {
        ended.unwrap();
    }

    let node = node.read().await;
    let accepted = std::mem::take(&mut *accepted.lock().unwrap());
    let mut records = HashMap::new();
    for message in &accepted {
        records.insert(message.id.clone(), node.until_status(&message.id, &CLOSED, PATIENCE).await);
    }
    let verdict = judge(&accepted, &records, &vendor.processed().await);
    let cut = vendor.cut().await;
    println!(
        "{} accepted; {KILLS} kills; {in_flight} calls in flight at the kills, {} of them cut at the vendor, {} of those processed; \
         {between} kills between acceptance and settling; {} interrupted, {} unknown, {} codes sent twice",
        accepted.len(),
        cut.calls,
        cut.processed,
        verdict.interrupted,
        verdict.unknown,
        verdict.codes_twice
    );
    assert!(verdict.unknown as u64 <= in_flight, "{} unknown, but only {in_flight} calls were in flight at the kills", verdict.unknown);
    assert!(between >= LEAST_BETWEEN, "only {between} kills found calls that the vendor had accepted and nobody had settled");
    let forgotten: Vec<_> = cut.ids.iter().filter(|id| !records.get(*id).is_some_and(was_interrupted)).take(3).collect();
    assert!(forgotten.is_empty(), "calls were cut and the messages do not know: {forgotten:?}");
}

/// Returns the calls in flight at all kills, and how many kills fell between an acceptance and its settling.
async fn kill_and_start(node: &RwLock<Node>, vendor: &TestVendor) -> (u64, usize) {
    let (mut in_flight, mut between, mut cut_before) = (0, 0, (0, 0));
    for kill in 1..=KILLS {
        let (_, processed_before) = vendor.open_and_processed().await;
        // Every second kill waits until the vendor has accepted some of what is open.
        let processed_least = if kill % 2 == 0 { processed_before + PROCESSED_FIRST } else { 0 };
        let open = AtomicU64::new(0);
        within(PATIENCE, "the load keeps enough calls open", async || {
            let (now, processed) = vendor.open_and_processed().await;
            open.store(now, Ordering::Relaxed);
            now >= ENOUGH_OPEN && processed >= processed_least
        })
        .await;
        let open = open.into_inner();
        let mut node = node.write().await;
        node.kill().await;
        // The vendor has noticed once it has no call left.
        within(PATIENCE, "the vendor has no call left", async || vendor.open_and_processed().await.0 == 0).await;
        let cut = vendor.cut().await;
        let (now_cut, now_processed) = (cut.calls - cut_before.0, cut.processed - cut_before.1);
        cut_before = (cut.calls, cut.processed);
        println!("kill {kill}: {open} calls open a moment before, {now_cut} cut, {now_processed} of them processed by the vendor");
        assert!(now_cut as u64 >= LEAST_OPEN, "kill {kill} found only {now_cut} attempts open");
        in_flight += open.max(now_cut as u64);
        between += usize::from(now_processed > 0);
        node.start_again().await;
    }
    (in_flight, between)
}

/// Sends with an idempotency key each, as a careful team does: again until there is an answer.
async fn send_until(stop: Arc<AtomicBool>, node: Arc<RwLock<Node>>, sender: usize, accepted: Arc<Mutex<Vec<Accepted>>>) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let category = CATEGORIES[number % CATEGORIES.len()];
        let to = format!("+49{}", 1_000_000_000 + sender * 1_000_000 + number);
        let (body, key) = (json!({"to": to, "text": "Hello", "category": category}), format!("{sender}-{number}"));
        loop {
            // Nobody restarts while somebody sends through the same handle; a kill comes in the middle all the same.
            let (client, url) = {
                let node = node.read().await;
                (node.client.clone(), node.url("/v1/messages"))
            };
            let request = client.post(url).bearer_auth(super::node::KEY).header("idempotency-key", &key).json(&body);
            match request.send().await {
                Ok(answer) if answer.status() == 202 => {
                    let Ok(answer) = answer.json::<Value>().await else { continue };
                    accepted.lock().unwrap().push(Accepted { id: answer["id"].as_str().unwrap().to_owned(), category });
                    break;
                }
                Ok(answer) if answer.status() != 409 && answer.status() != 503 => {
                    panic!("{}: {}", answer.status(), answer.text().await.unwrap())
                }
                Ok(_) | Err(_) => let_pass(PACE).await,
            }
        }
        let_pass(PACE).await;
    }
}

#[derive(Default)]
struct Verdict {
    interrupted: usize,
    unknown: usize,
    codes_twice: usize,
}

fn was_interrupted(record: &Value) -> bool {
    record["attempts"].as_array().unwrap().iter().any(|attempt| attempt["code"] == "interrupted")
}

/// Every message against the vendor's count.
fn judge(accepted: &[Accepted], records: &HashMap<String, Value>, processed: &HashMap<String, u32>) -> Verdict {
    let mut verdict = Verdict::default();
    let ids: HashSet<_> = accepted.iter().map(|message| message.id.as_str()).collect();
    assert_eq!(ids.len(), accepted.len(), "every key is a message of its own");
    for Accepted { id, category } in accepted {
        let record = &records[id];
        let (status, times) = (record["status"].as_str().unwrap(), processed.get(id).copied().unwrap_or(0));
        let seen = format!("{category} {id}: {status}, processed {times} times\n{record:#}");
        match (was_interrupted(record), *category) {
            (false, _) => assert!(times == 1 && status == "submitted", "never interrupted, so exactly once: {seen}"),
            (true, "otp") => {
                assert!(times >= 1 && status == "submitted", "a code goes out at least once: {seen}");
                verdict.codes_twice += usize::from(times > 1);
            }
            (true, _) => assert!(times <= 1 && status == "unknown", "nobody knows, so nobody repeats it: {seen}"),
        }
        verdict.interrupted += usize::from(was_interrupted(record));
        verdict.unknown += usize::from(status == "unknown");
    }
    for (id, times) in processed {
        assert!(ids.contains(id.as_str()) || *times <= 1, "{id} was processed {times} times and never answered with 202");
    }
    verdict
}
