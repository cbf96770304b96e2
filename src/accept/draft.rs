//! A message as a team wrote it, and the same once its shape is known to be sound.
//!
//! [`Draft::of`] decides by the body alone: no clock, no app, no template. So a repeated request reads the same on every
//! day, which idempotency needs. What depends on the moment comes later, in [`Draft::timing`].

use std::{collections::BTreeMap, time::Duration};

use serde_json::Number;
use tidings_core::{
    message::{Category, Channel, Params, Recipient},
    money::Amount,
    recipient,
    redact::{Redacted, Text},
    time::Timestamp,
};

use super::given::{FromJson, Given, Misfit, Scalars, Stray, Texts, object};
use crate::control::fields::Fault;

pub const MAX_TEXT_CHARS: usize = 1_600;
pub const MAX_EXPIRY_S: i64 = 36_000;
pub const MAX_REFERENCE_CHARS: usize = 128;
pub const MAX_METADATA: usize = 20;
pub const MAX_METADATA_KEY_CHARS: usize = 40;
pub const MAX_METADATA_VALUE_CHARS: usize = 500;
/// How far ahead a message may be scheduled.
pub const MAX_AHEAD: Duration = Duration::from_secs(35 * 24 * 3_600);
/// Names of templates and signatures are shorter; a version is counted in.
const MAX_NAME_CHARS: usize = 140;
/// BCP 47 tags in use are shorter.
const MAX_LOCALE_CHARS: usize = 35;

object! {
    /// The body of a send, or an item of a batch.
    pub struct MessageFields {
        to: Redacted<String>,
        channel: Channel,
        template: String,
        locale: String,
        params: Redacted<Scalars>,
        text: Redacted<String>,
        category: Category,
        signature: String,
        send_at: Timestamp,
        expires_in_s: i64,
        hold: bool,
        max_price: Amount,
        reference: String,
        metadata: Texts,
        /// In batches only.
        idempotency_key: String,
    }
}

macro_rules! words_from_text {
    ($($type:ty = $expected:literal;)*) => {$(
        impl FromJson for $type {
            const EXPECTED: &'static str = $expected;
            fn from_text(text: &str) -> Result<Self, Misfit> {
                text.parse().map_err(|_| Misfit::Format)
            }
            fn feed(&self, out: &mut Vec<u8>) {
                self.as_str().to_owned().feed(out);
            }
        }
    )*};
}

words_from_text! {
    Channel = "one of sms, voice, email, push, chat";
    Category = "one of otp, transactional, marketing";
}

impl FromJson for Timestamp {
    const EXPECTED: &'static str = "an RFC 3339 time such as 2026-01-01T00:00:00.000Z";
    fn from_text(text: &str) -> Result<Self, Misfit> {
        text.parse().map_err(|_| Misfit::Format)
    }
    fn feed(&self, out: &mut Vec<u8>) {
        self.as_millis().feed(out);
    }
}

impl FromJson for Amount {
    const EXPECTED: &'static str = "a decimal string such as \"0.0500\"";
    fn from_text(text: &str) -> Result<Self, Misfit> {
        text.parse().map_err(|_| Misfit::Format)
    }
    fn from_number(_: Number) -> Result<Self, Misfit> {
        Err(Misfit::Type)
    }
    fn feed(&self, out: &mut Vec<u8>) {
        self.as_micros().feed(out);
    }
}

/// What a message is made of.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Template { name: String, locale: Option<String>, params: Params },
    Text { text: Text, category: Category },
}

/// A message whose shape is sound.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    pub to: Recipient,
    pub channel: Channel,
    pub content: Content,
    pub signature: Option<String>,
    pub send_at: Option<Timestamp>,
    pub expires_in: Option<Duration>,
    pub hold: bool,
    pub max_price: Option<Amount>,
    pub reference: Option<String>,
    pub metadata: BTreeMap<String, String>,
}

/// Where the body came from: only items of a batch carry a key of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Single,
    Item,
}

