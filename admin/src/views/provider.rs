//! A provider as delivery sees it.

use std::time::Duration;

use tidings_core::{message::Channel, redact::Secret, time::Timestamp};

/// Declares an enum with one spelling for each variant.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($variant,)* }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|word| word.as_str() == text)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}
pub(super) use words;

words! {
    ProviderState {
        Healthy = "healthy",
        Ejected = "ejected",
        Probing = "probing",
        Ramping = "ramping",
        Paused = "paused",
        Pinned = "pinned",
    }
}

words! {
    SignalName {
        ConsecutiveTimeouts = "consecutive_timeouts",
        MeanLatency = "mean_latency",
        TailShare = "tail_share",
        ErrorRate = "error_rate",
        Receipts = "receipts",
    }
}

#[derive(Clone, Debug)]
pub struct ProviderRow {
    pub name: String,
    pub kind: String,
    pub channel: Channel,
    pub state: ProviderState,
    /// 0 to 100.
    pub score: f64,
    pub weight: u32,
    /// Share of the traffic that it gets, 0 to 1.
    pub share: f64,
    /// Calls of the last five minutes.
    pub calls: u64,
    /// Share of them that failed, 0 to 1.
    pub error_share: f64,
    pub p50: Option<Duration>,
    pub p99: Option<Duration>,
    pub in_flight: u32,
    pub max_in_flight: u32,
    /// Segments per second now, and the contract; 0 means none.
    pub rate_per_s: f64,
    pub limit_per_s: f64,
}

#[derive(Clone, Debug)]
pub struct ProviderDetail {
    pub row: ProviderRow,
    /// Since when it is in this state, and why.
    pub since: Option<Timestamp>,
    pub why: Option<String>,
    pub price: String,
    pub revision: u32,
    pub signals: Vec<SignalView>,
    /// Minutes, oldest first.
    pub history: Vec<ProviderSample>,
    /// Newest first.
    pub events: Vec<ProviderEvent>,
    /// What to enter at the vendor; `None` where it reports nothing.
    /// It may hold a token, so only those who may act see it whole.
    pub receipt_address: Option<Secret>,
}

#[derive(Clone, Debug)]
pub struct SignalView {
    pub name: SignalName,
    pub value: f64,
    pub baseline: Option<f64>,
    pub threshold: f64,
    pub samples: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct ProviderSample {
    pub at: Timestamp,
    pub calls: u64,
    pub errors: u64,
    /// Milliseconds; `None` without calls.
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
}

/// A change of a provider's state, by health or by a person.
#[derive(Clone, Debug)]
pub struct ProviderEvent {
    pub at: Timestamp,
    pub provider: String,
    /// `ejected`, `returned`, `paused`, …
    pub kind: String,
    /// A person's name, or `health`.
    pub actor: String,
    /// With the numbers that led to it.
    pub text: String,
}

/// What an operator tells delivery to do with a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steering {
    Pause,
    Resume,
    Pin,
    Unpin,
    Weight(u32),
}
