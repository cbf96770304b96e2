//! A cluster of two brokers, of which one goes away: `readyz` says so, and work goes on.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    TestVendor,
    settings::{KEY, free_address, log, start},
};
use crate::{patience::within, servers, torture::Server};

/// What brokers and a debug build need on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_several_brokers_away_is_said_and_work_goes_on() {
    let (Some(database), Some(redis), Some(_)) = (servers::database().await, servers::redis(), servers::kafka()) else { return };
    let home = TempDir::new().unwrap();
    let (mut first, _wire) = Server::start("kafka", home.path()).await;
    first.until_it_listens().await;
    let mut second = Server::join(&first, home.path());
    second.until_it_listens().await;
    let prefix = servers::fresh_name();
    let services = format!(
        "[database]\nurl = \"{database}\"\n[redis]\nurl = \"{redis}\"\nkey_prefix = \"{prefix}\"\n\
         [kafka]\nbrokers = \"127.0.0.1:{},127.0.0.1:{}\"\ntopic_prefix = \"{prefix}\"\npartitions = 2\nreplication = 2\n",
        first.port, second.port
    );
    let migrated = TempDir::new().unwrap();
    within(PATIENCE, "both brokers take topics", async || {
        start(&migrated, "migrate", "127.0.0.1:0", &services, "").wait().await.unwrap().success()
    })
    .await;
    let (node, address, vendor) = (TempDir::new().unwrap(), free_address().await, TestVendor::start(json!({})).await);
    let _child = start(&node, "api", &address, &services, &vendor.account("a", "receipts = false"));
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
    let kafka = async || {
        let answer = client.get(format!("http://{address}/readyz")).send().await.ok()?.json::<Value>().await.ok()?;
        let kafka = answer["dependencies"].as_array()?.iter().find(|dependency| dependency["name"] == "kafka")?.clone();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Some((text(&answer["status"]), text(&kafka["status"]), text(&kafka["degrades"])))
    };
    let says = async |status: &str, degrades: &str| {
        let wanted = Some((status.to_owned(), "up".to_owned(), degrades.to_owned()));
        within(PATIENCE, degrades, async || kafka().await == wanted).await;
    };
    let is_accepted = async || {
        let body = json!({"to": "+4915112345678", "text": "Hello", "category": "otp"});
        let sent = client.post(format!("http://{address}/v1/messages")).bearer_auth(KEY).json(&body).send().await;
        sent.is_ok_and(|answer| answer.status() == 202)
    };
    says("ready", "").await;
    second.stop().await;
    says("degraded", "1 of 2 brokers away (2): fewer copies of what is accepted").await;
    within(PATIENCE, "messages are accepted", is_accepted).await;
    assert!(log(node.path()).contains("a part of a service is away"), "{}", log(node.path()));
    second.start_again();
    says("ready", "").await;
}
