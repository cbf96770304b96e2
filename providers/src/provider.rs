//! The port: what a provider is asked, and the only answers that exist.
//!
//! [`Provider::submit`] makes one call to one vendor within [`Submission::timeout`] and says what became of it in six
//! meanings ([`SubmitError`]) that own how they may be retried; nobody outside reads a vendor's texts or codes to decide.
//! The meaning that matters most is [`SubmitError::Ambiguous`]: once a byte of the request may have left, "no answer" is
//! not "not sent". An adapter that is not sure says ambiguous.
//!
//! [`Provider::receipts`] verifies and translates what the vendor calls us with. Recipients, texts, parameters and tokens
//! are redacted types throughout; codes are bounded, since a vendor writes them.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tidings_core::{
    attempt::Outcome,
    message::{Message, Status},
    redact::{Redacted, Text},
    time::Timestamp,
};

/// A vendor's code is kept verbatim up to this many characters: the longest known are about 40 (`isv.BUSINESS_LIMIT_CONTROL`).
pub const MAX_CODE_CHARS: usize = 64;
/// A provider message id longer than this is no id; the longest known are about 60 characters.
pub const MAX_PROVIDER_MESSAGE_ID_CHARS: usize = 128;

/// One call to one provider: the message, and what this provider needs to know beside it.
#[derive(Clone, Debug)]
pub struct Submission {
    pub message: Arc<Message>,
    /// Counts every call for the message from 1, throttled ones too.
    pub attempt: u32,
    /// The whole call, from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// The approved template under the vendor's own code, where the provider is configured with one for this message's.
    pub template: Option<Arc<VendorTemplate>>,
    /// The signature as this vendor knows it (`阿克米` for `Acme`), else as the team named it.
    pub signature: Option<Arc<str>>,
    /// Whether this provider is configured to report delivery.
    pub receipts: bool,
    /// Where the vendor shall report, token included, for vendors that take an address with every message.
    pub callback: Option<Redacted<String>>,
    /// W3C trace context of this call, for vendors that are called by HTTP; only where the sender of the message gave one.
    pub traceparent: Option<String>,
}

/// A template that the vendor has approved under a code of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VendorTemplate {
    pub code: String,
    /// Our parameters in the order in which the vendor counts them.
    #[serde(default)]
    pub params: Vec<String>,
}

impl Submission {
    pub fn to(&self) -> &str {
        self.message.to.expose()
    }

    /// Our own reference for the vendor to repeat in its receipts: the message id.
    pub fn reference(&self) -> String {
        self.message.id.to_string()
    }

    /// The text for vendors that know no signature: it stands before the text, as recipients in China see it.
    pub fn signed_text(&self) -> Text {
        match &self.signature {
            Some(signature) => Text::new(format!("【{signature}】{}", self.message.text.expose())),
            None => self.message.text.clone(),
        }
    }
}

/// The provider took the message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// What the vendor calls this message in its receipts.
    pub provider_message_id: Option<String>,
    /// How many segments the vendor bills, where it says so.
    pub segments: Option<u32>,
}

/// Why a submission did not end with "accepted": six meanings, each with the vendor's code verbatim or one of ours
/// (`timeout`, `connect`, `reset`, `malformed`, `http_<status>`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    #[error("the provider refuses this recipient ({code})")]
    RejectedRecipient { code: Code },
    #[error("the provider refuses this content ({code})")]
    RejectedContent { code: Code },
    #[error("the provider refuses this account ({code})")]
    RejectedAccount { code: Code },
    #[error("the provider asks for less ({code})")]
    Throttled { code: Code, retry_after: Option<Duration> },
    #[error("the provider did not process it ({code})")]
    Unavailable { code: Code },
    #[error("the provider may have processed it ({code})")]
    Ambiguous { code: Code },
}

impl SubmitError {
    /// The error of the class that a kind's table names; `None` for `accepted`, which is no error.
    pub fn of(outcome: Outcome, code: Code, retry_after: Option<Duration>) -> Option<Self> {
        Some(match outcome {
            Outcome::Accepted => return None,
            Outcome::RejectedRecipient => Self::RejectedRecipient { code },
            Outcome::RejectedContent => Self::RejectedContent { code },
            Outcome::RejectedAccount => Self::RejectedAccount { code },
            Outcome::Throttled => Self::Throttled { code, retry_after },
            Outcome::Unavailable => Self::Unavailable { code },
            Outcome::Ambiguous => Self::Ambiguous { code },
        })
    }

    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::RejectedRecipient { .. } => Outcome::RejectedRecipient,
            Self::RejectedContent { .. } => Outcome::RejectedContent,
            Self::RejectedAccount { .. } => Outcome::RejectedAccount,
            Self::Throttled { .. } => Outcome::Throttled,
            Self::Unavailable { .. } => Outcome::Unavailable,
            Self::Ambiguous { .. } => Outcome::Ambiguous,
        }
    }

    pub const fn code(&self) -> &Code {
        match self {
            Self::RejectedRecipient { code }
            | Self::RejectedContent { code }
            | Self::RejectedAccount { code }
            | Self::Throttled { code, .. }
            | Self::Unavailable { code }
            | Self::Ambiguous { code } => code,
        }
    }

    /// How long the provider asks us to wait.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// A vendor's code, bounded and printable: it goes into the store, the API and the logs as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Code(Box<str>);

