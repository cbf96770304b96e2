//! A migration is made by the new program while the old one still runs: whatever it does, the old one must not notice.
//!
//! So a migration only adds: tables, plain indexes (one may take another's place), and columns that nobody has to fill. What it makes itself it may also change
//! and fill. Everything else is refused here by its text, and one test lets a program run on while its schema grows.

use std::{collections::HashSet, path::Path, time::Duration};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;

use crate::{
    faults::{
        TestVendor,
        node::{KEY, Node},
    },
    servers,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Statements without comments, in one line each. Text in quotes, functions and the bodies of triggers stay whole.
fn statements(sql: &str) -> Vec<String> {
    let text: Vec<&str> = sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    let text = text.join(" ");
    let (mut statements, mut now) = (Vec::new(), String::new());
    for piece in text.split_inclusive(';') {
        now.push_str(piece);
        let words = words(&now);
        let in_quotes = now.matches('\'').count() % 2 == 1 || now.matches("$$").count() % 2 == 1;
        let in_body = words.first().is_some_and(|word| word == "CREATE")
            && words.get(1).is_some_and(|word| word == "TRIGGER")
            && words.iter().any(|word| word == "BEGIN")
            && words.last().is_none_or(|word| word != "END");
        if !in_quotes && !in_body {
            let whole = now.split_whitespace().collect::<Vec<_>>().join(" ");
            if whole != ";" && !whole.is_empty() {
                statements.push(whole);
            }
            now.clear();
        }
    }
    statements
}

fn words(statement: &str) -> Vec<String> {
    let ends = |letter: char| letter.is_whitespace() || "(),;".contains(letter);
    statement.split(ends).filter(|word| !word.is_empty()).map(str::to_uppercase).collect()
}

/// The table that a statement names after this word.
fn after(words: &[String], word: &str) -> String {
    let mut rest = words.iter().skip_while(|it| *it != word).skip(1);
    rest.find(|word| !["IF", "NOT", "EXISTS", "ONLY"].contains(&word.as_str())).cloned().unwrap_or_default()
}

/// Among what a file has made: an index, which may take another's place.
const AN_INDEX: &str = "an index";

/// What a program that knows nothing of this statement would notice. `fresh`: tables that the same file has made.
fn breaks(statement: &str, fresh: &mut HashSet<String>) -> Option<&'static str> {
    let words = words(statement);
    let begins = |with: &str| words.join(" ").starts_with(with);
    let is_old = |word: &str, fresh: &HashSet<String>| !fresh.contains(&after(&words, word));
    if begins("CREATE TABLE") {
        if statement.to_uppercase().contains(" PARTITION OF ") && is_old("OF", fresh) {
            return Some("takes rows of a table that is in use");
        }
        fresh.insert(after(&words, "TABLE"));
        return None;
    }
    if begins("CREATE UNIQUE INDEX") {
        return is_old("ON", fresh).then_some("refuses rows that were fine");
    }
    if begins("CREATE TRIGGER") {
        return is_old("ON", fresh).then_some("does something to rows of a table that is in use");
    }
    if begins("CREATE INDEX") {
        fresh.insert(AN_INDEX.to_owned());
        return None;
    }
    if begins("CREATE FUNCTION") {
        return None;
    }
    if begins("DROP INDEX") {
        return (!fresh.contains(AN_INDEX)).then_some("takes an index away without another in its place");
    }
    if begins("INSERT INTO") {
        return is_old("INTO", fresh).then_some("writes into a table that is in use");
    }
    if begins("ALTER TABLE") {
        return if is_old("TABLE", fresh) { alteration(statement) } else { None };
    }
    Some("is none of what only adds")
}

