//! People, their log-ins, and the installation's own secrets.

use serde::{Deserialize, Serialize};
use tidings_core::{
    id::{AppId, KeyId, UserId},
    time::Timestamp,
};
use uuid::Uuid;

use super::{ActorId, Kind, Record, Scopes};

tidings_core::words! {
    /// What a person may do; each includes those before it.
    Role { Viewer = "viewer", Operator = "operator", Approver = "approver", Admin = "admin", }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub id: UserId,
    /// Unique and never changed: the audit log names people by it.
    pub name: String,
    pub role: Role,
    /// The PHC string of argon2id; absent for people who only come by single sign-on.
    #[serde(default)]
    pub password: Option<String>,
    #[serde(default)]
    pub disabled: bool,
    /// Whatever was signed for this person before is void: set by a new password and by being disabled.
    #[serde(default)]
    pub valid_from: Timestamp,
    /// Issuer and subject at the single sign-on.
    #[serde(default)]
    pub oidc: Option<String>,
    pub created_at: Timestamp,
    pub created_by: ActorId,
}

impl User {
    /// Letters, digits and `-_.@`, and nothing that another actor is called.
    pub fn is_name(text: &str) -> bool {
        let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
        (1..=64).contains(&text.len())
            && text.chars().all(letters)
            && !text.starts_with("key_")
            && !text.starts_with("usr_")
            && !["bootstrap", "command", "system"].contains(&text)
    }
}

impl Record for User {
    const KIND: Kind = Kind::User;
    fn uuid(&self) -> Uuid {
        self.id.uuid()
    }
    fn name(&self) -> String {
        self.name.clone()
    }
}

/// One log-in of a person or one exchange of a key: a chain of refresh tokens of which only the newest is good. Whoever
/// shows an older one proves that one was stolen, and the whole family ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenFamily {
    pub id: Uuid,
    /// Exactly one of the two.
    #[serde(default)]
    pub user: Option<UserId>,
    #[serde(default)]
    pub key: Option<KeyId>,
    #[serde(default)]
    pub app: Option<AppId>,
    /// What the exchange asked for, within the key's own.
    #[serde(default)]
    pub scopes: Scopes,
    /// How often it was refreshed: only the refresh token of this generation is good.
    pub generation: u32,
    #[serde(default)]
    pub revoked: bool,
    /// After this nothing of the family is good any more, revoked or not.
    pub expires_at: Timestamp,
    pub created_at: Timestamp,
}

impl Record for TokenFamily {
    const KIND: Kind = Kind::TokenFamily;
    fn uuid(&self) -> Uuid {
        self.id
    }
    fn name(&self) -> String {
        self.id.to_string()
    }
}

/// A secret of the installation's own, sealed with the master key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSecret {
    pub id: Uuid,
    /// `audit`, `lookup`, or `signing.<key id>`.
    pub name: String,
    /// The sealed bytes in base64.
    pub sealed: String,
    /// For signing keys: from when on new tokens are signed with it. In the future at first, so that every node knows the
    /// key before the first token signed with it comes along.
    pub active_from: Timestamp,
    /// For signing keys: from when on it verifies nothing any more.
    #[serde(default)]
    pub retires_at: Option<Timestamp>,
}

impl Record for SealedSecret {
    const KIND: Kind = Kind::Secret;
    fn uuid(&self) -> Uuid {
        self.id
    }
    fn name(&self) -> String {
        self.name.clone()
    }
}
