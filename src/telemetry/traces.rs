//! Traces of messages, made when a message ends from what was recorded about it.
//!
//! A message belongs to the trace of the caller's `traceparent`, or to one of its own whose id is the message's. Because spans
//! are made afterwards, the decision to keep them looks at the end: failures are always kept, so is what the caller sampled,
//! and of the rest a share. A message that is not kept costs one comparison. Span ids follow from the message's id, so the
//! process that sees the receipt hangs its span under those of the process that submitted, and a span made twice is one.
//!
//! Spans hold ids, providers, outcomes and codes; nothing that is redacted.

mod export;

use std::{
    borrow::Cow,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, SpanKind, Status as SpanStatus, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use tidings_core::{
    attempt::{Attempt, Outcome},
    message::{Message, Status},
    time::Timestamp,
};

pub use self::export::{Exporter, StartError};

/// The section `[traces]`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// OTLP over HTTP (protobuf), without the path; `None` is off.
    pub endpoint: Option<String>,
    /// Share of the messages that go well, 0 to 1.
    pub sample_share: f64,
}

/// Spans of a message, told apart in its span ids.
#[derive(Clone, Copy)]
enum Part {
    Message,
    Queue,
    Submit(u32),
    Receipt(u32),
}

/// Makes and hands over the spans of messages.
pub struct Traces {
    exporter: Exporter,
    sample_share: f64,
    scope: InstrumentationScope,
}

/// What a receipt said, for its span.
pub struct ReceiptSeen<'a> {
    pub provider: &'a str,
    pub status: Status,
    pub at: Timestamp,
    /// Its place among the message's receipts.
    pub number: u32,
}

impl Traces {
    pub fn new(exporter: Exporter, sample_share: f64) -> Self {
        Self { exporter, sample_share, scope: InstrumentationScope::builder("tidings").with_version(env!("CARGO_PKG_VERSION")).build() }
    }

    /// A message came to an end, or was taken by a provider whose receipt is still to come.
    pub fn ended(&self, message: &Message, attempts: &[Attempt], status: Status, at: Timestamp) {
        if !self.keeps(message, attempts, status) {
            return;
        }
        for span in self.whole(message, attempts, status, at) {
            self.exporter.hand_over(span);
        }
    }

    /// A receipt came. One that says "undelivered" makes a failure of a message that may not have been kept before.
    pub fn confirmed(&self, message: &Message, attempts: &[Attempt], seen: &ReceiptSeen<'_>) {
        let already = self.keeps(message, attempts, Status::Submitted);
        if !already && !self.keeps(message, attempts, seen.status) {
            return;
        }
        if !already {
            for span in self.whole(message, attempts, seen.status, seen.at) {
                self.exporter.hand_over(span);
            }
        }
        let began = attempts.last().map_or(message.accepted_at, |last| last.opened.started_at);
        let mut span = self.span(message, Part::Receipt(seen.number), "receipt", (began, seen.at));
        span.attributes.push(KeyValue::new("tidings.provider", seen.provider.to_owned()));
        span.attributes.push(KeyValue::new("tidings.status", seen.status.as_str()));
        span.status = ended_well(seen.status);
        self.exporter.hand_over(span);
    }

    /// Whether a message's spans are worth keeping.
    fn keeps(&self, message: &Message, attempts: &[Attempt], status: Status) -> bool {
        let failed = matches!(status, Status::Failed | Status::Expired | Status::Undelivered | Status::Unknown);
        let stumbled = attempts.iter().filter_map(|attempt| attempt.ended.as_ref()).any(|ended| ended.outcome != Outcome::Accepted);
        failed || stumbled || caller(message).is_some_and(|caller| caller.sampled) || drawn(message) < self.sample_share
    }

    fn whole(&self, message: &Message, attempts: &[Attempt], status: Status, at: Timestamp) -> Vec<SpanData> {
        let mut whole = self.span(message, Part::Message, "message", (message.accepted_at, at));
        whole.span_kind = SpanKind::Server;
        whole.attributes.extend([
            KeyValue::new("tidings.message", message.id.to_string()),
            KeyValue::new("tidings.app", message.app.to_string()),
            KeyValue::new("tidings.channel", message.channel.as_str()),
            KeyValue::new("tidings.category", message.category.as_str()),
            KeyValue::new("tidings.status", status.as_str()),
        ]);
        whole.status = ended_well(status);
        let taken_at = attempts.first().map_or(at, |first| first.opened.started_at);
        let mut queue = self.span(message, Part::Queue, "queue", (message.send_at.unwrap_or(message.accepted_at), taken_at));
        queue.attributes.push(KeyValue::new("tidings.lane", message.lane().as_str()));
        let submits = attempts.iter().map(|attempt| self.submit(message, attempt, at));
        [whole, queue].into_iter().chain(submits).collect()
    }

