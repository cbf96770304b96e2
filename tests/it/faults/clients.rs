//! Clients that are slow, rude or many: the server goes on answering, its memory stays bounded, and they are let go as
//! documented.

use std::{process::Command, time::Duration};

use serde_json::json;
use tempfile::TempDir;
use tidings::clock::Clock;
use tidings_core::time::Moment;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::node::{KEY, Node};

const IDLE_CONNECTIONS: usize = 10_000;
/// The test's own files: its end of every connection, and what else it has open.
const FILES: u64 = 12_000;
/// What ten thousand connections may cost, half of which have asked something: 16 KiB each, debug build and allocator included.
const MOST_GROWTH_KIB: u64 = 16 * IDLE_CONNECTIONS as u64;
/// How long an ordinary client waits for an answer beside all that, on a machine that does other things too.
const ORDINARY: Duration = Duration::from_secs(2);
const PROVIDER: &str = "[[providers]]\nname = \"a\"\nkind = \"simulated\"\nchannel = \"sms\"\n";

async fn started(http: &str) -> (TempDir, Node) {
    let home = TempDir::new().unwrap();
    let node = Node::start_with_http(home.path(), PROVIDER, http).await;
    (home, node)
}

async fn connected(node: &Node) -> TcpStream {
    TcpStream::connect(node.address).await.unwrap()
}

/// Everything that is answered until the server hangs up, and when it did.
async fn rest(stream: &mut TcpStream, clock: Clock) -> (String, Moment) {
    let mut bytes = Vec::new();
    let ended = timeout(Duration::from_secs(30), stream.read_to_end(&mut bytes)).await;
    // A reset is an end as well.
    assert!(ended.is_ok(), "the server lets a slow client go; it said {:?}", String::from_utf8_lossy(&bytes));
    (String::from_utf8_lossy(&bytes).into_owned(), clock.moment())
}

