//! Failover in virtual time: the very types that production runs, against scripted providers.
//!
//! [`Scenario::read`] takes a file's text, [`run`] plays it under a policy and a seed and gives the [`Figures`] by which
//! policies are compared, and what a plot is drawn from. The same seed gives the same bytes: time and luck are arguments
//! everywhere below. What is modelled is only the world outside: arrivals, providers, faults and the lateness of gossip.

mod compare;
mod engine;
mod figures;
mod plot;
mod policy;
mod scenario;
mod seen;
mod world;

pub use self::{
    compare::{FaultSummary, Summary},
    figures::{FaultFigures, Figures, Percentiles, Share},
    policy::PolicyName,
    scenario::{Scenario, ScenarioError},
    seen::{SeenCall, faults_of},
};

/// A run that has ended.
#[derive(Debug)]
pub struct Run<'a> {
    pub figures: Figures,
    scenario: &'a Scenario,
    record: engine::Record,
}

/// Plays a scenario under a policy.
pub fn run(scenario: &Scenario, policy: PolicyName, seed: u64) -> Run<'_> {
    let record = engine::Engine::new(scenario, policy.start(scenario, seed), seed).run();
    let figures = Figures::of(scenario, policy, seed, &record);
    Run { figures, scenario, record }
}

impl Run<'_> {
    /// Turns of fortune as the policy decided them: seconds, provider, what and why.
    pub fn events(&self) -> impl Iterator<Item = (f64, &str, &str)> {
        let name = |provider: usize| &*self.scenario.providers[provider].name;
        self.record.turns.iter().map(move |turn| (turn.at.as_secs_f64(), name(turn.provider), turn.note.as_str()))
    }

    /// An SVG of shares, latency, scores and events over time, faults shaded.
    pub fn plot(&self) -> Result<String, plot::PlotError> {
        plot::draw(self.scenario, &self.figures, &self.record)
    }
}
