//! What must hold of [`Shared`], whoever keeps it.

use std::{sync::Arc, time::Duration};

use tidings::{
    clock::Clock,
    shared::{ClaimAnswer, ClaimState, ClaimWrite, Reservation, Reserved, Shared, Tried},
};
use tidings_core::id::MessageId;

use crate::patience::eventually;

const LONG: Duration = Duration::from_mins(1);
const SHORT: Duration = Duration::from_millis(60);

fn message() -> MessageId {
    let clock = Clock::system();
    MessageId::new(clock.now(), clock.random())
}

fn write(id: MessageId, owner: i64, state: ClaimState, number: u32, lease: Duration) -> ClaimWrite {
    ClaimWrite { id, owner, state, unseen: false, number, lease, keep: LONG, body: format!("{owner}/{number}").into_bytes() }
}

async fn claim(shared: &Arc<dyn Shared>, write: ClaimWrite) -> ClaimAnswer {
    shared.claim(&[write]).await.unwrap()[0]
}

async fn lease_is_over(shared: &Arc<dyn Shared>, id: MessageId) {
    eventually(async || shared.claims(&[id]).await.unwrap()[0].as_ref().is_some_and(|claim| claim.lease_left.is_zero())).await;
}

pub async fn a_claim_is_held_until_its_lease_is_over(shared: Arc<dyn Shared>) {
    let (id, other) = (message(), message());
    assert_eq!(shared.claims(&[id, other]).await.unwrap(), [None, None]);
    assert_eq!(claim(&shared, write(id, 1, ClaimState::Open, 1, LONG)).await, ClaimAnswer::Written);
    assert_eq!(claim(&shared, write(id, 2, ClaimState::Open, 2, LONG)).await, ClaimAnswer::Lost);
    let seen = shared.claims(&[other, id]).await.unwrap();
    assert!(seen[0].is_none());
    let seen = seen[1].as_ref().unwrap();
    assert_eq!((seen.owner, seen.state, seen.number, seen.body.as_slice()), (1, ClaimState::Open, 1, b"1/1".as_slice()));
    assert!(seen.lease_left > Duration::ZERO && seen.lease_left <= LONG);
    assert_eq!(claim(&shared, write(id, 1, ClaimState::Between, 1, SHORT)).await, ClaimAnswer::Written);
    lease_is_over(&shared, id).await;
    assert_eq!(claim(&shared, write(id, 2, ClaimState::Open, 2, LONG)).await, ClaimAnswer::Written);
}

pub async fn whoever_knows_of_no_claim_gets_one_only_where_there_is_none(shared: Arc<dyn Shared>) {
    let id = message();
    let unseen = |owner, number| ClaimWrite { unseen: true, ..write(id, owner, ClaimState::Open, number, SHORT) };
    assert_eq!(claim(&shared, unseen(1, 1)).await, ClaimAnswer::Written);
    assert_eq!(claim(&shared, unseen(1, 1)).await, ClaimAnswer::Lost, "its own, from before");
    lease_is_over(&shared, id).await;
    assert_eq!(claim(&shared, unseen(2, 2)).await, ClaimAnswer::Lost, "whatever it is that the lease left");
    assert_eq!(shared.claims(&[id]).await.unwrap()[0].as_ref().unwrap().owner, 1);
    shared.claim(&[write(id, 1, ClaimState::Between, 1, Duration::ZERO)]).await.unwrap();
    let other = message();
    assert!(shared.cancel(other, LONG).await.unwrap());
    let cancelled = ClaimWrite { unseen: true, ..write(other, 1, ClaimState::Open, 1, LONG) };
    assert_eq!(claim(&shared, cancelled).await, ClaimAnswer::Lost);
}

pub async fn whoever_comes_after_a_lease_must_know_of_the_open_attempt(shared: Arc<dyn Shared>) {
    let id = message();
    claim(&shared, write(id, 1, ClaimState::Open, 1, SHORT)).await;
    lease_is_over(&shared, id).await;
    assert_eq!(claim(&shared, write(id, 2, ClaimState::Open, 1, LONG)).await, ClaimAnswer::Lost, "it would be a blind repetition");
    assert_eq!(claim(&shared, write(id, 2, ClaimState::Done, 1, LONG)).await, ClaimAnswer::Written, "the attempt was declared ambiguous");
}

pub async fn a_decided_message_is_not_opened_again(shared: Arc<dyn Shared>) {
    let id = message();
    claim(&shared, write(id, 1, ClaimState::Open, 1, LONG)).await;
    claim(&shared, write(id, 1, ClaimState::Done, 1, Duration::ZERO)).await;
    assert_eq!(claim(&shared, write(id, 2, ClaimState::Open, 1, LONG)).await, ClaimAnswer::Lost);
}

