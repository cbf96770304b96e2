//! Redis and PostgreSQL both away: codes go out at once, whatever the messages that cannot go on hold on to.
//!
//! First Redis dies under a load that is more than the provider takes, so that workers are full of messages whose rows say who
//! may; then PostgreSQL, so that those can be neither opened nor put down. Kafka alone brings the codes that are sent now.

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};
use tidings::clock::Clock;
use tidings_core::time::Moment;

use super::{
    POSTGRES, REDIS,
    cluster::{Cluster, KEY},
    load,
    server::Server,
};
use crate::faults::TestVendor;

/// More than the provider's 50 a second: messages wait in the workers.
const LOAD: usize = 20;
const LOAD_EVERY: Duration = Duration::from_millis(250);
const LOAD_LASTS: usize = 20;
/// Half of the contract is floors, and codes stay far below it.
const CODES: usize = 40;
const CODE_EVERY: Duration = Duration::from_millis(200);
/// Until the grants of before are over and the first calls have failed.
const SETTLED_IN: Duration = Duration::from_secs(3);
/// A second, and what a busy machine adds.
const CODE_WITHIN: Duration = Duration::from_secs(4);
/// After that long, it is worth knowing what the last message waited for.
const SLOW: Duration = Duration::from_secs(10);
const CATCH_UP: Duration = Duration::from_secs(90);

/// A code that was answered 202, when, and when the vendor was seen to have it.
struct Code {
    id: String,
    at: Moment,
    seen: Option<Moment>,
}

async fn send(cluster: &Cluster, category: &str, first: usize, count: usize) -> Vec<String> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let message = |number: usize| json!({"to": format!("+49{}", 1_000_000_000 + first + number), "text": "Hello", "category": category, "expires_in_s": 3600});
    let body = json!({"messages": (0..count).map(message).collect::<Vec<_>>()});
    let url = format!("http://{}/v1/messages/batch", cluster.apis()[0]);
    let answer = client.post(url).bearer_auth(KEY).json(&body).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    let ids = answer["results"].as_array().unwrap_or_else(|| panic!("{answer:#}")).iter();
    ids.map(|result| result["id"].as_str().unwrap_or_else(|| panic!("{answer:#}")).to_owned()).collect()
}

#[test]
fn codes_go_out_at_once_with_neither_redis_nor_postgresql() {
    super::alone("codes with neither Redis nor PostgreSQL", false, async |_| {
        let home = super::open_folder();
        let clock = Clock::system();
        let (mut servers, wires) = Server::start_all(home.path()).await;
        let vendor = TestVendor::start(json!({"latency_ms": 30})).await;
        // Few calls may be out: what holds one without making it is noticed.
        let provider = vendor.account("a", "max_per_s = 50\nmax_in_flight = 20\nreceipts = false\ntimeout_ms = 3000");
        let cluster = Cluster::start(home.path(), &servers, (&wires, usize::MAX), &provider).await;
        let mut sent = Vec::new();
        servers[REDIS].kill().await;
        let mut pace = tokio::time::interval(LOAD_EVERY);
        for round in 0..LOAD_LASTS {
            pace.tick().await;
            let category = if round % 2 == 0 { "transactional" } else { "otp" };
            sent.extend(send(&cluster, category, round * LOAD, LOAD).await.into_iter().map(|id| (id, category)));
        }
        servers[POSTGRES].kill().await;
        let away_since = clock.moment();
        let codes = codes(&cluster, &vendor, &clock).await;
        let (late, stuck) = (late(&codes, away_since), codes.iter().filter(|code| code.seen.is_none()).count());
        for server in [REDIS, POSTGRES] {
            servers[server].start_again();
            servers[server].until_it_listens().await;
        }
        sent.extend(codes.into_iter().map(|code| (code.id, "otp")));
        caught_up(&cluster, &vendor, &sent, &clock).await;
        let processed = vendor.processed().await;
        let times = |id| processed.get(id).copied().unwrap_or(0);
        let twice: Vec<_> = sent.iter().filter(|(id, category)| *category != "otp" && times(id) > 1).collect();
        println!("{} unknown", sent.iter().filter(|(id, _)| times(id) == 0).count());
        assert_eq!((late, stuck, twice), (0, 0, Vec::new()), "{}", cluster.logs());
    });
}

/// How many codes were late that were sent once the first calls had failed.
fn late(codes: &[Code], away_since: Moment) -> usize {
    let settled = codes.iter().filter(|code| code.at.since(away_since) > SETTLED_IN);
    let mut took: Vec<Duration> = settled.map(|code| code.seen.map_or(Duration::MAX, |seen| seen.since(code.at))).collect();
    took.sort_unstable();
    let late = took.iter().filter(|took| **took > CODE_WITHIN).count();
    println!(
        "with neither: {} of {} codes, median {:?}, slowest {:?}, {late} late",
        took.len(),
        codes.len(),
        took[took.len() / 2],
        took.last()
    );
    late
}

/// Waits until the vendor has everything, but for what nobody can know about.
async fn caught_up(cluster: &Cluster, vendor: &TestVendor, sent: &[(String, &str)], clock: &Clock) {
    let (began, mut last) = (clock.moment(), String::new());
    let mut pace = tokio::time::interval(CODE_EVERY);
    loop {
        pace.tick().await;
        let processed = vendor.processed().await;
        let mut missing = Vec::new();
        for (id, category) in sent.iter().filter(|(id, _)| !processed.contains_key(id)) {
            // An attempt that was open when the store died: nobody knows, so nobody repeats it.
            let may_stay = *category != "otp" && load::status(cluster, id).await.as_deref() == Some("unknown");
            if !may_stay {
                missing.push(id);
            }
        }
        let lasted = clock.moment().since(began);
        if missing.is_empty() {
            println!("both back: everything was processed after {lasted:?}");
            if lasted > SLOW {
                println!("one of the last: {:#}", load::record(cluster, &last).await.unwrap_or_default());
            }
            return;
        }
        last.clone_from(missing[0]);
        if lasted > CATCH_UP {
            let record = load::record(cluster, &last).await;
            panic!("{} of {} are missing, as this one: {record:#?}\n{}", missing.len(), sent.len(), cluster.logs());
        }
    }
}

/// Sends codes one after the other, and watches until the vendor has them, or the last have had their time.
async fn codes(cluster: &Cluster, vendor: &TestVendor, clock: &Clock) -> Vec<Code> {
    let mut codes: Vec<Code> = Vec::new();
    let mut pace = tokio::time::interval(CODE_EVERY);
    let mark = async |codes: &mut Vec<Code>| {
        let processed: HashMap<String, u32> = vendor.processed().await;
        let now = clock.moment();
        codes.iter_mut().filter(|code| code.seen.is_none() && processed.contains_key(&code.id)).for_each(|code| code.seen = Some(now));
    };
    for number in 0..CODES {
        pace.tick().await;
        let id = send(cluster, "otp", 1_000_000 + number, 1).await.remove(0);
        codes.push(Code { id, at: clock.moment(), seen: None });
        mark(&mut codes).await;
    }
    let last = clock.moment();
    while codes.iter().any(|code| code.seen.is_none()) && clock.moment().since(last) < CODE_WITHIN {
        pace.tick().await;
        mark(&mut codes).await;
    }
    codes
}
