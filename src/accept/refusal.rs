//! Why a message was not accepted. Nothing of a refused message is kept, and its idempotency key is free again.

use std::time::Duration;

use tidings_core::message::Status;

use crate::{control::fields::Fault, store};

/// A limit that was reached, and how it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Its name in the API: `app_per_second`, `app_daily`, `recipient`.
    pub name: &'static str,
    pub limit: u64,
    pub remaining: u64,
    /// Until it is whole again.
    pub reset: Duration,
    pub retry_after: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("some fields are not valid")]
    Invalid(Vec<Fault>),
    #[error("the app is suspended")]
    AppSuspended,
    #[error("the app has no production access")]
    AppNotLive,
    #[error("the app may not send free text")]
    FreeTextNotAllowed,
    #[error("the app may not use the channel")]
    ChannelNotAllowed,
    #[error("the app may not send to the country")]
    CountryNotAllowed,
    #[error("the app has no such template")]
    UnknownTemplate,
    #[error("the template is not approved")]
    TemplateNotApproved,
    #[error("the app has no such signature")]
    UnknownSignature,
    #[error("the signature is not approved")]
    SignatureNotApproved,
    #[error("the recipient is suppressed")]
    RecipientSuppressed,
    #[error("no provider can take the message")]
    NoRoute,
    #[error("too many messages a second")]
    RateLimited(Reached),
    #[error("the quota is used up")]
    QuotaExceeded(Reached),
    #[error("the recipient has had enough messages")]
    RecipientCapped(Reached),
    #[error("the idempotency key was used for another message")]
    IdempotencyMismatch,
    #[error("the first request with this idempotency key is in progress")]
    IdempotencyInProgress,
    #[error("there is no room")]
    Overloaded,
    /// Rights are too old to go by, or the installation has no keys yet.
    #[error("the control plane is not there")]
    NoRights,
    #[error("there is no such message")]
    NotFound,
    #[error("the message is {0}")]
    TooLate(Status),
    #[error("the message is {0}")]
    NotHeld(Status),
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Invalid(vec![fault])
    }
}
