//! The five things a provider is judged by.

use serde::{Deserialize, Serialize};

use crate::message::words;

words! {
    /// What speaks for or against a provider.
    Signal {
        /// Calls that do not answer: timeouts in a row, and calls still out that should have answered long ago.
        ConsecutiveTimeouts = "consecutive_timeouts",
        /// Typical latency against the provider's own.
        MeanLatency = "mean_latency",
        /// Share of calls slower than a second.
        TailShare = "tail_share",
        /// Share of calls that failed.
        ErrorRate = "error_rate",
        /// Share of accepted messages whose receipt is late or says undelivered.
        Receipts = "receipts",
    }
}

/// One signal with everything that it was judged by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    pub name: Signal,
    /// Calls (timeouts), seconds (mean) or a share.
    pub value: f64,
    /// The provider's own long-term value.
    pub baseline: f64,
    pub threshold: f64,
    pub samples: u64,
}
