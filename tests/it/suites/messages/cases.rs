//! What every store of messages must do.

use std::{sync::Arc, time::Duration};

use tidings::store::{
    Accepting, Cancelling, Filter, Idempotency, Lease, Messages, NewMessage, Next, Opening, ReceiptMatch, Releasing, Repeat, Settling,
};
use tidings_core::{
    attempt::Outcome,
    message::{Category, Channel, Lane, Status, TemplateRef},
    redact::Redacted,
};

use super::samples::{ME, NOW, OTHER, accept, accepted_at, app, at, ended, message, open, opened, receipt, settle, submitted, take, until};

pub use super::forgetting::*;
pub use crate::delivery::cancelling::a_cancelled_message_is_never_opened_again;

type Store = Arc<dyn Messages>;

async fn status(store: &Store, id: tidings_core::id::MessageId) -> Status {
    store.get(id).await.unwrap().expect("the message is there").status
}

pub async fn an_accepted_message_is_found_as_it_was_sent(store: Store) {
    let mut sent = message(Category::Otp);
    sent.reference = Some("order-8812".to_owned());
    let id = accept(&store, sent.clone()).await;
    let record = store.get(id).await.unwrap().unwrap();
    assert_eq!((record.message, record.status), (sent, Status::Accepted));
    assert!(record.attempts.is_empty() && record.receipts.is_empty() && record.closed_at.is_none());
    assert!(store.get(message(Category::Otp).id).await.unwrap().is_none());
}

pub async fn an_idempotency_key_is_accepted_once(store: Store) {
    let new = |body| NewMessage {
        idempotency: Some(Idempotency { key: [1; 16], body: [body; 16] }),
        ..NewMessage::waiting(message(Category::Otp))
    };
    let first = new(1);
    let id = first.message.id;
    assert_eq!(store.repeat_of([1; 16], NOW).await.unwrap(), None);
    // Within one write and in a later one.
    assert_eq!(store.accept(vec![first, new(1), new(2)]).await.unwrap(), [Accepting::New, Accepting::Repeated(id), Accepting::Mismatch]);
    assert_eq!(store.accept(vec![new(1), new(2)]).await.unwrap(), [Accepting::Repeated(id), Accepting::Mismatch]);
    assert_eq!(store.repeat_of([1; 16], NOW).await.unwrap(), Some(Repeat { id, body: [1; 16] }));
    assert_eq!(store.repeat_of([1; 16], at(86_400)).await.unwrap(), None, "a key is forgotten after 24 hours");
    assert_eq!(store.repeat_of([2; 16], NOW).await.unwrap(), None);
}

pub async fn a_batch_answer_is_kept_with_its_key(store: Store) {
    let key = Idempotency { key: [3; 16], body: [4; 16] };
    assert_eq!(store.kept_answer([3; 16], NOW).await.unwrap(), None);
    store.keep_answer(key, b"answer".to_vec(), NOW).await.unwrap();
    assert_eq!(store.kept_answer([3; 16], at(60)).await.unwrap(), Some(([4; 16], b"answer".to_vec())));
    assert_eq!(store.kept_answer([3; 16], at(86_401)).await.unwrap(), None);
}

pub async fn due_messages_are_leased_once_until_the_lease_is_over(store: Store) {
    let ids = [accept(&store, message(Category::Otp)).await, accept(&store, message(Category::Otp)).await];
    accept(&store, message(Category::Marketing)).await;
    let taken = store.lease(Lane::Urgent, until(60), NOW, 10).await.unwrap();
    assert_eq!(taken.iter().map(|taken| taken.message.id).collect::<Vec<_>>(), ids);
    assert!(store.lease(Lane::Urgent, until(60), at(59), 10).await.unwrap().is_empty());
    assert_eq!(store.lease(Lane::Urgent, Lease { owner: OTHER, until: at(120) }, at(61), 10).await.unwrap().len(), 2);
    store.hand_back(ids.to_vec(), ME, at(62)).await.unwrap();
    assert!(store.lease(Lane::Urgent, until(60), at(62), 10).await.unwrap().is_empty(), "only the owner hands back");
    store.hand_back(ids.to_vec(), OTHER, at(62)).await.unwrap();
    assert_eq!(store.lease(Lane::Urgent, until(180), at(62), 1).await.unwrap().len(), 1, "no more than asked for");
}

