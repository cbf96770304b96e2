//! Messages, attempts and receipts to play with.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tidings::store::{Accepting, Lease, Messages, NewMessage, Next, Opening, ReceiptFact, Settlement, Settling, Taken};
use tidings_core::{
    attempt::{Attempt, Ended, Opened, Outcome},
    id::{AppId, MessageId},
    message::{Category, Channel, Encoding, Lane, Message, Status},
    redact::Redacted,
    time::Timestamp,
};

pub const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);
pub const ME: i64 = 41;
pub const OTHER: i64 = 42;

pub fn at(seconds: u64) -> Timestamp {
    NOW + Duration::from_secs(seconds)
}

pub fn until(seconds: u64) -> Lease {
    Lease { owner: ME, until: at(seconds) }
}

pub fn app(number: u8) -> AppId {
    AppId::new(NOW, [number; 10])
}

/// An id that comes after all ids made before.
fn next_id(accepted_at: Timestamp) -> MessageId {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut random = [0; 10];
    random[2..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    MessageId::new(accepted_at, random)
}

pub fn message(category: Category) -> Message {
    accepted_at(category, NOW)
}

pub fn accepted_at(category: Category, accepted_at: Timestamp) -> Message {
    Message {
        id: next_id(accepted_at),
        app: app(1),
        key: None,
        to: Redacted::new("+8613800138000".to_owned()),
        channel: Channel::Sms,
        category,
        text: Redacted::new("Your code is 482913.".to_owned()),
        subject: None,
        template: None,
        params: Redacted::new(BTreeMap::new()),
        signature: None,
        encoding: Some(Encoding::Gsm7),
        segments: 1,
        reference: None,
        metadata: BTreeMap::new(),
        accepted_at,
        send_at: None,
        expires_at: accepted_at + Duration::from_secs(300),
        hold: false,
        max_price: None,
        test: false,
        traceparent: None,
    }
}

pub async fn accept(store: &Arc<dyn Messages>, message: Message) -> MessageId {
    let id = message.id;
    let answers = store.accept(vec![NewMessage::waiting(message)]).await.unwrap();
    assert_eq!(answers, [Accepting::New]);
    id
}

pub async fn take(store: &Arc<dyn Messages>, lane: Lane) -> Taken {
    store.lease(lane, until(60), NOW, 10).await.unwrap().pop().expect("a message is due")
}

pub fn opened(number: u32) -> Attempt {
    let (provider, why) = ("a".to_owned(), "score 100".to_owned());
    Attempt { opened: Opened { number, provider, revision: 1, receipts: true, started_at: NOW, why }, ended: None }
}

pub fn ended(number: u32, outcome: Outcome, provider_message_id: Option<&str>) -> Attempt {
    let provider_message_id = provider_message_id.map(str::to_owned);
    let ended = Ended { outcome, code: None, duration: Duration::from_millis(80), provider_message_id, segments: 1, cost: None };
    Attempt { ended: Some(ended), ..opened(number) }
}

pub async fn open(store: &Arc<dyn Messages>, taken: &Taken) -> Opening {
    store.open(taken.message.id, taken.message.lane(), taken.lease, vec![opened(1)]).await.unwrap()
}

pub async fn settle(store: &Arc<dyn Messages>, taken: &Taken, attempt: Attempt, next: Next) -> Settling {
    let (id, lane, owner) = (taken.message.id, taken.message.lane(), taken.lease.owner);
    store.settle(Settlement { id, lane, owner, attempts: vec![attempt], next, at: at(1) }).await.unwrap()
}

/// Accepts, takes, opens and settles as submitted.
pub async fn submitted(store: &Arc<dyn Messages>, message: Message, provider_message_id: &str) -> MessageId {
    let lane = message.lane();
    accept(store, message).await;
    let taken = take(store, lane).await;
    assert_eq!(open(store, &taken).await, Opening::Opened);
    settle(store, &taken, ended(1, Outcome::Accepted, Some(provider_message_id)), Next::Close(Status::Submitted)).await;
    taken.message.id
}

pub fn receipt(provider_message_id: &str, status: Status) -> ReceiptFact {
    ReceiptFact {
        provider: "a".to_owned(),
        provider_message_id: Some(provider_message_id.to_owned()),
        reference: None,
        status,
        vendor_status: status.to_string(),
        error_code: None,
        at: at(2),
    }
}
