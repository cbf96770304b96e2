//! The providers: how one message gets out through one account at one vendor, and how the vendor's word on it is read.
//!
//! This crate alone opens outbound provider HTTP. It knows nothing of queues, stores or health: an adapter translates one
//! submission into the vendor's language, the answer into [`SubmitError`]'s six meanings, and a receipt into [`Receipt`].
//! Whoever calls it decides what follows and never looks at who answered.
//!
//! Reading order: [`provider`] is the port, [`registry`] lists the kinds and builds one from its settings, [`http`] is the
//! shared client and the one place where a broken connection gets its meaning; then one folder per kind.

mod generic_http;
pub mod http;
pub mod provider;
pub mod registry;
mod settings;
pub mod simulated;
#[cfg(test)]
mod testing;

#[cfg(any(test, feature = "mock"))]
pub use self::provider::MockProvider;
pub use self::{
    http::Http,
    provider::{
        Accepted, Code, NotDurable, Provider, Receipt, ReceiptAnswer, ReceiptError, ReceiptRequest, ReceiptSink, ReceiptStatus, Submission,
        SubmitError, VendorTemplate,
    },
    registry::{Context, Kind, SettingError, Settings},
};
