//! The store away: rights stay as they were last known, for as long as they may, across a restart too.
//!
//! A minute and a quarter of an hour pass in virtual time: [`Hours`] moves the clock that everything goes by.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tidings::{clock::Clock, control::Control, shared::Local};
use tidings_core::time::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{
    cut::Cut,
    world::{LIVE, World},
};

const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// What a commit to a file takes on a busy machine.
const REAL_TIME_A_STEP: Duration = Duration::from_millis(10);

/// Virtual time that only moves when it is told to. Tokio moves paused time by itself whenever everybody waits, and whoever
/// waits for SQLite's thread would be told that minutes have passed; a blocking task under way keeps it from that.
struct Hours {
    hold: Option<std::sync::mpsc::Sender<()>>,
}

impl Hours {
    fn new() -> Self {
        let (hold, held) = std::sync::mpsc::channel();
        drop(tokio::task::spawn_blocking(move || held.recv()));
        Self { hold: Some(hold) }
    }

    async fn pass(&self, time: Duration) {
        tokio::time::advance(time).await;
    }

    /// Lets time pass in small steps until a condition holds; says how much passed.
    async fn until(&self, most: Duration, holds: impl AsyncFn() -> bool) -> Duration {
        const STEP: Duration = Duration::from_millis(100);
        let mut passed = Duration::ZERO;
        while !holds().await {
            assert!(passed < most, "it does not hold after {most:?}");
            self.pass(STEP).await;
            // Others run on threads of their own: real time for them, none for the clock.
            tokio::task::spawn_blocking(|| std::thread::park_timeout(REAL_TIME_A_STEP)).await.unwrap();
            passed += STEP;
        }
        passed
    }
}

impl Drop for Hours {
    fn drop(&mut self) {
        drop(self.hold.take());
    }
}

fn running(control: &Arc<Control>) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    let stop = CancellationToken::new();
    let task = tokio::spawn({
        let (control, stop) = (Arc::clone(control), stop.clone());
        async move { control.run(stop).await }
    });
    (stop, task)
}