pub async fn a_message_that_waited_is_opened_again_by_anybody(shared: Arc<dyn Shared>) {
    let id = message();
    claim(&shared, write(id, 1, ClaimState::Open, 1, LONG)).await;
    claim(&shared, write(id, 1, ClaimState::Done, 1, Duration::ZERO)).await;
    assert_eq!(claim(&shared, write(id, 2, ClaimState::Open, 2, LONG)).await, ClaimAnswer::Written);
}

pub async fn cancelling_wins_only_while_nothing_is_out(shared: Arc<dyn Shared>) {
    let (fresh, out) = (message(), message());
    assert!(shared.cancel(fresh, LONG).await.unwrap());
    assert!(shared.cancel(fresh, LONG).await.unwrap(), "twice is as good as once");
    assert_eq!(claim(&shared, write(fresh, 1, ClaimState::Open, 1, LONG)).await, ClaimAnswer::Lost);
    claim(&shared, write(out, 1, ClaimState::Open, 1, LONG)).await;
    assert!(!shared.cancel(out, LONG).await.unwrap());
    claim(&shared, write(out, 1, ClaimState::Between, 1, LONG)).await;
    assert!(shared.cancel(out, LONG).await.unwrap());
}

pub async fn an_idempotency_key_is_reserved_once(shared: Arc<dyn Shared>) {
    let (first, second) = (message(), message());
    let reserve = |key, id| Reservation { key: [key; 16], body: [9; 16], id };
    assert_eq!(shared.reserve(&[reserve(1, first), reserve(2, second)], LONG).await.unwrap(), [Reserved::New, Reserved::New]);
    let known = Reserved::Known(first, [9; 16]);
    assert_eq!(shared.reserve(&[reserve(1, second), reserve(3, second)], LONG).await.unwrap(), [known, Reserved::New]);
}

pub async fn a_reserved_key_is_corrected_by_whoever_knows_better(shared: Arc<dyn Shared>) {
    let (first, second) = (message(), message());
    let reserve = |id| Reservation { key: [1; 16], body: [9; 16], id };
    assert_eq!(shared.reserve(&[reserve(second)], LONG).await.unwrap(), [Reserved::New]);
    shared.correct(&[reserve(first)], LONG).await.unwrap();
    assert_eq!(shared.reserve(&[reserve(second)], LONG).await.unwrap(), [Reserved::Known(first, [9; 16])]);
}

pub async fn completeness_is_unknown_until_somebody_says_so(shared: Arc<dyn Shared>) {
    assert_eq!(shared.complete_since().await.unwrap(), None);
    shared.set_complete_since(1_767_225_600_000).await.unwrap();
    assert_eq!(shared.complete_since().await.unwrap(), Some(1_767_225_600_000));
}

pub async fn what_is_told_is_heard_until_it_is_forgotten(shared: Arc<dyn Shared>) {
    shared.tell("health", "node-1", b"fine", LONG).await.unwrap();
    shared.tell("health", "node-2", b"gone", SHORT).await.unwrap();
    shared.tell("other", "node-3", b"quiet", LONG).await.unwrap();
    eventually(async || shared.told("health").await.unwrap() == [("node-1".to_owned(), b"fine".to_vec())]).await;
    shared.tell("health", "node-1", b"sick", LONG).await.unwrap();
    assert_eq!(shared.told("health").await.unwrap(), [("node-1".to_owned(), b"sick".to_vec())]);
}

pub async fn nodes_that_spend_from_a_budget_are_counted(shared: Arc<dyn Shared>) {
    let (one, two) = (uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(2));
    assert_eq!(shared.register("a", one, LONG).await.unwrap().nodes, 1);
    assert_eq!(shared.register("a", two, LONG).await.unwrap().nodes, 2);
    assert_eq!(shared.register("a", one, LONG).await.unwrap().nodes, 2);
    assert_eq!(shared.register("b", one, LONG).await.unwrap().nodes, 1);
    eventually(async || shared.register("a", one, SHORT).await.unwrap().nodes == 1).await;
}

pub async fn tries_are_counted_until_there_were_too_many_within_the_window(shared: Arc<dyn Shared>) {
    // So long that the test's own time does not matter.
    for _ in 0..3 {
        assert_eq!(shared.try_once("root", 3, LONG).await.unwrap(), Tried::Counted);
    }
    let Tried::Closed(left) = shared.try_once("root", 3, LONG).await.unwrap() else { panic!("a fourth try was counted") };
    assert!(left > Duration::ZERO && left <= LONG);
    assert_eq!(shared.try_once("ada", 3, LONG).await.unwrap(), Tried::Counted, "each name has its own");
    shared.take_back("root").await.unwrap();
    assert_eq!(shared.try_once("root", 3, LONG).await.unwrap(), Tried::Counted);
    shared.take_back("nobody").await.unwrap();
    assert_eq!(shared.try_once("brief", 1, SHORT).await.unwrap(), Tried::Counted);
    eventually(async || shared.try_once("brief", 1, SHORT).await.unwrap() == Tried::Counted).await;
}
