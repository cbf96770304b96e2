//! The commands for teams (`send`, `messages`, `send-file`), the real binary against a real server.

use std::{
    path::Path,
    process::{Output, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    faults::node::{KEY, Node},
    patience::eventually,
};

const BOOTSTRAP: &str = "[[apps.templates]]\nname = \"news\"\nchannel = \"sms\"\ncategory = \"marketing\"\ntext = \"News for {{ name }}\"\n\
    [[providers]]\nname = \"a\"\nkind = \"simulated\"\nchannel = \"sms\"\n\
    settings = { latency_p50_ms = 1, latency_p99_ms = 2, receipt_p50_ms = 1, receipt_p99_ms = 2 }\n";

async fn started() -> (TempDir, Node) {
    let home = TempDir::new().unwrap();
    let node = Node::start_with_http(home.path(), BOOTSTRAP, "").await;
    (home, node)
}

fn command(node: &Node, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    command.args(arguments).env("TIDINGS_URL", node.url("")).env("TIDINGS_API_KEY", KEY).stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn run(node: &Node, arguments: &[&str]) -> Output {
    command(node, arguments).output().await.unwrap()
}

fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn shown(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Every message of the app, page by page.
async fn all(node: &Node) -> Vec<Value> {
    let (mut messages, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = node.client.get(node.url(&format!("/v1/messages?limit=200{cursor}"))).bearer_auth(KEY).send().await.unwrap();
        let page: Value = answer.json().await.unwrap();
        messages.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return messages,
        }
    }
}

#[tokio::test]
async fn a_message_is_sent_and_waited_for_and_the_exit_tells_its_end() {
    let (_home, node) = started().await;
    let sent = run(&node, &["send", "--to", "+8613800138000", "--template", "news", "--param", "name=Ada", "--wait"]).await;
    let message = shown(&sent);
    assert_eq!((&message["status"], &message["template"]), (&json!("delivered"), &json!("news@1")));
    let undelivered = run(&node, &["send", "--to", "+15005550002", "--text", "x", "--wait"]).await;
    assert_eq!(said(&undelivered), (Some(1), "error: the message is undelivered\n".to_owned()));
    let refused = run(&node, &["send", "--to", "555", "--text", "x"]).await;
    assert_eq!(said(&refused), (Some(1), "error: 422 invalid: /to must be an E.164 number such as +8613800138000\n".to_owned()));
    let nothing = said(&run(&node, &["send", "--to", "+8613800138000"]).await);
    assert!(nothing.0 == Some(2) && nothing.1.contains("--template <TEMPLATE>|--text <TEXT>"), "{nothing:?}");
    let keyless = command(&node, &["send", "--to", "+8613800138000", "--text", "x"]).env_remove("TIDINGS_API_KEY").output().await.unwrap();
    assert_eq!(said(&keyless), (Some(1), "error: no API key: set TIDINGS_API_KEY\n".to_owned()));
    let nowhere = command(&node, &["messages", "list"]).env("TIDINGS_URL", "tidings").output().await.unwrap();
    assert!(said(&nowhere).1.starts_with("error: tidings is no address of the API"), "{nowhere:?}");
}

#[tokio::test]
async fn messages_are_shown_listed_and_cancelled() {
    let (_home, node) = started().await;
    let held = ["send", "--to", "+8613800138000", "--text", "x", "--hold", "--reference", "order-1"];
    let first = shown(&run(&node, &held).await)["id"].as_str().unwrap().to_owned();
    let second = shown(&run(&node, &held).await)["id"].as_str().unwrap().to_owned();
    assert_eq!(shown(&run(&node, &["messages", "get", &first]).await)["timeline"][1]["kind"], "held");
    let page = shown(&run(&node, &["messages", "list", "--status", "held", "--limit", "1"]).await);
    assert_eq!(page["data"][0]["id"], second.as_str());
    let next = page["next_cursor"].as_str().unwrap();
    let page = shown(&run(&node, &["messages", "list", "--filter", "reference=order-1", "--cursor", next]).await);
    assert_eq!((&page["data"][0]["id"], &page["next_cursor"]), (&json!(first), &Value::Null));
    assert_eq!(shown(&run(&node, &["messages", "cancel", &first]).await)["status"], "cancelled");
    let others = shown(&run(&node, &["messages", "cancel", "--reference", "order-1"]).await);
    assert_eq!(others, json!({"cancelled": 1, "too_late": 1}));
    let late = said(&run(&node, &["messages", "cancel", &first]).await);
    assert_eq!(late, (Some(1), "error: 409 too_late: the message is cancelled\n".to_owned()));
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_makes_no_noise() {
    let (_home, node) = started().await;
    let mut listing = command(&node, &["messages", "list"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(listing.stdout.take());
    let output = listing.wait_with_output().await.unwrap();
    assert_eq!(said(&output), (Some(0), String::new()));
}

/// A file of so many lines, two of which the API refuses.
fn written(path: &Path, lines: usize) {
    let mut file = String::from("to,name,reference\n");
    for number in 0..lines {
        let to = if number % (lines / 2) == 7 { "nobody".to_owned() } else { format!("+49151{number:08}") };
        file.push_str(&format!("{to},Ada,line-{number}\n"));
    }
    std::fs::write(path, file).unwrap();
}

#[tokio::test]
async fn a_file_that_was_cut_off_is_sent_again_without_a_second_message() {
    const LINES: usize = 4_000;
    let (home, node) = started().await;
    let path = home.path().join("customers.csv");
    written(&path, LINES);
    let file = path.to_str().unwrap();
    let arguments = ["send-file", file, "--template", "news", "--run", "spring"];
    let mut first = command(&node, &arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually(async || !all(&node).await.is_empty()).await;
    first.kill().await.unwrap();
    let before = all(&node).await.len();

    let again = run(&node, &arguments).await;
    let report = path.with_extension("refused.csv");
    assert_eq!(said(&again), (Some(1), format!("error: 2 lines were refused: see {}\n", report.display())));
    let told = String::from_utf8(again.stdout).unwrap();
    let replayed: usize =
        told.strip_prefix(&format!("{} accepted, ", LINES - 2)).and_then(|rest| rest.split(' ').next()).unwrap().parse().unwrap();
    assert!(replayed >= before && before > 0, "{told:?} after {before}");
    let mut references: Vec<String> = all(&node).await.iter().map(|message| message["reference"].as_str().unwrap().to_owned()).collect();
    assert_eq!(references.len(), LINES - 2);
    references.sort();
    references.dedup();
    assert_eq!(references.len(), LINES - 2, "no line was sent twice");
    let refused = std::fs::read_to_string(&report).unwrap();
    let rows: Vec<&str> = refused.lines().collect();
    assert_eq!(rows[..2], ["to,name,reference,refused", "nobody,Ada,line-7,invalid: /to must be an E.164 number such as +8613800138000"]);
    assert_eq!(rows.len(), 3);

    // What is corrected is sent alone.
    let corrected = std::fs::read_to_string(&path).unwrap().replace("nobody", "+4915199999999");
    std::fs::write(&path, corrected).unwrap();
    let last = run(&node, &arguments).await;
    assert_eq!(String::from_utf8(last.stdout).unwrap(), format!("{LINES} accepted, {} of them before, 0 refused\n", LINES - 2));
}
