//! From a draft to a message: may this app send it, what does it say, how long is it good for.
//!
//! Everything here is decided on the snapshot and the moment; nothing is written and nobody is asked.

use std::{collections::BTreeMap, time::Duration};

use tidings_core::{
    id::MessageId,
    message::{Category, Channel, Encoding, Message, Params, TemplateRef},
    redact::Text,
    segments,
    template::{self, Unfit},
    time::Timestamp,
};

use super::{
    candidates::{Candidates, Question, candidates, signs_in_text},
    draft::{Content, Draft, MAX_TEXT_CHARS, escape},
    refusal::Refusal,
};
use crate::control::{
    Snapshot,
    auth::Machine,
    content,
    fields::Fault,
    snapshot::{NotSendable, Sendable},
};

/// Longest rendered text on channels without segments.
const MAX_LONG_TEXT_CHARS: usize = 100_000;

/// What a message says, once its parameters are filled in.
struct Rendered {
    text: Text,
    subject: Option<Text>,
    category: Category,
    template: Option<TemplateRef>,
    params: Params,
}

/// A message that may be sent, and who could take it.
pub struct Prepared<'a> {
    pub message: Message,
    /// Some candidate is sent the signature within the text.
    pub signature_in_text: bool,
    pub candidates: Candidates<'a>,
}

/// Makes a message of a draft; `id` is its id to be.
pub fn prepare<'a>(snapshot: &'a Snapshot, sender: &Machine, draft: Draft, id: MessageId, now: Timestamp) -> Result<Prepared<'a>, Refusal> {
    may_send(snapshot, sender, &draft)?;
    draft.timing(now)?;
    let rendered = render(snapshot, sender, draft.content, draft.channel)?;
    if let Some(name) = &draft.signature {
        snapshot.may_sign(sender.app.id, name, draft.channel).map_err(|error| match error {
            NotSendable::Unknown => Refusal::UnknownSignature,
            NotSendable::NotApproved => Refusal::SignatureNotApproved,
        })?;
    }
    let mut question = Question {
        to: draft.to.expose(),
        channel: draft.channel,
        category: rendered.category,
        app: &sender.app.name,
        segments: 1,
        max_price: None,
        test: sender.is_test(),
    };
    let routed = candidates(snapshot, &question);
    // The most that it may be billed as: the signature counts if anybody is sent it within the text.
    let signed = draft.signature.as_deref().filter(|_| routed.iter().any(|provider| signs_in_text(provider)));
    let (encoding, parts) = count(draft.channel, rendered.text.expose(), signed);
    (question.segments, question.max_price) = (parts, draft.max_price);
    let signature_in_text = signed.is_some();
    let candidates = if draft.max_price.is_some() { candidates(snapshot, &question) } else { routed };
    // A test message always finds the simulator that every installation has.
    if candidates.is_empty() && !sender.is_test() {
        return Err(Refusal::NoRoute);
    }
    let expires_in = draft.expires_in.unwrap_or_else(|| Duration::from_secs(rendered.category.default_expiry_s().into()));
    let message = Message {
        id,
        app: sender.app.id,
        key: Some(sender.key.id),
        to: draft.to,
        channel: draft.channel,
        category: rendered.category,
        text: rendered.text,
        subject: rendered.subject,
        template: rendered.template,
        params: rendered.params,
        signature: draft.signature,
        encoding,
        segments: parts,
        reference: draft.reference,
        metadata: draft.metadata,
        accepted_at: now,
        send_at: draft.send_at,
        expires_at: draft.send_at.unwrap_or(now) + expires_in,
        hold: draft.hold,
        max_price: draft.max_price,
        test: sender.is_test(),
        traceparent: None,
    };
    Ok(Prepared { message, signature_in_text, candidates })
}

fn may_send(snapshot: &Snapshot, sender: &Machine, draft: &Draft) -> Result<(), Refusal> {
    let app = &sender.app;
    let to = draft.to.expose();
    if app.suspended {
        return Err(Refusal::AppSuspended);
    }
    if !app.live && !sender.is_test() {
        return Err(Refusal::AppNotLive);
    }
    if !app.allows_channel(draft.channel) {
        return Err(Refusal::ChannelNotAllowed);
    }
    if !app.allows_country(draft.channel, to) {
        return Err(Refusal::CountryNotAllowed);
    }
    if matches!(draft.content, Content::Text { .. }) && !app.free_text {
        return Err(Refusal::FreeTextNotAllowed);
    }
    let hash = snapshot.recipient_hash(to).ok_or(Refusal::NoRights)?;
    if snapshot.is_suppressed(app.id, hash) { Err(Refusal::RecipientSuppressed) } else { Ok(()) }
}

