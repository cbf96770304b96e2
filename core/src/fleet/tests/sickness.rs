//! A provider that falls ill while messages are on their way, and what people say about it.

use super::*;
use crate::health::Signal;

const A_ONLY: Ask<'static> = Ask { candidates: &[0], ..ASK };

/// A fleet that has known its two providers for a minute: ten calls a second to each, a tenth of a second long.
fn known() -> (Fleet, Moment) {
    known_to(fleet(vec![spec("a"), spec("b")]))
}

fn known_to(mut fleet: Fleet) -> (Fleet, Moment) {
    let mut out: Vec<(Moment, Ticket)> = Vec::new();
    for step in 0..1_200 {
        let now = at(step * 50);
        for (_, ticket) in out.extract_if(.., |(ends, _)| *ends <= now).collect::<Vec<_>>() {
            fleet.ended(now, ticket, Outcome::Accepted, None);
        }
        // Not quite regular: a provider always has some spread.
        let ends = now + Duration::from_millis(80 + (step * 7) % 40);
        let mut ticket = call(&mut fleet, now, &ASK);
        fleet.sent(now, &mut ticket);
        out.push((ends, ticket));
        fleet.tick(now);
    }
    let now = at(61_000);
    for (_, ticket) in out {
        fleet.ended(now, ticket, Outcome::Accepted, None);
    }
    fleet.take_events();
    (fleet, now)
}

/// Calls to `a` that are not answered, twenty a second, until it gets none any more; its tickets and when that was.
fn hang(fleet: &mut Fleet, mut now: Moment) -> (Vec<Ticket>, Moment) {
    let mut out = Vec::new();
    for _ in 0..100 {
        now = now + Duration::from_millis(50);
        fleet.tick(now);
        match fleet.choose(now, &A_ONLY) {
            Choice::Call(ticket) => out.push(ticket),
            _ if fleet.view(now)[0].state == State::Ejected => break,
            _ => {}
        }
    }
    (out, now)
}

#[test]
fn calls_that_are_still_out_eject_long_before_their_timeout() {
    let (mut fleet, began) = known();
    let (out, ejected_at) = hang(&mut fleet, began);
    assert_eq!(fleet.view(ejected_at)[0].state, State::Ejected);
    assert!(ejected_at.since(began) < Duration::from_secs(1), "the timeout is three seconds: {:?}", ejected_at.since(began));
    assert!(out.len() <= 12, "{} calls were wasted", out.len());
    out.into_iter().for_each(|ticket| fleet.ended(ejected_at, ticket, Outcome::Ambiguous, None));
}

/// Plays `a` with a bearable tail for a minute, one call in fifteen takes 1.1 s, and then calls that are slow in a row, or hang.
fn slow_in_a_row(slow: u64, answered: bool) -> bool {
    let (mut fleet, began) = known();
    let mut out: Vec<(Moment, Ticket, Outcome)> = Vec::new();
    for step in 0..1_300 {
        let now = began + Duration::from_millis(step * 50);
        for (_, ticket, outcome) in out.extract_if(.., |(ends, ..)| *ends <= now).collect::<Vec<_>>() {
            fleet.ended(now, ticket, outcome, None);
        }
        fleet.tick(now);
        if let Choice::Call(ticket) = fleet.choose(now, &A_ONLY) {
            // The last of the tail's was answered long before: its test has forgotten it.
            let in_a_row = (1_214..1_214 + slow).contains(&step);
            let (takes, outcome) = match (in_a_row, step % 15 == 0) {
                (true, _) if !answered => (3_000, Outcome::Ambiguous),
                (true, _) | (_, true) => (1_100, Outcome::Accepted),
                _ => (80 + (step * 7) % 40, Outcome::Accepted),
            };
            out.push((now + Duration::from_millis(takes), ticket, outcome));
        }
    }
    fleet.take_events().iter().any(|event| event.kind == EventKind::Ejected)
}

#[test]
fn slow_calls_in_a_row_at_a_provider_whose_answers_were_slow_of_late_are_no_hang() {
    assert!(!slow_in_a_row(6, true), "they are answered");
    assert!(slow_in_a_row(1_000, false), "who answers nothing any more is out all the same");
}

