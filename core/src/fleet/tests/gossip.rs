//! What processes see together.

use super::*;

const DELAY: Duration = Duration::from_millis(200);

fn cluster(count: u64) -> Vec<Fleet> {
    (0..count).map(|seed| Fleet::new(FleetConfig { providers: vec![spec("a"), spec("b")] }, seed, Moment::ZERO)).collect()
}

fn gossip(fleets: &mut [Fleet], now: Moment) {
    let summaries: Vec<Summary> = fleets.iter_mut().map(|fleet| fleet.summary(now)).collect();
    for fleet in fleets.iter_mut() {
        summaries.iter().for_each(|summary| fleet.merge(now, summary, DELAY));
        fleet.tick(now);
    }
}

/// Every process makes one call to `a` that ends so, and tells the others.
fn round(fleets: &mut [Fleet], now: Moment, outcome: Outcome) {
    let only_a = Ask { candidates: &[0], ..ASK };
    for fleet in fleets.iter_mut() {
        if let Choice::Call(ticket) = fleet.choose(now, &only_a) {
            fleet.ended(now + Duration::from_millis(100), ticket, outcome, None);
        }
    }
    gossip(fleets, now + Duration::from_millis(100));
}

#[test]
fn ten_processes_see_together_what_none_sees_alone() {
    let mut fleets = cluster(10);
    let mut alone = cluster(1);
    for second in 0..120 {
        round(&mut fleets, at(second * 1_000), Outcome::Accepted);
        round(&mut alone, at(second * 1_000), Outcome::Accepted);
    }
    for at_ms in [120_000, 121_000] {
        round(&mut fleets, at(at_ms), Outcome::Unavailable);
        round(&mut alone, at(at_ms), Outcome::Unavailable);
    }
    gossip(&mut fleets, at(121_400));
    assert!(fleets.iter_mut().all(|fleet| fleet.view(at(121_400))[0].state == State::Ejected));
    assert_eq!(alone[0].view(at(121_400))[0].state, State::Healthy, "two failures alone are nothing");
}

#[test]
fn only_one_process_probes_for_all() {
    let mut fleets = cluster(3);
    for millis in 0..40 {
        round(&mut fleets, at(millis * 100), Outcome::Unavailable);
    }
    let now = at(20_000);
    fleets.iter_mut().for_each(|fleet| fleet.tick(now));
    gossip(&mut fleets, now + Duration::from_millis(1));
    let probes = fleets.iter_mut().filter_map(|fleet| match fleet.choose(now + Duration::from_millis(2), &ASK) {
        Choice::Call(ticket) if ticket.is_probe() => Some(ticket),
        _ => None,
    });
    assert_eq!(probes.count(), 1);
}

#[test]
fn a_new_process_starts_warm() {
    let mut fleets = cluster(1);
    for second in 0..120 {
        for call in 0..10 {
            round(&mut fleets, at(second * 1_000 + call * 100), Outcome::Accepted);
        }
    }
    let mut young = cluster(2).remove(1);
    // Memories are told now and then, so a few summaries are heard.
    for tell in 0..30 {
        let now = at(120_000 + tell * 200);
        let summary = fleets[0].summary(now);
        young.merge(now, &summary, DELAY);
        young.tick(now);
    }
    let mean = young.view(at(126_000))[0].signals[1];
    assert!((mean.baseline - 0.1).abs() < 0.02, "{mean:?}");
}

#[test]
fn a_process_that_hears_nothing_goes_on_with_its_own_view() {
    let mut fleets = cluster(2);
    for millis in 0..40 {
        round(&mut fleets, at(millis * 100), Outcome::Unavailable);
    }
    // The other one, which may own the ejection, is never heard of again.
    let mut left = fleets.remove(0);
    let later = at(30_000);
    left.tick(later);
    assert!(matches!(left.choose(later, &ASK), Choice::Call(_)));
    let probing = (0..200).any(|step| {
        let now = later + Duration::from_millis(step * 50);
        left.tick(now);
        matches!(left.choose(now, &Ask { candidates: &[0], ..ASK }), Choice::Call(ticket) if ticket.is_probe())
    });
    assert!(probing, "what the silent one owned is taken over");
}