/// Of a table that is in use: columns may be added, and nobody has to fill them.
fn alteration(statement: &str) -> Option<&'static str> {
    let mut depth = 0;
    let between_columns = |letter: char| {
        depth += i32::from(letter == '(') - i32::from(letter == ')');
        letter == ',' && depth == 0
    };
    for change in statement.split(between_columns) {
        let words = words(change);
        let has = |word: &str| words.iter().any(|it| it == word);
        let adds = words.iter().position(|word| word == "ADD");
        let adds =
            adds.filter(|at| !["CONSTRAINT", "CHECK", "PRIMARY", "UNIQUE", "FOREIGN"].contains(&words.get(at + 1).map_or("", |it| it)));
        if adds.is_none() {
            return Some("changes a table that is in use");
        }
        if has("NOT") && !has("DEFAULT") {
            return Some("adds a column that has to be filled");
        }
        if has("UNIQUE") || has("PRIMARY") || has("CHECK") || has("REFERENCES") {
            return Some("adds a column that may refuse rows");
        }
    }
    None
}

/// Every statement of a migration that breaks something, and why.
fn faults(sql: &str) -> Vec<String> {
    let mut fresh = HashSet::new();
    statements(sql).iter().filter_map(|statement| Some(format!("{}: {statement}", breaks(statement, &mut fresh)?))).collect()
}

fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap().flatten() {
        let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&name, ending));
        } else if name.ends_with(ending) {
            found.push((name, std::fs::read_to_string(entry.path()).unwrap()));
        }
    }
    found
}

