//! Settings that are wrong: one clear line, and where work can go on, it goes on.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::json;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{
    TestVendor,
    acl::{self, On, Right, Rule},
};
use crate::{
    patience::{answer_within, eventually},
    servers,
    torture::Server,
};

pub const KEY: &str = "tk_live_settings0123456789abcdef0123456789ab";
const MASTER_KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
/// A debug build on a busy machine starts within a few seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:1";

/// Runs a command of the binary in a folder of its own; what it says is in `log`.
pub fn start(home: &TempDir, role: &str, address: &str, services: &str, bootstrap: &str) -> Child {
    let app = format!(
        "[[apps]]\nname = \"shop\"\nlive = true\nfree_text = true\n\
         [[apps.keys]]\nname = \"shop\"\nsecret = \"{KEY}\"\nscopes = [\"messages:send\", \"messages:read\"]\n{bootstrap}"
    );
    std::fs::write(home.path().join("bootstrap.toml"), app).unwrap();
    std::fs::write(home.path().join("master.key"), MASTER_KEY).unwrap();
    let folder = home.path().display();
    let settings = format!(
        "data_dir = \"{folder}/data\"\n[http]\nlisten = \"{address}\"\n[bootstrap]\nfile = \"{folder}/bootstrap.toml\"\n\
         [secrets]\nmaster_key_file = \"{folder}/master.key\"\n{services}"
    );
    std::fs::write(home.path().join("tidings.toml"), settings).unwrap();
    let log = std::fs::File::create(home.path().join("log")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    command.args([role, "--config"]).arg(home.path().join("tidings.toml"));
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true).spawn().unwrap()
}

pub fn log(home: &Path) -> String {
    std::fs::read_to_string(home.join("log")).unwrap()
}

/// It ends by itself, and says why in one line.
async fn refuses(role: &str, services: &str, says: &str) {
    let home = TempDir::new().unwrap();
    let mut child = start(&home, role, "127.0.0.1:0", services, "");
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.expect("it ends").unwrap();
    let log = log(home.path());
    assert!(!status.success(), "{log}");
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(says)).collect();
    assert_eq!(lines.len(), 1, "one line says {says:?}:\n{log}");
}

/// A port that nobody had a moment ago.
pub async fn free_address() -> String {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
}

/// It works all the same: a message goes out. And it says what is away.
async fn goes_on(services: &str, away: &str, says: &str) {
    let (home, vendor) = (TempDir::new().unwrap(), TestVendor::start(json!({})).await);
    let address = free_address().await;
    let mut child = start(&home, "serve", &address, services, &vendor.account("a", "receipts = false"));
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
    let body = json!({"to": "+4915112345678", "text": "Hello", "category": "otp"});
    let send =
        || client.post(format!("http://{address}/v1/messages")).bearer_auth(KEY).header("idempotency-key", "once").json(&body).send();
    let sent = answer_within(PATIENCE, async || {
        assert!(child.try_wait().unwrap().is_none(), "it ended:\n{}", log(home.path()));
        send().await.ok().filter(|answer| answer.status() == 202)
    });
    let Some(answer) = sent.await else { panic!("nothing was accepted:\n{}", log(home.path())) };
    let answer: serde_json::Value = answer.json().await.unwrap();
    let id = answer["id"].as_str().unwrap();
    let reached = answer_within(PATIENCE, async || vendor.processed().await.get(id).copied().filter(|times| *times == 1));
    assert!(reached.await.is_some(), "{id} never reached the vendor:\n{}", log(home.path()));
    eventually(async || {
        let ready: serde_json::Value = client.get(format!("http://{address}/readyz")).send().await.unwrap().json().await.unwrap();
        let named = ready["dependencies"].as_array().unwrap().iter().find(|dependency| dependency["name"] == away).unwrap().clone();
        named["status"] == "down" && !named["degrades"].as_str().unwrap().is_empty()
    })
    .await;
    eventually(async || log(home.path()).contains(says)).await;
}

