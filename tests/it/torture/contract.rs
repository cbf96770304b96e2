//! A provider's contract, counted by the provider: two workers share 50 segments a second, whatever happens to them.

use std::{sync::Arc, time::Duration};

use axum::{Json, Router, extract::State, routing::post};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidings::clock::Clock;
use tidings_core::time::Moment;

use super::{
    POSTGRES, REDIS, WORKER,
    cluster::{Cluster, KEY},
    server::Server,
};
use crate::patience::let_pass;

const PER_S: usize = 50;
/// At most 1 % more in any ten seconds, and one call more in any one.
const MOST_IN_TEN: usize = PER_S * 10 * 101 / 100;
const MOST_IN_ONE: usize = PER_S + 1;
const LEAST_IN_TEN: usize = PER_S * 10 * 99 / 100;
const TEN: Duration = Duration::from_secs(10);
/// Until the workers have counted each other and the first messages are there.
const WARM: Duration = Duration::from_secs(8);
/// After a worker's death its part may lie idle for so long: it might have been cut off only, and at work.
const HAND_OVER: Duration = Duration::from_secs(12);
const PHASE: Duration = Duration::from_secs(15);
/// Enough for all phases, and some.
const BACKLOG: usize = 8_000;

/// Counts when it is called, and does nothing else.
struct Vendor {
    clock: Clock,
    calls: std::sync::Mutex<Vec<Moment>>,
}

impl Vendor {
    /// On a thread of its own that is served before all others, if that is allowed: a vendor has a machine of its own, and
    /// what delays its counting is not the workers' doing.
    fn start() -> (Arc<Self>, std::net::SocketAddr) {
        let vendor = Arc::new(Self { clock: Clock::system(), calls: std::sync::Mutex::default() });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/send", post(called)).with_state(Arc::clone(&vendor));
        std::thread::spawn(move || {
            println!("the vendor is served first: {}", is_served_first());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let serves = async { axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), router).await };
            runtime.block_on(serves).unwrap();
        });
        (vendor, address)
    }

    fn calls_between(&self, from: Moment, until: Moment) -> Vec<Moment> {
        self.calls.lock().unwrap().iter().copied().filter(|at| *at >= from && *at < until).collect()
    }
}

async fn called(State(vendor): State<Arc<Vendor>>) -> Json<Value> {
    let at = vendor.clock.moment();
    let mut calls = vendor.calls.lock().unwrap();
    calls.push(at);
    Json(json!({"id": format!("v-{}", calls.len())}))
}

/// Asks for this thread to be scheduled before all ordinary ones; whether it is.
fn is_served_first() -> bool {
    let thread = std::fs::read_link("/proc/thread-self").unwrap();
    let asked = std::process::Command::new("chrt").args(["--fifo", "--pid", "1"]).arg(thread.file_name().unwrap()).output();
    asked.is_ok_and(|asked| asked.status.success())
}

/// The most calls in any window of this length.
fn most_in(calls: &[Moment], window: Duration) -> usize {
    let mut oldest = 0;
    let mut most = 0;
    for (newest, at) in calls.iter().enumerate() {
        while at.since(calls[oldest]) >= window {
            oldest += 1;
        }
        most = most.max(newest - oldest + 1);
    }
    most
}

/// Codes without keys.
async fn send(cluster: &Cluster, first: usize, count: usize) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for batch in (first..first + count).step_by(500) {
        let message = |number: usize| json!({"to": format!("+49{}", 1_000_000_000 + batch + number), "text": "Hello", "category": "otp", "expires_in_s": 3600});
        let body = json!({"messages": (0..500).map(message).collect::<Vec<_>>()});
        let answer =
            client.post(format!("http://{}/v1/messages/batch", cluster.apis()[1])).bearer_auth(KEY).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }
}

#[test]
fn a_contract_is_kept_to_the_segment_by_two_workers() {
    super::alone("contract over two workers", false, async |_| {
        let home = super::open_folder();
        keep(&home).await;
    });
}

async fn keep(home: &TempDir) {
    let (vendor, address) = Vendor::start();
    let (mut servers, wires) = Server::start_all(home.path()).await;
    let provider = format!(
        "[[providers]]\nname = \"a\"\nkind = \"http\"\nchannel = \"sms\"\nprice = \"0.0100\"\ncurrency = \"EUR\"\nmax_per_s = {PER_S}\nreceipts = false\n\
         [providers.settings]\nurl = \"http://{address}/send\"\nmessage_id = \"/id\"\n"
    );
    let mut cluster = Cluster::start(home.path(), &servers, (&wires, usize::MAX), &provider).await;
    send(&cluster, 0, BACKLOG).await;
    let mut failures = Vec::new();
    let_pass(WARM).await;
    let began = vendor.clock.moment();
    let mut phase = async |name: &str, lasts: Duration, kept: bool| {
        let from = vendor.clock.moment();
        let_pass(lasts).await;
        let until = vendor.clock.moment();
        let calls = vendor.calls_between(from, until);
        let tens: Vec<usize> = (0..)
            .map(|second| from + Duration::from_secs(second))
            .take_while(|start| *start + TEN <= until)
            .map(|start| vendor.calls_between(start, start + TEN).len())
            .collect();
        let least = tens.iter().copied().min().unwrap_or(0);
        println!(
            "{name}: {:.1} calls/s; most in one second {}, in ten {}; least in ten {least}",
            calls.len() as f64 / until.since(from).as_secs_f64(),
            most_in(&calls, Duration::from_secs(1)),
            most_in(&calls, TEN),
        );
        if kept && least < LEAST_IN_TEN {
            failures.push(format!("{name}: only {least} calls in ten seconds"));
        }
        (least, most_in(&calls, TEN))
    };
    phase("two workers", PHASE, true).await;
    cluster.nodes[WORKER].kill().await;
    phase("hand-over after a worker's death", HAND_OVER, false).await;
    phase("one worker", PHASE, true).await;
    cluster.nodes[WORKER].start_again().await;
    phase("a worker joins", Duration::from_secs(10), false).await;
    phase("two workers again", PHASE, true).await;
    servers[REDIS].kill().await;
    phase("Redis goes away", Duration::from_secs(3), false).await;
    phase("without Redis", PHASE, true).await;
    servers[POSTGRES].kill().await;
    // Nobody can say who has what was queued before: fresh codes, which may be sent twice, go on by the floors.
    send(&cluster, BACKLOG, 1_000).await;
    let (least, most) = phase("with neither", PHASE, false).await;
    for server in [REDIS, POSTGRES] {
        servers[server].start_again();
        servers[server].until_it_listens().await;
    }
    phase("both come back", PHASE, false).await;
    phase("two workers at last", PHASE, true).await;
    let calls = vendor.calls_between(began, vendor.clock.moment());
    let (one, ten) = (most_in(&calls, Duration::from_secs(1)), most_in(&calls, TEN));
    // Each has a quarter: half of the contract, divided by two.
    if most > MOST_IN_TEN / 2 {
        failures.push(format!("with neither, {least} to {most} calls in ten seconds: that is more than the floors"));
    }
    println!("over everything: most in one second {one} (may be {MOST_IN_ONE}), in ten {ten} (may be {MOST_IN_TEN})");
    if one > MOST_IN_ONE {
        failures.push(format!("{one} calls in one second"));
    }
    if ten > MOST_IN_TEN {
        failures.push(format!("{ten} calls in ten seconds"));
    }
    if !failures.is_empty() {
        println!("{}", cluster.logs());
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
