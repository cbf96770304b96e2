//! What every store must delete, and what it must not.

use std::{sync::Arc, time::Duration};

use tidings::store::{Accepting, Filter, Idempotency, Messages, NewMessage, ReceiptMatch, Settling};
use tidings_core::{
    attempt::Outcome,
    id::MessageId,
    message::{Category, Lane, Message, Status},
    redact::Redacted,
    time::Timestamp,
};

use super::samples::{NOW, accept, accepted_at, at, ended, message, open, receipt, settle, submitted, take};

type Store = Arc<dyn Messages>;

const DAY: Duration = Duration::from_hours(24);
/// Everything that these cases accept is older.
const LATER: Timestamp = Timestamp::from_millis(NOW.as_millis() + 10 * 24 * 3_600_000);

async fn there(store: &Store, id: MessageId) -> bool {
    store.get(id).await.unwrap().is_some()
}

/// All steps from the beginning to the end.
async fn forget(store: &Store, category: Category, before: Timestamp) -> u64 {
    let (mut messages, mut after) = (0, None);
    loop {
        let step = store.forget(category, before, after).await.unwrap();
        messages += step.messages;
        after = step.next;
        if after.is_none() {
            return messages;
        }
    }
}

async fn sweep(store: &Store, now: Timestamp) {
    let mut mark = store.sweep(None, now).await.unwrap();
    while mark.is_some() {
        mark = store.sweep(mark, now).await.unwrap();
    }
}

pub async fn closed_messages_are_forgotten_when_their_categorys_time_is_over(store: Store) {
    let old = submitted(&store, accepted_at(Category::Otp, NOW - DAY * 2), "v-old").await;
    let young = submitted(&store, message(Category::Otp), "v-young").await;
    let other = submitted(&store, accepted_at(Category::Marketing, NOW - DAY * 2), "v-other").await;
    store.receipt(receipt("v-old", Status::Delivered)).await.unwrap();
    assert_eq!(forget(&store, Category::Otp, NOW - DAY).await, 1);
    assert!(!there(&store, old).await && there(&store, young).await && there(&store, other).await);
    assert_eq!(forget(&store, Category::Otp, NOW - DAY).await, 0, "twice is as good as once");
    assert_eq!(forget(&store, Category::Marketing, LATER).await, 1);
    assert!(there(&store, young).await);
    let listed = store.list(&Filter::default(), None, 10).await.unwrap();
    assert_eq!(listed.rows.iter().map(|row| row.message.id).collect::<Vec<_>>(), [young]);
}

pub async fn a_message_that_is_not_closed_is_never_forgotten(store: Store) {
    let old = || accepted_at(Category::Otp, NOW - DAY * 9);
    let held = accept(&store, Message { hold: true, expires_at: LATER, ..old() }).await;
    let scheduled = accept(&store, Message { send_at: Some(LATER + DAY), expires_at: LATER + DAY * 2, ..old() }).await;
    let out = accept(&store, old()).await;
    let taken = take(&store, Lane::Urgent).await;
    open(&store, &taken).await;
    assert_eq!(forget(&store, Category::Otp, LATER).await, 0);
    for id in [held, scheduled, out] {
        assert!(there(&store, id).await);
    }
    // What was scheduled counts from when it was to be sent, although it was accepted long before.
    let (_, late) = (store.cancel(None, scheduled, at(1)).await.unwrap(), scheduled);
    assert_eq!(forget(&store, Category::Otp, LATER).await, 0);
    assert!(there(&store, late).await);
    settle(&store, &taken, ended(1, Outcome::Accepted, None), tidings::store::Next::Close(Status::Submitted)).await;
    assert_eq!(forget(&store, Category::Otp, LATER).await, 1);
    assert!(!there(&store, out).await);
    // Whoever comes late to it finds out.
    let again = settle(&store, &taken, ended(1, Outcome::Accepted, None), tidings::store::Next::Close(Status::Submitted)).await;
    assert_eq!(again, Settling::Missing);
}

