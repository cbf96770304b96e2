//! `tidings move`: who climbs to the next rung with unfinished messages loses none of them and sends none twice, also when
//! the move was killed half way. The verdict is the vendor's own count.

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, postgres::PgListener};
use tempfile::TempDir;
use tidings::clock::Clock;
use tidings_core::time::Timestamp;

use super::{
    node::{KEY, Node},
    vendor::TestVendor,
};
use crate::{
    patience::{answer_within, eventually},
    servers,
};

/// Not the key that the embedded installation made for itself.
const MASTER_KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
const CATEGORIES: [&str; 3] = ["otp", "transactional", "marketing"];
const WAITING: usize = 900;
const SCHEDULED: usize = 30;
const HELD: usize = 30;
/// Calls that are out when the process dies.
const OUT: u64 = 20;
/// Until the scheduled messages are due: the move and the start after it take about as long.
const AHEAD: Duration = Duration::from_secs(20);
const CLOSED: [&str; 7] = ["submitted", "delivered", "undelivered", "failed", "expired", "cancelled", "unknown"];
const PATIENCE: Duration = Duration::from_secs(60);
/// The channel on which the database tells workers that messages have come.
const TELLS_WORKERS: &str = "tidings_due";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_to_postgresql_that_is_killed_half_way_and_repeated_loses_and_doubles_nothing() {
    let Some(database) = servers::database().await else { return };
    climb(&database, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_to_postgresql_redis_and_kafka_that_is_killed_half_way_and_repeated_loses_and_doubles_nothing() {
    let (Some(database), Some(redis), Some(brokers)) = (servers::database().await, servers::redis(), servers::kafka()) else { return };
    let name = servers::fresh_name();
    let services = format!(
        "[redis]\nurl = \"{redis}\"\nkey_prefix = \"{name}\"\n\
         [kafka]\nbrokers = \"{brokers}\"\ntopic_prefix = \"{name}\"\ngroup = \"{name}\"\npartitions = 2\n"
    );
    climb(&database, &services).await;
}

/// What was sent: bodies with their keys, and the ids that they were given.
struct Sent {
    bodies: Vec<Value>,
    ids: Vec<String>,
}

impl Sent {
    fn category(&self, number: usize) -> &str {
        self.bodies[number]["category"].as_str().unwrap()
    }

    fn is_scheduled(&self, number: usize) -> bool {
        self.bodies[number]["send_at"].is_string()
    }

    fn is_held(&self, number: usize) -> bool {
        self.bodies[number]["hold"] == true
    }
}

fn bodies(send_at: Timestamp) -> Vec<Value> {
    let body = |number: usize| {
        let mut body = json!({
            "to": format!("+49{}", 1_000_000_000 + number), "text": "Hello", "category": CATEGORIES[number % CATEGORIES.len()],
            "idempotency_key": format!("moved-{number}"), "expires_in_s": 3600,
        });
        if number >= WAITING + SCHEDULED {
            body["hold"] = json!(true);
        } else if number >= WAITING {
            body["send_at"] = json!(send_at.to_string());
        }
        body
    };
    (0..WAITING + SCHEDULED + HELD).map(body).collect()
}

/// Sends them in one batch, as often as it takes to be answered; the ids of all.
async fn send(node: &Node, bodies: &[Value]) -> Vec<String> {
    let mut last = Value::Null;
    let ids = answer_within(PATIENCE, async || {
        let sending = node.client.post(node.url("/v1/messages/batch")).bearer_auth(KEY).json(&json!({"messages": bodies})).send();
        let answer: Value = sending.await.unwrap().json().await.unwrap();
        let results = answer["results"].as_array().map(Vec::as_slice).unwrap_or_default();
        let ids: Vec<String> = results.iter().filter_map(|result| result["id"].as_str().map(str::to_owned)).collect();
        // Just started: nobody knows yet which keys were used.
        last = results.first().cloned().unwrap_or(answer);
        (ids.len() == bodies.len()).then_some(ids)
    });
    let Some(ids) = ids.await else { panic!("the batch was not taken: {last:#}\n{}", node.log()) };
    ids
}

async fn climb(database: &str, services: &str) {
    let (home, vendor) = (TempDir::new().unwrap(), TestVendor::start(json!({"latency_ms": 25_000})).await);
    let limits = format!("max_in_flight = {OUT}\nreceipts = false\ntimeout_ms = 30000");
    let mut node = Node::start(home.path(), &home.path().join("data"), &vendor.account("a", &limits)).await;
    let send_at = Clock::system().now() + AHEAD;
    let bodies = bodies(send_at);
    let sent = Sent { ids: send(&node, &bodies).await, bodies };
    eventually(async || vendor.open_and_processed().await.0 == OUT).await;
    node.kill().await;
    eventually(async || vendor.open_and_processed().await.0 == 0).await;
    vendor.switch(json!({"latency_ms": 5})).await;

    std::fs::write(home.path().join("other.key"), MASTER_KEY).unwrap();
    let key = home.path().join("other.key").display().to_string();
    node.climb(&format!("[secrets]\nmaster_key_file = \"{key}\"\n[database]\nurl = \"{database}\"\n{services}"));
    let refused = node.command("serve").output().await.unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned() + &*String::from_utf8_lossy(&refused.stdout);
    assert!(!refused.status.success() && said.contains("carry them over with `tidings move`"), "{said}");
    move_half_way(&node, database).await;
    let all = sent.ids.len();
    assert_eq!(moved(&node).await, format!("{all} unfinished messages carried over"));
    assert_eq!(moved(&node).await, "0 unfinished messages carried over", "twice is as good as once");

    node.start_again().await;
    let released: Vec<usize> = (0..all).filter(|number| sent.is_held(*number) && number % 2 == 0).collect();
    for number in &released {
        let answer = node.client.post(node.url(&format!("/v1/messages/{}/release", sent.ids[*number]))).bearer_auth(KEY).send().await;
        assert_eq!(answer.unwrap().status(), 200);
    }
    let mut records = HashMap::new();
    for (number, id) in sent.ids.iter().enumerate() {
        let held = sent.is_held(number) && !released.contains(&number);
        let record = if held { node.message(id).await } else { node.until_status(id, &CLOSED, PATIENCE).await };
        records.insert(number, record);
    }
    assert_eq!(send(&node, &sent.bodies).await, sent.ids, "a repeat is the first message");
    judge(&sent, &records, &released, send_at, &vendor).await;
    let verified = node.command("audit").arg("verify").output().await.unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

/// Kills a move that has carried some messages and not all.
async fn move_half_way(node: &Node, database: &str) {
    let mut due = PgListener::connect(database).await.unwrap();
    due.listen(TELLS_WORKERS).await.unwrap();
    let mut moving = node.command("move").kill_on_drop(true).spawn().unwrap();
    tokio::time::timeout(PATIENCE, due.recv()).await.expect("it carries something").unwrap();
    moving.kill().await.unwrap();
    let mut connection = PgConnection::connect(database).await.unwrap();
    let carried: i64 = sqlx::query_scalar("SELECT count(*) FROM messages").fetch_one(&mut connection).await.unwrap();
    let (carried, all) = (usize::try_from(carried).unwrap(), WAITING + SCHEDULED + HELD);
    println!("killed when {carried} of {all} messages had been carried over");
    assert!((1..all).contains(&carried), "it was done before it could be killed: nothing was shown");
}

/// Moves, and returns what it says first.
async fn moved(node: &Node) -> String {
    let output = node.command("move").output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().next().unwrap_or_default().to_owned()
}

/// Every message against the vendor's count.
async fn judge(sent: &Sent, records: &HashMap<usize, Value>, released: &[usize], send_at: Timestamp, vendor: &TestVendor) {
    let processed = vendor.processed().await;
    let (mut interrupted, mut unknown) = (0, 0);
    for (number, id) in sent.ids.iter().enumerate() {
        let record = &records[&number];
        let attempts = record["attempts"].as_array().unwrap();
        let (status, times) = (record["status"].as_str().unwrap(), processed.get(id).copied().unwrap_or(0));
        let seen = format!("{} {number}: {status}, processed {times} times\n{record:#}", sent.category(number));
        let was_out = attempts.iter().any(|attempt| attempt["code"] == "interrupted");
        interrupted += usize::from(was_out);
        unknown += usize::from(status == "unknown");
        match (was_out, sent.category(number)) {
            (false, _) if sent.is_held(number) && !released.contains(&number) => assert!(times == 0 && status == "held", "{seen}"),
            (false, _) => assert!(times == 1 && status == "submitted", "{seen}"),
            (true, "otp") => assert!(times >= 1 && status == "submitted", "a code goes out at least once: {seen}"),
            (true, _) => assert!(times <= 1 && status == "unknown", "nobody knows, so nobody repeats it: {seen}"),
        }
        if sent.is_scheduled(number) {
            let left: Timestamp = attempts[0]["started_at"].as_str().unwrap().parse().unwrap();
            assert!(left >= send_at, "it left too early: {seen}");
        }
    }
    println!("{} messages moved: {interrupted} had a call out, {unknown} of them unknown now", sent.ids.len());
    assert_eq!(interrupted as u64, OUT, "what was under way is known to have been");
    assert_eq!(processed.len(), processed.keys().filter(|id| sent.ids.contains(id)).count(), "nothing was sent that nobody was answered");
}
