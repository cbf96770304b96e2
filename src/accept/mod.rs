//! Accepting: from what a team wrote to a message that is durable.
//!
//! The order is the story, and each step may refuse: the shape of the body, the idempotency key (a repeated request gets its
//! first answer whatever has changed since), what the app may do, what the message says, whether somebody could take it,
//! limits, room. Then it is written, and only then answered. A refused message leaves nothing behind.
//!
//! A fresh message goes straight to a free worker of this process, if there is one; otherwise it waits in the queue.

mod admit;
mod batch;
pub mod candidates;
pub mod draft;
pub mod given;
mod idempotency;
pub mod limits;
mod prepare;
mod refusal;
mod room;

use std::sync::Arc;

use tidings_core::{
    id::{AppId, MessageId},
    message::{Message, Status},
};

pub use self::{
    batch::{BatchClaim, BatchItem, ItemResult},
    draft::{Draft, Kind, MessageFields},
    idempotency::{Guard, KeyName, is_key},
    limits::{Limits, Purse},
    prepare::Prepared,
    refusal::{Reached, Refusal},
    room::Room,
};
use self::{given::FromJson, idempotency::InProgress};
use crate::{
    clock::Clock,
    control::{Control, auth::Machine},
    delivery::{Intake, Seat},
    store::{Accepting, Idempotency, Messages, NewMessage, Repeat},
    telemetry::{Metrics, metrics::IdempotencyAnswer},
};

/// An accepted message, and whether it had been accepted before.
#[derive(Debug)]
pub struct Sent {
    pub message: Arc<Message>,
    pub replayed: bool,
}

/// Accepts messages. One per process.
pub struct Accept {
    pub control: Arc<Control>,
    pub messages: Arc<dyn Messages>,
    pub intake: Intake,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub room: Room,
    pub limits: Limits,
    keys: InProgress,
}

impl Accept {
    pub fn new(
        control: Arc<Control>,
        messages: Arc<dyn Messages>,
        intake: Intake,
        clock: Clock,
        metrics: Arc<Metrics>,
        max_messages: u64,
        limits: Limits,
    ) -> Self {
        Self { control, messages, intake, clock, metrics, room: Room::new(max_messages), limits, keys: InProgress::default() }
    }

    /// Accepts one message.
    pub async fn send(
        &self,
        sender: &Machine,
        fields: MessageFields,
        key: Option<&str>,
        traceparent: Option<String>,
    ) -> Result<Sent, Refusal> {
        let idempotency = key.map(|key| self.idempotency(sender.app.id, KeyName::Message(key), &fields)).transpose()?;
        let draft = Draft::of(fields, Kind::Single).map_err(Refusal::Invalid)?;
        let claimed = match idempotency {
            Some(idempotency) => match self.claim(idempotency).await? {
                Claimed::Before(message) => return Ok(Sent { message, replayed: true }),
                Claimed::Now(guard, idempotency) => Some((guard, idempotency)),
            },
            None => None,
        };
        let idempotency = claimed.as_ref().map(|(_, idempotency)| *idempotency);
        let mut purse = Purse::of(1);
        let sent = self.write_one(sender, draft, idempotency, traceparent, &mut purse).await;
        self.limits.close(&sender.app, purse, self.clock.now()).await;
        sent
    }

    async fn write_one(
        &self,
        sender: &Machine,
        draft: Draft,
        idempotency: Option<Idempotency>,
        traceparent: Option<String>,
        purse: &mut Purse,
    ) -> Result<Sent, Refusal> {
        let (new, seat) = match self.ready(sender, draft, idempotency, traceparent, purse).await {
            Ok(ready) => ready,
            Err(refusal) => return self.refused(refusal, idempotency).await,
        };
        let message = Arc::clone(&new.message);
        match self.messages.accept(vec![new]).await.map(|verdicts| verdicts.into_iter().next()) {
            Ok(Some(verdict)) => self.conclude(sender, message, seat, verdict, purse).await,
            Ok(None) => Err(Refusal::NoRights),
            Err(error) => {
                self.not_admitted(&sender.app, &message, purse);
                Err(error.into())
            }
        }
    }

    /// Everything that comes before writing.
    async fn ready(
        &self,
        sender: &Machine,
        draft: Draft,
        idempotency: Option<Idempotency>,
        traceparent: Option<String>,
        purse: &mut Purse,
    ) -> Result<(NewMessage, Option<Seat>), Refusal> {
        let now = self.clock.now();
        let id = MessageId::new(now, self.clock.random());
        let mut message = prepare::prepare(&self.control.snapshot(), sender, draft, id, now)?.message;
        message.traceparent = traceparent;
        self.admit(sender, &message, purse, now).await?;
        let message = Arc::new(message);
        let seat = if message.first_status() == Status::Accepted { self.intake.reserve(&message).await } else { None };
        let (lease, opened) = (seat.as_ref().and_then(Seat::lease), seat.as_ref().and_then(Seat::opened));
        Ok((NewMessage { message, idempotency, lease, opened }, seat))
    }

