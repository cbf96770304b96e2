//! `tidings simulate`: try a failover policy in virtual time before it meets traffic.

mod table;

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tidings_core::simulate::{self, Figures, PolicyName, Scenario, Summary};

const EXAMPLES: &str = "Examples:
  tidings simulate tests/scenarios/hang-50.toml                 what happens, as a table
  tidings simulate hang.toml --policy round_robin --json        the figures of another policy
  tidings simulate hang.toml --seed 7 --plot hang.svg           a picture of it
  tidings simulate --all tests/scenarios --seeds 5              Tidings against every baseline";

/// Play a failover scenario in virtual time: the real routing against scripted providers
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Simulate {
    /// The scenario, a TOML file
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    scenario: Option<PathBuf>,
    /// Who decides: tidings, round_robin, priority, consecutive_timeouts, outlier_detection, success_rate_breaker, weight_steps
    #[arg(long)]
    policy: Option<PolicyName>,
    /// Another seed than the scenario's; with --all the first seed
    #[arg(long)]
    seed: Option<u64>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Draw shares, latency, scores and events to this SVG file
    #[arg(long, value_name = "FILE.svg", conflicts_with = "all")]
    plot: Option<PathBuf>,
    /// Play every scenario of this folder under every policy and compare
    #[arg(long, value_name = "DIR")]
    all: Option<PathBuf>,
    /// With --all: how many seeds each
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..), requires = "all", conflicts_with = "scenario")]
    seeds: u64,
}

impl Simulate {
    pub fn run(self) -> anyhow::Result<()> {
        match (&self.all, &self.scenario) {
            (Some(folder), _) => self.run_all(folder),
            (None, Some(file)) => self.run_one(file),
            (None, None) => bail!("name a scenario, or a folder with --all"),
        }
    }

    fn run_one(&self, file: &Path) -> anyhow::Result<()> {
        let scenario = read(file)?;
        let policy = self.policy.unwrap_or(PolicyName::Tidings);
        let run = simulate::run(&scenario, policy, self.seed.unwrap_or(scenario.seed));
        if let Some(picture) = &self.plot {
            let svg = run.plot().context("drawing the plot")?;
            fs::write(picture, svg).with_context(|| format!("writing {}", picture.display()))?;
        }
        if self.json {
            say(&format!("{}\n", serde_json::to_string_pretty(&run.figures)?))?;
        } else if self.plot.is_none() {
            say(&table::of_run(&run))?;
        }
        Ok(())
    }

    fn run_all(&self, folder: &Path) -> anyhow::Result<()> {
        let scenarios = read_folder(folder)?;
        let policies = self.policy.map_or_else(|| PolicyName::ALL.to_vec(), |policy| vec![policy]);
        let first = self.seed.unwrap_or(1);
        let mut plays = Vec::new();
        for (at, _) in scenarios.iter().enumerate() {
            plays.extend(policies.iter().map(|policy| (at, *policy)));
        }
        let bar = progress(plays.len() as u64)?;
        let summaries = play(&scenarios, &plays, first..first + self.seeds, &bar)?;
        if self.json { say(&format!("{}\n", serde_json::to_string_pretty(&summaries)?)) } else { say(&table::of_comparison(&summaries)) }
    }
}

/// Prints; whoever has read enough, as `head` has, may stop listening.
fn say(text: &str) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("printing"),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A bar on a terminal's error output: how many scenarios under how many policies are done, which one is next, how long it will take.
fn progress(plays: u64) -> anyhow::Result<ProgressBar> {
    let bar = ProgressBar::new(plays);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {msg} {eta}")?);
    Ok(bar)
}

/// Plays everything on all cores; the summaries come in the order of `plays`.
fn play(
    scenarios: &[Scenario],
    plays: &[(usize, PolicyName)],
    seeds: std::ops::Range<u64>,
    bar: &ProgressBar,
) -> anyhow::Result<Vec<Summary>> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<Summary>>> = Mutex::new(vec![None; plays.len()]);
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((scenario, policy)) = plays.get(at) else { break };
            let scenario = &scenarios[*scenario];
            bar.set_message(scenario.name.clone());
            let figures: Vec<Figures> = seeds.clone().map(|seed| simulate::run(scenario, *policy, seed).figures).collect();
            if let (Some(summary), Ok(mut done)) = (Summary::of(&figures), done.lock()) {
                done[at] = Some(summary);
            }
            bar.inc(1);
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        (0..cores).for_each(|_| {
            scope.spawn(work);
        });
    });
    bar.finish_and_clear();
    let summaries: Option<Vec<Summary>> = done.into_inner().ok().into_iter().flatten().collect();
    summaries.context("a simulation has panicked")
}

fn read(file: &Path) -> anyhow::Result<Scenario> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let name = file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    Scenario::read(&name, &text).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(|error| format!("  {error}")).collect();
        anyhow::anyhow!("{} is not a scenario:\n{}", file.display(), lines.join("\n"))
    })
}

/// Every `.toml` file of a folder, by name; what is wrong in any of them is said at once.
fn read_folder(folder: &Path) -> anyhow::Result<Vec<Scenario>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    if files.is_empty() {
        bail!("{} holds no scenario", folder.display());
    }
    let (mut scenarios, mut wrong) = (Vec::new(), Vec::new());
    for file in &files {
        match read(file) {
            Ok(scenario) => scenarios.push(scenario),
            Err(error) => wrong.push(format!("{error:#}")),
        }
    }
    if wrong.is_empty() { Ok(scenarios) } else { bail!("{}", wrong.join("\n")) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Alone {
        #[command(flatten)]
        command: Simulate,
    }

    const SHORT: &str = "duration_s = 20\n[load]\nrate_per_s = 5\n[[providers]]\nname = \"a\"\nlatency = { p50_ms = 100, p99_ms = 300 }";

    #[test]
    fn the_bar_counts_every_scenario_under_every_policy_and_ends_with_the_last() {
        let scenarios = ["one", "two"].map(|name| Scenario::read(name, SHORT).unwrap());
        let plays: Vec<(usize, PolicyName)> = (0..2).flat_map(|at| PolicyName::ALL.iter().map(move |policy| (at, *policy))).collect();
        let bar = progress(plays.len() as u64).unwrap();
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        let summaries = play(&scenarios, &plays, 1..3, &bar).unwrap();
        assert_eq!((bar.position(), bar.length(), bar.is_finished()), (14, Some(14), true));
        assert!(["one", "two"].contains(&bar.message().as_str()), "{}", bar.message());
        let order: Vec<(&str, PolicyName)> = summaries.iter().map(|it| (it.scenario.as_str(), it.policy)).collect();
        let asked: Vec<(&str, PolicyName)> = plays.iter().map(|(at, policy)| (["one", "two"][*at], *policy)).collect();
        assert_eq!(order, asked);
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let parse = |arguments: &[&str]| Alone::try_parse_from(["simulate"].iter().chain(arguments)).is_ok();
        assert!(parse(&["a.toml", "--json", "--plot", "a.svg"]) && parse(&["--all", "folder", "--seeds", "5"]));
        for wrong in [&[][..], &["a.toml", "--seeds", "5"], &["a.toml", "--all", "folder"], &["--all", "folder", "--plot", "a.svg"]] {
            assert!(!parse(wrong), "{wrong:?}");
        }
        assert!(!parse(&["a.toml", "--policy", "nobody"]) && !parse(&["--all", "folder", "--seeds", "0"]));
    }
}
