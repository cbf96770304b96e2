//! What a message costs in the parts that every message passes: `cargo bench --bench hot_path`.
//!
//! Each figure is the time of one unit as it happens in production: a writer tick is a whole transaction with its sync, and so is
//! what is called durable.

mod accept;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use divan::Bencher;
use tempfile::TempDir;
use tidings::{
    clock::Clock,
    seal::Keyring,
    store::{Messages, NewMessage, Sqlite},
};
use tidings_core::{
    attempt::Outcome,
    fleet::{Ask, Choice, Fleet, FleetConfig, ProviderSpec},
    health::Thresholds,
    id::{AppId, MessageId},
    message::{Category, Channel, Encoding, Lane, Message},
    money::Amount,
    redact::Redacted,
    retry::ProviderSet,
    select::Select,
    time::{Moment, Timestamp},
};
use tokio::runtime::Runtime;

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

fn main() {
    divan::main();
}

fn message() -> Message {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    Message {
        id: MessageId::new(NOW, random),
        app: AppId::new(NOW, [1; 10]),
        key: None,
        to: Redacted::new(format!("+49{}", 1_000_000_000 + number)),
        channel: Channel::Sms,
        category: Category::Transactional,
        text: Redacted::new("Your order 8812 was shipped.".to_owned()),
        subject: None,
        template: None,
        params: Redacted::default(),
        signature: None,
        encoding: Some(Encoding::Gsm7),
        segments: 1,
        reference: None,
        metadata: BTreeMap::new(),
        accepted_at: NOW,
        send_at: None,
        expires_at: NOW + Duration::from_secs(3_600),
        hold: false,
        max_price: None,
        test: false,
        traceparent: None,
    }
}

/// Choosing among so many healthy providers, and taking the outcome in.
#[divan::bench(args = [2, 6, 12])]
fn ranking(bencher: Bencher<'_, '_>, providers: usize) {
    let spec = |place: usize| ProviderSpec {
        name: format!("p{place}").into(),
        weight: 100,
        max_per_s: 0,
        max_in_flight: 0,
        timeout: Duration::from_secs(3),
        price: Amount::from_micros(10_000),
        receipts: true,
        thresholds: Thresholds::default(),
    };
    let mut fleet = Fleet::new(FleetConfig { providers: (0..providers).map(spec).collect() }, 7, Moment::ZERO);
    let candidates: Vec<usize> = (0..providers).collect();
    let mut now = Moment::ZERO;
    bencher.bench_local(|| {
        now = now + Duration::from_micros(50);
        let ask = Ask {
            category: Category::Transactional,
            lane: Lane::Normal,
            segments: 1,
            key: 7,
            candidates: &candidates,
            tried: ProviderSet::EMPTY,
            select: Select::Weighted,
            max_price: None,
        };
        if let Choice::Call(ticket) = fleet.choose(now, &ask) {
            fleet.ended(now + Duration::from_micros(40), ticket, Outcome::Accepted, None);
        }
    });
}

/// The message as the store and the queue carry it, there and back.
#[divan::bench]
fn envelope(bencher: Bencher<'_, '_>) {
    let message = message();
    bencher.bench_local(|| {
        let bytes = serde_json::to_vec(&message).expect("a message is JSON");
        serde_json::from_slice::<Message>(&bytes).expect("and reads back")
    });
}

/// One transaction of the writer that makes so many messages durable, sync included.
#[divan::bench(args = [1, 64, 512], sample_count = 30, sample_size = 1)]
fn writer_tick(bencher: Bencher<'_, '_>, messages: usize) {
    let runtime = Runtime::new().expect("a runtime");
    let home = TempDir::new().expect("a folder");
    let keyring = Arc::new(Keyring::parse(&Keyring::line(&[7; 32])).expect("a key"));
    let path = home.path().join("tidings.db");
    let (store, _writer) = runtime.block_on(Sqlite::open(&path, keyring, Clock::system(), |_| {})).expect("a store");
    bencher
        .with_inputs(|| (0..messages).map(|_| NewMessage::waiting(message())).collect::<Vec<_>>())
        .bench_local_values(|batch| runtime.block_on(store.accept(batch)).expect("durable"));
}
