//! The worker and the story of a message, over a real store.

pub mod cancelling;
mod failover;
mod world;

use std::{sync::Arc, time::Duration};

use tidings::{
    delivery::{Intake, Seat},
    store::{Lease, NewMessage},
};
use tidings_core::{
    message::{Category, Status},
    time::Timestamp,
};
use tidings_providers::SubmitError;

use self::world::{Does, World, accepts, ambiguous, providers, refuses, story, unavailable};
use crate::suites::messages::samples;

fn told(status: Status, attempts: &[&str]) -> (Status, Vec<String>) {
    (status, attempts.iter().map(|&attempt| attempt.to_owned()).collect())
}

#[tokio::test]
async fn the_first_provider_takes_it() {
    let world = providers(&[("a", &[accepts("v-1")]), ("b", &[accepts("v-2")])]).build().await;
    let record = world.deliver(Category::Transactional).await;
    assert_eq!(story(&record), told(Status::Submitted, &["a: accepted"]));
    let ended = record.attempts[0].ended.as_ref().unwrap();
    assert_eq!(ended.provider_message_id.as_deref(), Some("v-1"));
    assert_eq!(ended.cost.as_ref().unwrap().amount.to_string(), "0.0100");
    assert!(!record.attempts[0].opened.why.is_empty());
    assert_eq!(world.providers[1].calls(), 0);
}

#[tokio::test]
async fn what_is_known_not_sent_goes_to_the_next_provider_at_once() {
    let world = providers(&[("a", &[unavailable()]), ("b", &[accepts("v-2")])]).build().await;
    let record = world.deliver(Category::Marketing).await;
    assert_eq!(story(&record), told(Status::Submitted, &["a: unavailable http_500", "b: accepted"]));
    assert!(record.attempts[1].opened.why.contains('a'), "the reason names who was passed over: {}", record.attempts[1].opened.why);
}

#[tokio::test]
async fn an_ambiguous_otp_goes_to_the_next_provider_and_others_become_unknown() {
    let world = providers(&[("a", &[ambiguous()]), ("b", &[accepts("v-2")])]).build().await;
    assert_eq!(story(&world.deliver(Category::Otp).await), told(Status::Submitted, &["a: ambiguous timeout", "b: accepted"]));
    let world = providers(&[("a", &[ambiguous()]), ("b", &[accepts("v-2")])]).build().await;
    assert_eq!(story(&world.deliver(Category::Transactional).await), told(Status::Unknown, &["a: ambiguous timeout"]));
}

#[tokio::test]
async fn a_provider_that_hangs_is_ambiguous_after_its_timeout() {
    let mut setup = providers(&[("a", &[Does::Hang]), ("b", &[accepts("v-2")])]);
    setup.timeout = Duration::from_millis(50);
    let world = setup.build().await;
    assert_eq!(story(&world.deliver(Category::Otp).await), told(Status::Submitted, &["a: ambiguous timeout", "b: accepted"]));
}

