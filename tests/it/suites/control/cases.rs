//! What must hold of a [`ControlStore`].

use std::sync::Arc;

use tidings::{
    clock::Clock,
    control::{
        audit::{ChainKey, Entry, Filter, Verifier},
        model::{ActorId, Kind},
    },
    store::control::{Change, Commit, ControlStore, Error},
};
use tidings_core::{
    id::{AuditId, KeyId},
    time::Timestamp,
};
use uuid::Uuid;

type Store = Arc<dyn ControlStore>;

fn change(id: u128, name: &str, expected: i64, body: Option<&str>) -> Change {
    Change {
        kind: Kind::App,
        id: Uuid::from_u128(id),
        scope: String::new(),
        name: name.to_owned(),
        expected,
        body: body.map(str::to_owned),
    }
}

fn key() -> ChainKey {
    ChainKey::new(b"a key for tests")
}

fn commit(changes: Vec<Change>, actions: &[&str]) -> Commit {
    let clock = Clock::system();
    let entry = |action: &&str| Entry {
        id: AuditId::new(clock.now(), clock.random()),
        at: clock.now(),
        actor: ActorId::system(),
        action: (*action).to_owned(),
        object: "app".to_owned(),
        before: None,
        after: None,
        reason: None,
        address: None,
        request_id: None,
    };
    Commit { changes, audit: actions.iter().map(entry).collect(), key: key(), at: clock.now() }
}

/// One new document.
pub fn commit_of(number: u128) -> Commit {
    commit(vec![change(number, &number.to_string(), 0, Some("{}"))], &[])
}

pub async fn a_commit_is_seen_by_those_who_ask_for_what_changed(store: Store) {
    let first = store.commit(commit(vec![change(1, "a", 0, Some("{}")), change(2, "b", 0, Some("{}"))], &[])).await.unwrap();
    let second = store.commit(commit(vec![change(2, "b", 1, Some("{\"x\":1}"))], &[])).await.unwrap();
    assert!(second > first);
    let (head, all) = store.changes_since(0).await.unwrap();
    assert_eq!((head, all.len()), (second, 2));
    let (_, news) = store.changes_since(first).await.unwrap();
    assert_eq!(news.iter().map(|document| (document.name.as_str(), document.revision)).collect::<Vec<_>>(), [("b", 2)]);
    store.commit(commit(vec![change(2, "b", 2, None)], &[])).await.unwrap();
    let (_, news) = store.changes_since(second).await.unwrap();
    assert!(news[0].body.is_none(), "a deletion is heard of");
}

pub async fn whoever_planned_on_an_older_revision_conflicts(store: Store) {
    store.commit(commit(vec![change(1, "a", 0, Some("{}"))], &[])).await.unwrap();
    store.commit(commit(vec![change(1, "a", 1, Some("{}"))], &[])).await.unwrap();
    let late = store.commit(commit(vec![change(1, "a", 1, Some("{}"))], &[])).await;
    assert!(matches!(late, Err(Error::Conflict { kind: Kind::App })), "{late:?}");
}

pub async fn a_name_is_taken_once_in_its_scope(store: Store) {
    store.commit(commit(vec![change(1, "a", 0, Some("{}"))], &[])).await.unwrap();
    let taken = store.commit(commit(vec![change(2, "a", 0, Some("{}"))], &[])).await;
    assert!(matches!(taken, Err(Error::Exists { kind: Kind::App })), "{taken:?}");
    let elsewhere = Change { scope: "app".to_owned(), ..change(2, "a", 0, Some("{}")) };
    store.commit(commit(vec![elsewhere], &[])).await.unwrap();
}

pub async fn a_commit_that_conflicts_changes_nothing(store: Store) {
    let before = store.commit(commit(vec![change(1, "a", 0, Some("{}"))], &["made"])).await.unwrap();
    let conflicting = commit(vec![change(2, "b", 0, Some("{}")), change(1, "a", 7, Some("{}"))], &["never"]);
    store.commit(conflicting).await.unwrap_err();
    let (head, documents) = store.changes_since(0).await.unwrap();
    assert_eq!((head, documents.len(), store.audit_head().await.unwrap().count), (before, 1, 1));
}

pub async fn the_audit_chain_holds_and_is_filtered(store: Store) {
    store.commit(commit(Vec::new(), &["one", "two"])).await.unwrap();
    store.commit(commit(Vec::new(), &["three"])).await.unwrap();
    let mut verifier = Verifier::new(key());
    for linked in store.audit_chain(0, 10).await.unwrap() {
        verifier.next(&linked).unwrap();
    }
    assert_eq!(verifier.finish(&store.audit_head().await.unwrap()).unwrap(), 3);
    let numbers = async |filter: Filter, before| -> Vec<i64> {
        store.audit(&filter, before, 10).await.unwrap().iter().map(|linked| linked.number).collect()
    };
    assert_eq!(numbers(Filter::default(), None).await, [3, 2, 1]);
    assert_eq!(numbers(Filter::default(), Some(3)).await, [2, 1]);
    assert_eq!(numbers(Filter { action: Some("two".to_owned()), actor: Some("system".to_owned()), ..Filter::default() }, None).await, [2]);
    assert_eq!(numbers(Filter { until: Some(Timestamp::from_millis(0)), ..Filter::default() }, None).await, [0_i64; 0]);
}

pub async fn key_uses_only_go_forward(store: Store) {
    let key = KeyId::from_uuid(Uuid::from_u128(7));
    let at = Timestamp::from_millis;
    store.record_key_uses(&[(key, at(200))]).await.unwrap();
    store.record_key_uses(&[(key, at(100))]).await.unwrap();
    assert_eq!(store.key_uses().await.unwrap(), [(key, at(200))]);
}
