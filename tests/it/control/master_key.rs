//! The master key of an embedded installation, rotated as the manual says: afterwards the old key may be thrown away, and
//! everything that was sealed before is read, sent and honoured.

use assert_cmd::Command;
use serde_json::json;
use tempfile::TempDir;
use tidings::{assembly::Role, seal::Keyring};

use crate::harness::{App, LIVE};

/// The next start finds these keys, first to last.
fn keys(home: &TempDir, lines: &[&str]) {
    std::fs::write(home.path().join("data/master.key"), lines.join("\n")).unwrap();
}

async fn start(home: TempDir) -> App {
    App::start_in(home, "", Role::Everything).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_master_key_can_be_thrown_away_and_nothing_is_lost() {
    let app = App::start().await;
    let body = json!({"to": "+8613800138000", "template": "login-code", "params": {"code": "482913"}});
    let sent = app.send(LIVE, &body).await;
    app.until(LIVE, &sent, "delivered").await;
    let held = json!({"to": "+8613800138000", "text": "Hello", "hold": true});
    let waits = app.send(LIVE, &held).await;
    let batch = json!({"messages": [held]});
    let once = [("idempotency-key", "of-the-batch")];
    let answered = app.post_with(LIVE, "/v1/messages/batch", &batch, &once).await.json();
    let home = app.stop().await;

    let old = std::fs::read_to_string(home.path().join("data/master.key")).unwrap().trim().to_owned();
    let new = Keyring::line(&[8; 32]);
    keys(&home, &[&old, &new]);
    let home = start(home).await.stop().await;
    keys(&home, &[&new, &old]);
    let app = start(home).await;
    app.until(LIVE, &sent, "delivered").await;
    let home = app.stop().await;
    let data = home.path().join("data");
    let rotated = tokio::task::spawn_blocking(move || {
        Command::new(env!("CARGO_BIN_EXE_tidings")).env("TIDINGS__DATA_DIR", data).args(["keys", "rotate", "master"]).assert()
    });
    rotated.await.unwrap().success();

    keys(&home, &[&new]);
    let app = start(home).await;
    let shown = app.get(LIVE, &format!("/v1/messages/{sent}")).await;
    assert_eq!((shown.status.as_u16(), &shown.json()["to"]), (200, &json!("+8613800138000")));
    assert_eq!(app.post_with(LIVE, "/v1/messages/batch", &batch, &once).await.json(), answered, "the first answer again");
    assert_eq!(app.post(LIVE, &format!("/v1/messages/{waits}/release"), &json!({})).await.status, 200);
    app.until(LIVE, &waits, "delivered").await;
    app.stop().await;
}
