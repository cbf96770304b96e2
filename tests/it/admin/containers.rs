//! What image, composition and cluster rely on: names of commands, ports, paths, how long an end may take, an example to begin with.

use std::{collections::HashSet, sync::Arc, time::Duration};

use clap::CommandFactory;
use http::StatusCode;
use tidings::{cli::Cli, config::Config, control::Bootstrap};

use crate::harness::App;

const IMAGE: &str = include_str!("../../../deploy/Dockerfile");
const COMPOSE: &str = include_str!("../../../deploy/compose.yaml");
const KUBERNETES: [&str; 2] =
    [include_str!("../../../deploy/kubernetes/tidings.yaml"), include_str!("../../../deploy/kubernetes/migrate.yaml")];
const SCRAPED: &str = include_str!("../../../deploy/prometheus/compose.yaml");
const EXAMPLE: &str = include_str!("../../../deploy/bootstrap.example.toml");
const CONFIGURATION: &str = include_str!("../../../docs/CONFIGURATION.md");

/// What stands behind every `key` of the text, to the end of the word.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let word = |after: &'a str| after.trim_start().split([' ', ',', '\n', ']', '}']).next();
    text.split(key).skip(1).filter_map(word).map(|word| word.trim_matches(['"', '['])).collect()
}

#[test]
fn every_role_is_a_command() {
    let commands = Cli::command();
    let known: HashSet<&str> = commands.get_subcommands().map(clap::Command::get_name).collect();
    let started = values(KUBERNETES[0], "args: [").into_iter().chain(values(KUBERNETES[1], "args: [")).chain(values(COMPOSE, "command: ["));
    let started: HashSet<&str> = started.filter(|word| !word.starts_with("--") && *word != "redis-server").collect();
    assert_eq!(started, HashSet::from(["api", "worker", "migrate"]));
    assert!(started.is_subset(&known) && known.contains("serve") && known.contains("healthcheck"), "{known:?}");
}

#[test]
fn one_port_is_listened_on_published_probed_and_scraped() {
    assert_eq!(values(IMAGE, "EXPOSE "), ["8080"]);
    assert_eq!(values(IMAGE, "TIDINGS__HTTP__LISTEN="), ["0.0.0.0:8080"]);
    assert_eq!(values(KUBERNETES[0], "TIDINGS__HTTP__LISTEN: "), ["0.0.0.0:8080"]);
    assert_eq!(values(KUBERNETES[0], "containerPort: "), ["8080", "8080"]);
    assert_eq!(values(KUBERNETES[0], "prometheus.io/port: "), ["8080", "8080"]);
    assert_eq!(values(COMPOSE, "ports: [\"8080-8081:"), ["8080"]);
    assert_eq!(values(SCRAPED, "port: "), ["8080"]);
}

#[tokio::test]
async fn what_is_probed_and_scraped_is_served() {
    let app = App::start().await;
    let paths = values(KUBERNETES[0], "httpGet: { path: ").into_iter().chain(values(SCRAPED, "metrics_path: "));
    let paths: HashSet<&str> = paths.collect();
    assert_eq!(paths, HashSet::from(["/livez", "/readyz", "/metrics"]));
    for path in paths {
        // Just started, it may be not ready yet.
        assert_ne!(app.get("", path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[test]
fn supervisors_wait_longer_than_an_end_may_take() {
    let most = Config::default().http;
    let seconds = |text: &str| Duration::from_secs(text.trim_end_matches('s').parse().unwrap());
    let drain = Duration::from_millis(values(KUBERNETES[0], "TIDINGS__HTTP__DRAIN_DELAY_MS: ")[0].parse().unwrap());
    for given in values(KUBERNETES[0], "terminationGracePeriodSeconds: ") {
        assert!(seconds(given) > drain + 2 * most.shutdown_timeout, "requests first, then calls to providers");
    }
    for given in values(COMPOSE, "stop_grace_period: ") {
        assert!(seconds(given) > most.drain_delay + most.shutdown_timeout);
    }
}

/// A store that somebody still holds is waited for, and then given up with a warning.
#[tokio::test]
async fn a_node_that_ends_lets_go_of_its_store() {
    let app = App::start().await;
    let store = Arc::downgrade(&app.node.messages);
    drop(app.stop().await);
    assert_eq!(store.strong_count(), 0);
}

#[test]
fn the_bootstrap_file_to_begin_with_and_the_documented_one_can_be_read() {
    assert_eq!(Bootstrap::read(EXAMPLE).unwrap().providers().len(), 2);
    let documented = CONFIGURATION.split("## The bootstrap file").nth(1).and_then(|text| text.split("```").nth(1)).unwrap();
    let secret = ["tk_live_", &"0".repeat(32)].concat();
    let documented = documented.trim_start_matches("toml").replace("tk_live_…", &secret).replace("id = \"key_…\"", "");
    assert_eq!(Bootstrap::read(&documented).unwrap().providers().len(), 1);
}
