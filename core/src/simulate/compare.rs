//! Medians over seeds, and Tidings against those baselines that come back by themselves.

use serde::Serialize;

use super::{Figures, PolicyName};

/// Two figures this close are a tie.
const TIE: f64 = 0.02;
/// A difference of one message, call or millisecond is luck.
const LUCK: f64 = 1.0;

/// One policy on one scenario: medians over seeds.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    pub scenario: String,
    pub policy: PolicyName,
    pub seeds: usize,
    pub messages: f64,
    pub submitted: f64,
    pub unknown: f64,
    pub duplicates: f64,
    /// Over all faults.
    pub calls_wasted: f64,
    pub p99_ms: f64,
    pub cost: f64,
    pub limit_excess: f64,
    pub false_ejections: f64,
    pub false_low_s: f64,
    /// Of each fault in the order of the figures; a seed without a value counts as infinitely late.
    pub faults: Vec<FaultSummary>,
}

#[derive(Clone, Debug, Serialize)]
pub struct FaultSummary {
    pub provider: String,
    pub kind: String,
    pub detect_s: Option<f64>,
    pub halved_s: Option<f64>,
    pub calls_wasted: f64,
    pub recover_s: Option<f64>,
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
const fn number(count: u64) -> f64 {
    count as f64
}

impl Summary {
    /// Of runs of one scenario under one policy; `None` without any.
    pub fn of(runs: &[Figures]) -> Option<Self> {
        let first = runs.first()?;
        let over = |figure: &dyn Fn(&Figures) -> f64| median(runs.iter().map(figure));
        let time = |figure: &dyn Fn(&Figures) -> Option<f64>| {
            Some(median(runs.iter().map(|run| figure(run).unwrap_or(f64::INFINITY)))).filter(|it| it.is_finite())
        };
        let fault = |(at, fault): (usize, &super::FaultFigures)| FaultSummary {
            provider: fault.provider.to_string(),
            kind: fault.kind.to_string(),
            detect_s: time(&|run| run.faults[at].detect_s),
            halved_s: time(&|run| run.faults[at].halved_s),
            calls_wasted: over(&|run| number(run.faults[at].calls_wasted)),
            recover_s: time(&|run| run.faults[at].recover_s),
        };
        Some(Self {
            scenario: first.scenario.clone(),
            policy: first.policy,
            seeds: runs.len(),
            messages: over(&|run| number(run.messages)),
            submitted: over(&|run| number(run.submitted)),
            unknown: over(&|run| number(run.unknown)),
            duplicates: over(&|run| number(run.duplicates)),
            calls_wasted: over(&|run| run.faults.iter().map(|fault| number(fault.calls_wasted)).fold(0.0, |sum, wasted| sum + wasted)),
            p99_ms: over(&|run| number(run.accept_to_submitted_ms.p99)),
            cost: over(&|run| run.cost),
            limit_excess: over(&|run| number(run.limit_excess)),
            false_ejections: over(&|run| number(run.false_ejections)),
            false_low_s: over(&|run| number(run.false_low_s)),
            faults: first.faults.iter().enumerate().map(fault).collect(),
        })
    }

    /// The figures in which this one is worse than `other` by more than a tie: its name, ours, theirs.
    ///
    /// Waiting and cost count only against a policy that submits as many: what it lost neither waited nor cost anything.
    pub fn worse_than(&self, other: &Self) -> Vec<(&'static str, f64, f64)> {
        let loses = other.submitted < self.submitted * (1.0 - TIE);
        let more_is_worse = [
            ("unknown", self.unknown, other.unknown),
            ("duplicates", self.duplicates, other.duplicates),
            ("calls_wasted", self.calls_wasted, other.calls_wasted),
            ("p99_ms", self.p99_ms, if loses { f64::INFINITY } else { other.p99_ms }),
            ("cost", self.cost, if loses { f64::INFINITY } else { other.cost }),
        ];
        let is_worse = |ours: f64, theirs: f64| ours > theirs * (1.0 + TIE) && ours - theirs > LUCK;
        let mut worse: Vec<_> = more_is_worse.into_iter().filter(|(_, ours, theirs)| is_worse(*ours, *theirs)).collect();
        if self.submitted < other.submitted * (1.0 - TIE) {
            worse.push(("submitted", self.submitted, other.submitted));
        }
        worse
    }
}
