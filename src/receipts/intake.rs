//! Receipts over HTTP: found their provider, verified and read its way, made durable, and only then answered.

use std::sync::Arc;

use tidings_providers::{Provider, ReceiptAnswer, ReceiptError, ReceiptRequest};

use super::Confirm;
use crate::{
    store::Error,
    telemetry::{Metrics, metrics::ReceiptFate},
};

/// The providers that are configured now, and those that were: a receipt may come days after its provider was taken out.
pub trait Accounts: Send + Sync {
    fn provider(&self, name: &str) -> Option<Arc<dyn Provider>>;
}

/// Why a call was not answered with 200.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// 404.
    #[error("no provider of that name")]
    NoSuchProvider,
    /// 401.
    #[error("the receipt is not verified")]
    Unverified,
    /// 400.
    #[error("the receipt cannot be read")]
    Malformed,
    /// 503: not durable, so the vendor has to come again.
    #[error("the receipt is not durable")]
    NotDurable(#[source] Error),
}

/// What stands behind `/v1/receipts/{provider}`.
pub struct Intake {
    accounts: Arc<dyn Accounts>,
    confirm: Arc<Confirm>,
    metrics: Arc<Metrics>,
}

impl Intake {
    pub fn new(accounts: Arc<dyn Accounts>, confirm: Arc<Confirm>, metrics: Arc<Metrics>) -> Self {
        Self { accounts, confirm, metrics }
    }

    /// Takes one call of a vendor. `Ok` means that everything in it is durable; it says what the vendor wants to hear.
    pub async fn take(&self, provider_name: &str, request: &ReceiptRequest) -> Result<ReceiptAnswer, Refusal> {
        let Some(provider) = self.accounts.provider(provider_name) else { return Err(Refusal::NoSuchProvider) };
        tracing::trace!(provider = provider_name, ?request, "a provider calls");
        let receipts = provider.receipts(request).map_err(|error| self.refuse(provider_name, error))?;
        self.confirm.all(provider_name, receipts).await.map_err(Refusal::NotDurable)?;
        Ok(provider.receipt_answer())
    }

    fn refuse(&self, provider: &str, error: ReceiptError) -> Refusal {
        let (fate, refusal) = match error {
            ReceiptError::Unverified => (ReceiptFate::Unverified, Refusal::Unverified),
            ReceiptError::Malformed => (ReceiptFate::Unreadable, Refusal::Malformed),
        };
        self.metrics.receipts.received(fate);
        tracing::debug!(provider, error = &error as &dyn std::error::Error, "a receipt was refused");
        refusal
    }
}

#[cfg(test)]
mod tests;
