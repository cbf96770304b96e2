//! The port to the control plane's documents: every case on every backend, listed once.

mod cases;

use std::sync::Arc;

use futures_util::FutureExt;
use tempfile::TempDir;
use tidings::store::{
    SqliteControl,
    control::ControlStore,
    postgres::{Connections, PostgresControl, PostgresStore},
};

use crate::{servers, suites};

type Backend = suites::Backend<Arc<dyn ControlStore>>;

async fn sqlite() -> Option<Backend> {
    let folder = TempDir::new().unwrap();
    let store = SqliteControl::open(&folder.path().join("tidings.db")).await.unwrap();
    Some((Arc::new(store), Box::new(folder)))
}

async fn postgres() -> Option<Backend> {
    let connections = Connections::new(&servers::database().await?).unwrap();
    PostgresStore::migrate(&connections).await.unwrap();
    Some(suites::anywhere(Arc::new(PostgresControl::new(connections))))
}

#[tokio::test]
async fn whoever_waits_is_told_that_another_node_committed() {
    let Some(database) = servers::database().await else { return };
    let connections = || Connections::new(&database).unwrap();
    PostgresStore::migrate(&connections()).await.unwrap();
    let (here, there) = (PostgresControl::new(connections()), PostgresControl::new(connections()));
    let told = async || tokio::time::timeout(std::time::Duration::from_secs(5), there.wait_for_change()).await.is_ok();
    assert!(told().await, "whoever begins to listen looks, because it may have missed something");
    for number in 1..=3 {
        assert!(there.wait_for_change().now_or_never().is_none(), "nobody committed");
        here.commit(cases::commit_of(number)).await.unwrap();
        assert!(told().await, "commit {number} is not told");
    }
}

crate::suites::suite! {
    backends: [sqlite, postgres],
    cases: [
        a_commit_is_seen_by_those_who_ask_for_what_changed,
        whoever_planned_on_an_older_revision_conflicts,
        a_name_is_taken_once_in_its_scope,
        a_commit_that_conflicts_changes_nothing,
        the_audit_chain_holds_and_is_filtered,
        key_uses_only_go_forward,
    ]
}
