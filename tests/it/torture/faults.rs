//! What happens to a cluster under load.

use std::{collections::HashSet, time::Duration};

use serde_json::json;
use tidings::{
    clock::Clock,
    queue::kafka::{Consumer, Pace, Producer, Publish, Topics, positions},
};
use tidings_core::message::Lane;
use tokio::{sync::mpsc, time::timeout_at};

use super::{
    cluster::{Cluster, GROUP},
    server::Server,
    wire::{State, Wire},
};
use crate::{
    faults::TestVendor,
    patience::{answer_within, let_pass, within},
};

/// A member that joins and leaves, for so long each.
const STORM_STEP: Duration = Duration::from_secs(2);
/// Crashes until one has hit the moment that is meant.
const MOST_CRASHES: usize = 6;
/// Calls that must be out when the vendor's worker is killed.
const CALLS_OUT: u64 = 3;
/// Until so many are: the crash before may have taken a worker's claims with it.
const OUT_WITHIN: Duration = Duration::from_secs(60);
/// Twice what a call takes then.
const NOTICED_WITHIN: Duration = Duration::from_secs(2);

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
                let_pass(lasts).await;
                for node in nodes {
                    cluster.nodes[*node].start_again().await;
                }
            }
            What::FreezeNode(node) => {
                cluster.nodes[node].signal("STOP");
                let_pass(lasts).await;
                cluster.nodes[node].signal("CONT");
            }
            What::Stop(which) | What::KillServers(which) | What::Freeze(which) => self.servers(which, lasts, servers).await,
            What::Cut(_, server) | What::Mute(_, server) => {
                let state = if matches!(self.what, What::Cut(..)) { State::Cut } else { State::Mute };
                wires[server].switch(state);
                let_pass(lasts).await;
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
        let_pass(lasts).await;
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
    let (clock, mut rounds) = (Clock::system(), 0_u32);
    let until = clock.moment() + lasts;
    while clock.moment() < until {
        let joined = cluster.nodes.last_mut().unwrap();
        if rounds.is_multiple_of(2) {
            joined.stop().await
        } else {
            joined.kill().await
        }
        joined.start_again().await;
        rounds += 1;
        let_pass(STORM_STEP).await;
    }
    println!("{rounds} times a worker left and another came");
}

async fn twice(lasts: Duration, cluster: &Cluster) {
    let topics = Topics::new("tidings");
    let names: Vec<String> = Lane::ALL.iter().map(|lane| topics.messages(*lane)).collect();
    let brokers = cluster.kafka();
    let (tell, mut arrived) = mpsc::unbounded_channel();
    let reader =
        Consumer::start(&brokers, "repeater", vec![names.clone()], Pace::AtOnce, move |topic| tell.send(topic).unwrap_or_default())
            .unwrap();
    let producer = Producer::new(&brokers, &topics).unwrap();
    let mut seen: HashSet<Vec<u8>> = HashSet::new();
    let clock = Clock::system();
    let until = clock.instant(clock.moment() + lasts);
    while let Ok(Some(topic)) = timeout_at(until, arrived.recv()).await {
        for record in reader.take(topic, usize::MAX) {
            // Under another key it may go to another partition, and to another worker at the same time.
            if seen.insert(record.value.clone()) {
                let (topic, value) = (&names[topic], &record.value);
                let copy = Publish { topic, key: Some(&value[1..9]), value, traceparent: None, reason: None };
                assert!(producer.publish(&[copy]).await[0].is_ok());
            }
            reader.finish(record.token);
        }
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
        // Work goes on until the next.
        let_pass(STORM_STEP).await;
    }
    panic!("no crash fell between publishing and acknowledging");
}

async fn after_acceptance(cluster: &mut Cluster, vendor: &TestVendor) {
    vendor.switch(json!({"latency_ms": 1_000})).await;
    for crash in 1..=MOST_CRASHES {
        within(OUT_WITHIN, "a load of which calls are out", async || vendor.open_and_processed().await.0 >= CALLS_OUT).await;
        // By turns: the one that was not killed last has most of the calls.
        let victim = super::WORKER + (crash + 1) % 2;
        cluster.nodes[victim].kill().await;
        // The vendor notices that its caller is gone.
        let hit = answer_within(NOTICED_WITHIN, async || (vendor.cut().await.processed > 0).then_some(())).await;
        let cut = vendor.cut().await;
        println!("crash {crash}: {} calls cut so far, {} of them processed by the vendor", cut.calls, cut.processed);
        cluster.nodes[victim].start_again().await;
        if hit.is_some() {
            return vendor.switch(json!({"latency_ms": 30})).await;
        }
    }
    panic!("no crash fell between the vendor's acceptance and the settling");
}