impl Draft {
    /// Checks the shape; everything that is wrong at once.
    pub fn of(fields: MessageFields, kind: Kind) -> Result<Self, Vec<Fault>> {
        let mut read = Reading { faults: Vec::new() };
        read.stray(&fields.stray);
        if kind == Kind::Single && !fields.idempotency_key.is_absent() {
            read.fault("/idempotency_key", "unknown", "is not a field: send the header Idempotency-Key");
        }
        let channel = read.value("channel", fields.channel);
        let to = read.required("to", fields.to);
        if let (Some(to), true) = (&to, read.fits("channel"))
            && let Err(error) = recipient::check(channel.unwrap_or(Channel::Sms), to.expose())
        {
            read.fault("/to", "format", error.to_string());
        }
        let content = read.content(fields.template, fields.locale, fields.params, fields.text, fields.category);
        let signature = read.text("signature", fields.signature, 1..=MAX_NAME_CHARS);
        let send_at = read.value("send_at", fields.send_at);
        let expires_in = read.value("expires_in_s", fields.expires_in_s);
        if expires_in.is_some_and(|seconds| !(1..=MAX_EXPIRY_S).contains(&seconds)) {
            read.fault("/expires_in_s", "range", format!("must be between 1 and {MAX_EXPIRY_S}"));
        }
        let hold = read.value("hold", fields.hold).unwrap_or(false);
        let max_price = read.value("max_price", fields.max_price);
        let reference = read.text("reference", fields.reference, 0..=MAX_REFERENCE_CHARS);
        let metadata = read.metadata(fields.metadata);
        match (read.faults.is_empty(), to, content) {
            (true, Some(to), Some(content)) => Ok(Self {
                to,
                channel: channel.unwrap_or(Channel::Sms),
                content,
                signature,
                send_at,
                expires_in: expires_in.map(|seconds| Duration::from_secs(seconds.unsigned_abs())),
                hold,
                max_price,
                reference,
                metadata,
            }),
            _ => Err(read.faults),
        }
    }

    /// Whether the message can be sent when it says.
    pub fn timing(&self, now: Timestamp) -> Result<(), Fault> {
        match self.send_at {
            Some(at) if at <= now => Err(Fault::new("/send_at", "range", "must be in the future")),
            Some(at) if at > now + MAX_AHEAD => Err(Fault::new("/send_at", "range", "must be at most 35 days ahead")),
            _ => Ok(()),
        }
    }
}

/// Collects what is wrong while fields are read.
struct Reading {
    faults: Vec<Fault>,
}

impl Reading {
    fn fault(&mut self, pointer: &str, code: &'static str, detail: impl Into<String>) {
        self.faults.push(Fault::new(pointer, code, detail));
    }

    fn fits(&self, name: &str) -> bool {
        !self.faults.iter().any(|fault| fault.pointer.strip_prefix('/') == Some(name))
    }

    fn stray(&mut self, stray: &[Stray]) {
        for name in stray {
            match name {
                Stray::Unknown(name) => {
                    let near = crate::config::nearest(name, MessageFields::NAMES.iter().copied());
                    let detail = near.map_or_else(|| "is not a field".to_owned(), |near| format!("is not a field; the nearest is {near}"));
                    self.fault(&format!("/{}", escape(name)), "unknown", detail);
                }
                Stray::Duplicate(name) => self.fault(&format!("/{name}"), "duplicate", "is given twice"),
            }
        }
    }

    fn value<T: FromJson>(&mut self, name: &str, given: Given<T>) -> Option<T> {
        match given {
            Given::Is(value) => Some(value),
            Given::Wrong(misfit) => {
                self.fault(&format!("/{name}"), misfit.code(), format!("must be {}", T::EXPECTED));
                None
            }
            Given::Absent | Given::Null => None,
        }
    }

