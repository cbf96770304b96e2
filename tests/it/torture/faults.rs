//! What happens to a cluster under load.

use std::{collections::HashSet, time::Duration};

use serde_json::json;
use tidings::queue::kafka::{Consumer, Pace, Producer, Publish, Topics, positions};
use tidings_core::message::Lane;

use super::{
    cluster::{Cluster, GROUP},
    server::Server,
    wire::{State, Wire},
};
use crate::faults::TestVendor;

/// A member that joins and leaves, for so long each.
const STORM_STEP: Duration = Duration::from_secs(2);
/// Crashes until one has hit the moment that is meant.
const MOST_CRASHES: usize = 6;
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Calls that must be out when the vendor's worker is killed.
const CALLS_OUT: u64 = 3;

pub struct Fault {
    pub name: &'static str,
    pub what: What,
    pub brief: bool,
}

/// Nodes and servers are named by their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// kill -9 of nodes.
    Kill(&'static [usize]),
    FreezeNode(usize),
    Stop(&'static [usize]),
    KillServers(&'static [usize]),
    Freeze(&'static [usize]),
    /// The wire between a node and a server is cut.
    Cut(usize, usize),
    /// A node is heard by a server and does not hear it.
    Mute(usize, usize),
    /// Every node is stopped and started, one after the other.
    Rolling,
    /// A worker joins and leaves, again and again, in order and by kill -9.
    Storm,
    /// Every record is published a second time.
    Twice,
    /// Workers die with records done and published that nobody has acknowledged.
    BetweenPublishAndAcknowledge,
    /// A worker dies with calls out that the vendor has accepted.
    AfterAcceptance,
}

impl What {
    /// Which node reaches the servers by wires. None of them unless it has to be cut.
    pub const fn behind_wires(self) -> usize {
        match self {
            Self::Cut(node, _) | Self::Mute(node, _) => node,
            _ => usize::MAX,
        }
    }

    pub const fn two_away(self) -> bool {
        matches!(self, Self::KillServers([_, _]))
    }
}

impl Fault {
    pub async fn happen(&self, lasts: Duration, cluster: &mut Cluster, servers: &mut [Server; 3], wires: &[Wire; 3], vendor: &TestVendor) {
        match self.what {
            What::Kill(nodes) => {
                for node in nodes {
                    cluster.nodes[*node].kill().await;
                }
                tokio::time::sleep(lasts).await;
                for node in nodes {
                    cluster.nodes[*node].start_again().await;
                }
            }
            What::FreezeNode(node) => {
                cluster.nodes[node].signal("STOP");
                tokio::time::sleep(lasts).await;
                cluster.nodes[node].signal("CONT");
            }
            What::Stop(which) | What::KillServers(which) | What::Freeze(which) => self.servers(which, lasts, servers).await,
            What::Cut(_, server) | What::Mute(_, server) => {
                let state = if matches!(self.what, What::Cut(..)) { State::Cut } else { State::Mute };
                wires[server].switch(state);
                tokio::time::sleep(lasts).await;
                wires[server].switch(State::Whole);
            }
            What::Rolling => {
                for node in &mut cluster.nodes {
                    node.stop().await;
                    node.start_again().await;
                }
            }
            What::Storm => storm(lasts, cluster).await,
            What::Twice => twice(lasts, cluster).await,
            What::BetweenPublishAndAcknowledge => between_publish_and_acknowledge(cluster).await,
            What::AfterAcceptance => after_acceptance(cluster, vendor).await,
        }
    }

    async fn servers(&self, which: &[usize], lasts: Duration, servers: &mut [Server; 3]) {
        for server in which {
            match self.what {
                What::Freeze(_) => servers[*server].freeze(),
                What::Stop(_) => servers[*server].stop().await,
                _ => servers[*server].kill().await,
            }
        }
        tokio::time::sleep(lasts).await;
        for server in which {
            if matches!(self.what, What::Freeze(_)) {
                servers[*server].thaw();
            } else {
                servers[*server].start_again();
            }
            servers[*server].until_it_listens().await;
        }
    }
}

async fn storm(lasts: Duration, cluster: &mut Cluster) {
    cluster.add_worker().await;
    let until = tokio::time::sleep(lasts);
    tokio::pin!(until);
    let mut rounds = 0_u32;
    while !until.is_elapsed() {
        let joined = cluster.nodes.last_mut().unwrap();
        if rounds.is_multiple_of(2) {
            joined.stop().await
        } else {
            joined.kill().await
        }
        joined.start_again().await;
        rounds += 1;
        tokio::select! { () = &mut until => {}, () = tokio::time::sleep(STORM_STEP) => {} }
    }
    println!("{rounds} times a worker left and another came");
}

async fn twice(lasts: Duration, cluster: &Cluster) {
    let topics = Topics::new("tidings");
    let names: Vec<String> = Lane::ALL.iter().map(|lane| topics.messages(*lane)).collect();
    let brokers = cluster.kafka();
    let reader = Consumer::start(&brokers, "repeater", names.clone(), Pace::AtOnce, |_| {}).unwrap();
    let producer = Producer::new(&brokers, &topics).unwrap();
    let mut seen: HashSet<Vec<u8>> = HashSet::new();
    let until = tokio::time::sleep(lasts);
    tokio::pin!(until);
    while !until.is_elapsed() {
        for (topic, name) in names.iter().enumerate() {
            for record in reader.take(topic, 100) {
                // Under another key it may go to another partition, and to another worker at the same time.
                if seen.insert(record.value.clone()) {
                    let copy =
                        Publish { topic: name, key: Some(&record.value[1..9]), value: &record.value, traceparent: None, reason: None };
                    assert!(producer.publish(&[copy]).await[0].is_ok());
                }
                reader.finish(record.token);
            }
        }
        tokio::select! { () = &mut until => {}, () = tokio::time::sleep(LOOK_AGAIN) => {} }
    }
    reader.stop().await;
    println!("{} records were published again", seen.len());
    assert!(!seen.is_empty());
}

/// Both workers die at once, so that what is done and what was acknowledged can be told apart.
async fn between_publish_and_acknowledge(cluster: &mut Cluster) {
    let topics = Topics::new("tidings");
    let messages: Vec<String> = Lane::ALL.iter().map(|lane| topics.messages(*lane)).collect();
    let mut hits = 0;
    for crash in 1..=MOST_CRASHES {
        for node in [super::WORKER, super::WORKER + 1] {
            cluster.nodes[node].kill().await;
        }
        let (brokers, messages, outcomes) = (cluster.kafka(), messages.clone(), topics.outcomes());
        let positions = tokio::task::spawn_blocking(move || {
            let committed = positions(&brokers, GROUP, &messages).unwrap().iter().map(|position| position.committed).sum::<i64>();
            let published = positions(&brokers, GROUP, &[outcomes]).unwrap().iter().map(|position| position.end).sum::<i64>();
            published - committed
        });
        let between = positions.await.unwrap();
        println!("crash {crash}: {between} records whose outcome was published and which were not acknowledged");
        hits += i64::from(between > 0);
        for node in [super::WORKER, super::WORKER + 1] {
            cluster.nodes[node].start_again().await;
        }
        if hits >= 2 {
            return;
        }
        tokio::time::sleep(STORM_STEP).await;
    }
    panic!("no crash fell between publishing and acknowledging");
}

async fn after_acceptance(cluster: &mut Cluster, vendor: &TestVendor) {
    vendor.switch(json!({"latency_ms": 1_000})).await;
    for crash in 1..=MOST_CRASHES {
        while vendor.open_and_processed().await.0 < CALLS_OUT {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        // By turns: the one that was not killed last has most of the calls.
        let victim = super::WORKER + (crash + 1) % 2;
        cluster.nodes[victim].kill().await;
        // The vendor notices that its caller is gone.
        tokio::time::sleep(STORM_STEP).await;
        let cut = vendor.cut().await;
        println!("crash {crash}: {} calls cut so far, {} of them processed by the vendor", cut.calls, cut.processed);
        cluster.nodes[victim].start_again().await;
        if cut.processed > 0 {
            return vendor.switch(json!({"latency_ms": 30})).await;
        }
    }
    panic!("no crash fell between the vendor's acceptance and the settling");
}
