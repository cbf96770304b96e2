//! A message as it was accepted, and the words for what it is: channel, category, lane, status.
//!
//! [`Message`] never changes after it was accepted; what happens to it is kept beside it as facts (attempts, receipts,
//! a cancellation) from which its [`Status`] follows by the table in [`status`].

mod status;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::status::Status;
use crate::{
    id::{AppId, KeyId, MessageId},
    money::Amount,
    redact::{Redacted, Text},
    time::Timestamp,
};

/// Declares an enum whose variants have one spelling in JSON, SQL, metrics and text.
#[macro_export]
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)* }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The one spelling of this value, in JSON, SQL and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// Its place in [`Self::ALL`]: an index for tables, and its number in the store.
            pub const fn index(self) -> usize {
                self as usize
            }

            pub fn from_index(index: usize) -> Option<Self> {
                Self::ALL.get(index).copied()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::message::UnknownWord;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text { $($word => Ok(Self::$variant),)* _ => Err($crate::message::UnknownWord { known: &[$($word),*] }) }
            }
        }
    };
}
pub use words;

/// A word that is none of the known ones.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("must be one of {}", known.join(", "))]
pub struct UnknownWord {
    pub known: &'static [&'static str],
}

words! {
    /// How a message reaches its recipient.
    Channel { Sms = "sms", Voice = "voice", Email = "email", Push = "push", Chat = "chat", }
}

impl Channel {
    /// Whether recipients are telephone numbers.
    pub const fn is_phone(self) -> bool {
        matches!(self, Self::Sms | Self::Voice)
    }
}

words! {
    /// What a message is for. It decides lane, default expiry and whether a duplicate is better than a gap.
    Category { Otp = "otp", Transactional = "transactional", Marketing = "marketing", }
}

impl Category {
    pub const fn lane(self) -> Lane {
        match self {
            Self::Otp => Lane::Urgent,
            Self::Transactional => Lane::Normal,
            Self::Marketing => Lane::Bulk,
        }
    }

    /// Whether a message may be submitted again although it may already have been sent: a second code is a nuisance,
    /// a missing one locks somebody out.
    pub const fn allows_duplicates(self) -> bool {
        matches!(self, Self::Otp)
    }

    pub const fn default_expiry_s(self) -> u32 {
        match self {
            Self::Otp => 300,
            Self::Transactional => 3_600,
            Self::Marketing => 36_000,
        }
    }
}

words! {
    /// Lanes share nothing that one could starve. In order: the first is served first and shed last.
    Lane { Urgent = "urgent", Normal = "normal", Bulk = "bulk", }
}

words! {
    /// The alphabet of an SMS, which decides how much fits into a segment.
    Encoding { Gsm7 = "gsm7", Ucs2 = "ucs2", }
}

/// An E.164 number, an email address, a device token or a chat label: whatever the channel calls an address.
pub type Recipient = Redacted<String>;

/// Which approved text a message was rendered from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateRef {
    pub name: String,
    pub version: u32,
    pub locale: Option<String>,
}

impl std::fmt::Display for TemplateRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

/// Template parameters as the team sent them: strings, numbers or booleans. They hold codes, so they are redacted.
pub type Params = Redacted<BTreeMap<String, serde_json::Value>>;

/// One accepted message. Immutable: everything that happens to it later is recorded beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    pub id: MessageId,
    pub app: AppId,
    /// The key it was accepted by.
    pub key: Option<KeyId>,
    pub to: Recipient,
    pub channel: Channel,
    pub category: Category,
    /// The rendered text, without the signature: providers place that where they require it.
    pub text: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateRef>,
    #[serde(default, skip_serializing_if = "no_params")]
    pub params: Params,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// `None` for channels without segments.
    pub encoding: Option<Encoding>,
    /// Billed parts, signature included; 1 for channels without segments.
    pub segments: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    pub accepted_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_at: Option<Timestamp>,
    pub expires_at: Timestamp,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hold: bool,
    /// The most that this message may cost; a dearer provider is not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_price: Option<Amount>,
    /// Reaches only simulated providers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
    /// The caller's W3C trace context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

fn no_params(params: &Params) -> bool {
    params.expose().is_empty()
}

impl Message {
    pub const fn lane(&self) -> Lane {
        self.category.lane()
    }

    /// The status it begins its life with; the answer to the send says so, also when it is repeated.
    pub const fn first_status(&self) -> Status {
        if self.hold {
            Status::Held
        } else if self.send_at.is_some() {
            Status::Scheduled
        } else {
            Status::Accepted
        }
    }

    /// When a worker has to look at it first: at once, at `send_at`, or (held) when it expires.
    pub fn first_due(&self) -> Timestamp {
        match self.first_status() {
            Status::Held => self.expires_at,
            Status::Scheduled => self.send_at.unwrap_or(self.accepted_at),
            _ => self.accepted_at,
        }
    }
}
