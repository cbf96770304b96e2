use super::*;

fn at(millis: u64) -> Moment {
    Moment::from_start(Duration::from_millis(millis))
}

fn limits(max_per_s: u32, max_in_flight: u32) -> Limits {
    departing(Departure::AtOnce, max_per_s, max_in_flight)
}

fn departing(departure: Departure, max_per_s: u32, max_in_flight: u32) -> Limits {
    Limits::new([Contract { max_per_s, max_in_flight }], departure)
}

/// Calls as fast as allowed for `seconds`; when they went out.
fn saturate(limits: &mut Limits, from: Moment, seconds: u64) -> Vec<Moment> {
    let (mut now, mut calls) = (from, Vec::new());
    while now < from + Duration::from_secs(seconds) {
        match limits.room(now, 0, 1, Lane::Normal) {
            Ok(()) => {
                limits.take(now, 0, 1, Lane::Normal);
                limits.ended(0);
                calls.push(now);
            }
            Err(Full::Rate(at)) => now = at,
            Err(Full::InFlight) => unreachable!("every call ended"),
        }
    }
    calls
}

#[test]
fn ten_seconds_see_the_whole_contract_and_no_second_sees_more() {
    for contract in [1, 3, 20, 333, 5_000] {
        let calls = saturate(&mut limits(contract, 0), at(123), 10);
        let whole = contract as usize * 10;
        assert!(calls.len().abs_diff(whole) * 100 <= whole, "{contract}: {}", calls.len());
        let mut oldest = 0;
        for (newest, call) in calls.iter().enumerate() {
            while call.since(calls[oldest]) >= Duration::from_secs(1) {
                oldest += 1;
            }
            assert!(newest - oldest < contract as usize, "{contract} at {call:?}");
        }
    }
}

#[test]
fn calls_in_flight_stop_at_the_cap_until_one_ends() {
    let mut limits = limits(0, 2);
    limits.take(at(0), 0, 1, Lane::Normal);
    limits.take(at(0), 0, 1, Lane::Normal);
    assert_eq!(limits.room(at(1), 0, 1, Lane::Normal), Err(Full::InFlight));
    limits.ended(0);
    assert_eq!(limits.room(at(2), 0, 1, Lane::Normal), Ok(()));
}

#[test]
fn a_waiting_code_comes_before_waiting_marketing() {
    let mut limits = limits(1, 0);
    limits.take(at(0), 0, 1, Lane::Bulk);
    assert!(limits.room(at(990), 0, 1, Lane::Bulk).is_err());
    assert!(limits.room(at(990), 0, 1, Lane::Urgent).is_err());
    assert!(limits.room(at(1_000), 0, 1, Lane::Bulk).is_err(), "the code is first");
    assert!(limits.room(at(1_000), 0, 1, Lane::Urgent).is_ok());
    limits.take(at(1_000), 0, 1, Lane::Urgent);
    assert!(limits.room(at(2_000), 0, 1, Lane::Bulk).is_ok());
}

#[test]
fn a_grant_lasts_until_its_time_and_never_raises_the_contract() {
    let mut limits = limits(10, 0);
    limits.grant(0, 0.4, at(1_000));
    assert_eq!(limits.per_s(at(0), 0), Some(4.0));
    assert_eq!(limits.per_s(at(1_000), 0), Some(0.0), "others may have it by now");
    limits.grant(0, 4.0, at(2_000));
    assert_eq!(limits.per_s(at(1_000), 0), Some(10.0));
}

#[test]
fn calls_in_flight_are_shared_like_the_rate() {
    let mut limits = limits(0, 4);
    limits.grant(0, 0.5, at(1_000));
    limits.take(at(0), 0, 1, Lane::Normal);
    assert!(limits.room(at(1), 0, 1, Lane::Normal).is_ok());
    limits.take(at(1), 0, 1, Lane::Normal);
    assert_eq!(limits.room(at(2), 0, 1, Lane::Normal), Err(Full::InFlight), "the other half is another process's");
    limits.ended(0);
    limits.ended(0);
    assert_eq!(limits.room(at(1_000), 0, 1, Lane::Normal), Err(Full::InFlight), "the grant is over");
}

#[test]
fn calls_that_are_ready_together_depart_at_the_contracts_distance() {
    let mut limits = departing(Departure::WrittenFirst, 50, 0);
    let departures: Vec<Moment> = (0..4)
        .map(|_| match limits.departs(at(1_000), 0, 1, Lane::Normal).unwrap() {
            Departs::At(at) | Departs::AskAgain(at) => at,
        })
        .collect();
    let distance = departures[3].since(departures[0]);
    assert!((distance.as_secs_f64() - 0.06).abs() < 0.003, "{distance:?}");
    let without = departing(Departure::WrittenFirst, 0, 0).departs(at(7), 0, 1, Lane::Normal);
    assert_eq!(without, Some(Departs::At(at(7))), "without a rate at once");
}

