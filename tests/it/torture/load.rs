//! Clients as a careful team writes them: a failed send is repeated at the other node with the same idempotency key.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tidings::clock::Clock;
use tidings_core::time::Moment;
use tokio::task::JoinSet;

use super::{
    cluster::{Cluster, KEY},
    traces,
};
use crate::{
    faults::TestVendor,
    patience::{answer_within, let_pass},
};

const SENDERS: usize = 6;
/// Between two sends of one sender.
const PACE: Duration = Duration::from_millis(60);
/// Between a try that failed and the next.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
const TRY_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a client goes on trying before the send has failed.
const GIVE_UP: Duration = Duration::from_secs(20);
const CATEGORIES: [&str; 3] = ["otp", "transactional", "marketing"];
/// After that long, it is worth knowing what one of the last messages waited for.
const SLOW: Duration = Duration::from_secs(10);
/// How long claims, leases and offsets may take to be clean once the vendor has everything: a dead worker's claim runs out.
const CLEAN_WITHIN: Duration = Duration::from_secs(60);
/// From here on into a fault, latency counts.
const SETTLED_IN: Duration = Duration::from_secs(2);

struct Sent {
    id: String,
    category: &'static str,
}

#[derive(Default)]
struct Seen {
    sent: Vec<Sent>,
    failed: u64,
    /// Milliseconds from the first try to the 202, of sends that began from two seconds into the fault until its end.
    during: Vec<u64>,
}

struct Shared {
    clock: Clock,
    stop: AtomicBool,
    /// Milliseconds on the clock; 0: not yet.
    from: AtomicU64,
    until: AtomicU64,
    seen: Mutex<Seen>,
}

pub struct Load {
    shared: Arc<Shared>,
    senders: JoinSet<()>,
}

fn millis(moment: Moment) -> u64 {
    u64::try_from(moment.since_start().as_millis()).unwrap()
}

impl Load {
    pub fn start(cluster: &Cluster, name: &str) -> Self {
        let shared = Arc::new(Shared {
            clock: Clock::system(),
            stop: AtomicBool::new(false),
            from: AtomicU64::new(u64::MAX),
            until: AtomicU64::new(u64::MAX),
            seen: Mutex::default(),
        });
        let mut senders = JoinSet::new();
        for sender in 0..SENDERS {
            senders.spawn(send(Arc::clone(&shared), cluster.apis(), sender, name.replace(' ', "-")));
        }
        Self { shared, senders }
    }

    pub fn fault_begins(&self) {
        self.shared.from.store(millis(self.shared.clock.moment() + SETTLED_IN), Ordering::Relaxed);
    }

    pub fn fault_ends(&self) {
        self.shared.until.store(millis(self.shared.clock.moment()), Ordering::Relaxed);
    }

    /// Ends the load and waits until the vendor has processed everything, or nobody knows.
    pub async fn finish(mut self, vendor: &TestVendor, cluster: &Cluster, patience: Duration) -> Row {
        self.shared.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.senders.join_next().await {
            ended.unwrap();
        }
        let seen = std::mem::take(&mut *self.shared.seen.lock().unwrap());
        let began = self.shared.clock.moment();
        let (mut processed, mut unknown, mut last) = (HashMap::new(), 0, Vec::new());
        let finished = answer_within(patience, async || {
            processed = vendor.processed().await;
            unknown = 0;
            let missing: Vec<&Sent> = seen.sent.iter().filter(|sent| !processed.contains_key(&sent.id)).collect();
            let mut lost = Vec::new();
            for sent in missing.iter().take(100) {
                if status(cluster, &sent.id).await.as_deref() == Some("unknown") { unknown += 1 } else { lost.push(sent.id.clone()) }
            }
            if lost.is_empty() && missing.len() <= 100 {
                return Some(());
            }
            last = lost;
            None
        });
        // What is missing at the end is lost, and the row says so.
        let _ = finished.await;
        let caught_up = self.shared.clock.moment().since(began);
        if caught_up > SLOW {
            for id in last.iter().take(2) {
                println!("one of the last: {:#}", record(cluster, id).await.unwrap_or_default());
            }
        }
        let leftovers = self.until_clean(cluster, &seen).await;
        let clean = self.shared.clock.moment().since(began);
        Row { leftovers, clean, ..Row::judge(&seen, &processed, unknown, caught_up) }
    }

    /// Waits until nothing of the load is left anywhere; what is, if it stays.
    async fn until_clean(&self, cluster: &Cluster, seen: &Seen) -> Vec<String> {
        let mut leftovers = vec!["nobody said what is left".to_owned()];
        let clean = answer_within(CLEAN_WITHIN, async || {
            leftovers = traces::leftovers(cluster, seen.sent.len()).await;
            leftovers.is_empty().then_some(())
        });
        // What stays is told.
        let _ = clean.await;
        leftovers
    }
}

pub async fn status(cluster: &Cluster, id: &str) -> Option<String> {
    record(cluster, id).await?["status"].as_str().map(str::to_owned)
}

