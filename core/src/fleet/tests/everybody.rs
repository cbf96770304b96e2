//! What happens where everybody is ill at once: whoever fails only in part serves on, and who comes back slow is not taken for
//! one that hangs.

use super::*;

/// Plays two providers that are asked 20 times a second each and answer as `answer` says, for `seconds` after a healthy minute.
/// Returns how many calls were made, and how many messages found nobody to call.
fn play(seconds: u64, mut answer: impl FnMut(u64) -> (Outcome, u64)) -> (u64, u64) {
    let mut fleet = fleet(vec![spec("a"), spec("b")]);
    let mut out: Vec<(Moment, Ticket, Outcome)> = Vec::new();
    let (mut calls, mut waits, mut made) = (0, 0, 0);
    for step in 0..(60 + seconds) * 40 {
        let now = at(step * 25);
        let is_ill = now >= at(60_000);
        for (_, ticket, outcome) in out.extract_if(.., |(ends, ..)| *ends <= now).collect::<Vec<_>>() {
            fleet.ended(now, ticket, outcome, None);
        }
        fleet.tick(now);
        match fleet.choose(now, &ASK) {
            Choice::Call(ticket) => {
                made += 1;
                let (outcome, millis) = if is_ill { answer(made) } else { (Outcome::Accepted, 80 + (made * 7) % 40) };
                out.push((now + Duration::from_millis(millis), ticket, outcome));
                calls += u64::from(is_ill);
            }
            _ => waits += u64::from(is_ill),
        }
    }
    (calls, waits)
}

#[test]
fn where_all_fail_half_of_their_calls_nobody_waits() {
    let mut dice = Dice::new(3);
    let half = |_| (if dice.happens(0.5) { Outcome::Unavailable } else { Outcome::Accepted }, 50);
    let (calls, waits) = play(60, half);
    assert!(waits * 20 <= calls, "{waits} of {} found nobody", calls + waits);
}

#[test]
fn where_all_refuse_everybody_waits_and_little_is_wasted() {
    let (calls, waits) = play(60, |_| (Outcome::Unavailable, 1));
    assert!(calls <= 80 && waits > 2_000, "{calls} calls");
}

#[test]
fn one_that_served_on_and_fails_everything_at_last_is_not_asked_any_more() {
    let mut dice = Dice::new(3);
    let mut asked = 0;
    let worse = |_| {
        asked += 1;
        let fails = asked > 600 || dice.happens(0.5);
        (if fails { Outcome::Unavailable } else { Outcome::Accepted }, 50)
    };
    let (calls, _) = play(120, worse);
    assert!(calls <= 600 + 200, "{calls} calls, 4,200 if nobody had noticed");
}

#[test]
fn where_all_become_four_times_slower_nobody_waits_long() {
    let (calls, waits) = play(60, |made| (Outcome::Accepted, 4 * (80 + (made * 7) % 40)));
    assert!(waits * 10 <= calls, "{waits} of {} found nobody", calls + waits);
}

#[test]
fn who_has_tried_all_that_are_well_goes_to_one_that_fails_only_in_part_and_not_to_one_that_fails_everything() {
    for (fails_all, goes_there) in [(false, true), (true, false)] {
        let mut fleet = fleet(vec![spec("a"), spec("b")]);
        let (mut made, mut now) = (0, at(0));
        let ejected = |fleet: &mut Fleet, now| fleet.view(now)[0].state == State::Ejected;
        while !ejected(&mut fleet, now) {
            now = now + Duration::from_millis(50);
            made += 1;
            let ticket = call(&mut fleet, now, &Ask { candidates: &[0], ..ASK });
            let well = made < 400 || (!fails_all && made % 2 == 0);
            fleet.ended(now + Duration::from_millis(20), ticket, if well { Outcome::Accepted } else { Outcome::Unavailable }, None);
        }
        let tried = [1].into_iter().collect();
        match fleet.choose(now + Duration::from_millis(30), &Ask { tried, ..ASK }) {
            Choice::Call(ticket) => assert!(goes_there && ticket.provider == 0 && ticket.why.manner == Manner::PartlyIll, "{ticket:?}"),
            other => assert!(!goes_there && matches!(other, Choice::Exhausted), "{other:?}"),
        }
    }
}

#[test]
fn where_everybody_is_out_for_long_tries_become_rare() {
    let calls_in = |seconds| play(seconds, |_| (Outcome::Unavailable, 1)).0;
    let (minute, ten) = (calls_in(60), calls_in(600));
    assert!(ten < minute * 4, "{minute} calls in a minute, {ten} in ten");
}

#[test]
fn what_the_others_have_no_room_for_goes_to_one_that_fails_in_part_until_it_fails_everything() {
    let mut fleet = fleet(vec![spec("a"), ProviderSpec { max_per_s: 1, ..spec("b") }]);
    let (mut made, mut now) = (0, at(0));
    while fleet.view(now)[0].state != State::Ejected {
        now = now + Duration::from_millis(50);
        made += 1;
        let ticket = call(&mut fleet, now, &Ask { candidates: &[0], ..ASK });
        let well = made < 400 || made % 2 == 0;
        fleet.ended(now + Duration::from_millis(20), ticket, if well { Outcome::Accepted } else { Outcome::Unavailable }, None);
    }
    // Everybody asks every tenth of a second; `b` takes one of them a second.
    let waits_from = now;
    let mut failed = Vec::new();
    for _ in 0..15 {
        now = now + Duration::from_millis(100);
        if let Choice::Call(ticket) = fleet.choose(now, &ASK) {
            let is_ill = ticket.provider == 0;
            if is_ill {
                assert_eq!(ticket.why.manner, Manner::PartlyIll);
                failed.push(now.since(waits_from).as_millis());
            }
            fleet.ended(now + Duration::from_millis(20), ticket, if is_ill { Outcome::Unavailable } else { Outcome::Accepted }, None);
        }
    }
    assert_eq!(failed, [700, 800, 900, 1_000], "after half a second of waiting, and not once it fails everything");
}
