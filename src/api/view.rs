//! How a message looks from outside: in the answer to its send, in listings, alone with everything that happened to it, and
//! in the events that teams are told.

use std::collections::BTreeMap;

use serde::Serialize;
use tidings_core::{
    attempt::{Attempt, Cost, Outcome},
    id::MessageId,
    message::{Category, Channel, Encoding, Lane, Message, Status},
    time::Timestamp,
};
use utoipa::ToSchema;

use crate::store::Record;

/// A message as every answer shows it. Text and parameters are never shown.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Message)]
pub struct MessageView<'a> {
    #[schema(value_type = String, example = "msg_01h455vb4pex5vsknk084sn02q")]
    pub id: MessageId,
    #[schema(value_type = super::schema::MessageStatus)]
    pub status: Status,
    #[schema(example = "+8613800138000")]
    pub to: &'a str,
    #[schema(value_type = super::schema::Channel)]
    pub channel: Channel,
    #[schema(value_type = super::schema::Lane)]
    pub lane: Lane,
    #[schema(value_type = super::schema::Category)]
    pub category: Category,
    /// Name and version; null for a text of the app's own.
    #[schema(value_type = Option<String>, required = true, example = "login-code@1")]
    pub template: Option<String>,
    /// Null for channels without segments.
    #[schema(value_type = Option<super::schema::Encoding>, required = true)]
    pub encoding: Option<Encoding>,
    #[schema(example = 1)]
    pub segments: u32,
    #[schema(required = true, example = "order-8812")]
    pub reference: Option<&'a str>,
    pub metadata: &'a BTreeMap<String, String>,
    #[schema(value_type = String, format = DateTime)]
    pub accepted_at: Timestamp,
    #[schema(value_type = Option<String>, required = true, format = DateTime)]
    pub send_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// Reached only simulated providers.
    pub test: bool,
}

impl<'a> MessageView<'a> {
    pub fn of(message: &'a Message, status: Status) -> Self {
        Self {
            id: message.id,
            status,
            to: message.to.expose(),
            channel: message.channel,
            lane: message.lane(),
            category: message.category,
            template: message.template.as_ref().map(ToString::to_string),
            encoding: message.encoding,
            segments: message.segments,
            reference: message.reference.as_deref(),
            metadata: &message.metadata,
            accepted_at: message.accepted_at,
            send_at: message.send_at,
            expires_at: message.expires_at,
            test: message.test,
        }
    }

    /// As the answer to the send showed it, and shows it again when the send is repeated.
    pub fn accepted(message: &'a Message) -> Self {
        Self::of(message, message.first_status())
    }
}

/// What a message has cost.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Cost)]
pub struct CostView<'a> {
    #[schema(example = "0.0100")]
    amount: String,
    /// ISO 4217.
    #[schema(example = "CNY")]
    currency: &'a str,
}

impl<'a> CostView<'a> {
    fn of(cost: &'a Cost) -> Self {
        Self { amount: cost.amount.to_string(), currency: &cost.currency }
    }

    /// What all attempts cost together; null while nobody has said.
    fn of_attempts(attempts: &'a [Attempt]) -> Option<Self> {
        let costs = attempts.iter().filter_map(|attempt| attempt.ended.as_ref()?.cost.as_ref());
        let last = costs.clone().next_back()?;
        // Amounts in another currency cannot be added; the last one is what the message went out for.
        let amount =
            costs.filter(|cost| cost.currency == last.currency).fold(tidings_core::money::Amount::ZERO, |sum, cost| sum.plus(cost.amount));
        Some(Self { amount: amount.to_string(), currency: &last.currency })
    }
}

/// A message in a listing.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListedMessage)]
pub struct ListedView<'a> {
    #[serde(flatten)]
    pub message: MessageView<'a>,
    #[schema(required = true)]
    pub cost: Option<CostView<'a>>,
}

impl<'a> ListedView<'a> {
    pub fn of(record: &'a Record) -> Self {
        Self { message: MessageView::of(&record.message, record.status), cost: CostView::of_attempts(&record.attempts) }
    }
}

/// A message with everything that happened to it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessageDetails)]
pub struct DetailView<'a> {
    #[serde(flatten)]
    pub message: MessageView<'a>,
    #[schema(required = true)]
    pub cost: Option<CostView<'a>>,
    pub attempts: Vec<AttemptView<'a>>,
    pub timeline: Vec<Event<'a>>,
}