    fn required<T: FromJson>(&mut self, name: &str, given: Given<T>) -> Option<T> {
        if matches!(given, Given::Absent | Given::Null) {
            self.fault(&format!("/{name}"), "required", "is required");
        }
        self.value(name, given)
    }

    fn length(&mut self, name: &str, text: &str, range: std::ops::RangeInclusive<usize>) {
        // Most texts are short enough whatever their characters are.
        let chars = if text.len() <= *range.end() && *range.start() <= 1 { text.len() } else { text.chars().count() };
        if !range.contains(&chars) {
            self.fault(&format!("/{name}"), "length", format!("must have {} to {} characters", range.start(), range.end()));
        }
    }

    fn text(&mut self, name: &str, given: Given<String>, range: std::ops::RangeInclusive<usize>) -> Option<String> {
        let text = self.value(name, given);
        if let Some(text) = &text {
            self.length(name, text, range);
        }
        text
    }

    fn content(
        &mut self,
        template: Given<String>,
        locale: Given<String>,
        params: Given<Redacted<Scalars>>,
        text: Given<Redacted<String>>,
        category: Given<Category>,
    ) -> Option<Content> {
        let name = self.text("template", template, 1..=MAX_NAME_CHARS);
        let locale = self.text("locale", locale, 1..=MAX_LOCALE_CHARS);
        let params = self.value("params", params).map(Redacted::into_exposed);
        let text = self.value("text", text);
        let category = self.value("category", category);
        if let Some(text) = &text {
            self.length("text", text.expose(), 1..=MAX_TEXT_CHARS);
        }
        for (name, misfit) in params.iter().flat_map(|params| &params.wrong) {
            self.fault(&format!("/params/{}", escape(name)), misfit.code(), "must be a string, a number or a boolean");
        }
        match (name, text) {
            (Some(_), Some(_)) => self.fault("/text", "conflict", "give template or text, not both"),
            (None, None) if self.fits("template") && self.fits("text") => {
                self.fault("/template", "required", "template or text is required");
            }
            (Some(name), None) => {
                if category.is_some() {
                    self.fault("/category", "conflict", "is the template's own: give it with text only");
                }
                let params = Params::new(params.map(|params| params.values).unwrap_or_default());
                return Some(Content::Template { name, locale, params });
            }
            (None, Some(text)) => {
                if params.is_some() {
                    self.fault("/params", "conflict", "belongs to a template");
                }
                if locale.is_some() {
                    self.fault("/locale", "conflict", "belongs to a template");
                }
                return Some(Content::Text { text, category: category.unwrap_or(Category::Transactional) });
            }
            (None, None) => {}
        }
        None
    }

    fn metadata(&mut self, given: Given<Texts>) -> BTreeMap<String, String> {
        let Some(texts) = self.value("metadata", given) else { return BTreeMap::new() };
        for (name, misfit) in &texts.wrong {
            self.fault(&format!("/metadata/{}", escape(name)), misfit.code(), "must be text without U+0000");
        }
        if texts.values.len() + texts.wrong.len() > MAX_METADATA {
            self.fault("/metadata", "length", format!("must have at most {MAX_METADATA} entries"));
        }
        for (name, value) in &texts.values {
            if name.chars().count() > MAX_METADATA_KEY_CHARS {
                let detail = format!("must have a name of at most {MAX_METADATA_KEY_CHARS} characters");
                self.fault(&format!("/metadata/{}", escape(name)), "length", detail);
            }
            if value.chars().count() > MAX_METADATA_VALUE_CHARS {
                let detail = format!("must have at most {MAX_METADATA_VALUE_CHARS} characters");
                self.fault(&format!("/metadata/{}", escape(name)), "length", detail);
            }
        }
        texts.values
    }
}

/// A name as a part of a JSON pointer (RFC 6901), cut where it is absurdly long.
pub fn escape(name: &str) -> String {
    const MOST: usize = 100;
    name.chars().take(MOST).collect::<String>().replace('~', "~0").replace('/', "~1")
}
