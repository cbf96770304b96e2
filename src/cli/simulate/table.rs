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

#[cfg(test)]
mod tests {
    use tidings_core::simulate::{Scenario, run};

    use super::*;

    const REFUSES: &str = "duration_s = 60\nwarmup_s = 5\n[load]\nrate_per_s = 20\n\
        [[providers]]\nname = \"a\"\nlatency = { p50_ms = 100, p99_ms = 300 }\n\
        [[providers.faults]]\nfrom_s = 20\nuntil_s = 40\nkind = \"refuse\"\n\
        [[providers]]\nname = \"b\"\nlatency = { p50_ms = 100, p99_ms = 300 }";

    fn under(policy: PolicyName) -> Summary {
        let scenario = Scenario::read("one-refuses", REFUSES).unwrap();
        Summary::of(&[1, 2, 3].map(|seed| run(&scenario, policy, seed).figures)).unwrap()
    }

    #[test]
    fn every_policy_has_its_row_below_the_scenarios_name() {
        let summaries: Vec<Summary> = PolicyName::ALL.iter().map(|policy| under(*policy)).collect();
        let text = of_comparison(&summaries);
        assert_eq!(text.matches("\none-refuses (medians of 3 seeds, ").count(), 1, "{text}");
        for it in &summaries {
            let row = text.lines().find(|line| line.trim_start().starts_with(it.policy.as_str())).unwrap_or_else(|| panic!("{text}"));
            let counts = [it.submitted, it.unknown, it.duplicates, it.calls_wasted, it.p99_ms].map(|figure| figure.to_string());
            assert_eq!(row.split_whitespace().skip(1).take(5).collect::<Vec<_>>(), counts, "{row}");
            assert!(row.contains("refuse "), "when traffic left: {row}");
        }
    }

    #[test]
    fn a_figure_in_which_a_baseline_is_ahead_is_named_with_both_values() {
        let (mut ours, theirs) = (under(PolicyName::Tidings), under(PolicyName::OutlierDetection));
        (ours.calls_wasted, ours.p99_ms) = (theirs.calls_wasted, theirs.p99_ms);
        assert!(!of_comparison(&[ours.clone(), theirs.clone()]).contains("is ahead"), "level in everything");
        ours.unknown = theirs.unknown + 7.0;
        let told = format!("  one-refuses: unknown {} under outlier_detection, {} under tidings", theirs.unknown, ours.unknown);
        let text = of_comparison(&[ours, theirs]);
        assert!(text.ends_with(&format!("is ahead of tidings by more than 2 % in:\n{told}\n")), "{text}");
    }

    #[test]
    fn one_run_is_told_with_its_counts_its_faults_and_what_was_decided_when() {
        let scenario = Scenario::read("one-refuses", REFUSES).unwrap();
        let run = run(&scenario, PolicyName::Tidings, 1);
        let text = of_run(&run);
        assert!(text.starts_with("one-refuses under tidings, seed 1\n"), "{text}");
        assert!(text.contains("  a refuse from 20 s to 40 s: left after 0."), "{text}");
        for (kind, least) in [("ejected", 1), ("probing", 1), ("ramping", 1), ("healthy", 1)] {
            assert!(text.matches(&format!("s  a: {kind}")).count() >= least, "{kind}: {text}");
        }
    }
}
