//! What people said about a provider: it stands until a person takes it back, on every node and across restarts.

use serde::{Deserialize, Serialize};
use tidings_core::time::Timestamp;
use uuid::Uuid;

use super::{ActorId, Kind, Record};

tidings_core::words! {
    /// Whether people overrule health.
    Hand {
        /// Health decides.
        Free = "free",
        /// Nothing is sent.
        Paused = "paused",
        /// It stays in service whatever health says.
        Pinned = "pinned",
    }
}

/// The last word of people on one provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steering {
    pub id: Uuid,
    pub provider: String,
    pub hand: Hand,
    /// In place of the configured weight.
    pub weight: Option<u32>,
    pub by: ActorId,
    pub reason: String,
    pub at: Timestamp,
}

impl Record for Steering {
    const KIND: Kind = Kind::Steering;
    fn uuid(&self) -> Uuid {
        self.id
    }
    fn name(&self) -> String {
        self.provider.clone()
    }
}