fn render(snapshot: &Snapshot, sender: &Machine, content: Content, channel: Channel) -> Result<Rendered, Refusal> {
    let (name, locale, params) = match content {
        Content::Text { text, category } => {
            return Ok(Rendered { text, subject: None, category, template: None, params: Params::default() });
        }
        Content::Template { name, locale, params } => (name, locale, params),
    };
    let sendable = snapshot.sendable(sender.app.id, &name, locale.as_deref()).map_err(|error| match error {
        NotSendable::Unknown => Refusal::UnknownTemplate,
        NotSendable::NotApproved => Refusal::TemplateNotApproved,
    })?;
    if sendable.template.channel != channel {
        let detail = format!("the template is for {}", sendable.template.channel);
        return Err(Fault::new("/channel", "conflict", detail).into());
    }
    let faults = misfits(params.expose(), sendable.text, sendable.subject);
    if !faults.is_empty() {
        return Err(Refusal::Invalid(faults));
    }
    let text = sendable.text.render(params.expose()).map_err(|error| unrendered(&error))?;
    let most = if channel.is_phone() { MAX_TEXT_CHARS } else { MAX_LONG_TEXT_CHARS };
    // Bytes are at least as many as characters.
    if text.is_empty() || text.len() > most && text.chars().count() > most {
        return Err(Fault::new("/params", "length", format!("the text would not have 1 to {most} characters")).into());
    }
    let subject = sendable.subject.map(|subject| subject.render(params.expose())).transpose().map_err(|error| unrendered(&error))?;
    let against = broken_rules(sender, &sendable, &text, subject.as_deref(), &params);
    if !against.is_empty() {
        return Err(Refusal::Invalid(against));
    }
    Ok(Rendered {
        text: Text::new(text),
        subject: subject.map(Text::new),
        category: sendable.template.category,
        template: Some(TemplateRef {
            name: sendable.template.name.clone(),
            version: sendable.version.version,
            locale: sendable.version.locale.clone(),
        }),
        params,
    })
}

/// A text without parameters is the one that was approved.
fn broken_rules(sender: &Machine, sendable: &Sendable<'_>, text: &str, subject: Option<&str>, params: &Params) -> Vec<Fault> {
    if params.expose().is_empty() {
        return Vec::new();
    }
    let (category, domains) = (sendable.template.category, sender.app.link_domains.as_slice());
    let mut against = content::check_rendered(category, &sendable.version.text, text, params.expose(), domains);
    if let (Some(approved), Some(subject)) = (&sendable.version.subject, subject) {
        // The code may stand in the text alone.
        against.extend(content::check_rendered(Category::Transactional, approved, subject, params.expose(), domains));
    }
    against
}

fn unrendered(error: &template::NotRendered) -> Refusal {
    Fault::new("/params", "format", error.to_string()).into()
}

/// The parameters must be those of text and subject together, no more and no fewer.
fn misfits(given: &BTreeMap<String, serde_json::Value>, text: &template::Template, subject: Option<&template::Template>) -> Vec<Fault> {
    let in_subject = subject.map_or_else(Vec::new, |subject| subject.misfits(given));
    let in_text = text.misfits(given);
    if in_text.is_empty() && subject.is_none() {
        return too_long(given);
    }
    let known_to_subject = |name: &str| subject.is_some_and(|subject| subject.params().iter().any(|param| param == name));
    let unknown = in_text.iter().filter(|unfit| match unfit {
        Unfit::Missing(_) => true,
        Unfit::Unknown(name) => !known_to_subject(name),
    });
    let missing_in_subject = in_subject.iter().filter(|unfit| matches!(unfit, Unfit::Missing(_)) && !in_text.contains(unfit));
    let mut faults: Vec<Fault> = unknown
        .chain(missing_in_subject)
        .map(|unfit| match unfit {
            Unfit::Missing(name) => Fault::new(format!("/params/{}", escape(name)), "required", "is a parameter of the template"),
            Unfit::Unknown(name) => Fault::new(format!("/params/{}", escape(name)), "unknown", "is not a parameter of the template"),
        })
        .collect();
    faults.extend(too_long(given));
    faults
}

fn too_long(given: &BTreeMap<String, serde_json::Value>) -> Vec<Fault> {
    let long = |value: &serde_json::Value| {
        value.as_str().is_some_and(|text| text.len() > template::MAX_VALUE_CHARS && text.chars().count() > template::MAX_VALUE_CHARS)
    };
    let detail = format!("must have at most {} characters", template::MAX_VALUE_CHARS);
    let long = given.iter().filter(|(_, value)| long(value));
    long.map(|(name, _)| Fault::new(format!("/params/{}", escape(name)), "length", detail.clone())).collect()
}

/// Encoding and segments of a text on a channel.
fn count(channel: Channel, text: &str, signature: Option<&str>) -> (Option<Encoding>, u32) {
    if channel != Channel::Sms {
        return (None, 1);
    }
    let counted = segments::count(text, signature);
    (Some(counted.encoding), counted.segments)
}