pub async fn messages_that_are_not_due_are_not_leased(store: Store) {
    let mut scheduled = message(Category::Otp);
    scheduled.send_at = Some(at(100));
    scheduled.expires_at = at(400);
    let id = accept(&store, scheduled).await;
    assert_eq!(status(&store, id).await, Status::Scheduled);
    assert!(store.lease(Lane::Urgent, until(160), at(99), 10).await.unwrap().is_empty());
    assert_eq!(store.next_due(Lane::Urgent).await.unwrap(), Some(at(100)));
    assert_eq!(store.next_due(Lane::Bulk).await.unwrap(), None);
    assert_eq!(store.lease(Lane::Urgent, until(160), at(100), 10).await.unwrap().len(), 1);
}

pub async fn a_message_born_leased_belongs_to_its_owner(store: Store) {
    let new = NewMessage { lease: Some(until(60)), ..NewMessage::waiting(message(Category::Otp)) };
    let id = new.message.id;
    store.accept(vec![new]).await.unwrap();
    assert!(store.lease(Lane::Urgent, Lease { owner: OTHER, until: at(99) }, NOW, 10).await.unwrap().is_empty());
    assert_eq!(store.open(id, Lane::Urgent, until(60), vec![opened(1)]).await.unwrap(), Opening::Opened);
}

pub async fn a_message_born_with_its_first_attempt_open_is_found_so_after_a_crash(store: Store) {
    let first = opened(1).opened;
    let new = NewMessage { lease: Some(until(60)), opened: Some(first), ..NewMessage::waiting(message(Category::Otp)) };
    let id = new.message.id;
    store.accept(vec![new]).await.unwrap();
    let record = store.get(id).await.unwrap().unwrap();
    assert_eq!((record.status, record.attempts), (Status::Delivering, vec![opened(1)]));
    assert_eq!(store.cancel(None, id, NOW).await.unwrap(), Cancelling::TooLate(Status::Delivering));
    assert!(store.lease(Lane::Urgent, Lease { owner: OTHER, until: at(99) }, at(59), 10).await.unwrap().is_empty());
    let taken = store.lease(Lane::Urgent, Lease { owner: OTHER, until: at(160) }, at(60), 10).await.unwrap();
    assert_eq!(taken.first().map(|taken| (taken.message.id, taken.attempts.clone())), Some((id, vec![opened(1)])));
}

pub async fn only_the_owner_opens_an_attempt(store: Store) {
    accept(&store, message(Category::Otp)).await;
    let taken = take(&store, Lane::Urgent).await;
    let id = taken.message.id;
    assert_eq!(store.open(id, Lane::Urgent, Lease { owner: OTHER, until: at(60) }, vec![opened(1)]).await.unwrap(), Opening::Lost);
    assert!(store.get(id).await.unwrap().unwrap().attempts.is_empty());
    assert_eq!(open(&store, &taken).await, Opening::Opened);
    let record = store.get(id).await.unwrap().unwrap();
    assert_eq!((record.status, record.attempts), (Status::Delivering, vec![opened(1)]));
}

pub async fn a_settled_message_leaves_the_queue(store: Store) {
    let id = submitted(&store, message(Category::Transactional), "v-1").await;
    let record = store.get(id).await.unwrap().unwrap();
    assert_eq!((record.status, record.closed_at, record.due_at), (Status::Submitted, Some(at(1)), None));
    assert_eq!(record.attempts, [ended(1, Outcome::Accepted, Some("v-1"))]);
    assert!(store.lease(Lane::Normal, until(9_999), at(9_000), 10).await.unwrap().is_empty());
}