/// Calls as fast as they are chosen, each written down for so long and woken so late; when they went out.
fn saturate_by_departures(limits: &mut Limits, seconds: u64, writing: impl Fn(usize) -> Duration, woken: Duration) -> Vec<Moment> {
    let (mut now, mut calls) = (at(0), Vec::<Moment>::new());
    // When they were chosen, and when they ask whether they may depart.
    let mut chosen: Vec<(Moment, Moment)> = Vec::new();
    while now < at(seconds * 1_000) {
        chosen.retain_mut(|(taken, asks)| {
            if *asks > now {
                return true;
            }
            let place = match limits.departs(now, 0, 1, Lane::Normal).unwrap() {
                Departs::At(place) => place,
                Departs::AskAgain(again) => {
                    *asks = again + woken;
                    return true;
                }
            };
            let goes = (place + if place > now { woken } else { Duration::ZERO }).max(calls.last().copied().unwrap_or_default());
            limits.sent((*taken, place), goes, 0, 1);
            limits.ended(0);
            calls.push(goes);
            false
        });
        if limits.room(now, 0, 1, Lane::Normal).is_ok() {
            limits.take(now, 0, 1, Lane::Normal);
            chosen.push((now, now + writing(calls.len())));
        }
        now = now + Duration::from_millis(1);
    }
    calls
}

#[test]
fn what_writing_down_takes_is_not_added_to_every_second() {
    let writing = |call: usize| Duration::from_millis([3, 8, 20, 5, 35][call % 5]);
    for (part, per_s) in [(1.0, 50), (0.5, 25)] {
        let mut limits = departing(Departure::WrittenFirst, 50, 0);
        limits.grant(0, part, at(100_000));
        let calls = saturate_by_departures(&mut limits, 60, writing, Duration::from_millis(2));
        let least = per_s * 60 * 995 / 1_000;
        assert!((least..=per_s * 60).contains(&calls.len()), "{part}: {} calls in a minute", calls.len());
        let mut oldest = 0;
        for (newest, call) in calls.iter().enumerate() {
            while call.since(calls[oldest]) >= Duration::from_secs(1) {
                oldest += 1;
            }
            assert!(newest - oldest < per_s, "{part}: {} calls in the second before {call:?}", newest - oldest + 1);
        }
    }
}

#[test]
fn a_call_that_was_chosen_under_a_grant_does_not_depart_without_one() {
    let mut limits = departing(Departure::WrittenFirst, 50, 0);
    limits.grant(0, 0.5, at(1_000));
    assert!(limits.room(at(990), 0, 1, Lane::Normal).is_ok());
    limits.take(at(990), 0, 1, Lane::Normal);
    assert_eq!(limits.departs(at(1_001), 0, 1, Lane::Normal), None);
    assert!(limits.room(at(1_001), 0, 1, Lane::Normal).is_err());
    limits.grant(0, 0.5, at(3_000));
    assert_eq!(limits.departs(at(2_000), 0, 1, Lane::Normal), Some(Departs::At(at(2_000))));
}

#[test]
fn a_code_is_chosen_past_those_that_wait_to_depart_but_not_where_nothing_can() {
    let mut limits = departing(Departure::WrittenFirst, 100, 0);
    while limits.room(at(0), 0, 1, Lane::Bulk).is_ok() {
        limits.take(at(0), 0, 1, Lane::Bulk);
    }
    assert!(limits.room(at(0), 0, 1, Lane::Urgent).is_ok(), "nobody has departed");
    let mut slow = departing(Departure::WrittenFirst, 1, 0);
    slow.take(at(0), 0, 1, Lane::Bulk);
    assert!(matches!(slow.departs(at(0), 0, 1, Lane::Bulk), Some(Departs::At(_))));
    assert!(matches!(slow.room(at(10), 0, 1, Lane::Urgent), Err(Full::Rate(_))), "another provider may be quicker");
}

#[test]
fn parts_of_a_cap_of_calls_in_flight_never_sum_to_more_than_the_cap() {
    for cap in 1..=40_u32 {
        for workers in 1..=cap {
            let mut limits = limits(0, cap);
            limits.grant(0, 1.0 / f64::from(workers), at(1_000));
            let out = limits.gates[0].may_be_out(at(0));
            assert!(out * workers <= cap && out >= 1, "{out} of {cap} at each of {workers}");
        }
    }
}

#[test]
fn a_provider_that_stays_keeps_what_is_out() {
    let mut limits = limits(0, 1);
    limits.take(at(0), 0, 1, Lane::Normal);
    let contract = Contract { max_per_s: 0, max_in_flight: 1 };
    limits.reconfigure(&[contract, contract], &[None, Some(0)]);
    assert_eq!((limits.in_flight(0), limits.in_flight(1)), (0, 1));
}
