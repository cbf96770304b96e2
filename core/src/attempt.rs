//! One call to one provider: what it was, how it ended, why this provider was chosen.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{money::Amount, time::Timestamp};

crate::message::words! {
    /// How an attempt ended. Adapters classify, delivery decides by the class and never looks at who.
    Outcome {
        /// The provider took it.
        Accepted = "accepted",
        /// The recipient cannot be reached by anybody: ends the message, hurts no provider.
        RejectedRecipient = "rejected_recipient",
        /// This provider does not take this text: the next may.
        RejectedContent = "rejected_content",
        /// The account does not work (credentials, balance): hurts the provider.
        RejectedAccount = "rejected_account",
        /// Too fast. Soft: teaches the limiter, costs no attempt.
        Throttled = "throttled",
        /// Known not to have been processed.
        Unavailable = "unavailable",
        /// May have been processed: a timeout after the request was written, a reset, a malformed answer.
        Ambiguous = "ambiguous",
    }
}

impl Outcome {
    /// Whether the message may have reached the provider's network by this attempt.
    pub const fn may_have_been_sent(self) -> bool {
        matches!(self, Self::Accepted | Self::Ambiguous)
    }
}

/// How many times a message is tried at most, throttled answers not counted.
pub const MAX_ATTEMPTS: u32 = 10;

/// An attempt that has been opened: durable before the wire is touched, so that after a crash we know that the provider
/// may have seen the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// Counts from 1 within the message.
    pub number: u32,
    /// The provider's name in the routing revision.
    pub provider: String,
    /// The routing revision that it was chosen by.
    pub revision: u32,
    /// Whether that provider reports what became of a message.
    pub receipts: bool,
    pub started_at: Timestamp,
    /// One line for an operator: score and weight against the others, who was left out and why.
    pub why: String,
}

/// How an opened attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub outcome: Outcome,
    /// The vendor's code verbatim, or `timeout`, `connect`, `reset`, `malformed`, `http_<status>`, `interrupted`.
    pub code: Option<String>,
    pub duration: Duration,
    pub provider_message_id: Option<String>,
    pub segments: u32,
    pub cost: Option<Cost>,
}

/// An amount in a currency (ISO 4217).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    pub amount: Amount,
    pub currency: String,
}

/// An attempt as the store keeps it; `ended` is absent while the call is out, or after a crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    #[serde(flatten)]
    pub opened: Opened,
    pub ended: Option<Ended>,
}

/// How far a message came: attempts opened plus attempts ended, so odd while one is out.
pub fn steps(attempts: &[Attempt]) -> usize {
    attempts.len() + attempts.iter().filter(|attempt| !attempt.is_open()).count()
}

impl Attempt {
    pub const fn is_open(&self) -> bool {
        self.ended.is_none()
    }
}
