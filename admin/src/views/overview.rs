//! The first page: are messages getting out?

use std::time::Duration;

use tidings_core::{message::Lane, time::Timestamp};

use super::provider::{ProviderEvent, ProviderRow};

#[derive(Clone, Debug)]
pub struct Overview {
    pub at: Timestamp,
    /// Messages accepted and finished in each of the last minutes, oldest first; the last one is under way.
    pub minutes: Vec<Minute>,
    /// Over the last minute.
    pub accepted_per_s: f64,
    pub submitted_per_s: f64,
    pub lanes: Vec<LaneState>,
    pub dependencies: Vec<Dependency>,
    pub providers: Vec<ProviderRow>,
    /// Newest first.
    pub events: Vec<ProviderEvent>,
    /// Why messages of the last hour did not get out, most frequent first.
    pub failures: Vec<FailureGroup>,
    pub pending_requests: usize,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Minute {
    pub at: Timestamp,
    pub accepted: u64,
    /// Taken by a provider.
    pub submitted: u64,
    /// Ended as failed, undelivered, expired or unknown.
    pub failed: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct LaneState {
    pub lane: Lane,
    pub waiting: u64,
    /// How long the oldest message that is due has waited.
    pub oldest: Duration,
}

/// A backing service.
#[derive(Clone, Debug)]
pub struct Dependency {
    pub name: String,
    pub up: bool,
    /// What is worse without it, for a person.
    pub degrades: String,
}

#[derive(Clone, Debug)]
pub struct FailureGroup {
    pub provider: String,
    /// The attempts' outcome.
    pub outcome: tidings_core::attempt::Outcome,
    pub count: u64,
}
