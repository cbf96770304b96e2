//! The store away: rights stay as they were last known, for as long as they may, across a restart too.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use serde_json::json;
use tidings::{
    control::{
        Control,
        audit::{Filter, Head},
    },
    store::{
        self,
        control::{Commit, ControlStore, Document, Error, Linked},
    },
};
use tidings_core::{id::KeyId, time::Timestamp};
use tokio_util::sync::CancellationToken;

use super::world::{LIVE, World};

/// A store whose wire can be cut.
struct Cut {
    store: Arc<dyn ControlStore>,
    away: AtomicBool,
}

impl Cut {
    fn wire(&self) -> Result<&dyn ControlStore, Error> {
        match self.away.load(Ordering::Relaxed) {
            true => Err(store::Error::Unavailable(anyhow::anyhow!("the wire is cut")).into()),
            false => Ok(&*self.store),
        }
    }
}

#[async_trait]
impl ControlStore for Cut {
    async fn changes_since(&self, sequence: i64) -> Result<(i64, Vec<Document>), Error> {
        self.wire()?.changes_since(sequence).await
    }
    async fn commit(&self, commit: Commit) -> Result<i64, Error> {
        self.wire()?.commit(commit).await
    }
    async fn forget_deleted(&self, before: Timestamp) -> Result<u64, Error> {
        self.wire()?.forget_deleted(before).await
    }
    async fn audit(&self, filter: &Filter, before: Option<i64>, limit: u32) -> Result<Vec<Linked>, Error> {
        self.wire()?.audit(filter, before, limit).await
    }
    async fn audit_chain(&self, after: i64, limit: u32) -> Result<Vec<Linked>, Error> {
        self.wire()?.audit_chain(after, limit).await
    }
    async fn audit_head(&self) -> Result<Head, Error> {
        self.wire()?.audit_head().await
    }
    async fn key_uses(&self) -> Result<Vec<(KeyId, Timestamp)>, Error> {
        self.wire()?.key_uses().await
    }
    async fn record_key_uses(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), Error> {
        self.wire()?.record_key_uses(uses).await
    }
}

/// Long enough for several polls.
const A_WHILE: std::time::Duration = std::time::Duration::from_millis(2_500);

#[expect(clippy::disallowed_methods, reason = "a test that lasts a while")]
#[tokio::test]
async fn sending_goes_on_with_the_last_known_rights_and_changes_wait() {
    let world = World::new();
    world.ready().await;
    let cut = Arc::new(Cut { store: world.store().await, away: AtomicBool::new(false) });
    let control = world.node_on(cut.clone(), "cut").await;
    let server = world.server(&control).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (control, stop) = (Arc::clone(&control), stop.clone());
        async move { control.run(stop).await }
    });
    let copy = world.dir.path().join("cut/control.snapshot");
    let root = server.session("root").await;
    let written = async {
        while !copy.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(A_WHILE, written).await.unwrap();

    cut.away.store(true, Ordering::Relaxed);
    let until = tokio::time::Instant::now() + A_WHILE;
    let mut sent = 0;
    while tokio::time::Instant::now() < until {
        let body = json!({"to": "+8613800138000", "template": "login-code", "params": {"code": "482913"}});
        server.post("/v1/messages", LIVE, body).await.expect(202);
        server.get("/v1/admin/apps", &root).await.expect(200);
        sent += 1;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(sent > 5);
    server.post("/v1/admin/suppressions", &root, json!({"to": "+8613800138000", "reason": "x"})).await.refused(503, "unavailable");
    server.get("/v1/messages", "tk_live_unknown0123456789abcdef0123456789").await.refused(401, "unauthorized");

    // A node that starts now takes the copy, and refuses one that is too old.
    let options = || world.options("cut");
    let restarted = Control::open(cut.clone(), world.keyring(), world.clock, options()).await.unwrap();
    assert!(restarted.authenticate(LIVE).await.is_ok());
    let mut strict = options();
    strict.max_stale = std::time::Duration::ZERO;
    assert!(Control::open(cut.clone(), world.keyring(), world.clock, strict).await.is_err());
    let other_key = Arc::new(tidings::seal::Keyring::parse(&tidings::seal::Keyring::line(&[9; 32])).unwrap());
    assert!(Control::open(cut.clone(), other_key, world.clock, options()).await.is_err(), "the copy opens with another key");

    cut.away.store(false, Ordering::Relaxed);
    server.post("/v1/admin/suppressions", &root, json!({"to": "+8613800138000", "reason": "x"})).await.expect(201);
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn rights_that_are_too_old_are_no_rights() {
    let world = World::new();
    world.ready().await;
    let cut = Arc::new(Cut { store: world.store().await, away: AtomicBool::new(false) });
    let mut options = world.options("cut");
    options.max_stale = std::time::Duration::from_millis(300);
    let control = Arc::new(Control::open(cut.clone(), world.keyring(), world.clock, options).await.unwrap());
    let server = world.server(&control).await;
    cut.away.store(true, Ordering::Relaxed);
    let stale = async {
        while !control.is_stale() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(A_WHILE, stale).await.unwrap();
    server.get("/v1/messages", LIVE).await.refused(503, "unavailable");
    cut.away.store(false, Ordering::Relaxed);
    control.refresh().await.unwrap();
    server.get("/v1/messages", LIVE).await.expect(200);
}
