//! Makes receipts durable and tells what they meant.

use std::sync::Arc;

use async_trait::async_trait;
use tidings_core::{
    id::{AppId, MessageId},
    message::Status,
    time::Timestamp,
};
use tidings_providers::{NotDurable, Receipt, ReceiptSink, ReceiptStatus};
use tokio::task::JoinSet;

use crate::{
    clock::Clock,
    store::{Error, Messages, ReceiptFact, ReceiptMatch},
    telemetry::{Metrics, metrics::ReceiptFate},
};

/// A receipt that was matched to its message, for whoever learns from it: health, webhooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    pub id: MessageId,
    pub app: AppId,
    pub provider: String,
    /// What the provider says.
    pub says: ReceiptStatus,
    /// The message's status now, and whether this receipt brought it there.
    pub status: Status,
    pub moved: bool,
    /// When the attempt began that the receipt is about.
    pub submitted_at: Option<Timestamp>,
    /// When the receipt came in.
    pub at: Timestamp,
}

/// Is told about every receipt that was matched, once it is durable. Must not block.
pub trait Observer: Send + Sync {
    fn confirmed(&self, confirmed: &Confirmed);
}

/// The one way of receipts into the store.
pub struct Confirm {
    messages: Arc<dyn Messages>,
    observers: Vec<Arc<dyn Observer>>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl Confirm {
    pub fn new(messages: Arc<dyn Messages>, observers: Vec<Arc<dyn Observer>>, metrics: Arc<Metrics>, clock: Clock) -> Self {
        Self { messages, observers, metrics, clock }
    }

    /// Makes all of them durable; they go together into as few transactions as the store makes of them.
    pub async fn all(&self, provider: &str, receipts: Vec<Receipt>) -> Result<(), Error> {
        let mut writing = JoinSet::new();
        for receipt in receipts {
            let messages = Arc::clone(&self.messages);
            let (says, fact) = (receipt.status, fact(provider, receipt, self.clock.now()));
            writing.spawn(async move { (says, fact.at, messages.receipt(fact).await) });
        }
        let mut outcome = Ok(());
        while let Some(written) = writing.join_next().await {
            match written {
                Ok((says, at, Ok(matched))) => self.tell(provider, says, at, &matched),
                Ok((_, _, Err(error))) => outcome = Err(error),
                Err(panicked) => outcome = Err(Error::Broken(panicked.into())),
            }
        }
        outcome
    }

    /// A receipt was written by the recorder: whoever learns from it hears what it meant.
    pub fn recorded(&self, fact: &ReceiptFact, matched: &ReceiptMatch) {
        const ALL: [ReceiptStatus; 3] = [ReceiptStatus::Submitted, ReceiptStatus::Delivered, ReceiptStatus::Undelivered];
        if let Some(says) = ALL.into_iter().find(|says| says.message_status() == fact.status) {
            self.tell(&fact.provider, says, fact.at, matched);
        }
    }

    fn tell(&self, provider: &str, says: ReceiptStatus, at: Timestamp, matched: &ReceiptMatch) {
        let (id, app, status, moved, contradicts, submitted_at) = match *matched {
            ReceiptMatch::Known { id, app, status, moved, contradicts, submitted_at } => {
                (id, app, status, moved, contradicts, submitted_at)
            }
            ReceiptMatch::Early => return self.metrics.receipts.received(ReceiptFate::Early),
            ReceiptMatch::Duplicate(_) => return self.metrics.receipts.received(ReceiptFate::Repeated),
            // Counted where it is recorded.
            ReceiptMatch::Published => return,
        };
        let fate = match (contradicts, moved) {
            (true, _) => ReceiptFate::Contradicts,
            (false, true) => ReceiptFate::Applied,
            (false, false) => ReceiptFate::Repeated,
        };
        self.metrics.receipts.received(fate);
        if let Some(submitted_at) = submitted_at {
            self.metrics.provider(provider).receipt(at.since(submitted_at));
        }
        let confirmed = Confirmed { id, app, provider: provider.to_owned(), says, status, moved, submitted_at, at };
        for observer in &self.observers {
            observer.confirmed(&confirmed);
        }
    }
}

fn fact(provider: &str, receipt: Receipt, at: Timestamp) -> ReceiptFact {
    ReceiptFact {
        provider: provider.to_owned(),
        provider_message_id: receipt.provider_message_id,
        // A vendor may give back anything; what is no id of ours is no reference.
        reference: receipt.reference.and_then(|reference| reference.parse().ok()),
        status: receipt.status.message_status(),
        vendor_status: receipt.vendor_status,
        error_code: receipt.error_code,
        at,
    }
}

#[async_trait]
impl ReceiptSink for Confirm {
    async fn confirm(&self, provider: &str, receipts: Vec<Receipt>) -> Result<(), NotDurable> {
        self.all(provider, receipts).await.map_err(|error| {
            tracing::warn!(provider, error = &error as &dyn std::error::Error, "receipts are not durable yet; the provider keeps them");
            NotDurable
        })
    }
}
