//! What operators and metrics see of a provider.

use std::sync::Arc;

use crate::{fleet::State, health::Reading};

/// A provider at one moment.
#[derive(Clone, Debug)]
pub struct ProviderView {
    pub name: Arc<str>,
    pub state: State,
    /// 0–100.
    pub score: u8,
    /// As configured, or as a person has set it.
    pub weight: u32,
    /// Its part of what the fleet would send now: the sum over all is 1 unless everybody is out.
    pub effective_share: f64,
    pub in_flight: u32,
    /// The rate that holds now: contract, grant and what throttling taught; none without a limit.
    pub limit_per_s: Option<f64>,
    /// The five signals, in the order of [`crate::health::Signal::ALL`].
    pub signals: Vec<Reading>,
}
