//! The configuration of a process: defaults, then a TOML file, then the environment, then flags.
//!
//! Every setting has a default that works on a laptop, so nothing needs a file. Whatever is wrong is said at once, each
//! fault with where it was given and, for an unknown name, the nearest known one. Values never appear in faults: any of
//! them may be a secret. A secret may be given as itself or, with `_file` behind its name, as the file that holds it.

mod identity;
mod reader;
mod sections;
mod setting;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use reader::{Origin, Reader};

use crate::telemetry::{Log, traces};

pub use self::{
    identity::{Auth, Oidc, Retention},
    reader::{Fault, nearest},
    sections::{Bootstrap, Database, Health, Http, Kafka, Metrics, Queue, Redis, Retries, Secrets, Verifications, Webhooks, Workers},
    setting::Network,
};

/// Two underscores, so that variables of the command line tools (`TIDINGS_URL`) are not mistaken for settings.
const ENVIRONMENT_PREFIX: &str = "TIDINGS__";

/// Everything that an operator can set, read and checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// SQLite file, local snapshot, generated secrets; one per process, never shared.
    pub data_dir: PathBuf,
    pub http: Http,
    pub metrics: Metrics,
    pub database: Database,
    pub redis: Redis,
    pub kafka: Kafka,
    pub queue: Queue,
    pub webhooks: Webhooks,
    pub secrets: Secrets,
    pub bootstrap: Bootstrap,
    pub verifications: Verifications,
    pub workers: Workers,
    pub retries: Retries,
    pub health: Health,
    pub auth: Auth,
    pub oidc: Oidc,
    pub retention: Retention,
    pub log: Log,
    pub traces: traces::Settings,
}

/// Everything that is wrong with a configuration, one fault a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl std::error::Error for Faults {}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl Config {
    /// Reads the file (if any), then `environment`, then `flags` (`section.name` and its value).
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Faults> {
        let (config, faults) = Self::read_all(file, environment, flags);
        if faults.0.is_empty() { Ok(config) } else { Err(faults) }
    }

    /// The same with everything that is wrong; a setting that is wrong has its default.
    pub fn read_all(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: impl IntoIterator<Item = (String, String)>,
    ) -> (Self, Faults) {
        let mut reader = Reader::new();
        if let Some(file) = file {
            reader.add_file(file);
        }
        for (name, value) in environment {
            if let Some(path) = name.strip_prefix(ENVIRONMENT_PREFIX) {
                reader.add_text(path.to_ascii_lowercase().replace("__", "."), value, Origin::Environment(name.clone()));
            }
        }
        for (path, value) in flags {
            reader.add_text(path, value, Origin::Flag);
        }
        let config = Self::read(&mut reader);
        (config, Faults(reader.finish()))
    }

    fn read(from: &mut Reader) -> Self {
        Self {
            data_dir: from.get("data_dir", PathBuf::from("data")),
            http: Http::read(from),
            metrics: Metrics::read(from),
            database: Database::read(from),
            redis: Redis::read(from),
            kafka: Kafka::read(from),
            queue: Queue::read(from),
            webhooks: Webhooks::read(from),
            secrets: Secrets::read(from),
            bootstrap: Bootstrap::read(from),
            verifications: Verifications::read(from),
            workers: Workers::read(from),
            retries: Retries::read(from),
            health: Health::read(from),
            auth: Auth::read(from),
            oidc: Oidc::read(from),
            retention: Retention::read(from),
            log: sections::read_log(from),
            traces: sections::read_traces(from),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::read(&mut Reader::new())
    }
}