#[tokio::test(start_paused = true)]
async fn for_a_minute_without_the_store_sending_goes_on_with_the_last_known_rights_and_changes_wait() {
    let hours = Hours::new();
    let world = World { clock: Clock::starting_at(START), ..World::new() };
    world.ready().await;
    let cut = Cut::around(world.store().await);
    let control = world.node_on(cut.clone(), "cut").await;
    let server = world.server(&control).await;
    let (stop, task) = running(&control);
    let copy = world.dir.path().join("cut/control.snapshot");
    let root = server.session("root").await;
    hours.until(Duration::from_secs(60), async || copy.exists()).await;

    cut.away(true);
    let away_since = world.clock.now();
    for second in 0..60 {
        hours.pass(Duration::from_secs(1)).await;
        let body = json!({"to": "+8613800138000", "template": "login-code", "params": {"code": "482913"}});
        server.post("/v1/messages", LIVE, body).await.expect(202);
        server.get("/v1/admin/apps", &root).await.expect(200);
        if second % 20 == 0 {
            let body = json!({"to": "+8613800138000", "reason": "x"});
            server.post("/v1/admin/suppressions", &root, body).await.refused(503, "unavailable");
            server.get("/v1/messages", "tk_live_unknown0123456789abcdef0123456789").await.refused(401, "unauthorized");
        }
    }
    assert!(world.clock.now().since(away_since) >= Duration::from_secs(60));
    assert!(control.confirmed_at() <= away_since, "a node that reaches nobody says that its rights are the newest");

    // A node that starts now takes the copy, and refuses one that is too old.
    let options = || world.options("cut");
    let restarted = Control::open(cut.clone(), world.keyring(), world.clock, options()).await.unwrap();
    assert!(restarted.authenticate(LIVE).await.is_ok());
    let mut strict = options();
    strict.max_stale = Duration::ZERO;
    assert!(Control::open(cut.clone(), world.keyring(), world.clock, strict).await.is_err());
    let other_key = Arc::new(tidings::seal::Keyring::parse(&tidings::seal::Keyring::line(&[9; 32])).unwrap());
    assert!(Control::open(cut.clone(), other_key, world.clock, options()).await.is_err(), "the copy opens with another key");

    cut.away(false);
    server.post("/v1/admin/suppressions", &root, json!({"to": "+8613800138000", "reason": "x"})).await.expect(201);
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn rights_that_are_a_quarter_of_an_hour_old_are_no_rights() {
    let hours = Hours::new();
    let world = World { clock: Clock::starting_at(START), ..World::new() };
    world.ready().await;
    let cut = Cut::around(world.store().await);
    let control = world.node_on(cut.clone(), "cut").await;
    let server = world.server(&control).await;
    cut.away(true);
    hours.pass(Duration::from_secs(899)).await;
    server.get("/v1/messages", LIVE).await.expect(200);
    hours.pass(Duration::from_secs(2)).await;
    server.get("/v1/messages", LIVE).await.refused(503, "unavailable");
    cut.away(false);
    control.refresh().await.unwrap();
    server.get("/v1/messages", LIVE).await.expect(200);
}

#[tokio::test(start_paused = true)]
async fn without_the_store_a_revocation_reaches_other_nodes_by_what_they_share_and_is_written_down_later() {
    let hours = Hours::new();
    let world = World { clock: Clock::starting_at(START), ..World::new() };
    world.ready().await;
    let shared = Arc::new(Local::new(world.clock));
    let (one, two) = (Cut::around(world.store().await), Cut::around(world.store().await));
    let here = world.node_sharing(one.clone(), "one", shared.clone()).await;
    let there = world.node_sharing(two.clone(), "two", shared.clone()).await;
    let (api_here, api_there) = (world.server(&here).await, world.server(&there).await);
    let (stop_here, task_here) = running(&here);
    let (stop_there, task_there) = running(&there);
    let (root, otto) = (api_here.session("root").await, api_here.session("otto").await);
    hours.until(Duration::from_secs(5), async || api_there.get("/v1/admin/apps", &otto).await.status == 200).await;

    one.away(true);
    two.away(true);
    let keys = api_here.get("/v1/admin/apps/shop/keys", &root).await;
    // Listing keys asks the store for their last use; the key's id is in the file.
    assert!(keys.status == 200 || keys.status == 503);
    let path = format!("/v1/admin/apps/shop/keys/{}", super::world::KEY_ID);
    api_here.call(http::Method::DELETE, &path, Some(&root), None).await.expect(204);
    api_here.call(http::Method::DELETE, "/v1/admin/session", Some(&otto), None).await.expect(204);
    api_here.get("/v1/messages", LIVE).await.refused(401, "unauthorized");
    api_here.get("/v1/admin/apps", &otto).await.refused(401, "unauthorized");
    let gone = async || {
        let key = api_there.get("/v1/messages", LIVE).await.status == 401;
        key && api_there.get("/v1/admin/apps", &otto).await.status == 401
    };
    let took = hours.until(Duration::from_secs(5), gone).await;
    println!("revocations took {took:?} by what the nodes share");

    // Whoever reaches what is shared has the newest revocations, so its rights do not grow old.
    for _ in 0..20 {
        hours.pass(Duration::from_secs(60)).await;
        let before = there.confirmed_at();
        hours.until(Duration::from_secs(5), async || there.confirmed_at() > before).await;
    }
    api_there.get("/v1/messages", super::world::OTHER).await.expect(200);

    // The store is back: a node writes down what was revoked, with whoever did it.
    two.away(false);
    let written = async || {
        there.refresh().await.unwrap();
        there.snapshot().key(super::world::KEY_ID.parse().unwrap()).is_some_and(|key| key.revoked_at.is_some())
    };
    hours.until(Duration::from_secs(10), written).await;
    let log = there.audit_log(&tidings::control::audit::Filter::default(), None, 200).await.unwrap();
    let entry = log.iter().map(|(_, entry)| entry).find(|entry| entry.action == "key.revoked").unwrap();
    assert_eq!((entry.actor.as_str(), entry.reason.as_deref()), ("root", Some("revoked while the store was away")));
    for (stop, task) in [(stop_here, task_here), (stop_there, task_there)] {
        stop.cancel();
        task.await.unwrap();
    }
}