pub async fn record(cluster: &Cluster, id: &str) -> Option<Value> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
    let url = format!("http://{}/v1/messages/{id}", cluster.apis()[0]);
    let answer = client.get(url).bearer_auth(KEY).send().await.ok()?;
    answer.json::<Value>().await.ok()
}

async fn send(shared: Arc<Shared>, apis: Vec<SocketAddr>, sender: usize, name: String) {
    let client = reqwest::Client::builder().no_proxy().timeout(TRY_TIMEOUT).build().unwrap();
    let mut number = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        number += 1;
        let category = CATEGORIES[number % CATEGORIES.len()];
        let body = json!({"to": format!("+49{}", 1_000_000_000 + sender * 1_000_000 + number), "text": "Hello", "category": category});
        let key = format!("{name}-{sender}-{number}");
        let began = shared.clock.moment();
        let mut tries = sender;
        let id = loop {
            let url = format!("http://{}/v1/messages", apis[tries % apis.len()]);
            tries += 1;
            let answer = client.post(url).bearer_auth(KEY).header("idempotency-key", &key).json(&body).send().await;
            match answer {
                Ok(answer) if answer.status() == 202 => {
                    if let Ok(answer) = answer.json::<Value>().await {
                        break answer["id"].as_str().map(str::to_owned);
                    }
                }
                Ok(answer) if answer.status().is_client_error() && answer.status() != 429 && answer.status() != 409 => {
                    panic!("{}: {}", answer.status(), answer.text().await.unwrap())
                }
                _ => let_pass(AGAIN_AFTER).await,
            }
            if shared.clock.moment().since(began) > GIVE_UP {
                break None;
            }
        };
        let lasted = shared.clock.moment().since(began);
        let at = millis(began);
        {
            let mut seen = shared.seen.lock().unwrap();
            if at >= shared.from.load(Ordering::Relaxed) && at < shared.until.load(Ordering::Relaxed) {
                seen.during.push(u64::try_from(lasted.as_millis()).unwrap());
            }
            match id {
                Some(id) => seen.sent.push(Sent { id, category }),
                None => seen.failed += 1,
            }
        }
        let_pass(PACE).await;
    }
}

/// What a fault did.
pub struct Row {
    accepted: usize,
    failed: u64,
    p99_ms: u64,
    lost: usize,
    doubled: usize,
    codes_doubled: usize,
    /// Messages that the vendor had and no client was told of: a repeated send became another message.
    untold: usize,
    unknown: usize,
    caught_up: Duration,
    clean: Duration,
    leftovers: Vec<String>,
}

impl Row {
    fn judge(seen: &Seen, processed: &HashMap<String, u32>, unknown: usize, caught_up: Duration) -> Self {
        let times = |sent: &&Sent| processed.get(&sent.id).copied().unwrap_or(0);
        let doubled = |otp: bool| seen.sent.iter().filter(|sent| (sent.category == "otp") == otp && times(sent) > 1).count();
        let told: HashSet<&str> = seen.sent.iter().map(|sent| sent.id.as_str()).collect();
        let mut during = seen.during.clone();
        during.sort_unstable();
        Self {
            accepted: seen.sent.len(),
            failed: seen.failed,
            p99_ms: during.get((during.len() * 99 / 100).min(during.len().saturating_sub(1))).copied().unwrap_or(0),
            lost: seen.sent.iter().filter(|sent| times(sent) == 0).count() - unknown,
            doubled: doubled(false),
            codes_doubled: doubled(true),
            untold: processed.keys().filter(|id| !told.contains(id.as_str())).count(),
            unknown,
            caught_up,
            clean: Duration::ZERO,
            leftovers: Vec::new(),
        }
    }

    fn answered(&self) -> f64 {
        self.accepted as f64 / (self.accepted as f64 + self.failed as f64)
    }

    /// What must not be. With two services away, accepting may stop.
    pub fn failures(&self, two_away: bool, p99_at_most: Duration) -> Vec<String> {
        let mut failures = self.leftovers.clone();
        if self.lost > 0 {
            failures.push(format!("{} lost", self.lost));
        }
        if self.doubled > 0 {
            failures.push(format!("{} processed twice", self.doubled));
        }
        // A client that gave up does not know its message.
        if self.untold as u64 > self.failed {
            failures.push(format!("{} messages that no client was told of, with {} given up", self.untold, self.failed));
        }
        if !two_away && self.answered() < 0.999 {
            failures.push(format!("only {:.2} % answered", self.answered() * 100.0));
        }
        if !two_away && u128::from(self.p99_ms) > p99_at_most.as_millis() {
            failures.push(format!("p99 is {} ms", self.p99_ms));
        }
        failures
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} | {:.2} % | {} ms | {} | {} | {} | {} | {:.1} s | {:.1} s",
            self.accepted,
            self.answered() * 100.0,
            self.p99_ms,
            self.lost,
            self.doubled,
            self.codes_doubled,
            self.unknown,
            self.caught_up.as_secs_f64(),
            self.clean.as_secs_f64()
        )
    }
}
