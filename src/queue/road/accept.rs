//! Accepting: the idempotency key, then Kafka, else the store.

use std::sync::Arc;

use tidings_core::message::Status;

use super::{Fact, Road};
use crate::{
    shared::{Reservation, Reserved, Shared},
    store::{Accepting, Error, IDEMPOTENCY_LASTS, Messages, NewMessage},
};

impl Road {
    pub(super) async fn accept_all(&self, mut messages: Vec<NewMessage>) -> Result<Vec<Accepting>, Error> {
        // A worker takes it from the queue: nobody here is handed it.
        messages.iter_mut().for_each(|new| (new.lease, new.opened) = (None, None));
        let keyed: Vec<usize> = (0..messages.len()).filter(|index| messages[*index].idempotency.is_some()).collect();
        let mut answers = vec![Accepting::New; messages.len()];
        if !keyed.is_empty() {
            if self.keys.nobody_knows() {
                return Err(Error::Unavailable(anyhow::anyhow!("nobody knows yet which keys were used")));
            }
            match self.reserve(&messages, &keyed).await? {
                Some(reserved) => self.apply(&mut messages, &keyed, &reserved, &mut answers).await?,
                // Redis is away: the store knows every key, once the recorder has written what came before.
                None if self.keys.store_knows_all() => return self.store_instead(messages).await,
                None => return Err(Error::Unavailable(anyhow::anyhow!("nobody knows yet which keys were used"))),
            }
        }
        let to_write: Vec<&NewMessage> =
            messages.iter().zip(&answers).filter(|(_, answer)| !matches!(answer, Accepting::Mismatch)).map(|(new, _)| new).collect();
        self.make_durable(&to_write).await?;
        Ok(answers)
    }

    /// Reserves the keys; nothing if Redis is away or has forgotten.
    async fn reserve(&self, messages: &[NewMessage], keyed: &[usize]) -> Result<Option<Vec<Reserved>>, Error> {
        let reservations: Vec<Reservation> = keyed
            .iter()
            .filter_map(|index| {
                let new = &messages[*index];
                new.idempotency.map(|idempotency| Reservation { key: idempotency.key, body: idempotency.body, id: new.message.id })
            })
            .collect();
        match self.parts.shared.reserve(&reservations, IDEMPOTENCY_LASTS).await {
            Ok(reserved) if !reserved.contains(&Reserved::New) || !self.keys.complete() || self.redis_remembers().await => {
                Ok(Some(reserved))
            }
            _ => {
                self.keys.went_away(self.parts.clock.now());
                Ok(None)
            }
        }
    }

    /// Whoever empties Redis takes the word with it that its keys are complete.
    async fn redis_remembers(&self) -> bool {
        matches!(self.parts.shared.complete_since().await, Ok(Some(_)))
    }

    /// What was reserved before is published again under the first id: whoever reserved it may have died before it published.
    async fn apply(
        &self,
        messages: &mut [NewMessage],
        keyed: &[usize],
        reserved: &[Reserved],
        answers: &mut [Accepting],
    ) -> Result<(), Error> {
        let stored = if self.keys.complete() {
            vec![None; keyed.len()]
        } else {
            // Redis may have forgotten, and may since have reserved a forgotten key for another message.
            let keys: Vec<[u8; 16]> = keyed.iter().filter_map(|index| Some(messages[*index].idempotency?.key)).collect();
            self.ask_store(self.parts.store.repeats_of(&keys, self.parts.clock.now())).await?
        };
        for ((index, reserved), stored) in keyed.iter().zip(reserved).zip(stored) {
            let new = &mut messages[*index];
            let Some(idempotency) = new.idempotency else { continue };
            let first = match (stored, reserved) {
                (Some(first), _) => Some((first.id, first.body)),
                (None, Reserved::Known(id, body)) => Some((*id, *body)),
                (None, Reserved::New) => None,
            };
            let Some((id, body)) = first else { continue };
            if body != idempotency.body {
                answers[*index] = Accepting::Mismatch;
            } else if id != new.message.id {
                Arc::make_mut(&mut new.message).id = id;
                answers[*index] = Accepting::Repeated(id);
            }
        }
        Ok(())
    }

    async fn make_durable(&self, messages: &[&NewMessage]) -> Result<(), Error> {
        let now = self.parts.clock.now();
        // What must wait is parked in the store at once, if there is one.
        let waits = |new: &NewMessage| new.message.first_status() != Status::Accepted || new.message.first_due() > now;
        let (later, at_once): (Vec<&NewMessage>, Vec<&NewMessage>) = messages.iter().copied().partition(|new| waits(new));
        let parked =
            if later.is_empty() { true } else { self.store_instead(later.iter().map(|new| (*new).clone()).collect()).await.is_ok() };
        let mut rest = Vec::new();
        for lane in tidings_core::message::Lane::ALL {
            let mut of_lane: Vec<&NewMessage> = at_once.iter().copied().filter(|new| new.message.lane() == *lane).collect();
            if !parked {
                of_lane.extend(later.iter().copied().filter(|new| new.message.lane() == *lane));
            }
            if of_lane.is_empty() {
                continue;
            }
            let traceparent = of_lane[0].message.traceparent.clone();
            let facts: Vec<_> =
                of_lane.iter().map(|new| (Some(self.parts.store.record_key(&new.message)), Fact::Accepted((*new).clone()))).collect();
            let published = self.publish(&self.parts.topics.messages(*lane), &facts, traceparent.as_deref()).await;
            rest.extend(of_lane.iter().zip(published).filter(|(_, published)| !published).map(|(new, _)| (*new).clone()));
        }
        // It may have been published all the same: the same ids go to the store.
        if rest.is_empty() { Ok(()) } else { self.store_instead(rest).await.map(drop) }
    }

    async fn store_instead(&self, messages: Vec<NewMessage>) -> Result<Vec<Accepting>, Error> {
        self.ask_store(self.parts.store.accept(messages)).await
    }
}