#[test]
fn the_cap_of_calls_counts_those_that_have_departed_not_those_that_are_being_written_down() {
    let providers = vec![spec("a"), spec("b")];
    let (mut fleet, now) = known_to(Fleet::writing_first(FleetConfig { providers }, 1, Moment::ZERO));
    let mut tickets: Vec<Ticket> = (0..100).map(|_| call(&mut fleet, now, &A_ONLY)).collect();
    tickets.iter_mut().for_each(|ticket| fleet.sent(now, ticket));
    assert!(matches!(fleet.choose(now, &A_ONLY), Choice::Wait { reason: WaitReason::InFlight, .. }), "one or two are out as a rule");
    tickets.into_iter().for_each(|ticket| fleet.ended(now + Duration::from_millis(90), ticket, Outcome::Accepted, None));
    let written: Vec<Ticket> = (0..100).map(|_| call(&mut fleet, now + Duration::from_millis(100), &A_ONLY)).collect();
    written.into_iter().for_each(|ticket| fleet.abandoned(ticket));
    assert_eq!(fleet.view(now)[0].in_flight, 0);
}

#[test]
fn two_late_calls_send_others_elsewhere_and_let_nobody_wait() {
    let (mut fleet, began) = known();
    let late = [call(&mut fleet, began, &A_ONLY), call(&mut fleet, began + Duration::from_millis(1), &A_ONLY)];
    let now = began + Duration::from_millis(180);
    fleet.tick(now);
    let mut elsewhere = Vec::new();
    for _ in 0..4 {
        elsewhere.push(call(&mut fleet, now, &ASK));
    }
    assert!(elsewhere.iter().all(|ticket| ticket.provider == 1), "who has a choice goes elsewhere");
    assert_eq!(call(&mut fleet, now, &A_ONLY).provider, 0, "who has none does not wait for luck");
    late.into_iter().chain(elsewhere).for_each(|ticket| fleet.abandoned(ticket));
}

#[test]
fn an_ejection_is_an_event_with_everything_that_it_was_judged_by() {
    let (mut fleet, began) = known();
    let (out, ejected_at) = hang(&mut fleet, began);
    let event = fleet.take_events().into_iter().find(|event| event.kind == EventKind::Ejected).expect("it is told");
    let reading = event.reading.expect("with its numbers");
    assert_eq!((reading.name, reading.threshold, &*event.provider), (Signal::ConsecutiveTimeouts, 3.0, "a"));
    assert!(reading.samples >= 4 && reading.value > reading.baseline, "{reading:?}");
    assert_eq!((event.actor, event.adopted), (None, false), "nobody did it but health");
    out.into_iter().for_each(|ticket| fleet.ended(ejected_at, ticket, Outcome::Ambiguous, None));
}

#[test]
fn what_others_adopt_has_the_numbers_of_who_decided() {
    let (mut fleet, began) = known();
    let mut other = Fleet::new(FleetConfig { providers: vec![spec("a"), spec("b")] }, 99, Moment::ZERO);
    let (_out, ejected_at) = hang(&mut fleet, began);
    let summary = fleet.summary(ejected_at);
    other.merge(ejected_at, &summary, Duration::from_millis(200));
    let event = other.take_events().into_iter().find(|event| event.kind == EventKind::Ejected).expect("it is adopted");
    assert!(event.adopted && event.reading.is_some_and(|reading| reading.samples >= 4), "{event:?}");
}

#[test]
fn only_calls_at_a_provider_that_hangs_are_left_and_only_beyond_its_slowest_hundredth() {
    let (mut fleet, began) = known();
    assert_eq!(fleet.hopeless_after(began, 0), None, "a healthy provider is never hedged");
    let (_out, ejected_at) = hang(&mut fleet, began);
    let after = fleet.hopeless_after(ejected_at, 0).expect("it is out because calls hang");
    assert!((100..=200).contains(&after.as_millis()), "its slowest calls took 120 ms: {after:?}");
    assert_eq!(fleet.hopeless_after(ejected_at, 1), None, "the other one is well");
}

