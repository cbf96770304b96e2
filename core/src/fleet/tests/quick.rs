//! Providers that answer within milliseconds: what is little in absolute terms is no illness, however much of the usual it is.

use super::*;
use crate::health::Signal;

/// When the bursts end, in milliseconds.
const LAST_BURST: u64 = 132_000;

/// Longer than any call that is made here.
const DRAINED: Duration = Duration::from_secs(1);

/// The spread of answers.
fn spread(dice: &mut Dice) -> f64 {
    (0.25 * dice.normal()).exp()
}

/// Plays `per_s` messages a second from `from_s` to `until_s`, each answered after the milliseconds that `latency_ms` gives for its
/// time and provider.
fn play(fleet: &mut Fleet, time: (u64, u64), per_s: u32, latency_ms: impl FnMut(Moment, usize) -> f64) -> Vec<Event> {
    play_and_look(fleet, time, per_s, latency_ms, |_, _| ())
}

fn play_and_look(
    fleet: &mut Fleet,
    (from_s, until_s): (u64, u64),
    per_s: u32,
    mut latency_ms: impl FnMut(Moment, usize) -> f64,
    mut look: impl FnMut(&mut Fleet, Moment),
) -> Vec<Event> {
    let mut out: Vec<(Moment, Ticket)> = Vec::new();
    let gap = Duration::from_secs(1) / per_s;
    let mut now = at(from_s * 1_000);
    while now < at(until_s * 1_000) {
        for (ends, ticket) in out.extract_if(.., |(ends, _)| *ends <= now).collect::<Vec<_>>() {
            fleet.ended(ends, ticket, Outcome::Accepted, None);
        }
        fleet.tick(now);
        if let Choice::Call(ticket) = fleet.choose(now, &ASK) {
            let latency = Duration::from_secs_f64(latency_ms(now, ticket.provider) / 1_000.0);
            out.push((now + latency, ticket));
        }
        look(fleet, now);
        now = now + gap;
    }
    let drained = now + DRAINED;
    out.into_iter().for_each(|(ends, ticket)| fleet.ended(ends.min(drained), ticket, Outcome::Accepted, None));
    fleet.take_events()
}

fn changes(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event.kind, EventKind::Degraded | EventKind::Restored)).count()
}

/// Two providers that take `usual_ms` are known for two minutes. Then come ten seconds of load in which every second twentieth of
/// a second is slower by `burst_ms`: connections queue behind each other and are through again; and five without bursts. What
/// changed, and the scores of the first one from the second second to the last burst.
fn in_bursts(usual_ms: f64, burst_ms: f64) -> (Vec<Event>, Vec<u8>) {
    let mut fleet = fleet(vec![spec("a"), spec("b")]);
    let (mut dice, mut scores) = (Dice::new(5), Vec::new());
    play(&mut fleet, (0, 120), 50, |_, _| usual_ms * spread(&mut dice));
    let is_burst = |now: Moment| now < at(LAST_BURST) && now.since_start().as_millis() % 100 < 50;
    let latency_ms = |now, _| (usual_ms + if is_burst(now) { burst_ms } else { 0.0 }) * spread(&mut dice);
    let look = |fleet: &mut Fleet, now| {
        if now > at(123_000) && now < at(LAST_BURST) {
            scores.push(fleet.score(now, 0));
        }
    };
    let events = play_and_look(&mut fleet, (122, 137), 1_000, latency_ms, look);
    (events, scores)
}

#[test]
fn a_few_milliseconds_more_are_no_illness_even_if_they_are_twice_the_usual() {
    let (events, _) = in_bursts(5.0, 5.0);
    assert_eq!(changes(&events), 0, "{} changes in ten seconds, the first is {:?}", changes(&events), events.first());
}

#[test]
fn a_verdict_on_the_mean_does_not_follow_every_burst() {
    for (usual_ms, burst_ms) in [(5.0, 60.0), (120.0, 120.0)] {
        let (events, scores) = in_bursts(usual_ms, burst_ms);
        let (during, after): (Vec<&Event>, Vec<&Event>) = events.iter().partition(|event| event.at < at(LAST_BURST));
        let kinds: Vec<EventKind> = during.iter().map(|event| event.kind).collect();
        assert_eq!(kinds, [EventKind::Degraded; 2], "each is found ill once at {usual_ms} ms: {} changes", kinds.len());
        let (least, most) = (scores.iter().min(), scores.iter().max());
        assert!(least.zip(most).is_some_and(|(least, most)| most - least < 30), "the weight follows bursts: {least:?} to {most:?}");
        assert_eq!(after.iter().map(|event| event.kind).collect::<Vec<_>>(), [EventKind::Restored; 2], "at {usual_ms} ms");
        for event in after {
            let lasted = event.at.since(at(LAST_BURST));
            assert!(lasted > Duration::from_millis(900) && lasted < Duration::from_secs(2), "taken back after {lasted:?} at {usual_ms} ms");
        }
    }
}

#[test]
fn a_quick_provider_that_becomes_truly_slow_loses_its_share_within_a_second() {
    let mut fleet = fleet(vec![spec("a"), spec("b")]);
    let mut dice = Dice::new(5);
    play(&mut fleet, (0, 120), 50, |_, _| 5.0 * spread(&mut dice));
    let events = play(&mut fleet, (122, 132), 50, |_, provider| if provider == 0 { 60.0 } else { 5.0 });
    let first = events.first().expect("it is noticed");
    let reading = first.reading.expect("with its numbers");
    assert_eq!((first.kind, &*first.provider, reading.name), (EventKind::Degraded, "a", Signal::MeanLatency));
    assert!(first.at < at(123_000), "{:?}", first.at);
    assert!((reading.threshold - 0.015).abs() < 0.002 && reading.value > 0.02 && reading.baseline < 0.006, "{reading:?}");
    assert!(fleet.view(at(132_000))[0].effective_share < 0.25);
}
