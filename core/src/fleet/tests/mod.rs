use super::*;
use crate::{
    health::Thresholds,
    message::{Category, Lane},
    money::Amount,
    retry::ProviderSet,
    select::Select,
};

fn at(millis: u64) -> Moment {
    Moment::from_start(Duration::from_millis(millis))
}

fn spec(name: &str) -> ProviderSpec {
    ProviderSpec {
        name: name.into(),
        weight: 100,
        max_per_s: 0,
        max_in_flight: 0,
        timeout: Duration::from_secs(3),
        price: Amount::from_micros(10_000),
        receipts: false,
        thresholds: Thresholds::default(),
    }
}

fn fleet(providers: Vec<ProviderSpec>) -> Fleet {
    Fleet::new(FleetConfig { providers }, 1, Moment::ZERO)
}

const ASK: Ask<'static> = Ask {
    category: Category::Transactional,
    lane: Lane::Normal,
    segments: 1,
    key: 0,
    candidates: &[0, 1],
    tried: ProviderSet::EMPTY,
    select: Select::Weighted,
    max_price: None,
};

fn call(fleet: &mut Fleet, now: Moment, ask: &Ask<'_>) -> Ticket {
    match fleet.choose(now, ask) {
        Choice::Call(ticket) => ticket,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_round_ends_when_everybody_was_tried() {
    let mut fleet = fleet(vec![spec("a"), spec("b")]);
    let first = call(&mut fleet, at(0), &ASK);
    let tried: ProviderSet = [first.provider].into_iter().collect();
    let second = call(&mut fleet, at(1), &Ask { tried, ..ASK });
    assert_ne!(first.provider, second.provider);
    assert!(matches!(fleet.choose(at(2), &Ask { tried: [0, 1].into_iter().collect(), ..ASK }), Choice::Exhausted));
    fleet.ended(at(100), first, Outcome::Accepted, None);
    fleet.abandoned(second);
    assert_eq!(fleet.view(at(100)).iter().map(|it| it.in_flight).sum::<u32>(), 0);
}

#[test]
fn what_is_too_dear_for_a_message_is_not_used() {
    let mut fleet = fleet(vec![spec("a"), ProviderSpec { price: Amount::from_micros(30_000), ..spec("b") }]);
    let cheap = Ask { max_price: Some(Amount::from_micros(20_000)), ..ASK };
    for _ in 0..4 {
        assert_eq!(call(&mut fleet, at(0), &cheap).provider, 0);
    }
    assert!(matches!(fleet.choose(at(0), &Ask { segments: 3, ..cheap }), Choice::NoCandidate));
}

#[test]
fn a_full_provider_says_when_it_has_room() {
    let mut fleet = fleet(vec![ProviderSpec { max_per_s: 1, ..spec("a") }]);
    let _first = call(&mut fleet, at(500), &Ask { candidates: &[0], ..ASK });
    match fleet.choose(at(600), &Ask { candidates: &[0], ..ASK }) {
        Choice::Wait { until, reason: WaitReason::Rate, provider: Some(0) } => assert_eq!(until, at(1_500)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_provider_that_throttles_is_spared_for_a_second_unless_nobody_else_has_room() {
    let mut fleet = fleet(vec![spec("a"), ProviderSpec { max_in_flight: 20, ..spec("b") }]);
    for number in 0..20 {
        let ticket = call(&mut fleet, at(number * 20), &Ask { candidates: &[0], ..ASK });
        fleet.ended(at(number * 20 + 1), ticket, Outcome::Accepted, None);
    }
    let too_many = call(&mut fleet, at(500), &Ask { candidates: &[0], ..ASK });
    fleet.ended(at(600), too_many, Outcome::Throttled, None);
    for number in 0..20 {
        assert_eq!(call(&mut fleet, at(610 + number), &ASK).provider, 1);
    }
    assert_eq!(call(&mut fleet, at(1_900), &ASK).provider, 0, "the other one is full");
    assert_eq!(call(&mut fleet, at(2_200), &ASK).provider, 0, "its second is over");
}

#[test]
fn a_paused_provider_gets_nothing_until_a_person_resumes_it() {
    let mut fleet = fleet(vec![spec("a"), spec("b")]);
    let order = |command| Order { command, actor: "ada".into(), reason: "maintenance".into() };
    assert!(fleet.order(at(0), 0, &order(Command::Pause)));
    for _ in 0..4 {
        assert_eq!(call(&mut fleet, at(1), &ASK).provider, 1);
    }
    assert_eq!(fleet.view(at(1))[0].state, State::Paused);
    assert!(matches!(fleet.choose(at(1), &Ask { candidates: &[0], ..ASK }), Choice::Wait { reason: WaitReason::Paused, .. }));
    fleet.order(at(2), 0, &order(Command::Resume));
    assert_eq!(fleet.view(at(2))[0].state, State::Healthy);
    let events = fleet.take_events();
    assert_eq!(events.iter().map(|it| it.kind).collect::<Vec<_>>(), [EventKind::Paused, EventKind::Resumed]);
    assert_eq!(events[0].actor.as_deref(), Some("ada"));
}

#[test]
fn a_set_weight_overrides_the_configured_one() {
    let mut fleet = fleet(vec![spec("a"), spec("b")]);
    let order = Order { command: Command::Weight(Some(300)), actor: "ada".into(), reason: "cheaper".into() };
    fleet.order(at(0), 0, &order);
    assert!((fleet.view(at(0))[0].effective_share - 0.75).abs() < 1e-9);
}

#[test]
fn tickets_survive_a_revision_that_moves_or_drops_their_provider() {
    let mut fleet = fleet(vec![spec("a"), spec("b")]);
    let first = call(&mut fleet, at(0), &Ask { candidates: &[0], ..ASK });
    let second = call(&mut fleet, at(0), &Ask { candidates: &[1], ..ASK });
    fleet.reconfigure(FleetConfig { providers: vec![spec("c"), spec("a")] }, at(1));
    assert_eq!(fleet.view(at(1))[1].in_flight, 1);
    fleet.ended(at(2), first, Outcome::Accepted, None);
    fleet.ended(at(2), second, Outcome::Accepted, None);
    assert!(fleet.view(at(2)).iter().all(|it| it.in_flight == 0));
}

mod everybody;
mod gossip;
mod properties;
mod quick;
mod sickness;
