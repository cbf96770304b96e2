//! What every queue must do.

use std::{sync::Arc, time::Duration};

use tidings::{
    clock::Clock,
    store::{Accepting, Cancelling, Idempotency, Lease, Messages, NewMessage, Next, Opening, ReceiptFact, Releasing, Settlement, Taken},
};
use tidings_core::{
    attempt::{Attempt, Outcome},
    id::MessageId,
    message::{Category, Lane, Message, Status},
};

use crate::{
    patience::eventually,
    suites::messages::samples::{self, ended, opened},
};

type Queue = Arc<dyn Messages>;

const ME: i64 = 41;
const A_LEASE: Duration = Duration::from_secs(60);

/// A message of this moment.
pub fn message(category: Category) -> Message {
    let clock = Clock::system();
    let mut message = samples::accepted_at(category, clock.now());
    message.id = MessageId::new(clock.now(), clock.random());
    message
}

/// It, to be accepted.
pub fn new(message: Message) -> NewMessage {
    NewMessage::waiting(message)
}

fn lease(owner: i64) -> Lease {
    Lease { owner, until: Clock::system().now() + A_LEASE }
}

async fn accept(queue: &Queue, message: Message) -> MessageId {
    let id = message.id;
    assert_eq!(queue.accept(vec![new(message)]).await.unwrap(), [Accepting::New]);
    id
}

async fn take_now(queue: &Queue, lane: Lane) -> Vec<Taken> {
    queue.lease(lane, lease(ME), Clock::system().now(), 10).await.unwrap()
}

/// Waits until something of a lane is there to be taken.
async fn take(queue: &Queue, lane: Lane) -> Taken {
    let taken = std::sync::Mutex::new(Vec::new());
    eventually(async || {
        let now = take_now(queue, lane).await;
        taken.lock().unwrap().extend(now);
        !taken.lock().unwrap().is_empty()
    })
    .await;
    let mut taken = taken.into_inner().unwrap();
    assert_eq!(taken.len(), 1);
    taken.remove(0)
}

async fn settle(queue: &Queue, taken: &Taken, attempts: Vec<Attempt>, next: Next) {
    let (id, lane) = (taken.message.id, taken.message.lane());
    queue.settle(Settlement { id, lane, owner: ME, attempts, next, at: Clock::system().now() }).await.unwrap();
}

async fn becomes(queue: &Queue, id: MessageId, status: Status) {
    eventually(async || queue.get(id).await.unwrap().is_some_and(|record| record.status == status)).await;
}

async fn submit(queue: &Queue, vendor_id: &str) -> MessageId {
    let id = accept(queue, message(Category::Otp)).await;
    let taken = take(queue, Lane::Urgent).await;
    assert_eq!(queue.open(id, Lane::Urgent, lease(ME), vec![opened(1)]).await.unwrap(), Opening::Opened);
    settle(queue, &taken, vec![ended(1, Outcome::Accepted, Some(vendor_id))], Next::Close(Status::Submitted)).await;
    id
}

pub async fn what_was_accepted_is_taken_once(queue: Queue) {
    let sent = message(Category::Otp);
    accept(&queue, sent.clone()).await;
    let taken = take(&queue, Lane::Urgent).await;
    assert_eq!((&*taken.message, taken.attempts.len()), (&sent, 0));
    assert!(take_now(&queue, Lane::Urgent).await.is_empty(), "it is in hand");
    assert!(take_now(&queue, Lane::Bulk).await.is_empty(), "lanes are apart");
}

pub async fn what_was_settled_is_not_taken_again(queue: Queue) {
    let id = submit(&queue, "v-1").await;
    becomes(&queue, id, Status::Submitted).await;
    assert!(take_now(&queue, Lane::Urgent).await.is_empty());
    let record = queue.get(id).await.unwrap().unwrap();
    assert_eq!(record.attempts, [ended(1, Outcome::Accepted, Some("v-1"))]);
    assert!(record.due_at.is_none() && record.closed_at.is_some());
}

pub async fn what_waits_comes_back_when_it_is_due(queue: Queue) {
    let id = accept(&queue, message(Category::Otp)).await;
    let taken = take(&queue, Lane::Urgent).await;
    assert_eq!(queue.open(id, Lane::Urgent, lease(ME), vec![opened(1)]).await.unwrap(), Opening::Opened);
    let attempt = ended(1, Outcome::Unavailable, None);
    let due = Clock::system().now() + Duration::from_millis(400);
    settle(&queue, &taken, vec![attempt.clone()], Next::Wait(due)).await;
    let again = take(&queue, Lane::Urgent).await;
    assert!(Clock::system().now() >= due, "not before its time");
    assert_eq!((again.message.id, again.attempts), (id, vec![attempt]));
    assert_eq!(
        queue.open(id, Lane::Urgent, lease(ME), vec![ended(1, Outcome::Unavailable, None), opened(2)]).await.unwrap(),
        Opening::Opened
    );
}