#[test]
fn calls_at_a_provider_that_a_person_has_paused_are_left_too() {
    let (mut fleet, now) = known();
    let order = |command| Order { command, actor: "ops".into(), reason: "it hangs".into() };
    assert!(fleet.order(now, 0, &order(Command::Pause)));
    let after = fleet.hopeless_after(now, 0).expect("it is paused");
    assert!((100..=200).contains(&after.as_millis()), "its slowest calls took 120 ms: {after:?}");
    assert!(fleet.order(now, 0, &order(Command::Resume)));
    assert_eq!(fleet.hopeless_after(now, 0), None);
}

#[test]
fn a_provider_that_refuses_is_out_and_its_calls_are_not_left() {
    let (mut fleet, mut now) = known();
    while fleet.view(now)[0].state != State::Ejected {
        now = now + Duration::from_millis(50);
        let Choice::Call(ticket) = fleet.choose(now, &A_ONLY) else { break };
        fleet.ended(now + Duration::from_millis(1), ticket, Outcome::Unavailable, None);
    }
    assert_eq!((fleet.view(now)[0].state, fleet.hopeless_after(now, 0)), (State::Ejected, None));
}

#[test]
fn a_message_that_waits_for_a_provider_that_falls_ill_is_ranked_again() {
    let (mut fleet, mut now) = known();
    // Both are full: `a` has room first, so that is whom the message waits for.
    fleet.reconfigure(
        FleetConfig { providers: vec![ProviderSpec { max_per_s: 1, ..spec("a") }, ProviderSpec { max_in_flight: 1, ..spec("b") }] },
        now,
    );
    let of_b = call(&mut fleet, now, &Ask { candidates: &[1], ..ASK });
    let of_a = call(&mut fleet, now, &A_ONLY);
    assert!(matches!(fleet.choose(now, &ASK), Choice::Wait { .. }));
    for _ in 0..8 {
        now = now + Duration::from_secs(1);
        if let Choice::Call(ticket) = fleet.choose(now, &A_ONLY) {
            fleet.ended(now, ticket, Outcome::Unavailable, None);
        }
    }
    assert_eq!(fleet.view(now)[0].state, State::Ejected);
    fleet.ended(now, of_b, Outcome::Accepted, None);
    assert_eq!(call(&mut fleet, now, &ASK).provider, 1, "it goes to the one that is well");
    fleet.abandoned(of_a);
}

#[test]
fn a_pinned_provider_stays_in_service_whatever_happens_to_its_calls() {
    let (mut fleet, mut now) = known();
    let order = |command| Order { command, actor: "ada".into(), reason: "the vendor is on the phone".into() };
    fleet.order(now, 0, &order(Command::Pin));
    for _ in 0..40 {
        now = now + Duration::from_millis(100);
        fleet.tick(now);
        let ticket = call(&mut fleet, now, &A_ONLY);
        fleet.ended(now + Duration::from_millis(10), ticket, Outcome::Unavailable, None);
    }
    assert_eq!(fleet.view(now)[0].state, State::Pinned);
    fleet.order(now, 0, &order(Command::Unpin));
    assert_ne!(fleet.view(now)[0].state, State::Healthy, "health has watched all the time");
}

#[test]
fn a_paused_provider_is_not_probed_back_into_service() {
    let (mut fleet, began) = known();
    let (_out, ejected_at) = hang(&mut fleet, began);
    fleet.order(ejected_at, 0, &Order { command: Command::Pause, actor: "ada".into(), reason: "until tomorrow".into() });
    for second in 1..300 {
        let now = ejected_at + Duration::from_secs(second);
        fleet.tick(now);
        let ticket = call(&mut fleet, now, &ASK);
        assert_eq!(ticket.provider, 1);
        fleet.ended(now, ticket, Outcome::Accepted, None);
    }
}

