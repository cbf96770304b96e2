use super::*;

fn candidate(place: usize, weight: f64) -> Candidate {
    Candidate { place, weight, factor: 1.0, in_flight: 0, latency_s: 0.1, price: Amount::from_micros(10_000) }
}

/// How 12,000 choices with different recipients fall on three providers.
fn shares(select: Select, candidates: &[Candidate]) -> [f64; 3] {
    let (mut selector, mut dice, mut counts) = (Selector::default(), Dice::new(5), [0.0; 3]);
    for key in 0..12_000 {
        counts[selector.pick(select, candidates, key, &mut dice).unwrap()] += 1.0 / 12_000.0;
    }
    counts
}

fn assert_close(shares: [f64; 3], expected: [f64; 3], within: f64) {
    for (share, expected) in shares.iter().zip(expected) {
        assert!((share - expected).abs() <= within, "{shares:?}");
    }
}

#[test]
fn weighted_is_exact_and_smooth() {
    let candidates = [candidate(0, 5.0), candidate(1, 1.0), candidate(2, 1.0)];
    let mut selector = Selector::default();
    let order: Vec<_> = (0..7).map(|_| selector.pick(Select::Weighted, &candidates, 0, &mut Dice::new(1)).unwrap()).collect();
    assert_eq!(order, [0, 0, 1, 0, 2, 0, 0]);
    assert_close(shares(Select::Weighted, &candidates), [5.0 / 7.0, 1.0 / 7.0, 1.0 / 7.0], 0.000_5);
}

#[test]
fn round_robin_takes_turns_whatever_the_weights() {
    assert_close(shares(Select::RoundRobin, &[candidate(0, 5.0), candidate(1, 1.0), candidate(2, 1.0)]), [1.0 / 3.0; 3], 0.000_5);
}

#[test]
fn random_and_consistent_hash_follow_the_weights() {
    let candidates = [candidate(0, 2.0), candidate(1, 1.0), candidate(2, 1.0)];
    assert_close(shares(Select::Random, &candidates), [0.5, 0.25, 0.25], 0.02);
    assert_close(shares(Select::ConsistentHash, &candidates), [0.5, 0.25, 0.25], 0.02);
}

#[test]
fn a_provider_that_leaves_moves_only_its_own_recipients() {
    let all = [candidate(0, 1.0), candidate(1, 1.0), candidate(2, 1.0)];
    let (mut selector, mut dice) = (Selector::default(), Dice::new(1));
    for key in 0..1_000 {
        let before = selector.pick(Select::ConsistentHash, &all, key, &mut dice).unwrap();
        let after = selector.pick(Select::ConsistentHash, &all[..2], key, &mut dice).unwrap();
        assert!(before == 2 || before == after);
    }
}

#[test]
fn least_in_flight_looks_at_calls_for_the_weight() {
    let busy = |place, weight, in_flight| Candidate { in_flight, ..candidate(place, weight) };
    let pick = |candidates: &[Candidate]| Selector::default().pick(Select::LeastInFlight, candidates, 0, &mut Dice::new(1));
    assert_eq!(pick(&[busy(0, 1.0, 3), busy(1, 1.0, 2)]), Some(1));
    assert_eq!(pick(&[busy(0, 2.0, 3), busy(1, 1.0, 2)]), Some(0));
    assert_close(shares(Select::LeastInFlight, &[candidate(0, 1.0), candidate(1, 1.0), candidate(2, 1.0)]), [1.0 / 3.0; 3], 0.01);
}

#[test]
fn least_in_flight_gives_whoever_answers_twice_as_fast_twice_as_much() {
    let (mut selector, mut dice) = (Selector::default(), Dice::new(5));
    let (mut out, mut counts) = (Vec::<(usize, usize)>::new(), [0.0; 3]);
    for step in 0..12_000 {
        out.retain(|(ends, _)| *ends > step);
        let in_flight = |place| u32::try_from(out.iter().filter(|(_, at)| *at == place).count()).unwrap();
        let candidates = [0, 1, 2].map(|place| Candidate { in_flight: in_flight(place), ..candidate(place, 1.0) });
        let place = selector.pick(Select::LeastInFlight, &candidates, 0, &mut dice).unwrap();
        out.push((step + [60, 120, 120][place], place));
        counts[place] += 1.0 / 12_000.0;
    }
    assert_close(counts, [0.5, 0.25, 0.25], 0.01);
}

#[test]
fn fastest_prefers_the_quick_and_never_picks_the_slowest_of_a_pair() {
    let quick = |place, latency_s| Candidate { latency_s, ..candidate(place, 1.0) };
    assert_close(shares(Select::Fastest, &[quick(0, 0.1), quick(1, 0.2), quick(2, 0.4)]), [2.0 / 3.0, 1.0 / 3.0, 0.0], 0.02);
}

#[test]
fn priority_takes_the_first_and_cheapest_the_cheapest() {
    let priced = |place, micros| Candidate { price: Amount::from_micros(micros), ..candidate(place, 1.0) };
    let candidates = [priced(0, 300), priced(1, 100), priced(2, 100)];
    assert_close(shares(Select::Priority, &candidates), [1.0, 0.0, 0.0], 1e-9);
    assert_close(shares(Select::Cheapest, &candidates), [0.0, 0.5, 0.5], 0.000_5);
}

#[test]
fn every_kind_spares_a_provider_that_is_half_well() {
    for select in Select::ALL {
        let sick = Candidate { factor: 0.1, weight: 0.1, ..candidate(0, 1.0) };
        let share = shares(*select, &[sick, candidate(1, 1.0), candidate(2, 1.0)])[0];
        assert!(share < 0.11, "{select}: {share}");
    }
}
