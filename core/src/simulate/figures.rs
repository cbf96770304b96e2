//! The figures of a run, by the counting rules that make policies comparable (`docs/FAILOVER.md`).

mod windows;

use serde::{Serialize, Serializer, ser::SerializeMap};

pub use self::windows::FaultFigures;
pub(super) use self::windows::of as of_faults;
use super::{
    engine::Record,
    policy::{PolicyName, TurnKind},
    scenario::{FaultKind, Scenario},
};
use crate::time::Moment;

/// Bins of the share: ten seconds, a minute for runs over an hour.
const BIN_S: f64 = 10.0;
const LONG_BIN_S: f64 = 60.0;
const LONG_RUN_S: f64 = 3_600.0;
/// A bin needs this many submissions to say that a provider gets too little.
const LOW_SUBMISSIONS: u64 = 40;
/// Nobody may have been ill for so long before a bin that accuses the policy.
const WELL_BEFORE_BIN_S: f64 = 60.0;
/// An ejection is excused by a fault that ended so long ago at most; missing receipts show late.
const EXCUSED_AFTER_S: f64 = 30.0;
const EXCUSED_AFTER_DROP_S: f64 = 60.0;

/// What `--json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    pub scenario: String,
    pub policy: PolicyName,
    pub seed: u64,
    pub messages: u64,
    pub submitted: u64,
    pub failed: u64,
    pub expired: u64,
    pub unknown: u64,
    pub attempts: u64,
    pub first_try_failures: u64,
    pub ambiguous: u64,
    pub duplicates: u64,
    pub accept_to_submitted_ms: Percentiles,
    pub delivered_share: f64,
    pub cost: f64,
    pub limit_excess: u64,
    pub false_ejections: u64,
    pub false_low_s: u64,
    pub faults: Vec<FaultFigures>,
    pub share: Vec<Share>,
}

/// Nearest rank, in milliseconds; zero if nothing was submitted.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Percentiles {
    pub p50: u64,
    pub p95: u64,
    pub p99: u64,
    pub max: u64,
}

/// How the submissions of one bin fell on the providers.
#[derive(Clone, Debug)]
pub struct Share {
    pub t_s: f64,
    pub submissions: u64,
    pub by_provider: Vec<(std::sync::Arc<str>, f64)>,
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.by_provider.len() + 1))?;
        map.serialize_entry("t_s", &whole(self.t_s))?;
        for (name, share) in &self.by_provider {
            map.serialize_entry(&**name, share)?;
        }
        map.end()
    }
}

/// A number that is printed without a fraction when it has none.
fn whole(number: f64) -> serde_json::Number {
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
    if number.fract() == 0.0 && number.abs() < 1e15 {
        return serde_json::Number::from(number as i64);
    }
    serde_json::Number::from_f64(number).unwrap_or_else(|| serde_json::Number::from(0))
}

