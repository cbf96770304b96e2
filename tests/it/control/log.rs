//! The audit log: complete, searchable, without secrets, and broken visibly by whoever touches it.

use serde_json::json;
use sqlx::{Connection, Executor, SqliteConnection};
use tidings::control::{Control, audit::Broken};

use super::world::{LIVE, PASSWORD, World};

async fn tampered(world: &World, statements: &[&'static str]) {
    let path = world.dir.path().join("tidings.db");
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    for trigger in ["control_audit_is_append_only_update", "control_audit_is_append_only_delete"] {
        connection.execute(sqlx::AssertSqlSafe(format!("DROP TRIGGER IF EXISTS {trigger}"))).await.unwrap();
    }
    for statement in statements {
        connection.execute(*statement).await.unwrap();
    }
    connection.close().await.unwrap();
}

async fn verdict(control: &Control) -> Result<i64, Broken> {
    control.verify_audit().await.unwrap()
}

#[tokio::test]
async fn whatever_is_done_to_the_log_shows() {
    let cases: [(&[&'static str], Broken); 5] = [
        (&["UPDATE control_audit SET body = replace(body, 'bootstrap', 'nobody') WHERE number = 3"], Broken::Changed { number: 3 }),
        (&["UPDATE control_audit SET actor = 'nobody' WHERE number = 3"], Broken::Columns { number: 3 }),
        (&["DELETE FROM control_audit WHERE number = 3"], Broken::Missing { expected: 3 }),
        (
            &[
                "DELETE FROM control_audit WHERE number = 3",
                "UPDATE control_audit SET number = number - 1 WHERE number > 3",
                "UPDATE control_head SET audit_count = audit_count - 1",
            ],
            Broken::Changed { number: 3 },
        ),
        (&["DELETE FROM control_audit WHERE number > 3"], Broken::Cut { found: 3, recorded: 18 }),
    ];
    for (statements, expected) in cases {
        let world = World::new();
        let control = world.ready().await;
        let count = verdict(&control).await.unwrap();
        tampered(&world, statements).await;
        let found = verdict(&control).await.unwrap_err();
        match (&found, &expected) {
            (Broken::Cut { found, recorded }, Broken::Cut { .. }) => assert_eq!((*found, *recorded), (3, count)),
            _ => assert_eq!(found, expected, "{statements:?}"),
        }
    }
}

#[tokio::test]
async fn the_database_itself_refuses_to_change_the_log() {
    let world = World::new();
    let _control = world.ready().await;
    let path = world.dir.path().join("tidings.db");
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    for statement in ["UPDATE control_audit SET actor = 'nobody'", "DELETE FROM control_audit"] {
        assert!(connection.execute(statement).await.is_err(), "{statement}");
    }
}

#[tokio::test]
async fn changes_stand_in_it_with_before_and_after_and_without_secrets() {
    let world = World::new();
    let (_control, server) = world.open().await;
    let (root, anna) = (server.session("root").await, server.session("anna").await);
    let key = server.post("/v1/admin/apps/shop/keys", &root, json!({"name": "n", "scopes": ["messages:read"]})).await.expect(201);
    server.call(http::Method::PATCH, "/v1/admin/apps/shop", Some(&root), Some(json!({"suspended": true}))).await.expect(200);
    server.call(http::Method::PATCH, "/v1/admin/users/vera", Some(&root), Some(json!({"password": "another password"}))).await.expect(200);

    let suspended = server.get("/v1/admin/audit?action=app.suspended&actor=root", &anna).await.expect(200);
    let entry = &suspended["data"][0];
    assert_eq!((&entry["before"], &entry["after"]), (&json!({"suspended": false}), &json!({"suspended": true})));
    let made = server.get(&format!("/v1/admin/audit?object={}", key["id"].as_str().unwrap()), &anna).await.expect(200);
    assert_eq!(made["data"][0]["action"], "key.created");

    let mut entries = Vec::new();
    let mut path = "/v1/admin/audit?limit=5".to_owned();
    loop {
        let page = server.get(&path, &anna).await.expect(200);
        entries.extend(page["data"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/admin/audit?limit=5&cursor={cursor}");
    }
    let ids: std::collections::HashSet<&str> = entries.iter().map(|entry| entry["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), entries.len());
    let log = serde_json::to_string(&entries).unwrap();
    for secret in [LIVE, PASSWORD, "another password", key["secret"].as_str().unwrap(), "canary-credential", "argon2id"] {
        assert!(!log.contains(secret), "{secret} is in the audit log");
    }
    server.get("/v1/admin/audit?from=yesterday", &anna).await.refused(422, "invalid");
}
