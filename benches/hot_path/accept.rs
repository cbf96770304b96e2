//! What accepting costs: the way of `POST /v1/messages` from the fields of its body to a row on disk.
//!
//! An app with limits sends codes by a template and a signature, each with an idempotency key, into a store of its own. `prepared`
//! ends before anything is asked or written: shape, rights, rendering, segments, routes. `durable` is the whole, with the
//! look-up of the key, the limits and the writer's transaction with its sync; 64 at once show what one costs when a tick carries
//! many. Nobody delivers here, so every row is written as waiting, as it is under a flood. Not measured here: who calls
//! (`cargo bench --bench tokens`), and what caps of a recipient ask of the store, because this app has none.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use divan::{Bencher, black_box, counter::ItemsCount};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidings::{
    accept::{Accept, Limits, MessageFields, given::Given},
    api::extract::parse_any,
    clock::Clock,
    control::{
        Bootstrap, Control, Options,
        auth::{self, Machine, Principal},
    },
    delivery::Intake,
    seal::Keyring,
    shared::InProcess,
    store::{Sqlite, SqliteControl},
    telemetry::Metrics,
};
use tokio::runtime::Runtime;

/// Items of the batch that is measured.
const BATCH: usize = 100;

const KEY: &str = "tk_live_0123456789abcdef0123456789abcdef";
const FILE: &str = r#"
[[apps]]
name = "shop"
live = true
max_per_s = 1_000_000
daily_quota = 1_000_000_000
[[apps.keys]]
name = "live"
secret = "tk_live_0123456789abcdef0123456789abcdef"
scopes = ["messages:send"]
[[apps.templates]]
name = "login-code"
channel = "sms"
category = "otp"
text = "Your code is {{ code }}."
[[apps.signatures]]
name = "Acme"

[[providers]]
name = "a"
kind = "simulated"
channel = "sms"
[[providers]]
name = "b"
kind = "simulated"
channel = "sms"
"#;

/// All that accepting needs, as a process of the embedded rung has it.
struct World {
    runtime: Runtime,
    accept: Accept,
    sender: Machine,
    _folder: TempDir,
}

impl World {
    fn new() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let folder = TempDir::new().expect("a folder");
        let (accept, sender) = runtime.block_on(open(&folder));
        let world = Self { runtime, accept, sender, _folder: folder };
        // The first message of an app has its day and month counted.
        world.runtime.block_on(world.send(request()));
        world
    }

    async fn send(&self, (fields, key): (MessageFields, String)) {
        let sent = self.accept.send(&self.sender, fields, Some(&key), None).await.expect("accepted");
        assert!(!sent.replayed);
    }
}

async fn open(folder: &TempDir) -> (Accept, Machine) {
    let (path, clock) = (folder.path().join("tidings.db"), Clock::system());
    let keyring = Arc::new(Keyring::parse(&Keyring::line(&[7; 32])).expect("a key"));
    let (messages, _writer) = Sqlite::open(&path, Arc::clone(&keyring), clock, |_| {}).await.expect("a store");
    let documents = SqliteControl::open(&path).await.expect("its documents");
    let hour = Duration::from_secs(3_600);
    let options = Options { data_dir: folder.path().to_owned(), access_token: hour, refresh_token: hour, max_stale: hour };
    let control = Control::open(Arc::new(documents), keyring, clock, options).await.expect("a control plane");
    Bootstrap::read(FILE).expect("a sound file").apply(&control).await.expect("an app");
    let Ok(Principal::Machine(sender)) = auth::verify(&control.snapshot(), KEY, clock.now()) else { panic!("the key is the app's") };
    let limits = Limits::new(Arc::new(InProcess::new(clock)), Arc::new(InProcess::new(clock)));
    let metrics = Arc::new(Metrics::new());
    (Accept::new(Arc::new(control), Arc::new(messages), Intake::default(), clock, metrics, u64::MAX, limits), sender)
}

fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A body as a team writes it, to somebody who was never written to.
fn body() -> Value {
    let number = number();
    let (to, code) = (format!("+49{}", 15_100_000_000 + number), format!("{:06}", number % 1_000_000));
    json!({"to": to, "template": "login-code", "params": {"code": code}, "signature": "Acme", "reference": format!("order-{number}")})
}

fn fields_of(body: &Value) -> MessageFields {
    match parse_any(body.to_string().as_bytes()) {
        Ok(Given::Is(fields)) => fields,
        _ => panic!("the body is an object"),
    }
}

/// A parsed request and its key.
fn request() -> (MessageFields, String) {
    (fields_of(&body()), format!("key-{}", number()))
}

/// From the fields to a message that may be sent: nothing is asked, nothing is written.
#[divan::bench]
fn prepared(bencher: Bencher<'_, '_>) {
    let world = World::new();
    bencher.with_inputs(|| fields_of(&body())).bench_local_values(|fields| {
        world.accept.preview(&world.sender, fields, |prepared| black_box(prepared.message.segments)).expect("it may be sent")
    });
}

/// From the fields to the disk, so many requests at once.
#[divan::bench(args = [1, 64], sample_count = 50, sample_size = 1)]
fn durable(bencher: Bencher<'_, '_>, at_once: usize) {
    let world = World::new();
    bencher
        .counter(ItemsCount::new(at_once))
        .with_inputs(|| (0..at_once).map(|_| request()).collect::<Vec<_>>())
        .bench_local_values(|requests| world.runtime.block_on(join_all(requests.into_iter().map(|request| world.send(request)))));
}

/// From the items to the disk, each with a key of its own.
#[divan::bench(sample_count = 50, sample_size = 1)]
fn batch_of_100(bencher: Bencher<'_, '_>) {
    let world = World::new();
    let item = || {
        let mut body = body();
        body["idempotency_key"] = json!(format!("key-{}", number()));
        Some(fields_of(&body))
    };
    bencher.counter(ItemsCount::new(BATCH)).with_inputs(|| (0..BATCH).map(|_| item()).collect::<Vec<_>>()).bench_local_values(|items| {
        let results = world.runtime.block_on(world.accept.send_batch(&world.sender, items, None)).expect("answered");
        results.into_iter().for_each(|sent| assert!(!sent.expect("accepted").replayed));
    });
}