impl<'a> DetailView<'a> {
    pub fn of(record: &'a Record) -> Self {
        Self {
            message: MessageView::of(&record.message, record.status),
            cost: CostView::of_attempts(&record.attempts),
            attempts: record.attempts.iter().map(AttemptView::of).collect(),
            timeline: timeline(record),
        }
    }
}

/// One call to one provider.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
pub struct AttemptView<'a> {
    number: u32,
    provider: &'a str,
    /// Null while the call is out.
    #[schema(value_type = Option<super::schema::Outcome>, required = true)]
    outcome: Option<Outcome>,
    /// The vendor's code verbatim, or `timeout`, `connect`, `reset`, `malformed`, `http_<status>`.
    #[schema(required = true)]
    code: Option<&'a str>,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    #[schema(required = true)]
    duration_ms: Option<u64>,
    #[schema(required = true)]
    provider_message_id: Option<&'a str>,
    segments: u32,
    #[schema(required = true)]
    cost: Option<CostView<'a>>,
    /// Why this provider: score and weight against the others, who was left out and why.
    why: &'a str,
}

impl<'a> AttemptView<'a> {
    fn of(attempt: &'a Attempt) -> Self {
        let (opened, ended) = (&attempt.opened, attempt.ended.as_ref());
        Self {
            number: opened.number,
            provider: &opened.provider,
            outcome: ended.map(|ended| ended.outcome),
            code: ended.and_then(|ended| ended.code.as_deref()),
            started_at: opened.started_at,
            duration_ms: ended.map(|ended| u64::try_from(ended.duration.as_millis()).unwrap_or(u64::MAX)),
            provider_message_id: ended.and_then(|ended| ended.provider_message_id.as_deref()),
            segments: ended.map_or(1, |ended| ended.segments),
            cost: ended.and_then(|ended| ended.cost.as_ref()).map(CostView::of),
            why: &opened.why,
        }
    }
}

/// One thing that happened to a message.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TimelineEvent)]
pub struct Event<'a> {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// `accepted`, `held`, `scheduled`, `released`, `attempt_started`, `attempt_ended`, `receipt`, or the status that it
    /// came to.
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<super::schema::Outcome>)]
    outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    /// What a receipt says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<super::schema::MessageStatus>)]
    status: Option<Status>,
    /// What a receipt says, in the vendor's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    vendor_status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
}

impl<'a> Event<'a> {
    const fn new(at: Timestamp, kind: &'a str) -> Self {
        Self { at, kind, attempt: None, outcome: None, provider: None, status: None, vendor_status: None, code: None }
    }
}

/// Everything that happened, in order. Derived from the facts, so that it cannot disagree with them.
fn timeline(record: &Record) -> Vec<Event<'_>> {
    let message = &record.message;
    let mut events = vec![Event::new(message.accepted_at, "accepted")];
    if let first @ (Status::Held | Status::Scheduled) = message.first_status() {
        events.push(Event::new(message.accepted_at, first.as_str()));
    }
    events.extend(record.released_at.map(|at| Event::new(at, "released")));
    for Attempt { opened, ended } in &record.attempts {
        let (attempt, provider) = (Some(opened.number), Some(opened.provider.as_str()));
        events.push(Event { attempt, provider, ..Event::new(opened.started_at, "attempt_started") });
        let Some(ended) = ended else { continue };
        let at = opened.started_at + ended.duration;
        let (outcome, code) = (Some(ended.outcome), ended.code.as_deref());
        events.push(Event { attempt, provider, outcome, code, ..Event::new(at, "attempt_ended") });
        if ended.outcome == Outcome::Accepted {
            events.push(Event { attempt, provider, ..Event::new(at, Status::Submitted.as_str()) });
        }
    }
    for receipt in &record.receipts {
        events.push(Event {
            provider: Some(&receipt.provider),
            status: Some(receipt.status),
            vendor_status: Some(&receipt.vendor_status),
            code: receipt.error_code.as_deref(),
            ..Event::new(receipt.at, "receipt")
        });
    }
    // The receipt that the status follows from: the first that says so.
    let confirmed = record.receipts.iter().find(|receipt| receipt.status == record.status && receipt.status != Status::Submitted);
    events.extend(confirmed.map(|receipt| Event::new(receipt.at, record.status.as_str())));
    // Equal times keep the order in which they were told.
    events.sort_by_key(|event| event.at);
    if let (Some(at), Status::Failed | Status::Expired | Status::Cancelled | Status::Unknown) = (record.closed_at, record.status) {
        let place = events.iter().rposition(|event| event.at <= at).map_or(0, |place| place + 1);
        events.insert(place, Event::new(at, record.status.as_str()));
    }
    events
}
