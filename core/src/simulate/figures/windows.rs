//! When a provider lost its traffic, and when it had it back.
//!
//! Windows look forward from a candidate start and grow until they are long enough and hold enough submissions, so the time
//! reported is when the traffic left, not when a window had filled. Candidates are the beginning itself and the moment after
//! each submission, because nothing else changes what a window holds at its left end.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use super::{Record, Scenario, rounded};
use crate::{
    simulate::{engine::Submission, scenario::FaultWord},
    time::Moment,
};

/// The healthy share is taken over so many seconds in which nobody was ill.
const HEALTHY_S: f64 = 60.0;
/// A provider with less than this has no traffic that could be seen to leave.
const LEAST_SHARE: f64 = 0.01;

/// One fault and what it cost.
#[derive(Clone, Debug, Serialize)]
pub struct FaultFigures {
    pub provider: Arc<str>,
    pub kind: FaultWord,
    pub from_s: serde_json::Number,
    pub until_s: serde_json::Number,
    pub detect_s: Option<f64>,
    pub halved_s: Option<f64>,
    pub calls_wasted: u64,
    pub recover_s: Option<f64>,
}

/// What a window must hold: so many seconds and so many submissions, and how much of them may or must be the provider's.
struct Rule {
    least: Duration,
    submissions: f64,
    holds: fn(count: f64, total: f64, healthy: f64) -> bool,
}

const DETECTED: Rule =
    Rule { least: Duration::from_secs(1), submissions: 10.0, holds: |count, total, healthy| count <= (0.1 * healthy * total).max(1.0) };
const HALVED: Rule =
    Rule { least: Duration::from_secs(5), submissions: 20.0, holds: |count, total, healthy| count <= 0.5 * healthy * total };
const RECOVERED: Rule =
    Rule { least: Duration::from_secs(10), submissions: 40.0, holds: |count, total, healthy| count >= 0.9 * healthy * total };

/// The figures of every fault, in the order of providers and their faults.
pub fn of(scenario: &Scenario, record: &Record) -> Vec<FaultFigures> {
    let mut figures = Vec::new();
    for (place, provider) in scenario.providers.iter().enumerate() {
        for (index, fault) in provider.faults.iter().enumerate() {
            let healthy = healthy_share(scenario, record, place, fault.from);
            let next = provider.faults.iter().map(|other| other.from).filter(|from| *from >= fault.until).min();
            let recovery_ends = next.unwrap_or(scenario.duration).min(scenario.duration);
            let find = |rule: &Rule, from: Duration, until: Duration| {
                if healthy < LEAST_SHARE {
                    return None;
                }
                first_window(&record.submissions, rule, place, healthy, Moment::from_start(from), Moment::from_start(until))
                    .map(|seconds| rounded(seconds, 3))
            };
            figures.push(FaultFigures {
                provider: Arc::clone(&provider.name),
                kind: fault.word,
                from_s: super::whole(fault.from.as_secs_f64()),
                until_s: super::whole(fault.until.as_secs_f64()),
                detect_s: find(&DETECTED, fault.from, fault.until),
                halved_s: find(&HALVED, fault.from, fault.until),
                calls_wasted: record.wasted[place][index],
                recover_s: find(&RECOVERED, fault.until, recovery_ends),
            });
        }
    }
    figures
}

/// Seconds from `from` to the start of the first window that holds.
fn first_window(calls: &[Submission], rule: &Rule, place: usize, healthy: f64, from: Moment, until: Moment) -> Option<f64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tens of submissions")]
    let needed = (rule.submissions / healthy).ceil().max(1.0) as usize;
    let first = calls.partition_point(|call| call.at < from);
    let (mut last, mut count) = (first, 0_usize);
    let is_place = |call: &Submission| usize::from(call.provider == place);
    // The window holds calls[start..last]; it begins right after calls[start - 1], or at `from`.
    for start in first..=calls.len() {
        let begins = if start == first { from } else { calls[start - 1].at };
        if start > first && last >= start {
            count -= is_place(&calls[start - 1]);
        }
        last = last.max(start);
        let ends_at = begins + rule.least;
        while last < calls.len() && (calls[last].at <= ends_at || last - start < needed) {
            count += is_place(&calls[last]);
            last += 1;
        }
        let total = last - start;
        if total < needed || begins >= until {
            return None;
        }
        let ends = ends_at.max(calls[last - 1].at);
        if ends > until {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of a window")]
        if (rule.holds)(count as f64, total as f64, healthy) {
            return Some(begins.since(from).as_secs_f64());
        }
    }
    None
}

/// The provider's share in the last minute of health before `before`, else its weight's.
fn healthy_share(scenario: &Scenario, record: &Record, place: usize, before: Duration) -> f64 {
    let (mut count, mut total, mut left) = (0_u64, 0_u64, HEALTHY_S);
    let mut until = before.as_secs_f64();
    while left > 0.0 && until > scenario.warmup.as_secs_f64() {
        // The latest stretch without illness that ends at `until`, or where the illness before it ended.
        let illnesses = || scenario.providers.iter().flat_map(|provider| &provider.faults).filter(|fault| fault.is_illness());
        let ill = illnesses().find(|fault| fault.from.as_secs_f64() < until && fault.until.as_secs_f64() >= until);
        if let Some(ill) = ill {
            until = ill.from.as_secs_f64();
            continue;
        }
        let ended = illnesses().map(|fault| fault.until.as_secs_f64()).filter(|end| *end < until).fold(0.0, f64::max);
        let from = ended.max(scenario.warmup.as_secs_f64()).max(until - left);
        let at = |seconds: f64| record.submissions.partition_point(|call| call.at.as_secs_f64() < seconds);
        let calls = &record.submissions[at(from)..at(until)];
        count += calls.iter().filter(|call| call.provider == place).count() as u64;
        total += calls.len() as u64;
        left -= until - from;
        until = from;
    }
    if total > 0 {
        return super::ratio(count, total);
    }
    let weights: f64 = scenario.providers.iter().map(|provider| f64::from(provider.weight)).sum();
    f64::from(scenario.providers[place].weight) / weights
}
