//! Ranking one message among six providers, as delivery does it for every message: choose, and give the ticket back.

use std::time::Duration;

use divan::{Bencher, black_box};
use tidings_core::{
    attempt::Outcome,
    fleet::{Ask, Choice, Fleet, FleetConfig, ProviderSpec, Ticket},
    health::Thresholds,
    message::{Category, Lane},
    money::Amount,
    retry::ProviderSet,
    select::Select,
    time::Moment,
};

fn main() {
    divan::main();
}

const SIX: &[usize] = &[0, 1, 2, 3, 4, 5];

fn fleet() -> Fleet {
    let spec = |at: u32| ProviderSpec {
        name: format!("provider-{at}").into(),
        weight: 100 + at,
        max_per_s: 10_000_000,
        max_in_flight: 10_000,
        timeout: Duration::from_secs(3),
        price: Amount::from_micros(10_000),
        receipts: true,
        thresholds: Thresholds::default(),
    };
    Fleet::new(FleetConfig { providers: (0..6).map(spec).collect() }, 1, Moment::ZERO)
}

const fn ask(select: Select) -> Ask<'static> {
    Ask {
        category: Category::Transactional,
        lane: Lane::Normal,
        segments: 1,
        key: 7,
        candidates: SIX,
        tried: ProviderSet::EMPTY,
        select,
        max_price: None,
    }
}

/// A fleet that has known its providers for two minutes, with `out` calls at each.
fn warm(out: usize) -> (Fleet, Moment, Vec<Ticket>) {
    let mut fleet = fleet();
    let mut now = Moment::ZERO;
    for _ in 0..12_000 {
        let Choice::Call(ticket) = fleet.choose(now, &ask(Select::Weighted)) else { break };
        now = now + Duration::from_millis(10);
        fleet.ended(now, ticket, Outcome::Accepted, None);
        fleet.tick(now);
    }
    // These stay out: pending calls are what ranking has to look at.
    let pending = (0..out * SIX.len()).map_while(|_| match fleet.choose(now, &ask(Select::Weighted)) {
        Choice::Call(ticket) => Some(ticket),
        _ => None,
    });
    let pending = pending.collect();
    (fleet, now, pending)
}

#[divan::bench(args = Select::ALL)]
fn choose_among_six(bencher: Bencher<'_, '_>, select: &Select) {
    let (mut fleet, mut now, _pending) = warm(1);
    bencher.bench_local(|| {
        now = now + Duration::from_micros(20);
        if let Choice::Call(ticket) = fleet.choose(now, black_box(&ask(*select))) {
            fleet.abandoned(ticket);
        }
    });
}

#[divan::bench]
fn choose_and_end(bencher: Bencher<'_, '_>) {
    let (mut fleet, mut now, _pending) = warm(1);
    bencher.bench_local(|| {
        now = now + Duration::from_micros(20);
        if let Choice::Call(ticket) = fleet.choose(now, black_box(&ask(Select::Weighted))) {
            fleet.ended(now + Duration::from_millis(10), ticket, Outcome::Accepted, None);
        }
    });
}