    /// What follows from the store's word on a message.
    async fn conclude(
        &self,
        sender: &Machine,
        message: Arc<Message>,
        seat: Option<Seat>,
        verdict: Accepting,
        purse: &mut Purse,
    ) -> Result<Sent, Refusal> {
        let seat = match (verdict, seat) {
            (Accepting::New, seat) => seat,
            (Accepting::Repeated(_) | Accepting::Mismatch, Some(seat)) => {
                seat.give_back();
                None
            }
            (Accepting::Repeated(_) | Accepting::Mismatch, None) => None,
        };
        match verdict {
            Accepting::New => {
                self.metrics.accepted(message.channel, message.category).inc();
                match seat {
                    Some(seat) => self.intake.hand_over(seat),
                    None if message.first_status() == Status::Held => {}
                    None => self.intake.wake(message.lane()),
                }
                Ok(Sent { message, replayed: false })
            }
            Accepting::Repeated(id) => {
                self.not_admitted(&sender.app, &message, purse);
                self.metrics.idempotency.answered(IdempotencyAnswer::Replayed);
                let first = match self.accepted_before(id).await {
                    Ok(first) => first,
                    // Its row is not written yet, or cannot be asked for now. The same body is the same message.
                    Err(Refusal::NotFound) => first_of(&message, id),
                    Err(Refusal::Store(error)) if error.is_unavailable() => first_of(&message, id),
                    Err(refusal) => return Err(refusal),
                };
                Ok(Sent { message: first, replayed: true })
            }
            Accepting::Mismatch => {
                self.not_admitted(&sender.app, &message, purse);
                self.metrics.idempotency.answered(IdempotencyAnswer::Mismatch);
                Err(Refusal::IdempotencyMismatch)
            }
        }
    }

    /// Claims a key for a request, or finds what was accepted with it before.
    async fn claim(&self, idempotency: Idempotency) -> Result<Claimed, Refusal> {
        let guard = self.take_key(idempotency)?;
        let repeat = self.messages.repeat_of(idempotency.key, self.clock.now()).await?;
        self.claimed(guard, idempotency, repeat).await
    }

    /// Takes a key that no other request of this process has in hand.
    fn take_key(&self, idempotency: Idempotency) -> Result<Guard, Refusal> {
        self.keys.claim(idempotency).inspect_err(|refusal| {
            self.metrics.idempotency.answered(match refusal {
                Refusal::IdempotencyInProgress => IdempotencyAnswer::InProgress,
                _ => IdempotencyAnswer::Mismatch,
            });
        })
    }

    /// What follows from what the store knows of a key that was taken.
    async fn claimed(&self, guard: Guard, idempotency: Idempotency, repeat: Option<Repeat>) -> Result<Claimed, Refusal> {
        let answer = &self.metrics.idempotency;
        match repeat {
            None => {
                answer.answered(IdempotencyAnswer::New);
                Ok(Claimed::Now(guard, idempotency))
            }
            Some(repeat) if repeat.body == idempotency.body => {
                answer.answered(IdempotencyAnswer::Replayed);
                Ok(Claimed::Before(self.accepted_before(repeat.id).await?))
            }
            Some(_) => {
                answer.answered(IdempotencyAnswer::Mismatch);
                Err(Refusal::IdempotencyMismatch)
            }
        }
    }

    /// A message that is refused now may have been accepted before.
    async fn refused(&self, refusal: Refusal, idempotency: Option<Idempotency>) -> Result<Sent, Refusal> {
        let Some(idempotency) = idempotency.filter(|_| !matches!(refusal, Refusal::Store(_))) else { return Err(refusal) };
        match self.messages.accepted_with(idempotency.key, self.clock.now()).await {
            Ok(Some(repeat)) if repeat.body == idempotency.body => {
                self.metrics.idempotency.answered(IdempotencyAnswer::Replayed);
                Ok(Sent { message: self.accepted_before(repeat.id).await?, replayed: true })
            }
            _ => Err(refusal),
        }
    }

    async fn accepted_before(&self, id: MessageId) -> Result<Arc<Message>, Refusal> {
        Ok(Arc::new(self.messages.get(id).await?.ok_or(Refusal::NotFound)?.message))
    }

    /// The hash of a key, and the one that says whether two bodies are equal JSON.
    fn idempotency(&self, app: AppId, name: KeyName<'_>, fields: &MessageFields) -> Result<Idempotency, Refusal> {
        let snapshot = self.control.snapshot();
        let lookup = snapshot.opened().lookup().ok_or(Refusal::NoRights)?;
        let mut canonical = Vec::with_capacity(256);
        fields.feed(&mut canonical);
        Ok(Idempotency { key: name.hash(app, lookup), body: lookup.hash(&[b"message body", &canonical]) })
    }

    /// What a message would be, without sending it.
    pub fn preview<R>(&self, sender: &Machine, fields: MessageFields, show: impl FnOnce(&Prepared<'_>) -> R) -> Result<R, Refusal> {
        let draft = Draft::of(fields, Kind::Single).map_err(Refusal::Invalid)?;
        let now = self.clock.now();
        let snapshot = self.control.snapshot();
        let prepared = prepare::prepare(&snapshot, sender, draft, MessageId::new(now, [0; 10]), now)?;
        Ok(show(&prepared))
    }
}

/// The message that was accepted as `id`, of which `repeat` is the repetition.
fn first_of(repeat: &Message, id: MessageId) -> Arc<Message> {
    let accepted_at = id.made_at();
    let lasts_from = if repeat.send_at.is_some() { repeat.accepted_at } else { accepted_at };
    let expires_at = lasts_from + repeat.expires_at.since(repeat.accepted_at);
    Arc::new(Message { id, accepted_at, expires_at, ..repeat.clone() })
}

/// Whose a key is.
enum Claimed {
    /// This request's, until its guard is dropped.
    Now(Guard, Idempotency),
    /// Of a message that was accepted before.
    Before(Arc<Message>),
}