#[test]
fn recipients_and_texts_that_are_refused_cost_no_health_and_throttling_only_the_limit() {
    let (mut fleet, mut now) = known();
    for outcome in [Outcome::RejectedRecipient, Outcome::RejectedContent] {
        for _ in 0..100 {
            now = now + Duration::from_millis(50);
            let ticket = call(&mut fleet, now, &A_ONLY);
            now = now + Duration::from_millis(100);
            fleet.ended(now, ticket, outcome, None);
            fleet.tick(now);
        }
    }
    let ticket = call(&mut fleet, now, &A_ONLY);
    fleet.ended(now + Duration::from_millis(50), ticket, Outcome::Throttled, None);
    let view = fleet.view(now + Duration::from_millis(50)).remove(0);
    assert_eq!((view.state, view.score), (State::Healthy, 100));
    assert!(view.limit_per_s.is_some_and(|limit| limit <= 10.0), "a limit was learned: {:?}", view.limit_per_s);
}

/// Two percent a minute: no minute is far from the one before, but the memory does not follow.
#[test]
fn a_provider_that_grows_slower_bit_by_bit_does_not_drag_its_own_measure_along() {
    let mut fleet = fleet(vec![spec("a"), spec("b")]);
    let mut degraded_at = None;
    for step in 0..40_u32 * 60 * 10 {
        let now = at(u64::from(step) * 100);
        let minutes = (f64::from(step) / 600.0 - 15.0).max(0.0);
        let spread = 0.9 + 0.2 * f64::from(step * 7 % 40) / 40.0;
        let ticket = call(&mut fleet, now, &A_ONLY);
        fleet.ended(now + Duration::from_secs_f64(0.090 * spread * 1.02_f64.powf(minutes)), ticket, Outcome::Accepted, None);
        fleet.tick(now);
        if fleet.take_events().iter().any(|event| event.kind == EventKind::Degraded) {
            degraded_at = degraded_at.or(Some(minutes));
        }
    }
    assert!(degraded_at.is_some_and(|minutes| minutes <= 20.0), "noticed at half as slow again: {degraded_at:?} minutes");
}

#[test]
fn a_process_that_only_listens_follows_what_others_decide_and_decides_nothing() {
    let (mut fleet, began) = known();
    let config = || FleetConfig { providers: vec![spec("a"), spec("b")] };
    let mut listener = Fleet::new(config(), 5, Moment::ZERO).listening();
    let (out, ejected_at) = hang(&mut fleet, began);
    listener.merge(ejected_at, &fleet.summary(ejected_at), Duration::from_millis(50));
    assert_eq!(listener.view(ejected_at)[0].state, State::Ejected);
    out.into_iter().for_each(|ticket| fleet.ended(ejected_at, ticket, Outcome::Ambiguous, None));
    // The worker is gone: the listener must not take over what it could never find out.
    let late = ejected_at + Duration::from_secs(60);
    (0..1_200).for_each(|step| listener.tick(ejected_at + Duration::from_millis(step * 50)));
    let told = listener.summary(late);
    let mut young = Fleet::new(config(), 6, Moment::ZERO);
    young.merge(late, &told, Duration::from_millis(50));
    assert!(matches!(young.choose(late + Duration::from_secs(5), &A_ONLY), Choice::Call(_) | Choice::Wait { .. }));
    assert!(listener.take_events().iter().all(|event| event.adopted || event.kind != EventKind::Ejected));
}

#[test]
fn a_providers_own_threshold_decides_what_it_is_reduced_for() {
    let bears_more = Thresholds { tail_share: 0.5, ..Thresholds::default() };
    let mut fleet = fleet(vec![spec("a"), ProviderSpec { thresholds: bears_more, ..spec("b") }]);
    let mut now = at(0);
    for call_number in 0..2_000_u64 {
        for place in [0, 1] {
            let ticket = call(&mut fleet, now, &Ask { candidates: &[place], ..ASK });
            let takes = if call_number > 1_800 && call_number % 5 == 0 { 1_200 } else { 80 + call_number * 7 % 40 };
            fleet.ended(now + Duration::from_millis(takes), ticket, Outcome::Accepted, None);
        }
        now = now + Duration::from_millis(50);
        fleet.tick(now);
    }
    let scores: Vec<u8> = fleet.view(now).iter().map(|view| view.score).collect();
    assert!(scores[0] < 40 && scores[1] == 100, "a fifth of both is slow: {scores:?}");
}
