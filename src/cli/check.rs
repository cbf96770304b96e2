//! `tidings check`: everything that is wrong with configuration and bootstrap file, at once.

use anyhow::bail;
use clap::Args;

use super::Global;
use crate::{config::Config, control::Bootstrap, seal::Keyring};

/// Read the configuration and the bootstrap file, print every error at once, exit 1 if there is any
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tidings check --config tidings.toml")]
pub(super) struct Check {}

impl Check {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let (config, faults) = global.read();
        let mut lines: Vec<String> = faults.0.iter().map(ToString::to_string).collect();
        // What a wrong setting would have said is not known: only sound ones are held against each other.
        if lines.is_empty() {
            lines = contradictions(&config);
        }
        // The bootstrap file is read even if other settings are wrong: one run shows the whole list.
        if let Some(file) = &config.bootstrap.file
            && let Err(faults) = Bootstrap::load(file)
        {
            lines.extend(faults.0.iter().map(|fault| format!("{}: {fault}", file.display())));
        }
        if lines.is_empty() {
            println!("the configuration is sound");
            return Ok(());
        }
        for line in &lines {
            eprintln!("{line}");
        }
        bail!("{} found", if lines.len() == 1 { "1 error".to_owned() } else { format!("{} errors", lines.len()) })
    }
}

/// What every setting for itself allows and a start would refuse.
fn contradictions(config: &Config) -> Vec<String> {
    let (database, redis, kafka) = (config.database.url.is_some(), config.redis.url.is_some(), config.kafka.brokers.is_some());
    let mut lines = Vec::new();
    match &config.secrets.master_key {
        Some(key) => lines.extend(Keyring::parse(key.expose()).err().map(|error| format!("secrets.master_key: {error}"))),
        None if database => {
            lines.push(
                "secrets.master_key_file: with database.url set, every node needs the same master key: 32 random bytes in base64".into(),
            );
        }
        None => {}
    }
    if (redis || kafka) && !database {
        lines.push("redis.url and kafka.brokers need database.url: the rungs are climbed one after the other".into());
    } else if kafka && !redis {
        lines.push("kafka.brokers needs redis.url: the rungs are climbed one after the other".into());
    }
    lines
}