#[tokio::test]
async fn a_wrong_password_is_one_clear_line() {
    if servers::redis().is_none() {
        return;
    }
    let home = TempDir::new().unwrap();
    std::fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (mut server, _wire) = Server::start("postgres", home.path()).await;
    server.until_it_listens().await;
    let url = format!("postgres://tidings@127.0.0.1:{}/postgres", server.port);
    eventually(async || PgConnection::connect(&url).await.is_ok()).await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("CREATE ROLE guarded LOGIN PASSWORD 'right'").execute(&mut connection).await.unwrap();
    std::fs::write(
        home.path().join("postgres/data/pg_hba.conf"),
        "host all guarded 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n",
    )
    .unwrap();
    sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut connection).await.unwrap();
    let services = format!("[database]\nurl = \"postgres://guarded:wrong@127.0.0.1:{}/postgres\"\n", server.port);
    for role in ["serve", "api", "worker", "migrate"] {
        refuses(role, &services, "password authentication failed").await;
    }
    let home = TempDir::new().unwrap();
    let mut child = start(&home, "serve", "127.0.0.1:0", &services, "");
    child.wait().await.unwrap();
    assert!(!log(home.path()).contains(":wrong@"), "the password is not said");
}

#[tokio::test]
async fn a_schema_newer_than_the_program_is_one_clear_line() {
    let Some(url) = servers::database().await else { return };
    let services = format!("[database]\nurl = \"{url}\"\n");
    let home = TempDir::new().unwrap();
    assert!(start(&home, "migrate", "127.0.0.1:0", &services, "").wait().await.unwrap().success(), "{}", log(home.path()));
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'of a later program', true, '', 0)")
        .execute(&mut connection)
        .await
        .unwrap();
    for role in ["serve", "api", "worker", "migrate"] {
        refuses(role, &services, "the database's schema is newer than this program").await;
    }
}

#[tokio::test]
async fn a_schema_older_than_the_program_is_one_clear_line_to_api_and_worker() {
    let Some(url) = servers::database().await else { return };
    for role in ["api", "worker"] {
        refuses(role, &format!("[database]\nurl = \"{url}\"\n"), "run `tidings migrate`").await;
    }
}

#[tokio::test]
async fn a_broker_that_is_not_reachable_is_one_clear_line_and_work_goes_on() {
    let (Some(url), Some(redis)) = (servers::database().await, servers::redis()) else { return };
    let prefix = servers::fresh_name();
    let services =
        format!("[database]\nurl = \"{url}\"\n[redis]\nurl = \"{redis}\"\nkey_prefix = \"{prefix}\"\n[kafka]\nbrokers = \"{NOWHERE}\"\n");
    goes_on(&services, "kafka", "going on without Kafka").await;
}

#[tokio::test]
async fn a_redis_that_is_full_is_one_clear_line_and_work_goes_on() {
    redis_that("CONFIG SET maxmemory 1").await;
}

#[tokio::test]
async fn a_redis_that_is_read_only_is_one_clear_line_and_work_goes_on() {
    redis_that("REPLICAOF 127.0.0.1 1").await;
}

#[tokio::test]
async fn a_wrong_password_of_redis_is_one_clear_line_and_work_goes_on() {
    redis_reached_by("redis://:wrong@", "CONFIG SET requirepass right").await;
}

#[tokio::test]
async fn a_redis_that_has_only_a_part_of_the_keys_is_one_clear_line_and_work_goes_on() {
    if servers::redis().is_none() {
        return;
    }
    let home = TempDir::new().unwrap();
    let folder = home.path().join("redis-cluster");
    std::fs::create_dir_all(&folder).unwrap();
    // The other half is another's, whom nobody runs.
    let nodes = format!(
        "{:040} 127.0.0.1:1@2 myself,master - 0 0 1 connected 0-8191\n{:040} 127.0.0.1:3@4 master - 0 0 2 connected 8192-16383\n\
         vars currentEpoch 2 lastVoteEpoch 0\n",
        1, 2
    );
    std::fs::write(folder.join("nodes.conf"), nodes).unwrap();
    let (mut server, _wire) = Server::start("redis-cluster", home.path()).await;
    server.until_it_listens().await;
    goes_on_before(&format!("redis://127.0.0.1:{}", server.port), "one node of a cluster of several primaries").await;
}