pub async fn forgetting_goes_on_where_it_stopped(store: Store) {
    // More than one step, with others between them.
    let messages: Vec<Message> =
        (0..1_300).map(|n| accepted_at(if n % 2 == 0 { Category::Otp } else { Category::Marketing }, NOW)).collect();
    let ids: Vec<MessageId> = messages.iter().map(|message| message.id).collect();
    let new = messages.into_iter().map(NewMessage::waiting).collect();
    assert!(store.accept(new).await.unwrap().iter().all(|answer| *answer == Accepting::New));
    for id in ids.iter().step_by(2) {
        store.cancel(None, *id, at(1)).await.unwrap();
    }
    let first = store.forget(Category::Otp, LATER, None).await.unwrap();
    assert!(first.next.is_some() && (1..=512).contains(&first.messages), "{first:?}");
    assert_eq!(first.messages + forget(&store, Category::Otp, LATER).await, 650);
    assert_eq!(store.waiting(NOW).await.unwrap()[2].messages, 650, "the others wait as before");
}

pub async fn what_led_to_forgotten_messages_is_swept(store: Store) {
    let key = Idempotency { key: [7; 16], body: [8; 16] };
    let mut old = accepted_at(Category::Otp, NOW);
    old.reference = Some("order-1".to_owned());
    let id = old.id;
    store.accept(vec![NewMessage { message: old.into(), idempotency: Some(key), lease: None, opened: None }]).await.unwrap();
    let taken = take(&store, Lane::Urgent).await;
    open(&store, &taken).await;
    settle(&store, &taken, ended(1, Outcome::Accepted, Some("v-1")), tidings::store::Next::Close(Status::Submitted)).await;
    store.keep_answer(Idempotency { key: [9; 16], body: [9; 16] }, b"answer".to_vec(), NOW).await.unwrap();
    assert_eq!(store.receipt(receipt("v-unclaimed", Status::Delivered)).await.unwrap(), ReceiptMatch::Early);
    assert_eq!(forget(&store, Category::Otp, LATER).await, 1);
    sweep(&store, LATER).await;
    let to = Filter { to: Some(Redacted::new("+8613800138000".to_owned())), ..Filter::default() };
    assert!(store.list(&to, None, 10).await.unwrap().rows.is_empty());
    assert_eq!(store.repeat_of([7; 16], at(1)).await.unwrap(), None);
    assert_eq!(store.kept_answer([9; 16], at(1)).await.unwrap(), None);
    assert_eq!(store.receipt(receipt("v-1", Status::Delivered)).await.unwrap(), ReceiptMatch::Early);
    assert!(!there(&store, id).await);
    // What is left is left alone.
    let young = submitted(&store, message(Category::Otp), "v-2").await;
    sweep(&store, at(3_600)).await;
    assert!(matches!(store.receipt(receipt("v-2", Status::Delivered)).await.unwrap(), ReceiptMatch::Known { id, .. } if id == young));
}

pub async fn one_recipients_messages_are_erased_and_nobody_elses(store: Store) {
    let mine = Redacted::new("+8613800138111".to_owned());
    let of_mine = |category| Message { to: mine.clone(), reference: Some("order-2".to_owned()), ..message(category) };
    let other = submitted(&store, message(Category::Otp), "v-other").await;
    let sent = submitted(&store, of_mine(Category::Transactional), "v-mine").await;
    store.receipt(receipt("v-mine", Status::Delivered)).await.unwrap();
    let waiting = accept(&store, of_mine(Category::Marketing)).await;
    let erased = store.erase(&mine).await.unwrap();
    assert_eq!((erased.messages, erased.under_way), (1, 1), "what is not closed stays");
    assert!(!there(&store, sent).await && there(&store, waiting).await && there(&store, other).await);
    assert_eq!(store.receipt(receipt("v-mine", Status::Undelivered)).await.unwrap(), ReceiptMatch::Early, "nothing leads to it");
    store.cancel(None, waiting, at(1)).await.unwrap();
    let erased = store.erase(&mine).await.unwrap();
    assert_eq!((erased.messages, erased.under_way), (1, 0));
    assert_eq!(store.erase(&mine).await.unwrap(), tidings::store::Erased::default());
    let to = Filter { to: Some(mine), ..Filter::default() };
    assert!(store.list(&to, None, 10).await.unwrap().rows.is_empty());
    assert!(there(&store, other).await);
}