pub async fn a_waiting_message_comes_back_when_it_is_due(store: Store) {
    accept(&store, message(Category::Otp)).await;
    let taken = take(&store, Lane::Urgent).await;
    open(&store, &taken).await;
    let attempt = ended(1, Outcome::Unavailable, None);
    assert_eq!(settle(&store, &taken, attempt.clone(), Next::Wait(at(30))).await, Settling::Settled(Status::Delivering));
    assert!(store.lease(Lane::Urgent, until(90), at(29), 10).await.unwrap().is_empty());
    let again = store.lease(Lane::Urgent, until(90), at(30), 10).await.unwrap();
    assert_eq!((again[0].status, &again[0].attempts), (Status::Delivering, &vec![attempt]));
}

pub async fn an_open_attempt_survives_its_worker(store: Store) {
    accept(&store, message(Category::Otp)).await;
    let taken = take(&store, Lane::Urgent).await;
    open(&store, &taken).await;
    let again = store.lease(Lane::Urgent, Lease { owner: OTHER, until: at(200) }, at(100), 10).await.unwrap();
    assert_eq!(again[0].attempts, [opened(1)]);
    assert!(again[0].attempts[0].is_open());
}

pub async fn a_late_outcome_is_recorded_and_moves_unknown(store: Store) {
    accept(&store, message(Category::Transactional)).await;
    let stalled = take(&store, Lane::Normal).await;
    open(&store, &stalled).await;
    // Another worker takes over, and calls the open attempt ambiguous.
    let mut next = store.lease(Lane::Normal, Lease { owner: OTHER, until: at(200) }, at(100), 10).await.unwrap();
    let next = next.pop().unwrap();
    let settling = settle(&store, &next, ended(1, Outcome::Ambiguous, None), Next::Close(Status::Unknown)).await;
    assert_eq!(settling, Settling::Settled(Status::Unknown));
    let accepted = ended(1, Outcome::Accepted, Some("v-1"));
    let settling = settle(&store, &stalled, accepted.clone(), Next::Close(Status::Submitted)).await;
    assert_eq!(settling, Settling::Late(Status::Submitted));
    assert_eq!(store.get(next.message.id).await.unwrap().unwrap().attempts, [accepted]);
}

pub async fn receipts_move_a_message_forward_only(store: Store) {
    let id = submitted(&store, message(Category::Otp), "v-1").await;
    let known = store.receipt(receipt("v-1", Status::Delivered)).await.unwrap();
    let expected =
        |status, moved, contradicts| ReceiptMatch::Known { id, app: app(1), status, moved, contradicts, submitted_at: Some(NOW) };
    assert_eq!(known, expected(Status::Delivered, true, false));
    assert_eq!(store.receipt(receipt("v-1", Status::Delivered)).await.unwrap(), ReceiptMatch::Duplicate(id));
    assert_eq!(store.receipt(receipt("v-1", Status::Submitted)).await.unwrap(), expected(Status::Delivered, false, false));
    assert_eq!(store.receipt(receipt("v-1", Status::Undelivered)).await.unwrap(), expected(Status::Delivered, false, true));
    let record = store.get(id).await.unwrap().unwrap();
    assert_eq!((record.status, record.receipts.len()), (Status::Delivered, 3));
}

pub async fn a_receipt_before_the_answer_is_joined(store: Store) {
    assert_eq!(store.receipt(receipt("v-9", Status::Delivered)).await.unwrap(), ReceiptMatch::Early);
    let id = submitted(&store, message(Category::Otp), "v-9").await;
    assert_eq!(status(&store, id).await, Status::Delivered);
    assert_eq!(store.receipt(receipt("v-9", Status::Delivered)).await.unwrap(), ReceiptMatch::Duplicate(id));
}

pub async fn a_receipt_is_found_by_our_own_reference(store: Store) {
    accept(&store, message(Category::Transactional)).await;
    let taken = take(&store, Lane::Normal).await;
    open(&store, &taken).await;
    settle(&store, &taken, ended(1, Outcome::Ambiguous, None), Next::Close(Status::Unknown)).await;
    let mut fact = receipt("never seen", Status::Delivered);
    fact.reference = Some(taken.message.id);
    fact.provider = "another".to_owned();
    assert_eq!(store.receipt(fact.clone()).await.unwrap(), ReceiptMatch::Early, "a provider speaks for its own submissions only");
    fact.provider = "a".to_owned();
    assert!(matches!(store.receipt(fact).await.unwrap(), ReceiptMatch::Known { moved: true, .. }));
    assert_eq!(status(&store, taken.message.id).await, Status::Delivered);
}

