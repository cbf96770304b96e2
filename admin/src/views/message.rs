//! One message and what became of it.

use std::{collections::BTreeMap, time::Duration};

use tidings_core::{
    attempt::Outcome,
    id::MessageId,
    message::{Category, Channel, Encoding, Lane, Recipient, Status},
    redact::Text,
    time::Timestamp,
};

/// Which messages to list. What a person typed has been read already: `to` holds every number that it can mean.
#[derive(Clone, Debug, Default)]
pub struct Search {
    pub to: Vec<Recipient>,
    pub reference: Option<String>,
    /// Name or id.
    pub app: Option<String>,
    pub provider: Option<String>,
    pub status: Option<Status>,
    /// `name` or `name@version`.
    pub template: Option<String>,
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub struct MessageRow {
    pub id: MessageId,
    /// Masked.
    pub to: String,
    pub channel: Channel,
    pub category: Category,
    pub status: Status,
    /// The app's name.
    pub app: String,
    pub template: Option<String>,
    pub reference: Option<String>,
    pub accepted_at: Timestamp,
    pub test: bool,
    pub attempts: usize,
    /// Of the last attempt.
    pub provider: Option<String>,
    pub outcome: Option<Outcome>,
    pub code: Option<String>,
}

#[derive(Clone, Debug)]
pub struct MessageDetail {
    pub row: MessageRow,
    pub app_id: String,
    /// Id and name of the key it was accepted by.
    pub key: Option<(String, String)>,
    pub lane: Lane,
    pub encoding: Option<Encoding>,
    pub segments: u32,
    pub signature: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub send_at: Option<Timestamp>,
    pub released_at: Option<Timestamp>,
    pub expires_at: Timestamp,
    pub closed_at: Option<Timestamp>,
    /// When somebody looks at it next.
    pub due_at: Option<Timestamp>,
    pub max_price: Option<String>,
    /// Amount with currency.
    pub cost: Option<String>,
    pub traceparent: Option<String>,
    pub attempts: Vec<AttemptView>,
    pub receipts: Vec<ReceiptView>,
}

#[derive(Clone, Debug)]
pub struct AttemptView {
    pub number: u32,
    pub provider: String,
    pub revision: u32,
    pub started_at: Timestamp,
    /// `None` while the call is out.
    pub outcome: Option<Outcome>,
    pub code: Option<String>,
    pub duration: Option<Duration>,
    pub provider_message_id: Option<String>,
    pub cost: Option<String>,
    pub why: String,
}

#[derive(Clone, Debug)]
pub struct ReceiptView {
    pub provider: String,
    pub status: Status,
    pub vendor_status: String,
    pub error_code: Option<String>,
    pub at: Timestamp,
}

/// What a reveal shows, once, to the person who gave the reason.
#[derive(Clone, Debug)]
pub struct Revealed {
    pub to: Recipient,
    pub text: Text,
}
