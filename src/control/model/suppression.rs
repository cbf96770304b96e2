//! Recipients that must not be written to: by one app, or by anybody.
//!
//! The recipient itself is not kept: a keyed hash finds it, a masked form shows it.

use serde::{Deserialize, Serialize};
use tidings_core::{
    id::{AppId, SuppressionId},
    time::Timestamp,
};

use crate::seal::LookupKey;

use super::{ActorId, Kind, Record};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    pub id: SuppressionId,
    /// The recipient's keyed hash.
    pub recipient: RecipientHash,
    /// `+86138****8000`
    pub masked: String,
    /// Absent: for all apps.
    #[serde(default)]
    pub app: Option<AppId>,
    pub reason: String,
    pub created_at: Timestamp,
    pub created_by: ActorId,
}

/// The keyed hash of a recipient, under a key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecipientHash([u8; 16]);

impl RecipientHash {
    /// Of an address as it is sent to: a number is the same person by text and by voice.
    pub fn of(key: &LookupKey, to: &str) -> Self {
        Self(key.hash(&[b"suppression", to.as_bytes()]))
    }

    /// In hexadecimal digits.
    pub fn text(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Record for Suppression {
    const KIND: Kind = Kind::Suppression;
    fn uuid(&self) -> uuid::Uuid {
        self.id.uuid()
    }
    fn scope(&self) -> String {
        self.app.map(|app| app.to_string()).unwrap_or_default()
    }
    fn name(&self) -> String {
        self.recipient.text()
    }
}