pub async fn a_held_message_waits_for_its_release(store: Store) {
    let mut held = message(Category::Otp);
    held.hold = true;
    let id = accept(&store, held).await;
    assert!(store.lease(Lane::Urgent, until(60), at(10), 10).await.unwrap().is_empty());
    assert_eq!(store.release(Some(app(2)), id, at(10)).await.unwrap(), Releasing::NotFound);
    assert_eq!(store.release(Some(app(1)), id, at(10)).await.unwrap(), Releasing::Released(Status::Accepted));
    assert_eq!(store.release(Some(app(1)), id, at(10)).await.unwrap(), Releasing::NotHeld(Status::Accepted));
    assert_eq!(store.lease(Lane::Urgent, until(60), at(10), 10).await.unwrap().len(), 1);

    let mut later = message(Category::Otp);
    (later.hold, later.send_at, later.expires_at) = (true, Some(at(100)), at(400));
    let id = accept(&store, later).await;
    assert_eq!(store.release(None, id, at(10)).await.unwrap(), Releasing::Released(Status::Scheduled));
    assert!(store.lease(Lane::Urgent, until(160), at(99), 10).await.unwrap().iter().all(|taken| taken.message.id != id));

    let mut forgotten = message(Category::Otp);
    forgotten.hold = true;
    let id = accept(&store, forgotten).await;
    let due = store.lease(Lane::Urgent, until(900), at(300), 10).await.unwrap();
    assert!(due.iter().any(|taken| taken.message.id == id && taken.status == Status::Held), "holding does not stop the expiry");
}

pub async fn a_cancelled_message_cannot_be_opened(store: Store) {
    let id = accept(&store, message(Category::Otp)).await;
    let taken = take(&store, Lane::Urgent).await;
    assert_eq!(store.cancel(Some(app(2)), id, at(1)).await.unwrap(), Cancelling::NotFound);
    assert_eq!(store.cancel(Some(app(1)), id, at(1)).await.unwrap(), Cancelling::Cancelled);
    assert_eq!(open(&store, &taken).await, Opening::Lost);
    assert_eq!(store.cancel(None, id, at(1)).await.unwrap(), Cancelling::TooLate(Status::Cancelled));
    assert_eq!(status(&store, id).await, Status::Cancelled);
}

pub async fn cancel_is_too_late_while_an_attempt_is_out(store: Store) {
    accept(&store, message(Category::Otp)).await;
    let taken = take(&store, Lane::Urgent).await;
    open(&store, &taken).await;
    assert_eq!(store.cancel(None, taken.message.id, at(1)).await.unwrap(), Cancelling::TooLate(Status::Delivering));
    settle(&store, &taken, ended(1, Outcome::Unavailable, None), Next::Wait(at(30))).await;
    assert_eq!(store.cancel(None, taken.message.id, at(2)).await.unwrap(), Cancelling::Cancelled, "between two attempts it is possible");
    assert!(store.lease(Lane::Urgent, until(90), at(60), 10).await.unwrap().is_empty());
}

pub async fn cancel_by_reference_counts(store: Store) {
    for send in [true, false, false] {
        let mut new = message(Category::Otp);
        new.reference = Some("order-1".to_owned());
        if send {
            submitted(&store, new, "v-1").await
        } else {
            accept(&store, new).await
        };
    }
    let mut foreign = message(Category::Otp);
    (foreign.app, foreign.reference) = (app(2), Some("order-1".to_owned()));
    let foreign = accept(&store, foreign).await;
    assert_eq!(store.cancel_by_reference(app(1), "order-1", at(1)).await.unwrap(), (2, 1));
    assert_eq!(store.cancel_by_reference(app(1), "order-2", at(1)).await.unwrap(), (0, 0));
    assert_eq!(status(&store, foreign).await, Status::Accepted);
}

