//! The promises of failover, on the scenarios of the repository and on seeds that nobody tuned to.
//!
//! Where every run must keep a promise, every run is asked; where luck decides a part, the median is, and its doc says so.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tidings_core::simulate::{FaultSummary, Figures, PolicyName, Scenario, Summary, run};

/// Not those of the documentation.
const SEEDS: std::ops::Range<u64> = 301..306;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios")
}

fn names() -> Vec<String> {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = files.map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// All but the days of 1.3 million messages.
fn short_names() -> Vec<String> {
    names().into_iter().filter(|name| !name.starts_with("healthy-24h")).collect()
}

fn scenario(name: &str) -> Scenario {
    let text = std::fs::read_to_string(folder().join(format!("{name}.toml"))).unwrap();
    Scenario::read(name, &text).unwrap_or_else(|errors| panic!("{name}: {errors:?}"))
}

/// One run under Tidings, and what it decided: seconds, provider, what and why.
struct Played {
    figures: Figures,
    events: Vec<(f64, String, String)>,
}

impl Played {
    fn of(scenario: &Scenario, seed: u64) -> Self {
        let run = run(scenario, PolicyName::Tidings, seed);
        let events = run.events().map(|(at, provider, what)| (at, provider.to_owned(), what.to_owned())).collect();
        Self { events, figures: run.figures }
    }

    /// Every time that a worker stopped sending to a provider, also for a reason, also because another one said so.
    fn ejections(&self) -> Vec<&(f64, String, String)> {
        self.events.iter().filter(|(_, _, what)| what.starts_with("ejected")).collect()
    }
}

/// Every short scenario on every seed, played once for all tests.
static PLAYED: LazyLock<BTreeMap<String, Vec<Played>>> = LazyLock::new(|| {
    let plays: Vec<(String, u64)> = short_names().into_iter().flat_map(|name| SEEDS.map(move |seed| (name.clone(), seed))).collect();
    let (next, played) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((name, seed)) = plays.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let it = Played::of(&scenario(name), *seed);
                    played.lock().unwrap().entry((name.clone(), *seed)).or_insert(it);
                }
            });
        }
    });
    let mut by_name: BTreeMap<String, Vec<Played>> = BTreeMap::new();
    for ((name, _), it) in played.into_inner().unwrap() {
        by_name.entry(name).or_default().push(it);
    }
    by_name
});

fn runs(name: &str) -> &'static [Played] {
    &PLAYED[name]
}

fn medians(name: &str) -> Summary {
    Summary::of(&runs(name).iter().map(|played| played.figures.clone()).collect::<Vec<_>>()).unwrap()
}

fn first_fault(name: &str) -> FaultSummary {
    medians(name).faults.remove(0)
}

#[test]
fn scenarios_cover_every_fault_alone_and_overlapping_one_to_500_messages_a_second_and_two_to_six_providers() {
    let scenarios: Vec<Scenario> = names().iter().map(|name| scenario(name)).collect();
    assert!(scenarios.len() >= 25);
    let faults = |it: &Scenario| it.providers.iter().flat_map(|provider| provider.faults.clone()).collect::<Vec<_>>();
    let kinds: BTreeSet<String> = scenarios.iter().flat_map(|it| faults(it).into_iter().map(|fault| fault.word.to_string())).collect();
    let every = ["bad_recipients", "drop", "errors", "flap", "hang", "refuse", "slow", "tail", "throttle"];
    assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), every);
    let overlaps = |it: &&Scenario| {
        let all = faults(it);
        all.iter().enumerate().any(|(at, a)| all[at + 1..].iter().any(|b| a.word != b.word && a.from < b.until && b.from < a.until))
    };
    assert!(scenarios.iter().filter(overlaps).count() >= 2);
    let among = |least: f64, most: f64, of: &dyn Fn(&Scenario) -> f64| {
        let all: Vec<f64> = scenarios.iter().map(of).collect();
        let (low, high) = (all.iter().copied().fold(f64::INFINITY, f64::min), all.iter().copied().fold(0.0, f64::max));
        assert!(low <= least && high >= most, "{low} to {high}");
    };
    among(1.0, 500.0, &|it| it.load.rate_per_s);
    among(2.0, 6.0, &|it| f64::from(u32::try_from(it.providers.len()).unwrap()));
}

