//! How PostgreSQL finds what listings, searches and the queue ask for: never by reading or sorting a whole table.

use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::*;
use crate::{
    seal::{Keyring, LookupKey},
    store::{
        listing::tests::every_filter,
        postgres::{Connections, PostgresStore, create_database, queue, unended, waiting},
    },
};

/// A database of its own with the schema in it; nothing without a server, which CI does not forgive.
pub(in crate::store::postgres) async fn database() -> Option<Connections> {
    let Some(server) = std::env::var("TIDINGS_TEST_DATABASE_URL").ok().filter(|server| !server.is_empty()) else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "TIDINGS_TEST_DATABASE_URL is not set, and in CI nothing is skipped");
        eprintln!("skipped: TIDINGS_TEST_DATABASE_URL is not set (make test starts the servers)");
        return None;
    };
    let clock = Clock::system();
    let name = format!("plans_{}", Uuid::from_bytes(clock.random()).simple());
    let connections = Connections::new(&create_database(&server, &name).await.unwrap()).unwrap();
    PostgresStore::migrate(&connections).await.unwrap();
    crate::store::postgres::schema::ensure_weeks(&connections, clock.now()).await.unwrap();
    Some(connections)
}

/// The plan that a statement has for any values, as it is run: the connections force generic plans.
async fn plan(connection: &mut PgConnection, sql: &str) -> String {
    let highest = (1..100).rev().find(|number| sql.contains(&format!("${number}"))).unwrap_or(0);
    let nulls = vec!["NULL"; highest].join(", ");
    // No value is given, so every partition would be left out.
    let prepare = format!("SET enable_partition_pruning TO off; PREPARE planned AS {sql}");
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *connection).await.unwrap();
    let rows = sqlx::raw_sql(AssertSqlSafe(format!("EXPLAIN EXECUTE planned({nulls})"))).fetch_all(&mut *connection).await.unwrap();
    sqlx::raw_sql("DEALLOCATE planned").execute(connection).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>().join("\n")
}

fn reads_or_sorts_all(plan: &str) -> bool {
    let is = |line: &str, node: &str| line.trim_start_matches([' ', '-', '>']).starts_with(node);
    plan.lines().any(|line| is(line, "Seq Scan") || is(line, "Sort  (") || is(line, "Incremental Sort"))
}

#[tokio::test]
async fn no_listing_reads_or_sorts_the_whole_table() {
    let Some(connections) = database().await else { return };
    let mut held = connections.acquire().await.unwrap();
    let connection = held.connection().unwrap();
    let codec = Codec::new(Keyring::parse(&Keyring::line(&[7; 32])).unwrap(), LookupKey::new(&[1; 32]));
    for filter in every_filter() {
        let index = match filter.way() {
            Way::Recipient(_) => "(to_hash = ",
            Way::Reference(_) => "(reference_hash = ",
            Way::Unusual(_) => "(unusual = ",
            Way::App(_) => "(app = ",
            Way::All => "(id < ",
        };
        let (from, below) = filter.span(None);
        for query in [floor(&codec, &filter, from, below), page(&codec, &filter, from, below, 51)] {
            let sql = query.sql().as_str().to_owned();
            let plan = plan(connection, &sql).await;
            assert!(!reads_or_sorts_all(&plan), "{sql}\n{plan}");
            let conditions: Vec<&str> = plan.lines().filter(|line| line.contains("Index Cond: ")).collect();
            assert!(!conditions.is_empty() && conditions.iter().all(|line| line.contains(index)), "{sql}\n{plan}");
        }
    }
}

#[tokio::test]
async fn what_is_counted_or_due_is_found_by_an_index() {
    let Some(connections) = database().await else { return };
    let mut held = connections.acquire().await.unwrap();
    let connection = held.connection().unwrap();
    for sql in [GET, RECEIPTS, COUNT, waiting::FEW, waiting::ALL, queue::TAKE, queue::NEXT_DUE, unended::END, unended::LOOK] {
        let plan = plan(connection, sql).await;
        // Receipts of one message are sorted: they are a few.
        assert!(sql == RECEIPTS || !reads_or_sorts_all(&plan), "{sql}\n{plan}");
        assert!(!plan.contains("Seq Scan") && plan.contains("Index"), "{sql}\n{plan}");
    }
}