pub async fn a_listing_is_newest_first_and_pages_are_stable(store: Store) {
    let mut ids = Vec::new();
    for second in 0..5 {
        ids.push(accept(&store, accepted_at(Category::Otp, at(second))).await);
    }
    ids.reverse();
    let filter = Filter { app: Some(app(1)), ..Filter::default() };
    let first = store.list(&filter, None, 2).await.unwrap();
    assert_eq!(first.rows.iter().map(|row| row.message.id).collect::<Vec<_>>(), ids[..2]);
    accept(&store, accepted_at(Category::Otp, at(9))).await;
    let second = store.list(&filter, first.next, 2).await.unwrap();
    assert_eq!(second.rows.iter().map(|row| row.message.id).collect::<Vec<_>>(), ids[2..4]);
    let third = store.list(&filter, second.next, 2).await.unwrap();
    assert_eq!((third.rows.len(), third.next), (1, None));
    let exact = store.list(&filter, None, 6).await.unwrap();
    assert_eq!((exact.rows.len(), exact.next), (6, None), "a last page that is full has no next");
}

pub async fn a_listing_obeys_every_filter(store: Store) {
    let plain = submitted(&store, accepted_at(Category::Otp, NOW), "v-1").await;
    let mut special = accepted_at(Category::Marketing, at(10));
    special.to = Redacted::new("+4915112345678".to_owned());
    special.channel = Channel::Voice;
    special.reference = Some("order-7".to_owned());
    special.template = Some(TemplateRef { name: "sale".to_owned(), version: 3, locale: None });
    special.test = true;
    let special = accept(&store, special).await;
    let mut foreign = message(Category::Otp);
    foreign.app = app(2);
    accept(&store, foreign).await;

    let own = || Filter { app: Some(app(1)), ..Filter::default() };
    let cases: Vec<(Filter, Vec<_>)> = vec![
        (own(), vec![special, plain]),
        (Filter { to: Some(Redacted::new("+4915112345678".to_owned())), ..own() }, vec![special]),
        (Filter { status: Some(Status::Submitted), ..own() }, vec![plain]),
        (Filter { status: Some(Status::Failed), ..own() }, vec![]),
        (Filter { channel: Some(Channel::Voice), ..own() }, vec![special]),
        (Filter { category: Some(Category::Otp), ..own() }, vec![plain]),
        (Filter { reference: Some("order-7".to_owned()), ..own() }, vec![special]),
        (Filter { template: Some(("sale".to_owned(), None)), ..own() }, vec![special]),
        (Filter { template: Some(("sale".to_owned(), Some(3))), ..own() }, vec![special]),
        (Filter { template: Some(("sale".to_owned(), Some(2))), ..own() }, vec![]),
        (Filter { provider: Some("a".to_owned()), ..own() }, vec![plain]),
        (Filter { test: Some(true), ..own() }, vec![special]),
        (Filter { test: Some(false), ..own() }, vec![plain]),
        (Filter { from: Some(at(10)), ..own() }, vec![special]),
        (Filter { until: Some(at(10)), ..own() }, vec![plain]),
    ];
    for (filter, expected) in cases {
        let rows = store.list(&filter, None, 50).await.unwrap().rows;
        assert_eq!(rows.iter().map(|row| row.message.id).collect::<Vec<_>>(), expected, "{filter:?}");
    }
    store.cancel(None, special, at(11)).await.unwrap();
    let cancelled = Filter { status: Some(Status::Cancelled), ..own() };
    assert_eq!(store.list(&cancelled, None, 50).await.unwrap().rows.len(), 1);
    assert_eq!(store.list(&Filter::default(), None, 50).await.unwrap().rows.len(), 3, "without an app: all");
}

pub async fn open_messages_are_counted_by_lane(store: Store) {
    accept(&store, message(Category::Otp)).await;
    let cancelled = accept(&store, message(Category::Otp)).await;
    accept(&store, message(Category::Marketing)).await;
    store.cancel(None, cancelled, at(1)).await.unwrap();
    submitted(&store, message(Category::Transactional), "v-1").await;
    let waiting = store.waiting(at(7)).await.unwrap();
    assert_eq!(waiting.map(|lane| lane.messages), [1, 0, 1]);
    assert_eq!(waiting.map(|lane| lane.oldest), [Duration::from_secs(7), Duration::ZERO, Duration::from_secs(7)]);
}