#[test]
fn the_same_seed_gives_the_same_bytes_under_every_policy() {
    let scenario = scenario("flap-hang");
    for policy in PolicyName::ALL {
        let bytes = |seed| {
            let run = run(&scenario, *policy, seed);
            (serde_json::to_vec(&run.figures).unwrap(), run.plot().unwrap())
        };
        assert!(bytes(5) == bytes(5), "{policy}");
        assert!(bytes(5) != bytes(6), "{policy}");
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
fn no_run_exceeds_a_limit_ejects_a_healthy_provider_or_sends_a_message_twice_that_is_no_code() {
    for (name, runs) in &*PLAYED {
        let is_otp = scenario(name).load.category.as_str() == "otp";
        for Played { figures: it, .. } in runs {
            assert_eq!((it.limit_excess, it.false_ejections), (0, 0), "{name}, seed {}", it.seed);
            assert!(is_otp || it.duplicates == 0, "{name}, seed {}: {} duplicates", it.seed, it.duplicates);
        }
    }
}

/// Medians: when traffic has left after the fault's beginning, and how many calls came to nothing during all of it.
#[test]
fn hard_faults_lose_their_traffic_in_time_at_the_price_of_few_calls() {
    let promised = [
        ("hang-50", Some(1.0), 20.0),
        ("hang-500", Some(1.0), 60.0),
        // Six minutes at half a message a second: when the tenth submission is seen says little.
        ("hang-1", None, 20.0),
        ("refuse-50", Some(0.5), 25.0),
        ("errors-30", Some(1.0), 30.0),
        ("slow-4", Some(1.0), 30.0),
        ("drop-all", Some(8.0), 600.0),
    ];
    for (name, within_s, wasted) in promised {
        let fault = first_fault(name);
        assert!(within_s.is_none_or(|within| fault.detect_s.is_some_and(|at| at <= within)), "{name}: {fault:?}");
        assert!(fault.calls_wasted <= wasted, "{name}: {fault:?}");
    }
}

/// Medians, for the rise of the mean is found by a few hundred calls and luck has a part in which.
#[test]
fn a_fifth_more_latency_and_a_tail_of_an_eighth_lose_half_their_share_within_ten_seconds() {
    for name in ["slow-20-percent", "tail-12"] {
        let halved = first_fault(name).halved_s;
        assert!(halved.is_some_and(|at| at <= 10.0), "{name}: {halved:?}");
    }
}

#[test]
fn a_tenth_more_latency_a_tail_of_a_twelfth_and_bad_recipients_eject_nobody_for_whatever_reason() {
    for name in ["slow-10-percent", "tail-8", "bad-recipients"] {
        for it in runs(name) {
            assert!(it.ejections().is_empty(), "{name}, seed {}: {:?}", it.figures.seed, it.ejections());
        }
    }
}

/// Whose traffic is not back half a minute after the fault, for another one begins at the same provider or has not ended.
const NOT_BACK: &[(&str, usize)] = &[("overlap-errors-tail", 0)];

#[test]
fn traffic_is_back_within_half_a_minute_of_every_faults_end() {
    for name in short_names().iter().filter(|name| *name != "slow-drift") {
        for (at, fault) in medians(name).faults.iter().enumerate().filter(|(at, _)| !NOT_BACK.contains(&(name.as_str(), *at))) {
            assert!(fault.recover_s.is_some_and(|seconds| seconds <= 30.0), "{name}, fault {at}: {fault:?}");
        }
    }
}

#[test]
fn whoever_was_ejected_comes_back_by_probes_and_a_ramp() {
    for name in ["hang-1", "hang-50", "hang-500", "refuse-50", "errors-30", "flap-refuse", "tight-second"] {
        for it in runs(name) {
            let way: Vec<&str> =
                it.events.iter().filter(|(at, who, _)| who == "a" && *at > 120.0).map(|(.., what)| what.as_str()).collect();
            let last = way.iter().rposition(|what| what.starts_with("ejected")).unwrap_or_else(|| panic!("{name}: never ejected"));
            let back = ["probing", "ramping", "healthy"].map(|kind| {
                let found = way[last..].iter().position(|what| what.starts_with(kind));
                found.unwrap_or_else(|| panic!("{name}, seed {}: no {kind} after {way:?}", it.figures.seed))
            });
            assert!(back.is_sorted(), "{name}: {way:?}");
        }
    }
}

#[test]
fn when_all_refuse_nothing_is_lost_and_little_wasted() {
    for Played { figures: it, .. } in runs("all-refuse") {
        assert_eq!(it.messages, it.submitted, "seed {}", it.seed);
        // A refusal is at most one call of every provider.
        let wasted: u64 = it.faults.iter().map(|fault| fault.calls_wasted).sum();
        assert!(wasted <= 120, "seed {}: {wasted}", it.seed);
    }
}

#[test]
fn a_code_is_sent_twice_only_where_it_may_have_been_lost() {
    for Played { figures: it, .. } in runs("hang-otp") {
        assert!(it.duplicates <= 15 && it.duplicates <= it.ambiguous, "seed {}: {} duplicates", it.seed, it.duplicates);
    }
}

/// A day of three providers that are well, also where one call in a hundred takes seconds, also of six.
#[test]
fn nobody_is_ejected_in_a_day_of_health() {
    for name in ["healthy-24h", "healthy-24h-heavy-tailed", "healthy-24h-six"] {
        let it = Played::of(&scenario(name), SEEDS.start);
        assert!(it.ejections().is_empty(), "{name}: {:?}", it.ejections());
        assert_eq!((it.figures.false_ejections, it.figures.limit_excess, it.figures.duplicates), (0, 0, 0), "{name}");
    }
}

/// Where moving traffic costs what a baseline does not pay because it does not notice: whoever leaves the provider that drops
/// messages goes to the slower one. `docs/FAILOVER.md` says how much even one who knew beforehand would pay.
const BEHIND: &[(&str, &str)] = &[("drop-30", "p99_ms")];

/// Medians. The days of health and the 270,000 messages of `hang-500` are left to `tidings simulate --all`.
#[test]
fn nothing_that_comes_back_by_itself_is_better_at_anything() {
    let mut behind = Vec::new();
    for name in short_names().iter().filter(|name| *name != "hang-500") {
        let (ours, scenario) = (medians(name), scenario(name));
        for policy in PolicyName::ALL.iter().filter(|policy| policy.comes_back() && **policy != PolicyName::Tidings) {
            let theirs: Vec<Figures> = SEEDS.map(|seed| run(&scenario, *policy, seed).figures).collect();
            let worse = ours.worse_than(&Summary::of(&theirs).unwrap());
            let unexpected = worse.into_iter().filter(|(figure, ..)| !BEHIND.contains(&(name.as_str(), *figure)));
            behind.extend(unexpected.map(|(figure, ours, theirs)| format!("{name}: {figure} {ours}, {theirs} under {policy}")));
        }
    }
    assert!(behind.is_empty(), "{behind:#?}");
}

#[test]
fn a_run_is_drawn_with_shares_latency_scores_events_and_its_faults_shaded() {
    let scenario = scenario("overlap-hang-slow");
    let run = run(&scenario, PolicyName::Tidings, 1);
    let svg = run.plot().unwrap();
    assert!(svg.starts_with("<svg"));
    for panel in ["share of traffic", "latency p99, s", "score and events"] {
        assert!(svg.contains(panel), "{panel}");
    }
    let count = |what: &str| svg.matches(what).count();
    assert_eq!(count("opacity=\"0.15\""), 2 * 3, "two faults, shaded in each of three panels");
    for color in ["#1F77B4", "#FF7F0E"] {
        let lines = svg.lines().filter(|line| line.contains("<polyline") && line.contains(color)).count();
        assert!(lines >= 3, "a line of each provider in each panel: {lines} of {color}");
    }
    assert_eq!(
        count("<polygon") + count("<polyline fill=\"none\" opacity=\"1\" stroke=\"#none\""),
        run.events().count(),
        "a mark for each event"
    );
}