pub async fn what_finds_no_room_again_and_again_is_not_kept_by_its_lease(queue: Queue) {
    let id = accept(&queue, message(Category::Otp)).await;
    for _ in 0..3 {
        let taken = take(&queue, Lane::Urgent).await;
        assert_eq!(taken.message.id, id);
        settle(&queue, &taken, Vec::new(), Next::Wait(Clock::system().now() + Duration::from_millis(50))).await;
    }
    assert_eq!(take(&queue, Lane::Urgent).await.message.id, id);
}

pub async fn a_scheduled_message_is_not_taken_before_its_time(queue: Queue) {
    let mut later = message(Category::Otp);
    let due = Clock::system().now() + Duration::from_millis(600);
    later.send_at = Some(due);
    let id = accept(&queue, later).await;
    becomes(&queue, id, Status::Scheduled).await;
    assert_eq!(take(&queue, Lane::Urgent).await.message.id, id);
    assert!(Clock::system().now() >= due);
}

pub async fn a_used_key_is_answered_with_the_first_message(queue: Queue) {
    let keyed = |body| NewMessage { idempotency: Some(Idempotency { key: [1; 16], body: [body; 16] }), ..new(message(Category::Otp)) };
    let first = keyed(1);
    let id = first.message.id;
    // Until it is known which keys were used before, keyed messages are not taken.
    eventually(async || match queue.accept(vec![first.clone()]).await {
        Ok(answers) => answers == [Accepting::New],
        Err(error) => !error.is_unavailable(),
    })
    .await;
    assert_eq!(queue.accept(vec![keyed(1)]).await.unwrap(), [Accepting::Repeated(id)]);
    assert_eq!(queue.accept(vec![keyed(2)]).await.unwrap(), [Accepting::Mismatch]);
    // With Kafka the repetition is published again, under the first id: it is one message all the same.
    assert_eq!(take(&queue, Lane::Urgent).await.message.id, id);
    assert!(take_now(&queue, Lane::Urgent).await.is_empty());
}

pub async fn a_cancelled_message_cannot_be_opened(queue: Queue) {
    let id = accept(&queue, message(Category::Otp)).await;
    let taken = take(&queue, Lane::Urgent).await;
    assert_eq!(queue.cancel(None, id, Clock::system().now()).await.unwrap(), Cancelling::Cancelled);
    assert_eq!(queue.open(taken.message.id, taken.message.lane(), lease(ME), vec![opened(1)]).await.unwrap(), Opening::Lost);
    becomes(&queue, id, Status::Cancelled).await;
}

pub async fn a_message_is_found_right_after_it_was_accepted(queue: Queue) {
    // A recorder that has just started joins its group first.
    let first = accept(&queue, message(Category::Marketing)).await;
    becomes(&queue, first, Status::Accepted).await;
    let sent = message(Category::Marketing);
    let id = accept(&queue, sent.clone()).await;
    assert_eq!(queue.get(id).await.unwrap().expect("a GET right after a 202 waits for it").message, sent);
    assert!(queue.get(MessageId::new(samples::NOW, [9; 10])).await.unwrap().is_none());
}

pub async fn a_receipt_reaches_its_message(queue: Queue) {
    let id = submit(&queue, "v-7").await;
    let fact = ReceiptFact { at: Clock::system().now(), ..samples::receipt("v-7", Status::Delivered) };
    queue.receipt(fact).await.unwrap();
    becomes(&queue, id, Status::Delivered).await;
    assert_eq!(queue.get(id).await.unwrap().unwrap().receipts.len(), 1);
}

pub async fn a_held_message_goes_when_it_is_released(queue: Queue) {
    let mut held = message(Category::Otp);
    held.hold = true;
    let id = accept(&queue, held).await;
    becomes(&queue, id, Status::Held).await;
    assert!(take_now(&queue, Lane::Urgent).await.is_empty());
    assert_eq!(queue.release(None, id, Clock::system().now()).await.unwrap(), Releasing::Released(Status::Accepted));
    assert_eq!(take(&queue, Lane::Urgent).await.message.id, id);
}