#[test]
fn a_migration_only_adds_so_that_the_program_before_it_goes_on() {
    let migrations = files("migrations", ".sql");
    assert!(migrations.len() >= 6 && migrations.iter().all(|(_, sql)| !statements(sql).is_empty()));
    let faults: Vec<_> =
        migrations.iter().flat_map(|(name, sql)| faults(sql).into_iter().map(move |fault| format!("{name} {fault}"))).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn what_would_break_the_program_before_is_found() {
    for bad in [
        "DROP TABLE receipts;",
        "DROP INDEX idempotency_keys_age;",
        "ALTER TABLE messages DROP COLUMN owner;",
        "ALTER TABLE messages RENAME COLUMN owner TO holder;",
        "ALTER TABLE messages RENAME TO letters;",
        "ALTER TABLE messages ADD COLUMN colour text NOT NULL;",
        "ALTER TABLE messages ADD COLUMN a text, ADD COLUMN b text NOT NULL;",
        "ALTER TABLE messages ADD COLUMN a text GENERATED ALWAYS AS (left(b, 1)) STORED, ADD COLUMN b text NOT NULL;",
        "ALTER TABLE messages ADD COLUMN colour text UNIQUE;",
        "ALTER TABLE messages ADD CONSTRAINT some CHECK (owner > 0);",
        "ALTER TABLE messages ALTER COLUMN owner TYPE integer;",
        "ALTER TABLE messages ALTER COLUMN owner SET NOT NULL;",
        "CREATE UNIQUE INDEX one_a_day ON messages (to_hash);",
        "CREATE TRIGGER loud BEFORE INSERT ON messages BEGIN SELECT RAISE(ABORT, 'no'); END;",
        "CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;",
        "CREATE TABLE messages_new PARTITION OF messages DEFAULT;",
        "UPDATE messages SET owner = NULL;",
        "DELETE FROM meta;",
        "INSERT INTO meta (name, value) VALUES ('x', '');",
        "TRUNCATE receipts;",
    ] {
        assert_eq!(faults(bad).len(), 1, "{bad}");
        let hidden =
            format!("-- a comment; with a semicolon\nCREATE TABLE other (a text);\n{bad} -- DROP TABLE\nCREATE INDEX i ON messages (a);");
        assert_eq!(faults(&hidden).len(), 1, "{hidden}");
    }
    for good in [
        "ALTER TABLE messages ADD COLUMN colour text;",
        "ALTER TABLE messages ADD COLUMN a smallint GENERATED ALWAYS AS (CASE WHEN b IN (1, 2) THEN b END) STORED;",
        "CREATE INDEX b ON messages (c); DROP INDEX a;",
        "ALTER TABLE messages ADD COLUMN weight integer NOT NULL DEFAULT 0, ADD COLUMN colour text;",
        "CREATE TABLE a (b text UNIQUE); CREATE UNIQUE INDEX c ON a (b); INSERT INTO a (b) VALUES ('x; y'); ALTER TABLE a DROP COLUMN b;",
        "CREATE TABLE a (b text);\nCREATE TRIGGER t BEFORE UPDATE ON a BEGIN SELECT RAISE(ABORT, 'no'); SELECT 1; END;",
    ] {
        assert_eq!(faults(good), Vec::<String>::new());
    }
}

/// A column that is added must not reach a program that does not know it.
#[test]
fn every_statement_names_its_columns() {
    let takes_all = |text: &str| {
        let upper = text.split_whitespace().collect::<Vec<_>>().join(" ").to_uppercase();
        let blind = upper.split("INSERT INTO ").skip(1).any(|rest| {
            let mut words = rest.split(' ');
            words.next();
            matches!(words.next(), Some("VALUES" | "SELECT"))
        });
        // What a statement brings with it has the columns that it says.
        let all_of = upper.split("SELECT * FROM ").skip(1).any(|rest| !rest.starts_with("UNNEST(") && !rest.starts_with("GIVEN "));
        blind || all_of || upper.contains("RETURNING *")
    };
    assert!(
        takes_all("SELECT * FROM a")
            && !takes_all("SELECT * FROM UNNEST($1)")
            && takes_all("INSERT INTO a\n VALUES (1)")
            && !takes_all("INSERT INTO a (b) SELECT count(*) FROM c")
    );
    let blind: Vec<_> = files("src/store", ".rs").into_iter().filter(|(_, text)| takes_all(text)).map(|(name, _)| name).collect();
    assert_eq!(blind, Vec::<String>::new());
}

#[tokio::test]
async fn a_program_goes_on_while_a_later_one_adds_to_its_schema() {
    let Some(url) = servers::database().await else { return };
    let (home, vendor) = (TempDir::new().unwrap(), TestVendor::start(json!({})).await);
    let key = home.path().join("master.key");
    std::fs::write(&key, "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=").unwrap();
    let services = format!("[secrets]\nmaster_key_file = \"{}\"\n[database]\nurl = \"{url}\"\n", key.display());
    let node = Node::start_with_http(home.path(), &vendor.account("a", "receipts = false"), &services).await;
    let send = async |number: usize| {
        let body = json!({"to": format!("+49{}", 1_000_000_000 + number), "text": "Hello", "category": "transactional"});
        let request = node.client.post(node.url("/v1/messages")).bearer_auth(KEY).header("idempotency-key", number.to_string());
        let answer = request.json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 202, "{}", node.log());
        answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
    };
    let before = send(0).await;
    node.until_status(&before, &["submitted"], PATIENCE).await;

    let mut connection = PgConnection::connect(&url).await.unwrap();
    let tables = "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') \
         AND NOT c.relispartition AND c.relname <> '_sqlx_migrations'";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut connection).await.unwrap();
    assert!(tables.len() > 10, "{tables:?}");
    for table in tables {
        let added = format!(
            "ALTER TABLE {table} ADD COLUMN of_a_later_program integer NOT NULL DEFAULT 0, ADD COLUMN another text; \
             CREATE INDEX {table}_later ON {table} (of_a_later_program)"
        );
        sqlx::raw_sql(AssertSqlSafe(added)).execute(&mut connection).await.unwrap();
    }
    let noted =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', true, '', 0)";
    sqlx::raw_sql(noted).execute(&mut connection).await.unwrap();

    assert_eq!(send(0).await, before, "a repeat is answered with the first message");
    let mut after = Vec::new();
    for number in 1..20 {
        after.push(send(number).await);
    }
    for id in &after {
        node.until_status(id, &["submitted"], PATIENCE).await;
    }
    let processed = vendor.processed().await;
    assert!(after.iter().chain([&before]).all(|id| processed.get(id) == Some(&1)), "{processed:?}");
}
