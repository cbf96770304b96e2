//! What travels through Kafka: facts about messages, sealed, with the version of their form in front.
//!
//! A record's value is one byte of version and a sealed blob: envelopes carry recipients and codes, and a topic is read by
//! more people than the store. Every version that was ever shipped is read forever; `tests/golden` holds one of each.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidings_core::{
    attempt::{self, Attempt},
    id::MessageId,
    message::{Message, Status},
    time::Timestamp,
};

use crate::{
    seal::Keyring,
    store::{Idempotency, NewMessage, Next, ReceiptFact},
};

const PURPOSE: &str = "envelope";
const VERSION: u8 = 1;

/// Something that happened, or a message that was accepted.
#[derive(Clone, Debug)]
pub enum Fact {
    Accepted(NewMessage),
    Settled(Settled),
    Receipt(ReceiptFact),
}

/// How far a message came. It carries the message, so that facts may be applied in any order.
#[derive(Clone, Debug)]
pub struct Settled {
    pub new: NewMessage,
    pub attempts: Vec<Attempt>,
    pub next: Next,
    pub at: Timestamp,
}

impl Settled {
    /// Whether `later` came at least as far: more attempts, or the same and a decision.
    pub fn came_as_far_as(&self, later: &Self) -> bool {
        let rank = |settled: &Self| (attempt::steps(&settled.attempts), matches!(settled.next, Next::Close(_)), settled.at);
        rank(later) >= rank(self)
    }
}

/// Why a record cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("an envelope of version {0}, which this program does not know")]
    Version(u8),
    #[error("an empty record")]
    Empty,
    #[error("the envelope does not open")]
    Sealed(#[source] crate::seal::Error),
    #[error("the envelope's content is not a fact")]
    Content(#[source] serde_json::Error),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wire {
    Accepted(WireNew),
    Settled { new: WireNew, attempts: Vec<Attempt>, next: WireNext, at: Timestamp },
    Receipt(WireReceipt),
}

#[derive(Serialize, Deserialize)]
struct WireNew {
    message: Arc<Message>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<([u8; 16], [u8; 16])>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireNext {
    Continue,
    Wait(Timestamp),
    Close(Status),
}

#[derive(Serialize, Deserialize)]
struct WireReceipt {
    provider: String,
    provider_message_id: Option<String>,
    reference: Option<MessageId>,
    status: Status,
    vendor_status: String,
    error_code: Option<String>,
    at: Timestamp,
}

impl From<&NewMessage> for WireNew {
    fn from(new: &NewMessage) -> Self {
        Self { message: new.message.clone(), key: new.idempotency.map(|idempotency| (idempotency.key, idempotency.body)) }
    }
}

impl From<WireNew> for NewMessage {
    fn from(wire: WireNew) -> Self {
        Self { idempotency: wire.key.map(|(key, body)| Idempotency { key, body }), ..Self::waiting(wire.message) }
    }
}

impl From<Next> for WireNext {
    fn from(next: Next) -> Self {
        match next {
            Next::Continue => Self::Continue,
            Next::Wait(until) => Self::Wait(until),
            Next::Close(status) => Self::Close(status),
        }
    }
}

impl From<WireNext> for Next {
    fn from(next: WireNext) -> Self {
        match next {
            WireNext::Continue => Self::Continue,
            WireNext::Wait(until) => Self::Wait(until),
            WireNext::Close(status) => Self::Close(status),
        }
    }
}

/// Writes and reads envelopes with the installation's keys.
#[derive(Clone, Debug)]
pub struct Envelopes(Arc<Keyring>);

impl Envelopes {
    pub fn new(keyring: Arc<Keyring>) -> Self {
        Self(keyring)
    }

    pub fn write(&self, fact: &Fact) -> Result<Vec<u8>, serde_json::Error> {
        let wire = match fact {
            Fact::Accepted(new) => Wire::Accepted(new.into()),
            Fact::Settled(settled) => {
                Wire::Settled { new: (&settled.new).into(), attempts: settled.attempts.clone(), next: settled.next.into(), at: settled.at }
            }
            Fact::Receipt(fact) => Wire::Receipt(WireReceipt {
                provider: fact.provider.clone(),
                provider_message_id: fact.provider_message_id.clone(),
                reference: fact.reference,
                status: fact.status,
                vendor_status: fact.vendor_status.clone(),
                error_code: fact.error_code.clone(),
                at: fact.at,
            }),
        };
        let mut bytes = vec![VERSION];
        bytes.extend(self.0.seal(PURPOSE, &serde_json::to_vec(&wire)?));
        Ok(bytes)
    }

    pub fn read(&self, bytes: &[u8]) -> Result<Fact, Unreadable> {
        let sealed = match bytes {
            [] => return Err(Unreadable::Empty),
            [VERSION, sealed @ ..] => sealed,
            [version, ..] => return Err(Unreadable::Version(*version)),
        };
        let plain = self.0.open(PURPOSE, sealed).map_err(Unreadable::Sealed)?;
        Ok(match serde_json::from_slice(&plain).map_err(Unreadable::Content)? {
            Wire::Accepted(new) => Fact::Accepted(new.into()),
            Wire::Settled { new, attempts, next, at } => Fact::Settled(Settled { new: new.into(), attempts, next: next.into(), at }),
            Wire::Receipt(wire) => Fact::Receipt(ReceiptFact {
                provider: wire.provider,
                provider_message_id: wire.provider_message_id,
                reference: wire.reference,
                status: wire.status,
                vendor_status: wire.vendor_status,
                error_code: wire.error_code,
                at: wire.at,
            }),
        })
    }
}

/// What a claim carries: how far its owner came.
#[derive(Serialize, Deserialize)]
pub struct Progress {
    pub attempts: Vec<Attempt>,
    next: WireNext,
}

impl Progress {
    pub fn new(attempts: &[Attempt], next: Next) -> Self {
        Self { attempts: attempts.to_vec(), next: next.into() }
    }

    pub fn next(&self) -> Next {
        self.next.into()
    }
}
