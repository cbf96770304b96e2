//! The commands of operators with a shell on the machine: the way back in, and whether the log is what was written.

use assert_cmd::{Command, assert::Assert};
use http::Request;
use serde_json::json;
use sqlx::{Connection, Executor, SqliteConnection};
use tempfile::TempDir;

use crate::harness::App;

async fn tidings(home: &TempDir, arguments: &'static [&'static str]) -> Assert {
    let data = home.path().join("data");
    let run = move || Command::new(env!("CARGO_BIN_EXE_tidings")).env("TIDINGS__DATA_DIR", data).args(arguments).assert();
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn said(output: &[u8]) -> String {
    String::from_utf8(output.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_out_installation_is_rescued_from_a_shell() {
    let home = App::start().await.stop().await;
    let rescued = tidings(&home, &["user", "rescue", "root"]).await.success();
    let said = said(&rescued.get_output().stdout);
    assert!(said.starts_with("root is admin and logs in with the password "), "{said}");
    let password = said.trim().rsplit(' ').next().unwrap();
    let listed = tidings(&home, &["user", "list"]).await.success();
    assert!(self::said(&listed.get_output().stdout).contains("root"));

    let app = App::start_in(home, "", tidings::assembly::Role::Everything).await;
    let body = json!({"name": "root", "password": password}).to_string();
    let request = Request::post("/v1/admin/session").header("content-type", "application/json").body(body.into()).unwrap();
    let session = app.ask(request).await;
    assert_eq!((session.status.as_u16(), session.json()["role"].as_str()), (200, Some("admin")));
    assert_eq!(session.header("cache-control"), Some("no-store"));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_touched_log_is_told_by_the_command_with_its_first_touched_entry() {
    let home = App::start().await.stop().await;
    let whole = tidings(&home, &["audit", "verify"]).await.success();
    assert!(said(&whole.get_output().stdout).starts_with("the audit log is whole: "));

    let path = home.path().join("data/tidings.db");
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    connection.execute("DROP TRIGGER control_audit_is_append_only_update").await.unwrap();
    connection.execute("UPDATE control_audit SET body = replace(body, 'bootstrap', 'nobody') WHERE number >= 3").await.unwrap();
    connection.close().await.unwrap();
    let touched = tidings(&home, &["audit", "verify"]).await.code(1);
    let said = said(&touched.get_output().stderr);
    assert!(said.contains("tampered") && said.contains('3'), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_what_a_start_would_refuse() {
    let home = TempDir::new().unwrap();
    let cases: [(&[&str], &str); 4] = [
        (&["check", "--set", "database.url=postgres://h/d"], "secrets.master_key_file: "),
        (&["check", "--set", "secrets.master_key=short"], "secrets.master_key: "),
        (&["check", "--set", "redis.url=redis://h"], "redis.url and kafka.brokers need database.url"),
        (&["check", "--set", "database.url=mysql://h/d"], "database.url must be an address"),
    ];
    for (arguments, expected) in cases {
        let refused = tidings(&home, arguments).await.code(1);
        let said = said(&refused.get_output().stderr);
        assert!(said.contains(expected) && said.contains("1 error found"), "{arguments:?}: {said}");
    }
    tidings(&home, &["check"]).await.success();
}
