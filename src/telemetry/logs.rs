//! The log: who must act is the level, what happened is the message, the rest are fields.
//!
//! Text for people, JSON (one object a line, RFC 3339 UTC) for machines; both on standard error, because commands print
//! their results on standard output. The filter is `tracing`'s (`info`, `info,tidings::delivery=debug`). What may be in a
//! line is fixed in `docs/LOGGING.md`; recipients and texts cannot be, their types print a placeholder.

use std::{io::IsTerminal, str::FromStr};

use serde::{Deserialize, Serialize};
use tracing_subscriber::{EnvFilter, Layer, Registry, layer::SubscriberExt, util::SubscriberInitExt};

/// Libraries that log every connection at info; their warnings stay.
const QUIET: [&str; 6] = ["hyper=warn", "h2=warn", "reqwest=warn", "sqlx=warn", "rdkafka=warn", "rustls=warn"];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    #[default]
    Text,
    Json,
}

/// The section `[log]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Log {
    pub format: Format,
    /// Directives of `tracing`, as in `info,tidings::delivery=debug`.
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: Format::Text, filter: "info".to_owned() }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("log.filter is not a list of directives such as info,tidings::delivery=debug")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    #[error("a log was set up before")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

impl Log {
    /// Whether the filter can be read; `tidings check` asks before anything starts.
    pub fn validate(&self) -> Result<(), Error> {
        self.directives().map(drop)
    }

    fn directives(&self) -> Result<EnvFilter, Error> {
        let quiet = QUIET.iter().fold(String::new(), |text, directive| text + directive + ",");
        // Later directives win over earlier ones of the same target, so what the operator says about a library holds.
        EnvFilter::from_str(&(quiet + &self.filter)).map_err(Error::Filter)
    }

    fn layer(&self) -> Box<dyn Layer<Registry> + Send + Sync> {
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        match self.format {
            Format::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
            Format::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(true).boxed(),
        }
    }
}

/// Sets up the log of this process; once.
pub fn init(log: &Log) -> Result<(), Error> {
    tracing_subscriber::registry().with(log.layer().with_filter(log.directives()?)).try_init().map_err(Error::Twice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_read_is_refused_before_anything_starts() {
        let with = |filter: &str| Log { format: Format::Text, filter: filter.to_owned() }.validate();
        assert!(with("info,tidings::delivery=debug").is_ok());
        assert!(with("info,=loud=").is_err());
    }
}
