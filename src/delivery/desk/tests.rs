//! Who waits for room is woken by the call that makes it, or by the one of the line who watches the clock: the poll of a tenth of a second is
//! for wakes that are lost.

use std::sync::atomic::AtomicUsize;

use tidings_core::{health::Thresholds, money::Amount, retry::ProviderSet};
use tidings_providers::{Accepted, Receipt, ReceiptError, ReceiptRequest, Submission, SubmitError};

use super::*;
use crate::telemetry::Metrics;

/// Is never called: these tests play the calls.
struct Silent;

#[async_trait::async_trait]
impl Provider for Silent {
    async fn submit(&self, _: &Submission) -> Result<Accepted, SubmitError> {
        std::future::pending().await
    }

    fn receipts(&self, _: &ReceiptRequest) -> Result<Vec<Receipt>, ReceiptError> {
        Ok(Vec::new())
    }
}

/// One provider that takes so many calls at once, and so many a second (0: any).
fn desk(max_in_flight: u32, max_per_s: u32, clock: Clock) -> Arc<Desk> {
    let spec = ProviderSpec {
        name: "a".into(),
        weight: 100,
        max_per_s,
        max_in_flight,
        timeout: Duration::from_secs(3),
        price: Amount::from_micros(10_000),
        receipts: false,
        thresholds: Thresholds::default(),
    };
    let account = Account {
        spec,
        channel: Channel::Sms,
        simulated: false,
        built_in: false,
        provider: Arc::new(Silent),
        currency: "CNY".into(),
        templates: BTreeMap::new(),
        signatures: BTreeMap::new(),
        callback: None,
        metrics: Metrics::new().provider("a"),
    };
    let budget = BudgetSettings::default();
    Arc::new(Desk::new(DeskSpec { revision: 1, accounts: vec![account], routes: vec![], budget, seed: 1, listens: false }, clock.moment()))
}

/// Waits for room as a message does, calls for `takes`, and says how long it waited.
async fn carry(desk: &Desk, clock: Clock, lane: Lane, takes: Duration) -> Duration {
    carry_counting(desk, clock, lane, takes, &AtomicUsize::new(0)).await
}

/// The same, counting how often somebody asks.
async fn carry_counting(desk: &Desk, clock: Clock, lane: Lane, takes: Duration, asks: &AtomicUsize) -> Duration {
    let category = if lane == Lane::Urgent { Category::Otp } else { Category::Marketing };
    let (select, tried) = (Select::Weighted, ProviderSet::EMPTY);
    let ask = Ask { category, lane, segments: 1, key: 0, candidates: &[0], tried, select, max_price: None };
    let came = clock.moment();
    loop {
        asks.fetch_add(1, Ordering::Relaxed);
        match desk.reserve(clock.moment(), &ask).expect("there is one desk only") {
            Choice::Call(mut ticket) => {
                let waited = clock.moment().since(came);
                desk.sent(clock.moment(), &mut ticket);
                tokio::time::sleep(takes).await;
                desk.ended(clock.moment(), ticket, Outcome::Accepted, None);
                return waited;
            }
            Choice::Wait { until, provider, .. } => desk.room(clock, lane, provider, until, until + Duration::from_secs(60)).await,
            other => panic!("{other:?}"),
        }
    }
}

/// Marketing that never ends, fifty messages at a time, each call between 60 and 140 ms.
fn backlog(desk: &Arc<Desk>, clock: Clock) -> tokio::task::JoinSet<()> {
    let mut crowd = tokio::task::JoinSet::new();
    for first in 0..50_u64 {
        let desk = Arc::clone(desk);
        crowd.spawn(async move {
            for number in first.. {
                carry(&desk, clock, Lane::Bulk, Duration::from_millis(60 + number * 37 % 81)).await;
            }
        });
    }
    crowd
}

#[tokio::test(start_paused = true)]
async fn a_code_beside_a_backlog_goes_with_the_next_call_that_ends() {
    let clock = Clock::starting_at(Timestamp::from_millis(0));
    let desk = desk(8, 0, clock);
    let mut crowd = backlog(&desk, clock);
    let mut waits = Vec::new();
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(173)).await;
        waits.push(carry(&desk, clock, Lane::Urgent, Duration::from_millis(100)).await);
    }
    crowd.shutdown().await;
    waits.sort_unstable();
    // A call ends every 12 ms on average; nobody overtakes.
    assert!(waits[100] <= Duration::from_millis(15), "half of them waited {:?}", waits[100]);
    assert!(waits[197] <= Duration::from_millis(60), "one in a hundred waited {:?}", waits[197]);
}

#[tokio::test(start_paused = true)]
async fn room_for_many_that_comes_at_once_is_filled_at_once() {
    let clock = Clock::starting_at(Timestamp::from_millis(0));
    let desk = desk(1, 0, clock);
    let long = tokio::spawn({
        let desk = Arc::clone(&desk);
        async move { carry(&desk, clock, Lane::Normal, Duration::from_millis(30)).await }
    });
    tokio::task::yield_now().await;
    let crowd: Vec<_> = (0..20)
        .map(|_| {
            let desk = Arc::clone(&desk);
            tokio::spawn(async move { carry(&desk, clock, Lane::Urgent, Duration::from_millis(10)).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(20)).await;
    // A person raises the contract while twenty messages wait; the next call that ends lets all of them go.
    let spec = ProviderSpec { max_in_flight: 100, ..desk.accounts[0].spec.clone() };
    desk.fleet().reconfigure(FleetConfig { providers: vec![spec] }, clock.moment());
    for message in crowd {
        assert_eq!(message.await.unwrap(), Duration::from_millis(30));
    }
    assert_eq!(long.await.unwrap(), Duration::ZERO);
}

/// Three hundred wait where fifty a second go: they ask as often as places come, not each of them for each place.
#[tokio::test(start_paused = true)]
async fn one_of_a_line_watches_the_clock_for_all() {
    let clock = Clock::starting_at(Timestamp::from_millis(0));
    let (desk, asks) = (desk(0, 50, clock), Arc::new(AtomicUsize::new(0)));
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..300 {
        let (desk, asks) = (Arc::clone(&desk), Arc::clone(&asks));
        crowd.spawn(async move { carry_counting(&desk, clock, Lane::Bulk, Duration::from_millis(20), &asks).await });
    }
    let mut waits: Vec<Duration> = crowd.join_all().await;
    waits.sort_unstable();
    assert!(waits[299] >= Duration::from_millis(5_900) && waits[299] <= Duration::from_millis(6_100), "the last waited {:?}", waits[299]);
    // Ten a second because a wake may be lost, for a line of 150 in the mean; and a few for each call.
    let (asks, lost_wakes) = (asks.load(Ordering::Relaxed), 150 * 6 * 10);
    assert!(asks <= lost_wakes + 300 * 5, "{asks} times somebody asked");
}
