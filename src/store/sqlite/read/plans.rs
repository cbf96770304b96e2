//! How SQLite finds what listings, searches and the queue ask for: never by reading or sorting the whole table.

use std::sync::Arc;

use sqlx::AssertSqlSafe;
use tempfile::TempDir;

use super::*;
use crate::{
    clock::Clock,
    seal::Keyring,
    store::{
        listing::tests::every_filter,
        sqlite::{Sqlite, forget, lookups, queue, settle, start},
    },
};

async fn store() -> (TempDir, Sqlite) {
    let folder = TempDir::new().unwrap();
    let keyring = Arc::new(Keyring::parse(&Keyring::line(&[7; 32])).unwrap());
    let (store, _) = Sqlite::open(&folder.path().join("tidings.db"), keyring, Clock::system(), |_| {}).await.unwrap();
    (folder, store)
}

/// Each step of the plan, in SQLite's words.
async fn plan(store: &Sqlite, sql: &str) -> Vec<String> {
    let rows = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"))).fetch_all(&store.readers).await.unwrap();
    assert!(!rows.is_empty(), "{sql}");
    rows.iter().map(|row| row.try_get("detail").unwrap()).collect()
}

#[tokio::test]
async fn no_listing_reads_or_sorts_the_whole_table() {
    let (_folder, store) = store().await;
    for filter in every_filter() {
        let walk = Walk::new(&store.shared, &filter, None);
        let by_lookup = matches!(walk.way, Way::Recipient(_) | Way::Reference(_));
        let statements = if by_lookup { vec![walk.fetch_sql(1), walk.fetch_sql(FETCHED)] } else { vec![walk.floor_sql(), walk.page_sql()] };
        for sql in statements {
            let plan = plan(&store, &sql).await.join("; ");
            assert!(plan.contains("SEARCH messages USING "), "{sql}: {plan}");
            assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
            let index = match walk.way {
                Way::Unusual(_) => "messages_unusual (status=? AND id>? AND id<?)",
                Way::App(_) => "messages_by_app (app=? AND id>? AND id<?)",
                Way::All => "PRIMARY KEY (id>? AND id<?)",
                Way::Recipient(_) | Way::Reference(_) => "PRIMARY KEY (id=?)",
            };
            assert!(plan.contains(index), "{sql}: {plan}");
        }
    }
}

#[tokio::test]
async fn what_is_looked_up_counted_or_due_is_found_by_an_index() {
    let (_folder, store) = store().await;
    for (sql, index) in [
        (GET, "PRIMARY KEY (id=?)"),
        (RECEIPTS, "PRIMARY KEY (message=?)"),
        (COUNT, "USING COVERING INDEX messages_by_app (app=? AND id>?)"),
        (lookups::STORED, "PRIMARY KEY (kind=? AND hash=? AND id<?)"),
        (lookups::STORED_OF_MANY, "SEARCH lookups USING PRIMARY KEY (kind=? AND hash=?)"),
        (KEY_OF, "PRIMARY KEY (id=?)"),
        (queue::TAKE, "messages_due (category=? AND due_at<?)"),
        (queue::NEXT_DUE, "messages_due (category=?"),
        (start::VOID_LEASES, "messages_due"),
        (start::COUNT_OPEN, "messages_due"),
    ] {
        let plan = plan(&store, sql).await.join("; ");
        assert!(plan.contains(index), "{sql}: {plan}");
        // Receipts of one message are sorted: they are a few. At the start all that is open is read, by its own index.
        assert!(!plan.contains("SCAN messages;") && (sql == RECEIPTS || !plan.contains("TEMP B-TREE")), "{sql}: {plan}");
    }
}

#[tokio::test]
async fn a_ticks_rows_are_found_by_their_keys() {
    let (_folder, store) = store().await;
    for (many, found) in [
        (&queue::LOST, "SEARCH messages USING PRIMARY KEY (id=?)"),
        (&queue::OPEN, "SEARCH messages USING PRIMARY KEY (id=?)"),
        (&queue::HAND_BACK, "SEARCH messages USING PRIMARY KEY (id=?)"),
        (&settle::NOT_AS_EXPECTED, "SEARCH messages USING PRIMARY KEY (id=?)"),
        (&settle::CLOSE, "SEARCH messages USING PRIMARY KEY (id=?)"),
        (&settle::CLOSE_AND_LOOK, "SEARCH messages USING PRIMARY KEY (id=?)"),
        (&settle::WAIT, "SEARCH messages USING PRIMARY KEY (id=?)"),
        (&settle::CONTINUE, "SEARCH messages USING PRIMARY KEY (id=?)"),
        (&forget::DELETE, "SEARCH messages USING PRIMARY KEY (id=?)"),
        (&forget::RECEIPTS, "SEARCH receipts USING PRIMARY KEY (message=?)"),
        (&lookups::DELETE, "SEARCH lookups USING PRIMARY KEY (kind=? AND hash=? AND id=?)"),
    ] {
        for rows in [1, 64, 512, 1_024] {
            let sql = many.text(rows);
            let plan = plan(&store, &sql).await.join("; ");
            assert!(plan.contains(found), "{sql}: {plan}");
        }
    }
}
