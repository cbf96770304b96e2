//! Messages by Kafka that nobody ends: only PostgreSQL has their rows.

use std::{sync::Arc, time::Duration};

use tidings::{
    clock::Clock,
    queue::Settled,
    store::{
        Lease, Messages, NewMessage, Next, Opening,
        postgres::{Connections, LOOKED_AT_AFTER, PostgresStore},
    },
};
use tidings_core::{
    attempt::Outcome,
    id::MessageId,
    message::{Category, Lane, Message, Status},
    time::Timestamp,
};

use super::samples::{ME, NOW, OTHER, accepted_at, at, ended, message, opened};
use crate::servers;

const DAY: Duration = Duration::from_hours(24);

async fn store() -> Option<Arc<PostgresStore>> {
    let connections = Connections::new(&servers::database().await?).unwrap();
    PostgresStore::migrate(&connections).await.unwrap();
    Some(Arc::new(PostgresStore::open(connections, super::keyring(), Clock::starting_at(NOW)).await.unwrap()))
}

/// As the recorder writes it.
async fn recorded(store: &PostgresStore, message: Message) -> MessageId {
    let id = message.id;
    store.record(&(NewMessage::waiting(message), None)).await.unwrap();
    id
}

async fn ends(store: &PostgresStore, message: Message, status: Status) {
    let new = NewMessage::waiting(message);
    let settled = Settled { new: new.clone(), attempts: Vec::new(), next: Next::Close(status), at: at(1) };
    store.record(&(new, Some(settled))).await.unwrap();
}

/// Looks at everything that it is time for; how many had not ended.
async fn look(store: &PostgresStore, now: Timestamp) -> u64 {
    let mut unended = 0;
    loop {
        let looked = store.look_for_unended(now, true).await.unwrap();
        unended += looked.unended;
        if !looked.goes_on {
            return unended;
        }
    }
}

async fn due(store: &PostgresStore, id: MessageId) -> Option<Timestamp> {
    store.get(id).await.unwrap().unwrap().due_at
}

#[tokio::test]
async fn what_nobody_ended_is_due_when_it_expires_and_expires() {
    let Some(store) = store().await else { return };
    let (lost, sent) = (message(Category::Otp), message(Category::Otp));
    let (lost_id, sent_id) = (recorded(&store, lost.clone()).await, recorded(&store, sent.clone()).await);
    assert_eq!((due(&store, lost_id).await, store.next_due(Lane::Urgent).await.unwrap()), (None, None), "it waits in Kafka");
    ends(&store, sent, Status::Expired).await;
    assert_eq!(look(&store, NOW + LOOKED_AT_AFTER).await, 0, "it is not time yet");
    let later = NOW + LOOKED_AT_AFTER + Duration::from_secs(1);
    assert_eq!((look(&store, later).await, look(&store, later).await), (1, 0));
    assert_eq!((due(&store, lost_id).await, due(&store, sent_id).await), (Some(lost.expires_at), None));

    let taken = store.lease(Lane::Urgent, Lease { owner: ME, until: later + DAY }, later, 10).await.unwrap();
    assert_eq!(taken.iter().map(|taken| taken.message.id).collect::<Vec<_>>(), [lost_id]);
    // What a worker tells of it.
    ends(&store, lost, Status::Expired).await;
    assert_eq!((store.get(lost_id).await.unwrap().unwrap().status, due(&store, lost_id).await), (Status::Expired, None));
}

#[tokio::test]
async fn looks_go_on_where_the_last_ended_and_miss_nothing() {
    let Some(store) = store().await else { return };
    assert_eq!(store.look_for_unended(NOW, false).await.unwrap(), tidings::store::postgres::Looked::default(), "nobody ever looked");
    assert_eq!(look(&store, NOW).await, 0);
    let step = 2_000;
    let all: Vec<_> = (0..=step).map(|_| (NewMessage::waiting(message(Category::Otp)), None)).collect();
    let last = all.last().unwrap().0.message.id;
    store.record_all(Arc::new(all)).await.unwrap();
    let later = at(1) + LOOKED_AT_AFTER;
    let first = store.look_for_unended(later, true).await.unwrap();
    assert_eq!((first.unended, first.goes_on), (step, true));
    assert_eq!(due(&store, last).await, None);
    assert_eq!((look(&store, later).await, look(&store, later).await), (1, 0));
    assert!(due(&store, last).await.is_some());
}

#[tokio::test]
async fn what_is_recorded_late_has_its_due_time_at_once() {
    let Some(store) = store().await else { return };
    let old = accepted_at(Category::Otp, NOW - Duration::from_mins(5));
    assert_eq!(due(&store, recorded(&store, old.clone()).await).await, Some(old.expires_at));
    let young = accepted_at(Category::Otp, NOW - Duration::from_mins(4));
    assert_eq!(due(&store, recorded(&store, young).await).await, None);
}

#[tokio::test]
async fn a_row_that_waits_in_kafka_is_adopted_by_one_and_parked() {
    let Some(store) = store().await else { return };
    let sent = message(Category::Otp);
    let (new, id) = (NewMessage::waiting(sent.clone()), recorded(&store, sent.clone()).await);
    let lease = Lease { owner: ME, until: at(60) };
    let taken = store.adopt(std::slice::from_ref(&new), lease).await.unwrap();
    assert_eq!((taken.len(), due(&store, id).await), (1, Some(at(60))));
    assert!(store.adopt(std::slice::from_ref(&new), Lease { owner: OTHER, ..lease }).await.unwrap().is_empty());
    assert_eq!(store.open(id, Lane::Urgent, lease, vec![opened(1)]).await.unwrap(), Opening::Opened);

    let parked = message(Category::Otp);
    let (new, id) = (NewMessage::waiting(parked.clone()), recorded(&store, parked).await);
    let attempts = vec![ended(1, Outcome::Unavailable, None)];
    let waits = Settled { new: new.clone(), attempts, next: Next::Wait(at(30)), at: at(1) };
    store.record(&(new.clone(), Some(waits))).await.unwrap();
    assert_eq!(due(&store, id).await, Some(at(30)));

    let ended = message(Category::Otp);
    recorded(&store, ended.clone()).await;
    ends(&store, ended.clone(), Status::Failed).await;
    assert!(store.adopt(&[NewMessage::waiting(ended)], lease).await.unwrap().is_empty(), "it is closed");
}

#[tokio::test]
async fn neither_retention_nor_an_erasure_takes_what_waits_in_kafka_for_closed() {
    let Some(store) = store().await else { return };
    let sent = message(Category::Otp);
    let id = recorded(&store, sent.clone()).await;
    // The look is stuck before it.
    assert_eq!(look(&store, NOW).await, 0);
    let before = NOW + DAY * 20;
    assert_eq!(store.forget(Category::Otp, before, None).await.unwrap().messages, 0);
    assert!(!store.forget_span(before).await.unwrap(), "its week is not looked through");
    let erased = store.erase(&sent.to).await.unwrap();
    assert_eq!((erased.messages, erased.under_way), (0, 1));
    assert!(store.get(id).await.unwrap().is_some());
    ends(&store, sent.clone(), Status::Expired).await;
    look(&store, before).await;
    assert!(store.forget_span(before).await.unwrap() && store.get(id).await.unwrap().is_none());
}