/// A Redis of its own that takes no writes.
async fn redis_that(takes_no_writes_after: &str) {
    redis_reached_by("redis://", takes_no_writes_after).await;
}

async fn redis_reached_by(who: &str, takes_no_writes_after: &str) {
    if servers::redis().is_none() {
        return;
    }
    let home = TempDir::new().unwrap();
    let (mut server, _wire) = Server::start("redis", home.path()).await;
    server.until_it_listens().await;
    let address = format!("redis://127.0.0.1:{}", server.port);
    let mut redis = redis::Client::open(address.as_str()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let mut words = takes_no_writes_after.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    for word in words {
        command.arg(word);
    }
    let () = command.query_async(&mut redis).await.unwrap();
    goes_on_before(&format!("{who}127.0.0.1:{}", server.port), "redis answers and cannot be used").await;
}

/// With this Redis, PostgreSQL and Kafka.
async fn goes_on_before(redis: &str, says: &str) {
    let (Some(url), Some(brokers)) = (servers::database().await, servers::kafka()) else { return };
    let prefix = servers::fresh_name();
    let services = format!(
        "[database]\nurl = \"{url}\"\n[redis]\nurl = \"{redis}\"\n[kafka]\nbrokers = \"{brokers}\"\ntopic_prefix = \"{prefix}\"\ngroup = \"{prefix}\"\npartitions = 2\n"
    );
    goes_on(&services, "redis", says).await;
}

/// A broker of its own, whose rights a test may set, and the settings of a process on it.
async fn kafka_with_rights(home: &Path, prefix: &str) -> Option<(Server, String)> {
    let (Some(database), Some(redis)) = (servers::database().await, servers::redis()) else { return None };
    let (mut server, _wire) = Server::start("kafka", home).await;
    server.until_it_listens().await;
    let services = format!(
        "[database]\nurl = \"{database}\"\n[redis]\nurl = \"{redis}\"\nkey_prefix = \"{prefix}\"\n\
         [kafka]\nbrokers = \"127.0.0.1:{}\"\ntopic_prefix = \"{prefix}\"\ngroup = \"{prefix}\"\npartitions = 2\n",
        server.port
    );
    Some((server, services))
}

#[tokio::test]
async fn topics_that_are_missing_and_may_not_be_made_are_one_clear_line() {
    let (home, prefix) = (TempDir::new().unwrap(), servers::fresh_name());
    let Some((server, services)) = kafka_with_rights(home.path(), &prefix).await else { return };
    acl::set(
        server.port,
        &[
            (On::topics(&prefix), Right::Create, Rule::Deny),
            (On::cluster(), Right::All, Rule::Allow),
            (On::cluster(), Right::Create, Rule::Deny),
        ],
    )
    .await;
    for role in ["migrate", "serve", "api", "worker"] {
        refuses(role, &services, "make it, or allow this program to create topics").await;
    }
}

/// Its topics are made; then it may do so much with them. It works all the same.
async fn goes_on_with(rights: &[(Right, Rule)], says: &str) {
    let (home, prefix) = (TempDir::new().unwrap(), servers::fresh_name());
    let Some((server, services)) = kafka_with_rights(home.path(), &prefix).await else { return };
    let made = TempDir::new().unwrap();
    let status = start(&made, "migrate", "127.0.0.1:0", &services, "").wait().await.unwrap();
    assert!(status.success(), "{}", log(made.path()));
    let rights: Vec<_> = rights.iter().map(|(right, rule)| (On::topics(&prefix), *right, *rule)).collect();
    acl::set(server.port, &rights).await;
    goes_on(&services, "kafka", says).await;
}

#[tokio::test]
async fn topics_without_any_right_are_one_clear_line_and_work_goes_on() {
    goes_on_with(&[(Right::All, Rule::Deny)], "this program has no rights on the topic").await;
}

#[tokio::test]
async fn topics_that_may_not_be_written_to_are_one_clear_line_and_work_goes_on() {
    goes_on_with(&[(Right::All, Rule::Allow), (Right::Write, Rule::Deny)], "this program may not write to the topic").await;
}