impl Code {
    pub const TIMEOUT: &'static str = "timeout";
    pub const CONNECT: &'static str = "connect";
    pub const RESET: &'static str = "reset";
    pub const MALFORMED: &'static str = "malformed";

    pub fn new(text: &str) -> Self {
        Self(text.chars().filter(|c| !c.is_control()).take(MAX_CODE_CHARS).collect())
    }

    pub fn http(status: u16) -> Self {
        Self(format!("http_{status}").into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Code {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a vendor called us with. The query may carry a token and form fields may carry recipients: never log either.
#[derive(Clone)]
pub struct ReceiptRequest {
    pub method: http::Method,
    /// The address as the vendor was given it, without the query: some sign it.
    pub address: String,
    /// What stood behind the `?`, as it came.
    pub query: Redacted<String>,
    pub headers: http::HeaderMap,
    pub body: Redacted<Bytes>,
}

/// Headers are left out: a vendor's signature in one is as good as a password to whoever replays it.
impl fmt::Debug for ReceiptRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, address, query, body, .. } = self;
        f.debug_struct("ReceiptRequest")
            .field("method", method)
            .field("address", address)
            .field("query", query)
            .field("body", body)
            .finish_non_exhaustive()
    }
}

/// What a vendor says became of one message. At least one of the two ids is there.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Receipt {
    pub provider_message_id: Option<String>,
    /// Our own reference: a message id, if it is one.
    pub reference: Option<String>,
    pub status: ReceiptStatus,
    /// The vendor's word, verbatim and bounded.
    pub vendor_status: String,
    pub error_code: Option<String>,
    /// When it happened, where the vendor says so.
    pub at: Option<Timestamp>,
}

/// How far a receipt moves a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptStatus {
    /// On its way: the vendor has it.
    Submitted,
    Delivered,
    Undelivered,
}

impl ReceiptStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Delivered => "delivered",
            Self::Undelivered => "undelivered",
        }
    }

    pub const fn message_status(self) -> Status {
        match self {
            Self::Submitted => Status::Submitted,
            Self::Delivered => Status::Delivered,
            Self::Undelivered => Status::Undelivered,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// It does not prove that it comes from the vendor: 401, counted, and nothing of it is believed.
    #[error("the receipt is not verified")]
    Unverified,
    /// It comes from the vendor and makes no sense: 400, so that the vendor's own console shows it.
    #[error("the receipt cannot be read")]
    Malformed,
}

/// What the vendor wants to hear once its receipts are durable. Most are content with 200 and nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiptAnswer {
    pub content_type: Option<&'static str>,
    pub body: &'static str,
}

/// One configured account at a vendor.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Provider: Send + Sync {
    /// Makes the call. Returns within [`Submission::timeout`]; the caller may abandon it earlier, and must then call the
    /// attempt ambiguous.
    async fn submit(&self, submission: &Submission) -> Result<Accepted, SubmitError>;

    /// Verifies and reads what the vendor called us with; several receipts may come in one call.
    fn receipts(&self, request: &ReceiptRequest) -> Result<Vec<Receipt>, ReceiptError>;

    /// What to answer once they are durable.
    fn receipt_answer(&self) -> ReceiptAnswer {
        ReceiptAnswer::default()
    }

    /// Whether per-message callback addresses have to carry this token, because the vendor signs nothing.
    fn callback_token(&self) -> Option<Redacted<String>> {
        None
    }
}

/// Where receipts go that do not come over HTTP (the in-process simulator, sessions that push): the same way as those that do.
#[async_trait]
pub trait ReceiptSink: Send + Sync {
    /// Returns once they are durable. Whoever reports keeps them and tries again otherwise, as a vendor would.
    async fn confirm(&self, provider: &str, receipts: Vec<Receipt>) -> Result<(), NotDurable>;
}

/// The receipts could not be written down; report them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the receipts are not durable yet")]
pub struct NotDurable;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_but_accepted_is_an_error_of_its_own_class() {
        for outcome in Outcome::ALL {
            match SubmitError::of(*outcome, Code::new("E1"), None) {
                None => assert_eq!(*outcome, Outcome::Accepted),
                Some(error) => assert_eq!((error.outcome(), error.code().as_str()), (*outcome, "E1")),
            }
        }
    }

    #[test]
    fn a_vendors_code_is_kept_verbatim_but_bounded_and_printable() {
        assert_eq!(Code::new("isv.BUSINESS_LIMIT_CONTROL").as_str(), "isv.BUSINESS_LIMIT_CONTROL");
        assert_eq!(Code::new("a\r\nb").as_str(), "ab");
        assert_eq!(Code::new(&"x".repeat(1_000)).as_str().len(), MAX_CODE_CHARS);
    }
}