    fn submit(&self, message: &Message, attempt: &Attempt, at: Timestamp) -> SpanData {
        let (opened, ended) = (&attempt.opened, attempt.ended.as_ref());
        let until = ended.map_or(at, |ended| opened.started_at + ended.duration);
        let mut span = self.span(message, Part::Submit(opened.number), "submit", (opened.started_at, until));
        span.span_kind = SpanKind::Client;
        span.attributes.push(KeyValue::new("tidings.provider", opened.provider.clone()));
        span.attributes.push(KeyValue::new("tidings.attempt", i64::from(opened.number)));
        span.attributes.push(KeyValue::new("tidings.revision", i64::from(opened.revision)));
        if let Some(ended) = ended {
            span.attributes.push(KeyValue::new("tidings.outcome", ended.outcome.as_str()));
            span.attributes.extend(ended.code.clone().map(|code| KeyValue::new("tidings.code", code)));
            if ended.outcome != Outcome::Accepted {
                span.status = SpanStatus::error(ended.outcome.as_str());
            }
        }
        span
    }

    fn span(&self, message: &Message, part: Part, name: &'static str, (from, until): (Timestamp, Timestamp)) -> SpanData {
        let caller = caller(message);
        let trace = caller.as_ref().map_or_else(|| TraceId::from_bytes(*message.id.uuid().as_bytes()), |caller| caller.trace);
        let (parent, remote) = match part {
            Part::Message => (caller.as_ref().map_or(SpanId::INVALID, |caller| caller.span), caller.is_some()),
            _ => (span_id(message, Part::Message), false),
        };
        let context = SpanContext::new(trace, span_id(message, part), TraceFlags::SAMPLED, false, TraceState::default());
        SpanData {
            span_context: context,
            parent_span_id: parent,
            parent_span_is_remote: remote,
            span_kind: SpanKind::Internal,
            name: Cow::Borrowed(name),
            start_time: calendar(from),
            end_time: calendar(until.max(from)),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: SpanStatus::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }
}

fn calendar(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(at.as_millis()).unwrap_or(0))
}

fn ended_well(status: Status) -> SpanStatus {
    match status {
        Status::Failed | Status::Expired | Status::Undelivered | Status::Unknown => SpanStatus::error(status.as_str()),
        _ => SpanStatus::Unset,
    }
}

/// Random bits of the message's id: the same number in every process that asks.
fn random_bits(message: &Message) -> u64 {
    message.id.uuid().as_u64_pair().1
}

/// A number from 0 to 1 that is drawn once for each message.
fn drawn(message: &Message) -> f64 {
    // The topmost bits of the half say "UUID"; the rest are random.
    (random_bits(message) << 2) as f64 / u64::MAX as f64
}

fn span_id(message: &Message, part: Part) -> SpanId {
    let place = match part {
        Part::Message => 1,
        Part::Queue => 2,
        Part::Submit(number) => 0x100 + u64::from(number),
        Part::Receipt(number) => 0x1_0000 + u64::from(number),
    };
    // An odd multiplier keeps the parts apart and the id's randomness whole.
    SpanId::from_bytes(random_bits(message).wrapping_add(place.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes())
}

/// What the call of an attempt tells its vendor: the caller's trace, and the span that the attempt will have in it.
pub fn towards_provider(message: &Message, attempt: u32) -> Option<String> {
    let caller = caller(message)?;
    Some(format!("00-{}-{}-{:02x}", caller.trace, span_id(message, Part::Submit(attempt)), u8::from(caller.sampled)))
}

/// Where the caller's own trace stands.
struct Caller {
    trace: TraceId,
    span: SpanId,
    sampled: bool,
}

/// Reads a W3C `traceparent`: version, trace id, parent id, flags.
fn caller(message: &Message) -> Option<Caller> {
    let mut parts = message.traceparent.as_deref()?.split('-');
    let (_version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let caller = Caller {
        trace: TraceId::from_hex(trace).ok()?,
        span: SpanId::from_hex(span).ok()?,
        sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
    };
    (caller.trace != TraceId::INVALID && caller.span != SpanId::INVALID).then_some(caller)
}
