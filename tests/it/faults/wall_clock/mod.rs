//! The simulator against the wall clock: the same story, once in virtual time and once with real processes.
//!
//! For each fault a `tidings serve` and two `tidings simulate-provider` processes live through a scenario whose text the
//! simulator plays too. What the real runs did is read from the attempts that they recorded, and both are judged by the same
//! code. The time until traffic leaves must agree within 30 % or half a second, whichever is larger, median against median: a
//! single run is one draw, and a machine that does something else for a second is no disagreement.

mod play;
mod story;

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tidings_core::simulate::{FaultFigures, PolicyName, run};

use self::story::{STORIES, Story};

/// How far apart the two may be: a share of the simulator's figure, or seconds.
const SHARE: f64 = 0.3;
const SECONDS: f64 = 0.5;
/// The simulator draws arrivals and latencies from so many seeds.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=15;
/// Real runs of each story, with arrivals of their own: the least of which a median forgives one.
const DRAWS: u64 = 3;
/// Real runs at a time: the machine must not be what is measured.
const AT_ONCE: usize = 4;

/// How one fault went, over several runs.
struct Times {
    median: f64,
    quickest: f64,
    slowest: f64,
    wasted: u64,
}

impl Times {
    /// Of an odd number of runs; a run that traffic never left is infinitely late.
    fn of(mut runs: Vec<FaultFigures>) -> Self {
        let left = |run: &FaultFigures| run.detect_s.unwrap_or(f64::INFINITY);
        runs.sort_by(|a, b| left(a).total_cmp(&left(b)));
        let middle = &runs[runs.len() / 2];
        Self { median: left(middle), quickest: left(&runs[0]), slowest: left(&runs[runs.len() - 1]), wasted: middle.calls_wasted }
    }

    fn allowed(&self) -> f64 {
        (self.median * SHARE).max(SECONDS)
    }

    /// Nothing agrees with a story that traffic never left.
    fn agrees_with(&self, simulated: &Self) -> bool {
        simulated.median.is_finite() && (self.median - simulated.median).abs() <= simulated.allowed()
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ({:.2}–{:.2})", self.median, self.quickest, self.slowest)
    }
}

fn simulate(story: &Story) -> Times {
    let scenario = story.scenario();
    Times::of(SEEDS.map(|seed| run(&scenario, PolicyName::Tidings, seed).figures.faults.remove(0)).collect())
}

/// Plays every story for real as often as it is drawn; what each came to, by the story's place.
async fn play_all() -> Vec<Vec<FaultFigures>> {
    let mut plays: Vec<(usize, u64)> = (0..STORIES.len()).flat_map(|story| (1..=DRAWS).map(move |draw| (story, draw))).collect();
    // The longest run beside all the others.
    plays.sort_by_key(|(story, _)| STORIES[*story].lasts());
    let plays = stream::iter(plays.into_iter().rev()).map(async |(story, draw)| (story, play::play(&STORIES[story], draw).await));
    let (mut played, mut under_way) = (vec![Vec::new(); STORIES.len()], plays.buffer_unordered(AT_ONCE));
    while let Some((story, figures)) = under_way.next().await {
        played[story].push(figures);
    }
    played
}

#[test]
fn real_processes_lose_their_traffic_as_fast_as_the_simulator_says() {
    crate::torture::by_itself(agree);
}

#[test]
fn figures_agree_within_three_tenths_or_half_a_second_and_only_where_traffic_left() {
    let at = |median| Times { median, quickest: median, slowest: median, wasted: 0 };
    for (real, simulated, agrees) in [
        (0.6, 0.1, true),
        (0.61, 0.1, false),
        (5.19, 4.0, true),
        (5.21, 4.0, false),
        (2.79, 4.0, false),
        (f64::INFINITY, 4.0, false),
        (4.0, f64::INFINITY, false),
        (f64::INFINITY, f64::INFINITY, false),
    ] {
        assert_eq!(at(real).agrees_with(&at(simulated)), agrees, "{real} s, simulated {simulated} s");
    }
}

async fn agree() {
    let kinds: Vec<&str> = STORIES.iter().map(|story| story.kind).collect();
    assert_eq!(kinds, ["hang", "refuse", "errors", "slow", "tail", "throttle", "drop", "flap"]);
    let simulated: Vec<Times> = STORIES.iter().map(simulate).collect();
    let real: Vec<Times> = play_all().await.into_iter().map(Times::of).collect();

    println!("| fault | simulated s (15 seeds) | real s ({DRAWS} runs) | allowed ± s | calls wasted, simulated / real |");
    println!("|---|---|---|---|---|");
    let mut apart = Vec::new();
    for ((story, simulated), real) in STORIES.iter().zip(&simulated).zip(&real) {
        println!("| {} | {simulated} | {real} | {:.2} | {} / {} |", story.kind, simulated.allowed(), simulated.wasted, real.wasted);
        if !real.agrees_with(simulated) {
            apart.push(story.kind);
        }
    }
    assert!(apart.is_empty(), "the simulator and the wall clock disagree about {apart:?}");
}

/// After the load has ended, until the last call has.
const ENDS_WITHIN: Duration = Duration::from_secs(20);
