//! The order to delete what is kept of one recipient. It stays until nothing is left, so that a crash, a message under way or
//! a store that is away delays a deletion and never loses it.

use serde::{Deserialize, Serialize};
use tidings_core::time::Timestamp;
use uuid::Uuid;

use super::{ActorId, Kind, RecipientHash, Record};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    pub id: Uuid,
    /// How the audit log names the recipient, and how two orders for the same one are told.
    pub recipient: RecipientHash,
    /// The recipient, sealed, in base64: it is needed to find the messages, and goes with this document.
    pub sealed: String,
    /// Messages deleted so far.
    pub messages: u64,
    pub asked_at: Timestamp,
    pub asked_by: ActorId,
}

impl Record for Erasure {
    const KIND: Kind = Kind::Erasure;
    fn uuid(&self) -> Uuid {
        self.id
    }
    fn name(&self) -> String {
        self.recipient.text()
    }
}
