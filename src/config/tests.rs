use std::time::Duration;

use super::*;

fn load(toml: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, Faults> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), toml).unwrap();
    let owned =
        |pairs: &[(&str, &str)]| -> Vec<(String, String)> { pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect() };
    Config::load(Some(file.path()), owned(environment), owned(flags))
}

fn faults(toml: &str, environment: &[(&str, &str)]) -> Vec<String> {
    load(toml, environment, &[]).unwrap_err().0.into_iter().map(|fault| fault.text).collect()
}

#[test]
fn nothing_needs_a_config_file() {
    let config = Config::load(None, [], []).unwrap();
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.http.public_url, "http://127.0.0.1:8080");
    assert_eq!(config.http.shutdown_timeout, Duration::from_secs(20));
    assert_eq!(config.kafka.partitions, 12);
    assert!(config.database.url.is_none());
}

#[test]
fn environment_wins_over_file_and_flags_win_over_both() {
    let file = "[http]\nlisten = '127.0.0.1:1'\nmax_body_bytes = 2048\n[queue]\nmax_messages = 5\n";
    let environment =
        [("TIDINGS__HTTP__LISTEN", "127.0.0.1:2"), ("TIDINGS__QUEUE__MAX_MESSAGES", "6"), ("TIDINGS_URL", "x"), ("PATH", "y")];
    let config = load(file, &environment, &[("http.listen", "127.0.0.1:3")]).unwrap();
    assert_eq!((config.http.listen.port(), config.queue.max_messages, config.http.max_body_bytes), (3, 6, 2048));
    assert_eq!(config.http.public_url, "http://127.0.0.1:3", "links follow the listener unless told otherwise");
}

#[test]
fn all_errors_are_said_at_once_with_the_nearest_known_name() {
    let file = "datadir = 'x'\n[http]\nlisten = 8080\nmax_body_byte = 5\nshutdown_timeout_s = -1\n[kakfa]\nbrokers = 'b'\n[nothing]\n";
    let mut texts = faults(file, &[("TIDINGS__LOG__FORMAT", "yaml"), ("TIDINGS__HTTP", "x")]);
    texts.sort();
    assert_eq!(
        texts,
        [
            "datadir is not a setting; the nearest is data_dir",
            "http is a section, not a setting",
            "http.listen must be an address and a port such as 127.0.0.1:8080",
            "http.max_body_byte is not a setting; the nearest is http.max_body_bytes",
            "http.shutdown_timeout_s must be a whole number that is not negative",
            "kakfa.brokers is not a setting; the nearest is kafka.brokers",
            "log.format must be \"text\" or \"json\"",
            "nothing is not a setting",
        ]
    );
}

#[test]
fn numbers_out_of_range_are_refused() {
    assert_eq!(faults("[kafka]\npartitions = 0", &[]), ["kafka.partitions must be between 1 and 10000"]);
}

#[test]
fn a_secret_may_be_in_a_file_but_not_in_two_places() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "postgres://u:p@h/d\n").unwrap();
    let path = secret.path().to_str().unwrap();
    let config = load("", &[("TIDINGS__DATABASE__URL_FILE", path)], &[]).unwrap();
    assert_eq!(config.database.url.unwrap().expose(), "postgres://u:p@h/d");
    let both = faults("[database]\nurl = 'postgres://secret'", &[("TIDINGS__DATABASE__URL_FILE", path)]);
    assert_eq!(both, ["database.url and database.url_file are both given: give one"]);
    let missing = faults("[secrets]\nmaster_key_file = '/nowhere/key'", &[]);
    assert!(missing[0].starts_with("secrets.master_key_file: /nowhere/key cannot be read"), "{missing:?}");
}

#[test]
fn no_fault_shows_a_value() {
    let text = load("[database]\nurl = 17171717\n", &[("TIDINGS__HTTP__LISTEN", "canary")], &[]).unwrap_err().to_string();
    assert!(!text.contains("17171717") && !text.contains("canary"), "{text}");
}

#[test]
fn a_file_that_is_not_toml_is_named_with_its_line() {
    let texts = faults("[http]\nlisten = \n", &[]);
    assert!(texts[0].starts_with("line 2 is not TOML"), "{texts:?}");
}

#[test]
fn addresses_of_servers_have_their_scheme() {
    let file = "[database]\nurl = 'mysql://u:hush@h/d'\n[redis]\nurl = 'h:6379'\n";
    assert_eq!(
        faults(file, &[]),
        ["database.url must be an address that begins with postgres://", "redis.url must be an address that begins with redis://"]
    );
    assert!(load("[database]\nurl = 'postgresql://h/d'\n[redis]\nurl = 'rediss://h'\n", &[], &[]).is_ok());
}
