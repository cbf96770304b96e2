//! Whole weeks of messages, which only PostgreSQL keeps.

use std::{sync::Arc, time::Duration};

use tidings::{
    clock::Clock,
    store::{
        Messages,
        postgres::{Connections, PostgresStore},
    },
};
use tidings_core::message::{Category, Message, Status};

use super::samples::{NOW, accept, accepted_at, at, message, receipt, submitted};
use crate::servers;

const DAY: Duration = Duration::from_hours(24);

#[tokio::test]
async fn a_week_is_dropped_once_all_of_it_is_closed_and_old_enough() {
    let Some(database) = servers::database().await else { return };
    let connections = Connections::new(&database).unwrap();
    PostgresStore::migrate(&connections).await.unwrap();
    let store = PostgresStore::open(connections, super::keyring(), Clock::starting_at(NOW)).await.unwrap();
    let store: Arc<dyn Messages> = Arc::new(store);
    let closed = submitted(&store, message(Category::Otp), "v-1").await;
    store.receipt(receipt("v-1", Status::Delivered)).await.unwrap();
    let waiting = accept(&store, message(Category::Marketing)).await;
    let next_week = accept(&store, accepted_at(Category::Otp, NOW + DAY * 8)).await;
    store.cancel(None, next_week, at(1)).await.unwrap();
    let scheduled = Message { send_at: Some(NOW + DAY * 20), expires_at: NOW + DAY * 21, ..message(Category::Transactional) };
    let scheduled = accept(&store, scheduled).await;
    let all = async |before| {
        let mut steps = 0;
        while store.forget_span(before).await.unwrap() {
            steps += 1;
        }
        steps
    };
    assert_eq!(all(NOW + DAY * 9).await, 0, "two of its messages wait");
    store.cancel(None, waiting, at(1)).await.unwrap();
    store.cancel(None, scheduled, at(1)).await.unwrap();
    assert_eq!(all(NOW + DAY * 9).await, 0, "one was to be sent later than that");
    assert_eq!(all(NOW + DAY * 6).await, 0, "the week has not ended");
    assert_eq!(all(NOW + DAY * 20 + Duration::from_millis(1)).await, 3, "its receipts, itself, and the week after");
    for id in [closed, waiting, scheduled, next_week] {
        assert!(store.get(id).await.unwrap().is_none());
    }
    // Whoever sweeps makes the weeks to come, so that a process may run for months.
    let far = NOW + DAY * 300;
    store.sweep(None, far).await.unwrap();
    let fresh = accept(&store, accepted_at(Category::Otp, far + DAY)).await;
    store.cancel(None, fresh, far).await.unwrap();
    assert!(store.get(fresh).await.unwrap().is_some());
    let mut weeks = 0;
    while store.forget_span(far + DAY * 20).await.unwrap() {
        weeks += 1;
    }
    assert!(weeks > 0 && store.get(fresh).await.unwrap().is_none(), "it lay in no week of its own");
}
