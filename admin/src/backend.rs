//! What the pages need from the rest of the system.
//!
//! Every change carries an [`Actor`]; whether they may is decided behind this trait, the pages only leave out what would
//! be refused. Look-ups answer `None` for what is not there; errors say what a person can do about them.

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;
use tidings_core::{
    id::MessageId,
    redact::{Secret, Text},
    time::Timestamp,
};

use crate::views::{
    App, AppChange, AppDetail, AuditLine, AuditSearch, Listing, MessageDetail, MessageRow, NewApp, NewKey, NewSuppression, NewUser,
    Overview, Person, ProviderDetail, ProviderRow, RequestDetail, RequestRow, RequestStatus, Revealed, RevisionDetail, RevisionRow, Role,
    Search, ShownKey, Signature, Steering, Suppression, Template, User, UserChange,
};

/// Who asks for a change, and from where.
#[derive(Clone, Debug)]
pub struct Actor {
    pub person: Person,
    pub address: Option<IpAddr>,
    pub request_id: Option<String>,
}

/// One thing wrong with what was entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The form's field, or empty where the whole is wrong.
    pub field: String,
    pub text: String,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("not found")]
    NotFound,
    #[error("needs a higher role")]
    Role(Role),
    #[error("nobody approves their own request")]
    OwnRequest,
    /// It can no longer be done; the text says why, for a person.
    #[error("in conflict with the present state")]
    Conflict(String),
    #[error("what was entered cannot be used")]
    Invalid(Vec<Fault>),
    #[error("too many attempts")]
    Throttled(Duration),
    /// Name and password do not go together.
    #[error("wrong name or password")]
    WrongPassword,
    /// The single sign-on did not end well; the text says why, for a person.
    #[error("not signed on")]
    NotSignedOn(&'static str),
    #[error("the store does not answer")]
    Unavailable,
}

/// A new session.
pub struct SignedIn {
    /// What the cookie holds; opaque to the pages.
    pub token: Secret,
    pub lasts: Duration,
}

/// The way to the single sign-on.
pub struct Departure {
    pub address: String,
    /// Comes back with the browser.
    pub cookie: Secret,
    pub lasts: Duration,
}

/// What the browser brings back from there.
pub struct Return {
    pub cookie: Option<Secret>,
    pub code: Option<Secret>,
    pub state: Option<Secret>,
    pub error: Option<String>,
}

#[async_trait]
pub trait Backend: Send + Sync + 'static {
    fn now(&self) -> Timestamp;
    fn random(&self) -> [u8; 32];

    async fn log_in(&self, name: &str, password: Secret, from: Option<IpAddr>) -> Result<SignedIn, Error>;
    /// What the button for the single sign-on says, where there is one.
    fn single_sign_on(&self) -> Option<String>;
    async fn depart(&self, next: &str) -> Result<Departure, Error>;
    /// The session of whoever came back, and where they wanted to go.
    async fn arrive(&self, back: Return, from: Option<IpAddr>) -> Result<(SignedIn, String), Error>;
    /// Who a session belongs to; `None` when it is over.
    async fn person(&self, token: &Secret) -> Result<Option<Person>, Error>;
    async fn log_out(&self, token: &Secret) -> Result<(), Error>;

    async fn overview(&self) -> Result<Overview, Error>;

    async fn messages(&self, search: &Search, before: Option<MessageId>, limit: usize) -> Result<Listing<MessageRow>, Error>;
    async fn message(&self, id: MessageId) -> Result<Option<MessageDetail>, Error>;
    /// Recipient and text in the clear; recorded with the reason.
    async fn reveal(&self, actor: &Actor, id: MessageId, reason: &str) -> Result<Revealed, Error>;
    async fn cancel(&self, actor: &Actor, id: MessageId) -> Result<(), Error>;

    async fn providers(&self) -> Result<Vec<ProviderRow>, Error>;
    async fn provider(&self, name: &str) -> Result<Option<ProviderDetail>, Error>;
    async fn steer(&self, actor: &Actor, name: &str, steering: Steering, reason: &str) -> Result<(), Error>;

    async fn requests(&self, status: Option<RequestStatus>, before: Option<&str>) -> Result<Listing<RequestRow>, Error>;
    async fn request(&self, id: &str) -> Result<Option<RequestDetail>, Error>;
    async fn approve(&self, actor: &Actor, id: &str, comment: &str) -> Result<(), Error>;
    async fn reject(&self, actor: &Actor, id: &str, reason: &str) -> Result<(), Error>;
    async fn comment(&self, actor: &Actor, id: &str, text: &str) -> Result<(), Error>;
    /// One's own.
    async fn withdraw(&self, actor: &Actor, id: &str) -> Result<(), Error>;

    async fn apps(&self) -> Result<Vec<App>, Error>;
    async fn app(&self, id: &str) -> Result<Option<AppDetail>, Error>;
    /// Files a request for a new app and says which.
    async fn request_app(&self, actor: &Actor, app: NewApp) -> Result<String, Error>;
    /// Changes an app at once (`None`), or files a request for it and says which.
    async fn change_app(&self, actor: &Actor, id: &str, change: AppChange) -> Result<Option<String>, Error>;
    async fn create_key(&self, actor: &Actor, app: &str, key: NewKey) -> Result<ShownKey, Error>;
    async fn revoke_key(&self, actor: &Actor, app: &str, key: &str) -> Result<(), Error>;

    async fn templates(&self) -> Result<Vec<Template>, Error>;
    async fn signatures(&self) -> Result<Vec<Signature>, Error>;

    async fn revisions(&self) -> Result<Vec<RevisionRow>, Error>;
    async fn revision(&self, number: u32) -> Result<Option<RevisionDetail>, Error>;
    /// Makes a revision of a document (TOML as in the bootstrap file, or JSON) and says its number.
    async fn create_revision(&self, actor: &Actor, document: Text) -> Result<u32, Error>;
    async fn submit_revision(&self, actor: &Actor, number: u32) -> Result<(), Error>;
    async fn activate_revision(&self, actor: &Actor, number: u32, percent: u8) -> Result<(), Error>;

    async fn suppressions(&self, before: Option<&str>) -> Result<Listing<Suppression>, Error>;
    async fn suppress(&self, actor: &Actor, suppression: NewSuppression) -> Result<(), Error>;
    async fn lift_suppression(&self, actor: &Actor, id: &str) -> Result<(), Error>;

    async fn users(&self, actor: &Actor) -> Result<Vec<User>, Error>;
    async fn create_user(&self, actor: &Actor, user: NewUser) -> Result<(), Error>;
    async fn change_user(&self, actor: &Actor, id: &str, change: UserChange) -> Result<(), Error>;

    async fn audit(&self, actor: &Actor, search: &AuditSearch, before: Option<&str>) -> Result<Listing<AuditLine>, Error>;
}
