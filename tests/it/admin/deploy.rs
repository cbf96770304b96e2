//! Alert rules and the dashboard use only metrics that exist, and every alert has a runbook.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use tidings::telemetry::{
    Metrics,
    metrics::{GrantSource, ProviderState, Signal},
};
use tidings_core::{
    attempt::{Ended, Outcome},
    message::Lane,
};

const ALERTS: &str = include_str!("../../../deploy/prometheus/alerts.yaml");
const DASHBOARD: &str = include_str!("../../../deploy/grafana/tidings.json");
const KUBERNETES: &str = include_str!("../../../deploy/kubernetes/tidings.yaml");
const MIGRATE: &str = include_str!("../../../deploy/kubernetes/migrate.yaml");
const IMAGE: &str = include_str!("../../../deploy/Dockerfile");
const COMPOSE: &str = include_str!("../../../deploy/compose.yaml");
const RUNBOOK: &str = include_str!("../../../docs/OPERATIONS.md");

/// A registry in which everything happened once, so that every family is there with its labels.
fn everything() -> String {
    let metrics = Metrics::new();
    let provider = metrics.provider("a");
    for outcome in Outcome::ALL {
        provider.attempt(&Ended {
            outcome: *outcome,
            code: None,
            duration: Duration::from_millis(1),
            provider_message_id: None,
            segments: 1,
            cost: None,
        });
    }
    provider.state(ProviderState::Ejected);
    provider.ejected(Signal::ErrorRate);
    provider.limiter_wait(Duration::from_millis(1));
    provider.receipt(Duration::from_secs(1));
    metrics.http.answered(Some("/livez"), "GET", 500, Duration::from_millis(1));
    metrics.refused("invalid");
    metrics.shed(Lane::Bulk);
    metrics.dependency_up("database", false);
    metrics.panicked("deliver");
    metrics.grants.granted(GrantSource::Store, Duration::from_millis(1));
    metrics.render()
}

/// Names of the series with the label values that each label has.
fn series(text: &str) -> HashMap<String, HashMap<String, HashSet<String>>> {
    let mut all: HashMap<String, HashMap<String, HashSet<String>>> = HashMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = line.rsplit_once(' ').unwrap().0.split_once('{').unwrap_or((line.split(' ').next().unwrap(), ""));
        let known = all.entry(name.to_owned()).or_default();
        for pair in labels.trim_end_matches('}').split(',').filter_map(|pair| pair.split_once('=')) {
            known.entry(pair.0.to_owned()).or_default().insert(pair.1.trim_matches('"').to_owned());
        }
    }
    all
}

/// Metrics in an expression with the matchers beside them.
fn used(expression: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(at) = rest.find("tidings_").into_iter().chain(rest.find("process_")).min() {
        rest = &rest[at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = after;
        let matchers = after.strip_prefix('{').and_then(|after| after.split_once('}')).map_or("", |(inside, _)| inside);
        let matcher = |text: &str| {
            let (label, value) = text.split_once(['=', '!'])?;
            Some((label.trim().to_owned(), value.trim_start_matches(['=', '~']).trim_matches('"').to_owned()))
        };
        found.push((name.to_owned(), matchers.split(',').filter_map(matcher).collect()));
    }
    found
}

fn holds(source: &str, expression: &str, known: &HashMap<String, HashMap<String, HashSet<String>>>) {
    for (name, matchers) in used(expression) {
        let labels = known.get(&name).unwrap_or_else(|| panic!("{source} uses {name}, which nothing measures"));
        // Labels that the scraping server adds.
        for (label, value) in matchers.into_iter().filter(|(label, _)| !["job", "instance"].contains(&label.as_str())) {
            let values = labels.get(&label).unwrap_or_else(|| panic!("{source}: {name} has no label {label}"));
            if value.contains("..") {
                continue;
            }
            for value in value.split('|') {
                assert!(values.contains(value), "{source}: {name} never has {label}=\"{value}\", only {values:?}");
            }
        }
    }
}

#[test]
fn alert_rules_use_only_metrics_and_labels_that_exist() {
    let known = series(&everything());
    let lines: Vec<&str> = ALERTS.lines().collect();
    let mut rules = 0;
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.trim() == "expr: >-") {
        assert!(!line.is_empty());
        holds("deploy/prometheus/alerts.yaml", lines[at + 1], &known);
        rules += 1;
    }
    assert_eq!(rules, ALERTS.matches("- alert: ").count());
    assert!(rules >= 20);
}

#[test]
fn the_dashboard_uses_only_metrics_and_labels_that_exist() {
    let known = series(&everything());
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut panels = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            holds(panel["title"].as_str().unwrap(), target["expr"].as_str().unwrap(), &known);
            panels += 1;
        }
    }
    assert!(panels >= 30);
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let alerts: HashSet<&str> = ALERTS.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let sections: HashSet<&str> =
        RUNBOOK.lines().filter_map(|line| line.strip_prefix("### ")).filter(|title| title.starts_with("Tidings")).collect();
    assert_eq!(alerts, sections);
    for alert in alerts {
        assert!(ALERTS.contains(&format!("runbook: docs/OPERATIONS.md#{}", alert.to_lowercase())), "{alert} does not name its section");
    }
}

#[test]
fn a_name_that_nothing_measures_is_noticed() {
    let known = series(&everything());
    let wrong = std::panic::catch_unwind(|| holds("test", "rate(tidings_messages_lost_total[5m]) > 0", &known));
    let wrong_label = std::panic::catch_unwind(|| holds("test", "tidings_queue_messages{lane=\"express\"}", &known));
    assert!(wrong.is_err() && wrong_label.is_err());
}

#[test]
fn the_autoscaler_goes_by_a_metric_that_exists() {
    let known = series(&everything());
    let line = KUBERNETES.lines().find(|line| line.contains("metric: {")).unwrap();
    let name = used(line)[0].0.clone();
    assert_eq!(name, "tidings_queue_oldest_seconds");
    holds("deploy/kubernetes/tidings.yaml", &format!("{name}{{lane=\"normal\"}}"), &known);
    assert!(line.contains("matchLabels: { lane: normal }"));
}

#[test]
fn deploy_files_set_only_settings_that_exist() {
    let files = [
        ("kubernetes/tidings.yaml", KUBERNETES, 5),
        ("kubernetes/migrate.yaml", MIGRATE, 0),
        ("compose.yaml", COMPOSE, 5),
        ("Dockerfile", IMAGE, 2),
    ];
    for (file, text, least) in files {
        let names = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("TIDINGS__"));
        let names: HashSet<&str> = names.collect();
        assert!(names.len() >= least, "{file}: {names:?}");
        // Its value matters not, whether there is such a setting does.
        let unknown = |name: &str| match tidings::config::Config::load(None, [(name.to_owned(), "x".to_owned())], []) {
            Ok(_) => false,
            Err(faults) => faults.0.iter().any(|fault| fault.text.contains("is not a setting")),
        };
        assert_eq!(names.into_iter().filter(|name| unknown(name)).collect::<Vec<_>>(), Vec::<&str>::new(), "{file}");
        assert!(unknown("TIDINGS__DATABASE__URI"), "an unknown one is noticed");
    }
}
