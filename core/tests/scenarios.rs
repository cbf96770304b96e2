//! The promises of failover, on the scenarios of the repository and on seeds that nobody tuned to.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::PathBuf;

use tidings_core::simulate::{Figures, PolicyName, Scenario, Summary, run};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios")
}

fn scenario(name: &str) -> Scenario {
    let text = std::fs::read_to_string(folder().join(format!("{name}.toml"))).unwrap();
    Scenario::read(name, &text).unwrap()
}

/// Medians over five seeds that are not those of the documentation.
fn under(policy: PolicyName, name: &str) -> Summary {
    let scenario = scenario(name);
    let runs: Vec<Figures> = (301..306).map(|seed| run(&scenario, policy, seed).figures).collect();
    Summary::of(&runs).unwrap()
}

fn tidings(name: &str) -> Summary {
    let summary = under(PolicyName::Tidings, name);
    assert!(summary.limit_excess == 0.0 && summary.false_ejections == 0.0, "{summary:?}");
    summary
}

/// Asserts when traffic left (or half of it), and how many calls were wasted until and after.
fn leaves(name: &str, within_s: f64, wasted: f64) {
    let fault = tidings(name).faults.remove(0);
    assert!(fault.detect_s.is_some_and(|at| at <= within_s) && fault.calls_wasted <= wasted, "{name}: {fault:?}");
    assert!(fault.recover_s.is_none_or(|at| at <= 30.0), "{name}: {fault:?}");
}

#[test]
fn every_scenario_can_be_read_and_there_are_enough_of_them() {
    let files: Vec<PathBuf> = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 25);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        Scenario::read("x", &text).unwrap_or_else(|errors| panic!("{}: {errors:?}", file.display()));
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_under_every_policy() {
    let scenario = scenario("flap-hang");
    for policy in PolicyName::ALL {
        let bytes = |seed| serde_json::to_vec(&run(&scenario, *policy, seed).figures).unwrap();
        assert_eq!(bytes(5), bytes(5), "{policy}");
        assert_ne!(bytes(5), bytes(6), "{policy}");
    }
}

#[test]
fn every_message_ends_in_one_way() {
    for name in ["hang-otp", "all-refuse", "bad-recipients", "priority-lane-refuse"] {
        let scenario = scenario(name);
        for policy in PolicyName::ALL {
            let it = run(&scenario, *policy, 9).figures;
            assert_eq!(it.messages, it.submitted + it.failed + it.expired + it.unknown, "{name} under {policy}");
            assert_eq!(it.limit_excess, 0, "{name} under {policy}");
        }
    }
}

#[test]
fn hard_faults_lose_their_traffic_within_a_second() {
    leaves("hang-50", 1.0, 20.0);
    leaves("refuse-50", 0.5, 25.0);
    leaves("errors-30", 1.0, 30.0);
    leaves("slow-4", 1.0, 30.0);
}

#[test]
fn high_volume_and_one_message_a_second_are_noticed_alike() {
    leaves("hang-500", 1.0, 60.0);
    assert!(tidings("hang-1").faults[0].calls_wasted <= 20.0);
}

#[test]
fn soft_faults_lose_half_of_it_within_ten_seconds_and_bearable_ones_eject_nobody() {
    for name in ["slow-20-percent", "tail-12"] {
        let halved = tidings(name).faults[0].halved_s;
        assert!(halved.is_some_and(|at| at <= 10.0), "{name}: {halved:?}");
    }
    for name in ["slow-10-percent", "tail-8", "bad-recipients"] {
        tidings(name);
    }
}

#[test]
fn a_vendor_that_drops_everything_is_found_out_by_receipts() {
    leaves("drop-all", 8.0, 600.0);
}

#[test]
fn when_all_refuse_nothing_is_lost_and_little_wasted() {
    let it = tidings("all-refuse");
    assert!(it.messages == it.submitted && it.calls_wasted <= 120.0, "{it:?}");
}

#[test]
fn a_code_is_sent_twice_only_where_it_may_have_been_lost() {
    assert!(tidings("hang-otp").duplicates <= 15.0);
    assert!(tidings("hang-50").duplicates == 0.0);
}

/// A day of three providers that are well, also where one call in a hundred takes seconds, also of six.
#[test]
fn nobody_is_ejected_in_a_day_of_health() {
    for name in ["healthy-24h", "healthy-24h-heavy-tailed", "healthy-24h-six"] {
        let it = run(&scenario(name), PolicyName::Tidings, 301).figures;
        assert_eq!((it.false_ejections, it.limit_excess, it.duplicates), (0, 0, 0), "{name}");
    }
}

/// Where moving traffic costs what a baseline does not pay because it does not notice: whoever leaves the provider that drops
/// messages goes to the slower one. `docs/FAILOVER.md` says how much even one who knew beforehand would pay.
const BEHIND: &[(&str, &str)] = &[("drop-30", "p99_ms")];

#[test]
fn nothing_that_comes_back_by_itself_is_better_at_anything() {
    let mut behind = Vec::new();
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().path().file_stem()?.to_str()?.to_owned()))
        .filter(|name| !name.starts_with("healthy-24h") && name != "hang-500")
        .collect();
    names.sort();
    for name in &names {
        let ours = tidings(name);
        for policy in PolicyName::ALL.iter().filter(|policy| policy.comes_back() && **policy != PolicyName::Tidings) {
            let worse = ours.worse_than(&under(*policy, name));
            let unexpected = worse.into_iter().filter(|(figure, ..)| !BEHIND.contains(&(name.as_str(), *figure)));
            behind.extend(unexpected.map(|(figure, ours, theirs)| format!("{name}: {figure} {ours}, {theirs} under {policy}")));
        }
    }
    assert!(behind.is_empty(), "{behind:#?}");
}

#[test]
fn a_run_is_drawn_with_shares_latency_scores_events_and_its_faults_shaded() {
    let scenario = scenario("overlap-hang-slow");
    let svg = run(&scenario, PolicyName::Tidings, 1).plot().unwrap();
    assert!(svg.starts_with("<svg"));
    for panel in ["share of traffic", "latency p99, s", "score and events"] {
        assert!(svg.contains(panel), "{panel}");
    }
    let count = |what: &str| svg.matches(what).count();
    assert_eq!(count("opacity=\"0.15\""), 2 * 3, "two faults, shaded in each of three panels");
    assert!(count("<polygon") >= 2, "who left and came back has its marks");
}
