//! What a fleet is told about its providers, and what a caller asks of it.

use std::{sync::Arc, time::Duration};

use crate::{
    health::Thresholds,
    limits::Contract,
    message::{Category, Lane},
    money::Amount,
    retry::ProviderSet,
    select::Select,
};

/// The providers of a routing revision, in its order; a provider's *place* is its index here.
#[derive(Clone, Debug, Default)]
pub struct FleetConfig {
    pub providers: Vec<ProviderSpec>,
}

/// One provider, as far as choosing it goes.
#[derive(Clone, Debug)]
pub struct ProviderSpec {
    pub name: Arc<str>,
    /// Its usual part of the traffic, against the others' weights.
    pub weight: u32,
    /// Contract, in segments per second; 0 = none.
    pub max_per_s: u32,
    /// Calls in flight; 0 = none.
    pub max_in_flight: u32,
    /// When a call without an answer ends as ambiguous.
    pub timeout: Duration,
    /// Per segment.
    pub price: Amount,
    /// Whether it reports what became of messages.
    pub receipts: bool,
    pub thresholds: Thresholds,
}

impl ProviderSpec {
    pub(super) const fn contract(&self) -> Contract {
        Contract { max_per_s: self.max_per_s, max_in_flight: self.max_in_flight }
    }
}

/// One message that looks for a provider.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub category: Category,
    pub lane: Lane,
    pub segments: u32,
    /// A hash of the recipient, for consistent hashing.
    pub key: u64,
    /// The route's providers by place, in the route's order.
    pub candidates: &'a [usize],
    /// Who was tried in this round or refused the message for good ([`crate::retry::Course::excluded`]).
    pub tried: ProviderSet,
    pub select: Select,
    /// For the whole message; a dearer provider is not used.
    pub max_price: Option<Amount>,
}
