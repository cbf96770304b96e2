//! Every change of a provider's state, automatic or human, with the numbers that led to it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{health::Reading, message::words, time::Moment};

words! {
    /// What happened to a provider.
    EventKind {
        /// Nothing is sent to it any more.
        Ejected = "ejected",
        /// Its ejection is over and single calls find out whether it is back.
        Probing = "probing",
        /// Probes went well; it gets its traffic back by steps.
        Ramping = "ramping",
        /// It has its full traffic again.
        Healthy = "healthy",
        /// Soft evidence: its weight is scaled down.
        Degraded = "degraded",
        /// The soft evidence is gone.
        Restored = "restored",
        Paused = "paused",
        Resumed = "resumed",
        Pinned = "pinned",
        Unpinned = "unpinned",
        WeightSet = "weight_set",
        /// Throttled answers taught a lower rate.
        Throttled = "throttled",
    }
}

words! {
    /// A provider's state, as operators see it.
    State {
        Healthy = "healthy",
        Ejected = "ejected",
        Probing = "probing",
        Ramping = "ramping",
        Paused = "paused",
        Pinned = "pinned",
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub at: Moment,
    pub provider: Arc<str>,
    pub kind: EventKind,
    /// The state after it.
    pub state: State,
    /// The signal that led to it; none for what people do or time brings.
    pub reading: Option<Reading>,
    /// Who did it; none for what health decided.
    pub actor: Option<String>,
    pub reason: Option<String>,
    /// Decided here, or adopted from another process.
    pub adopted: bool,
    /// An ejection whose way back failed: the same illness, not a new decision.
    pub again: bool,
}

/// What a person asks of a provider, and who it is and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub command: Command,
    pub actor: String,
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Send nothing until resumed.
    Pause,
    Resume,
    /// Keep it in service at its configured weight, whatever health says.
    Pin,
    Unpin,
    /// Override the configured weight; `None` takes the override back.
    Weight(Option<u32>),
}