fn head(length: usize) -> String {
    format!(
        "POST /v1/messages HTTP/1.1\r\nhost: tidings\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// An ordinary send is answered 202 in ordinary time.
async fn somebody_else_is_served(node: &Node) {
    let body = json!({"to": "+4915112345678", "text": "hello", "hold": true});
    let sending = node.client.post(node.url("/v1/messages")).bearer_auth(KEY).json(&body).send();
    assert_eq!(timeout(ORDINARY, sending).await.expect("others do not wait").unwrap().status(), 202);
}

async fn messages(node: &Node) -> usize {
    let answer = node.client.get(node.url("/v1/messages")).bearer_auth(KEY).send().await.unwrap();
    answer.json::<serde_json::Value>().await.unwrap()["data"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_body_that_never_ends_is_answered_408_and_holds_up_nobody() {
    let (_home, node) = started("body_timeout_s = 1").await;
    let clock = Clock::system();
    let began = clock.moment();
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut stream = connected(&node).await;
        stream.write_all(head(500).as_bytes()).await.unwrap();
        stream.write_all(b"{\"to\": \"+49").await.unwrap();
        slow.push(stream);
    }
    somebody_else_is_served(&node).await;
    for mut stream in slow {
        let (answer, ended) = rest(&mut stream, clock).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
        assert!(answer.contains("application/problem+json") && answer.contains("\"code\":\"request_timeout\""), "{answer:?}");
        assert!(ended.since(began) >= Duration::from_secs(1), "it had its second");
    }
    assert_eq!(messages(&node).await, 1);
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut() {
    let (_home, node) = started("header_timeout_s = 1").await;
    let clock = Clock::system();
    let began = clock.moment();
    let mut slow = Vec::new();
    for said in ["", "P", "PRI * HTTP/2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "POST /v1/messages HTTP/1.1\r\nhost: tidi"] {
        let mut stream = connected(&node).await;
        stream.write_all(said.as_bytes()).await.unwrap();
        slow.push((said, stream));
    }
    // One that has had an answer and asks nothing more.
    let mut stream = connected(&node).await;
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: tidings\r\n\r\n").await.unwrap();
    slow.push(("an answered request", stream));
    somebody_else_is_served(&node).await;
    for (said, mut stream) in slow {
        let (_, ended) = rest(&mut stream, clock).await;
        assert!(ended.since(began) >= Duration::from_millis(900), "{said:?} had its second");
    }
}

#[tokio::test]
async fn half_a_body_makes_no_message_and_leaves_no_key_taken() {
    let (_home, node) = started("").await;
    let body = json!({"to": "+4915112345678", "text": "hello", "hold": true}).to_string();
    for cut in [1, body.len() / 2, body.len() - 1] {
        let mut stream = connected(&node).await;
        let keyed = head(body.len()).replace("content-type", "idempotency-key: once\r\ncontent-type");
        stream.write_all(keyed.as_bytes()).await.unwrap();
        stream.write_all(&body.as_bytes()[..cut]).await.unwrap();
        stream.shutdown().await.unwrap();
        let (answer, _) = rest(&mut stream, Clock::system()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
    }
    assert_eq!(messages(&node).await, 0);
    let sending = node.client.post(node.url("/v1/messages")).bearer_auth(KEY).header("idempotency-key", "once");
    let answer = sending.header("content-type", "application/json").body(body).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers().get("idempotent-replayed")), (202, None));
}

/// This process and its children may open so many files; nothing where that is not allowed.
fn may_open_files() -> bool {
    let pid = std::process::id().to_string();
    let raised = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={FILES}:")]).status();
    let raised = raised.is_ok_and(|status| status.success());
    assert!(raised || std::env::var("CI").as_deref() != Ok("true"), "{FILES} files may not be opened, and in CI nothing is skipped");
    if !raised {
        eprintln!("skipped: this user may not open {FILES} files (ulimit -Hn)");
    }
    raised
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_cost_little_and_hold_up_nobody() {
    if !may_open_files() {
        return;
    }
    let (_home, node) = started("header_timeout_s = 600").await;
    somebody_else_is_served(&node).await;
    let before = node.resident_kib();
    let mut idle = Vec::with_capacity(IDLE_CONNECTIONS);
    for number in 0..IDLE_CONNECTIONS {
        let mut stream = connected(&node).await;
        if number % 2 == 0 {
            stream.write_all(b"GET /livez HTTP/1.1\r\nhost: tidings\r\n\r\n").await.unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200");
        }
        idle.push(stream);
    }
    let grown = node.resident_kib().saturating_sub(before);
    assert!(grown < MOST_GROWTH_KIB, "{IDLE_CONNECTIONS} connections cost {grown} KiB");
    for _ in 0..20 {
        somebody_else_is_served(&node).await;
    }
}

#[tokio::test]
async fn beyond_the_bound_a_connection_waits_until_somebody_leaves() {
    const SEATS: usize = 8;
    let (_home, node) = started(&format!("max_connections = {SEATS}\nheader_timeout_s = 600")).await;
    let ask = async |stream: &mut TcpStream, patience| {
        let mut answer = [0; 12];
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: tidings\r\n\r\n").await.unwrap();
        timeout(patience, stream.read_exact(&mut answer)).await.is_ok()
    };
    let mut served = Vec::new();
    // The test's own client keeps one or two.
    let mut waiting = loop {
        let mut stream = connected(&node).await;
        if !ask(&mut stream, ORDINARY).await {
            break stream;
        }
        served.push(stream);
    };
    assert!((SEATS - 3..=SEATS).contains(&served.len()), "{} of {SEATS} seats", served.len());
    drop(served);
    let mut answer = [0; 12];
    timeout(ORDINARY * 5, waiting.read_exact(&mut answer)).await.expect("a seat was left").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn headers_without_end_are_refused_and_hold_up_nobody() {
    let (_home, node) = started("").await;
    let long = format!("x-long: {}\r\n", "x".repeat(64 * 1024));
    let many: String = (0..1_000).map(|number| format!("x-{number}: 1\r\n")).collect();
    for headers in [long, many] {
        let mut stream = connected(&node).await;
        let request = format!("GET /v1/messages HTTP/1.1\r\nhost: tidings\r\n{headers}\r\n");
        // It may be refused before all of it was written.
        let _ = stream.write_all(request.as_bytes()).await;
        let (answer, _) = rest(&mut stream, Clock::system()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer:?}");
    }
    somebody_else_is_served(&node).await;
}
