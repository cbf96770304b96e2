//! What an operator can see of a running process: metrics, logs, traces.
//!
//! One [`Metrics`] per process is made in the assembly and handed down; there is no global, so tests read their own
//! numbers. Handles are resolved once: what runs per message is an array look-up and an atomic addition. Every label comes
//! from a closed set of words, or from the routing revision (providers), which is bounded; nothing that a caller sends
//! becomes a label. [`logs::init`] sets up the log as `docs/LOGGING.md` describes it.

pub mod logs;
pub mod metrics;
pub mod traces;

pub use self::{logs::Log, metrics::Metrics, traces::Traces};
