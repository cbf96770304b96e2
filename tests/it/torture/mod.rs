//! The whole ladder under fire: two API nodes, two workers, PostgreSQL, Redis and Kafka as real processes of this test's own,
//! a load of well-behaved clients, and one fault after the other.
//!
//! The verdict is the vendor's own count: nothing that was answered 202 is missing, and nothing but an ambiguous code was
//! processed twice. `make torture` runs every fault at its full length and prints the table of `docs/RELIABILITY.md`; `make test`
//! runs the faults that find most, briefly.

mod cluster;
mod load;
mod server;

use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use self::{cluster::Cluster, load::Load, server::Server};
use crate::faults::TestVendor;

/// How long a fault lasts: full, and for a quick look.
const FULL: Duration = Duration::from_secs(30);
const BRIEF: Duration = Duration::from_secs(6);
/// Load before a fault, and after it until its row is judged.
const CALM: Duration = Duration::from_secs(4);
const CATCH_UP: Duration = Duration::from_secs(90);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Kill,
    Stop,
    Freeze,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whom {
    Api,
    Worker,
    Postgres,
    Redis,
    Kafka,
    /// Two services at once.
    Pair(&'static str, &'static str),
    /// Every node, one after the other.
    Rolling,
}

/// Name, what, whom, and whether `make test` runs it too.
const FAULTS: &[(&str, What, Whom, bool)] = &[
    ("worker killed", What::Kill, Whom::Worker, true),
    ("api node killed", What::Kill, Whom::Api, false),
    ("PostgreSQL stopped", What::Stop, Whom::Postgres, false),
    ("PostgreSQL killed", What::Kill, Whom::Postgres, false),
    ("PostgreSQL frozen", What::Freeze, Whom::Postgres, true),
    ("Redis stopped", What::Stop, Whom::Redis, false),
    ("Redis killed", What::Kill, Whom::Redis, true),
    ("Redis frozen", What::Freeze, Whom::Redis, false),
    ("Kafka stopped", What::Stop, Whom::Kafka, false),
    ("Kafka killed", What::Kill, Whom::Kafka, true),
    ("Kafka frozen", What::Freeze, Whom::Kafka, false),
    ("PostgreSQL and Redis killed", What::Kill, Whom::Pair("postgres", "redis"), false),
    ("PostgreSQL and Kafka killed", What::Kill, Whom::Pair("postgres", "kafka"), false),
    ("Redis and Kafka killed", What::Kill, Whom::Pair("redis", "kafka"), false),
    ("rolling restart", What::Stop, Whom::Rolling, false),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_one_of_the_services_or_processes_may_be_gone_and_nothing_is_lost() {
    let asked = std::env::var("TIDINGS_TORTURE").unwrap_or_default();
    if crate::servers::redis().is_none() {
        return;
    }
    let (full, only) = (!asked.is_empty(), asked.strip_prefix("only:"));
    let home = TempDir::new().unwrap();
    // PostgreSQL runs as another user and must be able to enter.
    std::fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut servers = [Server::start("postgres", home.path()), Server::start("redis", home.path()), Server::start("kafka", home.path())];
    for server in &mut servers {
        server.until_it_listens().await;
    }
    let vendor = TestVendor::start(json!({"latency_ms": 30})).await;
    let mut cluster = Cluster::start(home.path(), &servers, &vendor).await;
    println!("| fault | accepted | answered | p99 from 2 s on | lost | doubled | codes doubled | unknown | caught up after |");
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut failures = Vec::new();
    for (name, what, whom, brief) in FAULTS {
        if only.map_or(!full && !brief, |only| !name.contains(only)) {
            continue;
        }
        let lasts = match (full, whom) {
            (true, Whom::Pair(..)) => Duration::from_secs(10),
            (true, _) => FULL,
            (false, _) => BRIEF,
        };
        let load = Load::start(&cluster, name);
        tokio::time::sleep(CALM).await;
        load.fault_begins();
        fault(*what, *whom, lasts, &mut cluster, &mut servers).await;
        load.fault_ends();
        tokio::time::sleep(CALM).await;
        let row = load.finish(&vendor, &cluster, CATCH_UP).await;
        println!("| {name} | {row} |");
        failures.extend(row.failures(matches!(whom, Whom::Pair(..))).into_iter().map(|failure| format!("{name}: {failure}")));
    }
    if !failures.is_empty() {
        println!("{}", cluster.logs());
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

async fn fault(what: What, whom: Whom, lasts: Duration, cluster: &mut Cluster, servers: &mut [Server; 3]) {
    let which: Vec<usize> = match whom {
        Whom::Postgres => vec![0],
        Whom::Redis => vec![1],
        Whom::Kafka => vec![2],
        Whom::Pair(one, two) => {
            servers.iter().enumerate().filter(|(_, server)| [one, two].contains(&server.kind)).map(|(at, _)| at).collect()
        }
        Whom::Api | Whom::Worker => {
            let node = if whom == Whom::Api { 0 } else { 2 };
            cluster.nodes[node].kill().await;
            tokio::time::sleep(lasts).await;
            return cluster.nodes[node].start_again().await;
        }
        Whom::Rolling => {
            for node in &mut cluster.nodes {
                node.stop().await;
                node.start_again().await;
            }
            return;
        }
    };
    for server in &which {
        match what {
            What::Kill => servers[*server].kill().await,
            What::Stop => servers[*server].stop().await,
            What::Freeze => servers[*server].freeze(),
        }
    }
    tokio::time::sleep(lasts).await;
    for server in &which {
        if what == What::Freeze {
            servers[*server].thaw();
        } else {
            servers[*server].start_again();
        }
        servers[*server].until_it_listens().await;
    }
}
