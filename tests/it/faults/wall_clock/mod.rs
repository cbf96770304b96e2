//! The simulator against the wall clock: the same story, once in virtual time and once with real processes.
//!
//! For each fault a `tidings serve` and two `tidings simulate-provider` processes live through a scenario whose text the
//! simulator plays too. What the real run did is read from the attempts that it recorded, and both are judged by the same
//! code. The time until traffic leaves must agree within 30 % or half a second, whichever is larger: a real run is one draw,
//! so it must come as near as that to what the simulator draws from its seeds.

mod play;
mod story;

use std::time::Duration;

use tidings_core::simulate::{PolicyName, run};
use tokio::task::JoinSet;

use self::story::{STORIES, Story};

/// How far apart the two may be: a share of the simulator's figure, or seconds.
const SHARE: f64 = 0.3;
const SECONDS: f64 = 0.5;
/// The simulator draws arrivals and latencies from so many seeds.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=15;
/// Real stories that run at a time, besides the longest: the machine must not be what is measured.
const AT_ONCE: usize = 2;

/// What both had to say about one fault.
struct Agreement {
    kind: &'static str,
    simulated: f64,
    /// The quickest and the slowest seed.
    between: (f64, f64),
    real: Option<f64>,
    wasted: (u64, u64),
}

impl Agreement {
    fn allowed(&self) -> f64 {
        (self.simulated * SHARE).max(SECONDS)
    }

    fn holds(&self) -> bool {
        let (quickest, slowest) = self.between;
        self.real.is_some_and(|real| quickest - self.allowed() <= real && real <= slowest + self.allowed())
    }
}

/// The simulator's median, its extremes, and the calls wasted at the median.
fn simulate(story: &Story) -> (f64, (f64, f64), u64) {
    let scenario = story.scenario();
    let mut runs: Vec<(f64, u64)> = SEEDS
        .map(|seed| {
            let fault = run(&scenario, PolicyName::Tidings, seed).figures.faults.remove(0);
            (fault.detect_s.unwrap_or(f64::INFINITY), fault.calls_wasted)
        })
        .collect();
    runs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (median, wasted) = runs[runs.len() / 2];
    (median, (runs[0].0, runs[runs.len() - 1].0), wasted)
}

async fn agreement(story: &'static Story) -> Agreement {
    let simulated = tokio::task::spawn_blocking(|| simulate(story));
    let real = play::play(story).await;
    let (median, between, wasted) = simulated.await.unwrap();
    Agreement { kind: story.kind, simulated: median, between, real: real.detect_s, wasted: (wasted, real.calls_wasted) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_processes_lose_their_traffic_as_fast_as_the_simulator_says() {
    let (mut done, mut under_way) = (Vec::new(), JoinSet::new());
    let mut stories: Vec<&'static Story> = STORIES.iter().collect();
    stories.sort_by_key(|story| story.lasts());
    // The longest runs beside all the others.
    under_way.extend(stories.pop().map(agreement));
    while let Some(story) = stories.pop() {
        if under_way.len() > AT_ONCE {
            done.extend(under_way.join_next().await.map(Result::unwrap));
        }
        under_way.spawn(agreement(story));
    }
    done.extend(under_way.join_all().await);
    done.sort_by_key(|it| STORIES.iter().position(|story| story.kind == it.kind));

    println!("| fault | simulated s (15 seeds) | real s | allowed ± s | calls wasted, simulated / real |");
    println!("|---|---|---|---|---|");
    for it in &done {
        let (low, high) = it.between;
        let real = it.real.map_or_else(|| "never".to_owned(), |real| format!("{real:.2}"));
        let (wasted, really) = it.wasted;
        println!("| {} | {:.2} ({low:.2}–{high:.2}) | {real} | {:.2} | {wasted} / {really} |", it.kind, it.simulated, it.allowed());
    }
    assert_eq!(done.len(), 8, "each of the eight faults");
    let apart: Vec<&str> = done.iter().filter(|it| !it.holds()).map(|it| it.kind).collect();
    assert!(apart.is_empty(), "the simulator and the wall clock disagree about {apart:?}");
}

/// After the load has ended, until the last call has.
const ENDS_WITHIN: Duration = Duration::from_secs(20);
