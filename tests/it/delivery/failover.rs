//! What failover needs of the worker: evidence that reaches health, budgets that are paid, waits that are seen.

use std::time::Duration;

use tidings::store::ReceiptFact;
use tidings_core::{
    attempt::Outcome,
    fleet::{Ask, Choice, Command, Fleet, FleetConfig, Order},
    message::{Category, Lane, Status},
    retry::ProviderSet,
    select::Select,
    time::Moment,
};

use super::world::{Does, World, accepts, providers, unavailable};
use crate::patience::within;

/// Whatever a busy machine adds.
const PATIENCE: Duration = Duration::from_secs(30);

fn receipt(world: &World, id: &str, status: Status) -> ReceiptFact {
    ReceiptFact {
        provider: "a".to_owned(),
        provider_message_id: Some(id.to_owned()),
        reference: None,
        status,
        vendor_status: status.as_str().to_owned(),
        error_code: None,
        at: world.clock.now(),
    }
}

/// Messages submitted to the first provider and receipts for them, as other processes are told.
fn told(world: &World) -> (u32, u32) {
    let desk = world.desks.base();
    let summary = desk.fleet().summary(world.clock.moment());
    let (_, report) = &summary.providers[0];
    report.receipts.0.iter().fold((0, 0), |sum, open| (sum.0 + open.0, sum.1 + open.1))
}

#[tokio::test]
async fn a_receipt_that_comes_before_the_submissions_answer_reaches_the_providers_health() {
    let world = providers(&[("a", &[accepts("v-1"), accepts("v-2")])]).build().await;
    world.store.receipt(receipt(&world, "v-1", Status::Delivered)).await.unwrap();
    world.worker.start();
    let early = world.accept(world.message(Category::Transactional)).await;
    world.until(early, |record| record.status == Status::Delivered).await;
    let plain = world.accept(world.message(Category::Transactional)).await;
    world.until(plain, |record| record.status == Status::Submitted).await;
    within(PATIENCE, "two submissions and the early receipt count", async || told(&world) == (2, 1)).await;
    assert!(world.store.take_joined().is_empty(), "it was told once");
}

#[tokio::test]
async fn a_round_that_no_budget_pays_for_begins_a_second_later_and_is_counted() {
    let mut setup = providers(&[("a", &[unavailable()])]);
    setup.budget = (0.0, 0.0, 1.0);
    let world = setup.build().await;
    world.worker.start();
    for _ in 0..2 {
        let id = world.accept(world.message(Category::Transactional)).await;
        world.until(id, |record| !record.attempts.is_empty()).await;
    }
    // One token for two messages of an app, and a gauge that shows what is left.
    let is_told = |text: &str| {
        !text.contains("tidings_retry_budget_refusals_total{payer=\"app\"} 0")
            && text.contains("tidings_retry_budget_tokens{provider=\"a\"} 0\n")
    };
    within(PATIENCE, "the refusal is counted", async || is_told(&world.metrics.render())).await;
}

#[tokio::test]
async fn a_wait_for_a_providers_limit_is_counted_at_that_provider() {
    let mut setup = providers(&[("a", &[Does::Hang])]);
    // Longer than a message waits for room before it parks, on whatever machine.
    (setup.max_in_flight, setup.timeout) = (1, Duration::from_secs(20));
    let world = setup.build().await;
    world.worker.start();
    for _ in 0..2 {
        world.accept(world.message(Category::Transactional)).await;
    }
    let counted = "tidings_limiter_wait_seconds_count{provider=\"a\"} 1";
    within(PATIENCE, "the wait is counted", async || world.metrics.render().contains(counted)).await;
}

#[tokio::test]
async fn a_first_try_that_could_not_be_opened_for_long_deposits_once() {
    let mut setup = providers(&[("a", &[unavailable(), unavailable(), accepts("v-1"), accepts("v-2")])]);
    setup.budget = (1.0, 0.0, 2.0);
    let world = setup.build().await;
    world.worker.start();
    let left = async |tokens: u32| {
        let told = format!("tidings_retry_budget_tokens{{provider=\"a\"}} {tokens}\n");
        within(PATIENCE, &told, async || world.metrics.render().contains(&told)).await;
    };
    let retried = world.accept(world.message(Category::Transactional)).await;
    world.until(retried, |record| record.status == Status::Submitted).await;
    left(0).await;

    world.refuse_attempts().await;
    let id = world.accept(world.message(Category::Transactional)).await;
    // Twice a call was given up, and room was taken again.
    let tried = std::sync::Mutex::new((0, 0));
    within(PATIENCE, "calls are given up and taken again", async || {
        let mut tried = tried.lock().unwrap();
        let out = world.in_flight()[0];
        *tried = (tried.0 + u32::from(out > tried.1), out);
        tried.0 >= 3
    })
    .await;
    world.take_attempts_again().await;
    world.until(id, |record| record.status == Status::Submitted).await;
    left(1).await;
}

/// Tells the worker what another one knows: both providers have answered within 100 ms for ten minutes.
fn knows_both_providers(world: &World) {
    let specs = world.desks.base().accounts.iter().map(|account| account.spec.clone()).collect();
    let mut other = Fleet::new(FleetConfig { providers: specs }, 7, Moment::ZERO);
    let mut now = Moment::ZERO;
    for _ in 0..6_000 {
        for place in [0, 1] {
            let ask = Ask {
                category: Category::Otp,
                lane: Lane::Urgent,
                segments: 1,
                key: 0,
                candidates: &[place],
                tried: ProviderSet::default(),
                select: Select::Priority,
                max_price: None,
            };
            let Choice::Call(ticket) = other.choose(now, &ask) else { panic!("it is well") };
            other.ended(now + Duration::from_millis(100), ticket, Outcome::Accepted, None);
        }
        now = now + Duration::from_millis(100);
        other.tick(now);
    }
    let summary = other.summary(now);
    world.desks.base().fleet().merge(world.clock.moment(), &summary, Duration::ZERO);
}

#[tokio::test]
async fn codes_that_hang_at_a_provider_that_is_out_or_paused_go_to_another_long_before_their_timeout() {
    for paused_by_a_person in [false, true] {
        let mut setup = providers(&[("a", &[Does::Hang]), ("b", &[accepts("v-1")])]);
        setup.timeout = Duration::from_secs(600);
        let world = setup.build().await;
        knows_both_providers(&world);
        world.worker.start();
        let codes = if paused_by_a_person { 1 } else { 12 };
        let mut sent = Vec::new();
        for _ in 0..codes {
            sent.push(world.accept(world.message(Category::Otp)).await);
        }
        if paused_by_a_person {
            within(PATIENCE, "the code is out", async || world.providers[0].calls() == 1).await;
            let order = Order { command: Command::Pause, actor: "ops".into(), reason: "it hangs".into() };
            assert!(world.desks.base().fleet().order(world.clock.moment(), 0, &order));
        }
        for id in sent {
            let record = world.until(id, |record| record.status == Status::Submitted).await;
            let ended: Vec<_> = record.attempts.iter().map(|it| it.ended.as_ref().map(|ended| ended.outcome)).collect();
            assert_eq!(record.attempts.last().map(|last| last.opened.provider.as_str()), Some("b"), "{record:?}");
            assert!(ended == [Some(Outcome::Ambiguous), Some(Outcome::Accepted)] || ended == [Some(Outcome::Accepted)], "{ended:?}");
            assert_eq!(world.providers[0].calls_for(id) + 1, record.attempts.len(), "one call for each attempt");
        }
    }
}