fn rounded(number: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (number * scale).round() / scale
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl Figures {
    pub(super) fn of(scenario: &Scenario, policy: PolicyName, seed: u64, record: &Record) -> Self {
        let share = shares(scenario, record);
        #[expect(clippy::cast_precision_loss, reason = "costs are far below 2^52 micros")]
        let cost = record.cost.as_micros() as f64 / 1e6;
        Self {
            scenario: scenario.name.clone(),
            policy,
            seed,
            messages: record.messages,
            submitted: record.submitted,
            failed: record.failed,
            expired: record.expired,
            unknown: record.unknown,
            attempts: record.attempts,
            first_try_failures: record.first_try_failures,
            ambiguous: record.ambiguous,
            duplicates: record.duplicates,
            accept_to_submitted_ms: percentiles(record),
            delivered_share: rounded(ratio(record.delivered, record.valid), 4),
            cost,
            limit_excess: limit_excess(scenario, record),
            false_ejections: false_ejections(scenario, record),
            false_low_s: false_low_s(scenario, &share),
            faults: windows::of(scenario, record),
            share,
        }
    }
}

fn percentiles(record: &Record) -> Percentiles {
    let mut delays = record.delays.clone();
    delays.sort_unstable();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a rank within the list")]
    let rank = |share: f64| {
        let at = (share * delays.len() as f64).ceil() as usize;
        delays.get(at.max(1) - 1).map_or(0, |delay| (delay.as_secs_f64() * 1_000.0).round() as u64)
    };
    Percentiles { p50: rank(0.5), p95: rank(0.95), p99: rank(0.99), max: rank(1.0) }
}

pub(super) fn bin_s(scenario: &Scenario) -> f64 {
    if scenario.duration.as_secs_f64() > LONG_RUN_S { LONG_BIN_S } else { BIN_S }
}

/// From the end of warm-up to the end of the load.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "few bins")]
fn shares(scenario: &Scenario, record: &Record) -> Vec<Share> {
    let (bin, from, until) = (bin_s(scenario), scenario.warmup.as_secs_f64(), scenario.duration.as_secs_f64());
    let bins = ((until - from) / bin).ceil() as usize;
    let mut counts = vec![vec![0_u64; scenario.providers.len()]; bins];
    for call in record.submissions.iter().filter(|call| call.counted) {
        if let Some(counts) = counts.get_mut(((call.at.as_secs_f64() - from) / bin) as usize) {
            counts[call.provider] += 1;
        }
    }
    let share = |(at, counts): (usize, Vec<u64>)| {
        let submissions = counts.iter().sum();
        let names = scenario.providers.iter().map(|provider| std::sync::Arc::clone(&provider.name));
        let by_provider = names.zip(&counts).map(|(name, count)| (name, rounded(ratio(*count, submissions), 4))).collect();
        Share { t_s: from + at as f64 * bin, submissions, by_provider }
    };
    counts.into_iter().enumerate().map(share).collect()
}

/// Submissions above the contract in the second that ends with them.
fn limit_excess(scenario: &Scenario, record: &Record) -> u64 {
    let mut excess = 0;
    for (place, provider) in scenario.providers.iter().enumerate().filter(|(_, provider)| provider.max_per_s > 0) {
        let mut recent = std::collections::VecDeque::new();
        for call in record.submissions.iter().filter(|call| call.provider == place) {
            recent.push_back(call.at);
            while recent.front().is_some_and(|at| call.at.since(*at) >= std::time::Duration::from_secs(1)) {
                recent.pop_front();
            }
            excess += u64::from(recent.len() > provider.max_per_s as usize);
        }
    }
    excess
}

fn false_ejections(scenario: &Scenario, record: &Record) -> u64 {
    let excused = |provider: usize, at: Moment| {
        scenario.providers[provider].faults.iter().filter(|fault| fault.is_illness()).any(|fault| {
            let after = if matches!(fault.kind, FaultKind::Drop { .. }) { EXCUSED_AFTER_DROP_S } else { EXCUSED_AFTER_S };
            let at = at.as_secs_f64();
            at >= fault.from.as_secs_f64() && at <= fault.until.as_secs_f64() + after
        })
    };
    let ejections = record.turns.iter().filter(|turn| turn.kind == TurnKind::Ejected);
    ejections.filter(|turn| !excused(turn.provider, turn.at)).count() as u64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a run")]
fn false_low_s(scenario: &Scenario, shares: &[Share]) -> u64 {
    let total: f64 = scenario.providers.iter().map(|provider| f64::from(provider.weight)).sum();
    let (bin, until) = (bin_s(scenario), scenario.duration.as_secs_f64());
    let illnesses = || scenario.providers.iter().flat_map(|provider| &provider.faults).filter(|fault| fault.is_illness());
    let well = |share: &Share| {
        illnesses().all(|fault| fault.until.as_secs_f64() + WELL_BEFORE_BIN_S <= share.t_s || fault.from.as_secs_f64() >= share.t_s + bin)
    };
    let low = |share: &&Share| {
        let weights = scenario.providers.iter().map(|provider| f64::from(provider.weight) / total);
        share.by_provider.iter().zip(weights).any(|((_, got), due)| *got < due / 2.0)
    };
    let whole_bins = shares.iter().filter(|share| share.t_s + bin <= until && share.submissions >= LOW_SUBMISSIONS);
    whole_bins.filter(|share| well(share)).filter(low).count() as u64 * bin as u64
}
