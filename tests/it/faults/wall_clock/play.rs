//! One story with real processes.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use tidings::clock::Clock;
use tidings_core::{
    dice::Dice,
    simulate::{FaultFigures, SeenCall, faults_of},
    time::{Moment, Timestamp},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    task::JoinSet,
};

use super::{
    super::node::{KEY, Node},
    ENDS_WITHIN,
    story::{FLAP_PERIOD, LATENCY_MS, RECEIPT_MS, Story, TIMEOUT_MS},
};

/// Files that stay in memory.
const MEMORY: &str = "/dev/shm";

/// A provider as a process of its own.
struct Provider {
    address: String,
    control: String,
    client: reqwest::Client,
    _child: Child,
}

impl Provider {
    async fn start() -> Self {
        let behaviour = json!({"latency_ms": LATENCY_MS.0, "latency_p99_ms": LATENCY_MS.1}).to_string();
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidings"))
            .args(["simulate-provider", "--listen", "127.0.0.1:0", "--behaviour", &behaviour])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut address = async || {
            let line = lines.next_line().await.unwrap().expect("it says where it listens");
            line.split_whitespace().last().unwrap().to_owned()
        };
        let (address, control) = (address().await, address().await);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { address, control, client, _child: child }
    }

    async fn switch(&self, change: &Value) {
        let answer = self.client.patch(&self.control).json(change).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    fn account(&self, name: &str, receipts: bool) -> String {
        format!(
            "[[providers]]\nname = \"{name}\"\nkind = \"http\"\nchannel = \"sms\"\ntimeout_ms = {TIMEOUT_MS}\nreceipts = {receipts}\n\
             [providers.settings]\nurl = \"{}\"\nmessage_id = \"/id\"\nreceipt_token = \"of-the-test\"\n",
            self.address
        )
    }
}

/// Lives through a story, with arrivals of this draw, and says by the rules of the simulator how its fault went.
pub async fn play(story: &Story, draw: u64) -> FaultFigures {
    // The disk must not be what is measured.
    let home = TempDir::new_in(if Path::new(MEMORY).is_dir() { Path::new(MEMORY).to_owned() } else { std::env::temp_dir() }).unwrap();
    let (a, b) = (Provider::start().await, Provider::start().await);
    let providers = format!("{}{}", a.account("a", story.receipts), b.account("b", story.receipts));
    let node = Node::start(home.path(), &home.path().join("data"), &providers).await;
    if story.receipts {
        for (name, provider) in [("a", &a), ("b", &b)] {
            let to = format!("{}?token=of-the-test", node.url(&format!("/v1/receipts/{name}")));
            provider.switch(&json!({"receipts": {"to": to, "delay_ms": RECEIPT_MS}})).await;
        }
    }
    let clock = Clock::system();
    let began = clock.moment();
    let (fell_ill, ids) = tokio::join!(fall_ill(story, &a, &clock, began), send(story, draw, &node, &clock, began));
    let calls = seen(story, &node, &ids, fell_ill).await;
    faults_of(&story.scenario(), &calls).remove(0)
}

/// Switches the fault on (and on and off) at its time; when it was on.
async fn fall_ill(story: &Story, provider: &Provider, clock: &Clock, began: Moment) -> Timestamp {
    let (warm, ill) = story.times();
    let at = |seconds: u64| clock.instant(began + Duration::from_secs(seconds));
    tokio::time::sleep_until(at(warm)).await;
    provider.switch(&story.ill()).await;
    let fell_ill = clock.now();
    let mut half = 1;
    while story.flaps && half * FLAP_PERIOD / 2 < ill {
        tokio::time::sleep_until(at(warm + half * FLAP_PERIOD / 2)).await;
        provider.switch(&if half % 2 == 1 { story.well() } else { story.ill() }).await;
        half += 1;
    }
    fell_ill
}

/// Messages at random times, as the simulator draws them.
async fn send(story: &Story, draw: u64, node: &Node, clock: &Clock, began: Moment) -> Vec<String> {
    let (mut dice, mut at, mut number) = (Dice::new(draw), began, 0_u32);
    let (mut under_way, mut ids) = (JoinSet::new(), Vec::new());
    loop {
        at = at + Duration::from_secs_f64(dice.exponential(story.rate));
        if at.since(began) >= story.lasts() {
            break;
        }
        tokio::time::sleep_until(clock.instant(at)).await;
        number += 1;
        let body = json!({"to": format!("+4915{number:08}"), "text": "Hello", "category": "transactional"});
        let request = node.client.post(node.url("/v1/messages")).bearer_auth(KEY).json(&body);
        under_way.spawn(async move {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 202);
            answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
        });
        while let Some(id) = under_way.try_join_next() {
            ids.push(id.unwrap());
        }
    }
    ids.extend(under_way.join_all().await);
    ids
}

/// Every call that was made, on the scenario's clock.
async fn seen(story: &Story, node: &Node, ids: &[String], fell_ill: Timestamp) -> Vec<SeenCall> {
    let begins = fell_ill - Duration::from_secs(story.times().0);
    let mut calls = Vec::new();
    for id in ids {
        let message = node.until_status(id, &["submitted", "delivered", "undelivered", "unknown", "failed"], ENDS_WITHIN).await;
        for attempt in message["attempts"].as_array().unwrap() {
            let text = |field: &str| attempt[field].as_str().unwrap();
            let started: Timestamp = text("started_at").parse().unwrap();
            calls.push(SeenCall {
                at: started.since(begins),
                provider: usize::from(text("provider") == "b"),
                outcome: text("outcome").parse().unwrap(),
                latency: Duration::from_millis(attempt["duration_ms"].as_u64().unwrap()),
                vanished: story.receipts && text("provider") == "a" && started >= fell_ill,
            });
        }
    }
    calls.sort_by_key(|call| call.at);
    calls
}
