//! Figures as text that lines up, for people.

use std::fmt::Write as _;

use tidings_core::simulate::{PolicyName, Run, Summary};

fn seconds(time: Option<f64>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{time:.1} s"))
}

/// One run: counts, faults, and what the policy decided when.
pub fn of_run(run: &Run<'_>) -> String {
    let mut text = String::new();
    let it = &run.figures;
    let delays = it.accept_to_submitted_ms;
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{} under {}, seed {}", it.scenario, it.policy, it.seed);
    let _ = writeln!(
        text,
        "  {} messages: {} submitted, {} failed, {} expired, {} unknown, {} duplicates",
        it.messages, it.submitted, it.failed, it.expired, it.unknown, it.duplicates
    );
    let _ = writeln!(
        text,
        "  {} calls, {} first tries failed, {} ambiguous; delivered {:.1} %, cost {:.2}",
        it.attempts,
        it.first_try_failures,
        it.ambiguous,
        it.delivered_share * 100.0,
        it.cost
    );
    let _ = writeln!(
        text,
        "  accepted to submitted: p50 {} ms, p95 {} ms, p99 {} ms, max {} ms",
        delays.p50, delays.p95, delays.p99, delays.max
    );
    let _ = writeln!(
        text,
        "  above a limit {}, false ejections {}, share too low for {} s",
        it.limit_excess, it.false_ejections, it.false_low_s
    );
    for fault in &it.faults {
        let _ = writeln!(
            text,
            "  {} {} from {} s to {} s: left after {}, half gone after {}, {} calls wasted, back after {}",
            fault.provider,
            fault.kind,
            fault.from_s,
            fault.until_s,
            seconds(fault.detect_s),
            seconds(fault.halved_s),
            fault.calls_wasted,
            seconds(fault.recover_s)
        );
    }
    for (at, provider, what) in run.events() {
        let _ = writeln!(text, "  {at:9.2} s  {provider}: {what}");
    }
    text
}

/// Medians of every scenario and policy, and where a baseline that comes back by itself is ahead of Tidings.
pub fn of_comparison(summaries: &[Summary]) -> String {
    let mut text = String::new();
    let mut scenario = "";
    let mut ahead = Vec::new();
    for it in summaries {
        if it.scenario != scenario {
            scenario = &it.scenario;
            let _ = writeln!(text, "\n{scenario} (medians of {} seeds, {} messages)", it.seeds, it.messages);
            let _ = writeln!(
                text,
                "  {:<22}{:>10}{:>9}{:>7}{:>9}{:>9}{:>10}{:>8}{:>7}{:>9}   left / half gone / back",
                "policy", "submitted", "unknown", "dupl.", "wasted", "p99 ms", "cost", "excess", "false", "low s"
            );
        }
        let faults: Vec<String> = it
            .faults
            .iter()
            .map(|fault| format!("{} {} / {} / {}", fault.kind, seconds(fault.detect_s), seconds(fault.halved_s), seconds(fault.recover_s)))
            .collect();
        let _ = writeln!(
            text,
            "  {:<22}{:>10}{:>9}{:>7}{:>9}{:>9}{:>10.2}{:>8}{:>7}{:>9}   {}",
            it.policy.to_string(),
            it.submitted,
            it.unknown,
            it.duplicates,
            it.calls_wasted,
            it.p99_ms,
            it.cost,
            it.limit_excess,
            it.false_ejections,
            it.false_low_s,
            faults.join("; ")
        );
        let Some(tidings) = summaries.iter().find(|other| other.policy == PolicyName::Tidings && other.scenario == it.scenario) else {
            continue;
        };
        if it.policy != PolicyName::Tidings && it.policy.comes_back() {
            for (figure, ours, theirs) in tidings.worse_than(it) {
                ahead.push(format!("  {}: {figure} {theirs} under {}, {ours} under tidings", it.scenario, it.policy));
            }
        }
    }
    if !ahead.is_empty() {
        let _ = writeln!(text, "\nA baseline that comes back by itself is ahead of tidings by more than 2 % in:\n{}", ahead.join("\n"));
    }
    text
}