#[tokio::test]
async fn a_message_under_way_when_the_routing_changes_goes_on_by_the_new_revision() {
    let mut setup = providers(&[("a", &[Does::Hang]), ("b", &[accepts("v-2")])]);
    setup.timeout = Duration::from_millis(500);
    let world = setup.build().await;
    let id = world.accept(world.message(Category::Otp)).await;
    world.worker.start();
    world.until(id, |record| record.status == Status::Delivering).await;
    world.revise(2);
    let record = world.until(id, |record| record.status.is_closed()).await;
    assert_eq!(story(&record), told(Status::Submitted, &["a: ambiguous timeout", "b: accepted"]));
    assert_eq!(record.attempts.iter().map(|attempt| attempt.opened.revision).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(world.in_flight(), [0, 0], "the call's slot was given back to the fleet that holds it now");
}

#[tokio::test]
async fn a_recipient_that_nobody_can_reach_ends_the_message() {
    let world =
        providers(&[("a", &[refuses(|code| SubmitError::RejectedRecipient { code }, "21211")]), ("b", &[accepts("v-2")])]).build().await;
    assert_eq!(story(&world.deliver(Category::Otp).await), told(Status::Failed, &["a: rejected_recipient 21211"]));
}

#[tokio::test]
async fn a_text_that_everybody_refuses_fails_after_the_last() {
    let refused = refuses(|code| SubmitError::RejectedContent { code }, "E7");
    let world = providers(&[("a", std::slice::from_ref(&refused)), ("b", std::slice::from_ref(&refused))]).build().await;
    let record = world.deliver(Category::Otp).await;
    assert_eq!(story(&record), told(Status::Failed, &["a: rejected_content E7", "b: rejected_content E7"]));
}

#[tokio::test]
async fn an_expired_message_is_never_submitted() {
    let world = providers(&[("a", &[accepts("v-1")])]).build().await;
    let mut message = world.message(Category::Otp);
    message.expires_at = message.accepted_at;
    let id = world.accept(message).await;
    world.worker.start();
    let record = world.until(id, |record| record.status.is_closed()).await;
    assert_eq!((story(&record), world.providers[0].calls()), (told(Status::Expired, &[]), 0));
}

/// A message that another process had taken, with an attempt under way, when it died.
async fn orphan(world: &World, category: Category) -> tidings_core::id::MessageId {
    let message = samples::accepted_at(category, world.clock.now());
    let (id, lane, now) = (message.id, message.lane(), world.clock.now());
    let lease = Lease { owner: 7, until: now };
    world.store.accept(vec![NewMessage { lease: Some(lease), ..NewMessage::waiting(message) }]).await.unwrap();
    world.store.open(id, lane, lease, vec![samples::opened(1)]).await.unwrap();
    id
}

#[tokio::test]
async fn an_attempt_whose_worker_died_is_ambiguous() {
    let world = providers(&[("a", &[accepts("v-1")]), ("b", &[accepts("v-2")])]).build().await;
    let (careful, otp) = (orphan(&world, Category::Transactional).await, orphan(&world, Category::Otp).await);
    world.worker.start();
    let careful = world.until(careful, |record| record.status.is_closed()).await;
    assert_eq!(story(&careful), told(Status::Unknown, &["a: ambiguous interrupted"]));
    let otp = world.until(otp, |record| record.status.is_closed()).await;
    assert_eq!(story(&otp), told(Status::Submitted, &["a: ambiguous interrupted", "a: accepted"]));
}

/// A message kept for a free worker, whose row may be born with its first attempt.
async fn seated(world: &World, intake: &Intake) -> (NewMessage, Seat) {
    let message = Arc::new(world.message(Category::Transactional));
    let seat = intake.reserve(&message).await.unwrap();
    (NewMessage { message, idempotency: None, lease: seat.lease(), opened: seat.opened() }, seat)
}

#[tokio::test]
async fn a_message_whose_sender_went_away_while_it_was_written_is_delivered() {
    let world = providers(&[("a", &[accepts("v-1")])]).build().await;
    world.worker.start();
    let (new, seat) = seated(&world, &Intake::to(Arc::clone(&world.worker))).await;
    let id = new.message.id;
    assert!(new.opened.is_some());
    world.store.accept(vec![new]).await.unwrap();
    drop(seat);
    let record = world.until(id, |record| record.status.is_closed()).await;
    assert_eq!((story(&record), world.providers[0].calls()), (told(Status::Submitted, &["a: unavailable never_sent", "a: accepted"]), 1));
    assert_eq!(world.in_flight(), [0]);
}

#[tokio::test]
async fn a_row_that_comes_after_its_seat_was_dropped_is_delivered() {
    let world = providers(&[("a", &[accepts("v-1")])]).build().await;
    world.worker.start();
    let (new, seat) = seated(&world, &Intake::to(Arc::clone(&world.worker))).await;
    let id = new.message.id;
    drop(seat);
    // The store does one thing after another: what is written now is written after it looked for the row.
    tokio::task::yield_now().await;
    world.accept(world.message(Category::Otp)).await;
    world.store.accept(vec![new]).await.unwrap();
    let record = world.until(id, |record| record.status.is_closed()).await;
    assert_eq!(story(&record), told(Status::Submitted, &["a: unavailable never_sent", "a: accepted"]));
}

#[tokio::test]
async fn a_seat_that_is_given_back_leaves_nothing_behind() {
    let world = providers(&[("a", &[accepts("v-1")])]).build().await;
    let (_, seat) = seated(&world, &Intake::to(Arc::clone(&world.worker))).await;
    assert_eq!(world.in_flight(), [1]);
    seat.give_back();
    assert_eq!(world.in_flight(), [0]);
}

#[tokio::test]
async fn a_suspended_apps_messages_wait() {
    let mut setup = providers(&[("a", &[accepts("v-1")])]);
    setup.suspended = true;
    let world = setup.build().await;
    let id = world.accept(world.message(Category::Otp)).await;
    world.worker.start();
    let record = world.until(id, |record| record.due_at.is_some_and(|due| due > record.message.accepted_at + Duration::from_secs(5))).await;
    assert_eq!((record.status, world.providers[0].calls()), (Status::Accepted, 0));
}

#[tokio::test]
async fn a_panic_in_an_adapter_costs_one_message_and_no_permit() {
    let mut setup = providers(&[("a", &[Does::Panic, accepts("v-1")])]);
    setup.permits = 1;
    let world = setup.build().await;
    let lost = world.accept(world.message(Category::Otp)).await;
    let fine = world.accept(world.message(Category::Otp)).await;
    world.worker.start();
    world.until(fine, |record| record.status == Status::Submitted).await;
    assert!(world.record(lost).await.attempts[0].is_open(), "its attempt stays open until its lease is over, and is ambiguous then");
    assert!(world.metrics.render().contains("tidings_task_panics_total{task=\"deliver\"} 1"));
}

#[tokio::test]
async fn a_lane_whose_calls_hang_starves_no_other() {
    let mut setup = providers(&[("a", &[Does::Hang, Does::Hang, accepts("v-1")])]);
    setup.permits = 2;
    let world = setup.build().await;
    for _ in 0..5 {
        world.accept(world.message(Category::Marketing)).await;
    }
    world.worker.start();
    while world.providers[0].calls() < 2 {
        tokio::task::yield_now().await;
    }
    let otp = world.accept(world.message(Category::Otp)).await;
    world.until(otp, |record| record.status == Status::Submitted).await;
}

#[tokio::test]
async fn a_stopping_worker_hands_back_what_waits() {
    let mut setup = providers(&[("a", &[Does::Hang])]);
    setup.max_in_flight = 1;
    setup.timeout = Duration::from_secs(2);
    let world = setup.build().await;
    let out = world.accept(world.message(Category::Transactional)).await;
    world.worker.start();
    world.until(out, |record| !record.attempts.is_empty()).await;
    let waiting = world.accept(world.message(Category::Transactional)).await;
    world.until(waiting, |record| record.due_at > Some(Timestamp::from_millis(world.clock.now().as_millis() + 10_000))).await;
    world.worker.stop().await;
    assert_eq!(world.record(out).await.status, Status::Unknown, "what was out is waited for");
    let waiting = world.record(waiting).await;
    assert_eq!((waiting.status, waiting.attempts.len()), (Status::Accepted, 0));
    assert!(waiting.due_at <= Some(world.clock.now()), "it is due at once for whoever comes next");
}
