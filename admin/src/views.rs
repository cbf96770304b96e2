//! What a page may know. Recipients are masked before they get here and texts are absent; ids are text as people see it.

mod control;
mod message;
mod overview;
mod provider;

pub use self::{
    control::{
        App, AppChange, AppDetail, AuditLine, AuditSearch, ChangedField, Comment, Key, NewApp, NewKey, NewSuppression, NewUser, Person,
        RequestDetail, RequestKind, RequestRow, RequestStatus, RevisionDetail, RevisionRow, Role, SCOPES, ShownKey, Signature, Suppression,
        Template, TemplateVersion, User, UserChange,
    },
    message::{AttemptView, MessageDetail, MessageRow, ReceiptView, Revealed, Search},
    overview::{Dependency, FailureGroup, LaneState, Minute, Overview},
    provider::{ProviderDetail, ProviderEvent, ProviderRow, ProviderSample, ProviderState, SignalName, SignalView, Steering},
};

/// A page of a listing, newest first.
#[derive(Clone, Debug)]
pub struct Listing<T> {
    pub rows: Vec<T>,
    /// Where the next page begins.
    pub next: Option<String>,
}

impl<T> Listing<T> {
    /// A listing that fits on one page.
    pub const fn whole(rows: Vec<T>) -> Self {
        Self { rows, next: None }
    }
}
