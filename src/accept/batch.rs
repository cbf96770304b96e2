//! Accepting up to a thousand messages in one durable write. Each stands for itself: one bad item fails no other.

use std::{collections::HashMap, sync::Arc};

use super::{
    Accept, Claimed, Sent,
    draft::{Draft, Kind, MessageFields},
    given::Given,
    idempotency::{Guard, KeyName, is_key},
    limits::Purse,
    refusal::Refusal,
};
use crate::{
    control::{auth::Machine, fields::Fault},
    delivery::Seat,
    store::{Idempotency, NewMessage},
};

/// An item of a batch as it was written, defaults already under it; `None` if it is no object.
pub type BatchItem = Option<MessageFields>;
/// What became of an item.
pub type ItemResult = Result<Sent, Refusal>;

/// Whose the key of a batch is.
pub enum BatchClaim {
    /// This request's, until it is dropped.
    Now(ClaimedBatch),
    /// Of a batch that was answered before: its answer.
    Before(Vec<u8>),
}

/// The key of a batch that is under way.
pub struct ClaimedBatch {
    _guard: Guard,
    idempotency: Idempotency,
}

/// An item that only has to be written.
struct Ready {
    index: usize,
    new: NewMessage,
    seat: Option<Seat>,
    _guard: Option<Guard>,
}

/// How far an item has come before the write.
enum Step {
    Done(Box<ItemResult>),
    Ready(Box<Ready>),
    /// The same key and body as an earlier item of this batch.
    SameAs(usize),
}

impl Accept {
    /// Accepts what can be accepted; the results are in the order of the items. `batch_key` is the key of the whole batch.
    pub async fn send_batch(&self, sender: &Machine, items: Vec<BatchItem>, batch_key: Option<&str>) -> Result<Vec<ItemResult>, Refusal> {
        let mut purse = Purse::of(items.len());
        let results = self.write_batch(sender, items, batch_key, &mut purse).await;
        self.limits.close(&sender.app, purse, self.clock.now()).await;
        results
    }

    async fn write_batch(
        &self,
        sender: &Machine,
        items: Vec<BatchItem>,
        batch_key: Option<&str>,
        purse: &mut Purse,
    ) -> Result<Vec<ItemResult>, Refusal> {
        let mut steps = Vec::with_capacity(items.len());
        let mut keys: HashMap<[u8; 16], (usize, [u8; 16])> = HashMap::new();
        for (index, item) in items.into_iter().enumerate() {
            steps.push(match self.item(sender, index, item, batch_key, &mut keys, purse).await {
                Ok(step) => step,
                // The store is away: it would be so for every item, and nothing has been written yet.
                Err(Refusal::Store(error)) => return Err(Refusal::Store(error)),
                Err(refusal) => Step::Done(Box::new(Err(refusal))),
            });
        }
        let new = steps.iter().filter_map(|step| match step {
            Step::Ready(ready) => Some(ready.new.clone()),
            _ => None,
        });
        let new: Vec<NewMessage> = new.collect();
        let mut verdicts = if new.is_empty() { Vec::new() } else { self.messages.accept(new).await? }.into_iter();
        let mut results: Vec<ItemResult> = Vec::with_capacity(steps.len());
        for step in steps {
            results.push(match step {
                Step::Done(result) => *result,
                Step::Ready(ready) => {
                    debug_assert_eq!(ready.index, results.len());
                    let verdict = verdicts.next().ok_or(Refusal::NoRights)?;
                    self.conclude(sender, ready.new.message, ready.seat, verdict, purse).await
                }
                Step::SameAs(earlier) => repeated(results.get(earlier)),
            });
        }
        Ok(results)
    }

    /// Claims the key of a batch, or finds the answer that it had before. `canonical` is equal for equal JSON.
    pub async fn claim_batch(&self, sender: &Machine, key: &str, canonical: &[u8]) -> Result<BatchClaim, Refusal> {
        let idempotency = {
            let snapshot = self.control.snapshot();
            let lookup = snapshot.opened().lookup().ok_or(Refusal::NoRights)?;
            Idempotency { key: KeyName::Batch(key).hash(sender.app.id, lookup), body: lookup.hash(&[b"batch body", canonical]) }
        };
        let guard = self.keys.claim(idempotency)?;
        match self.messages.kept_answer(idempotency.key, self.clock.now()).await? {
            None => Ok(BatchClaim::Now(ClaimedBatch { _guard: guard, idempotency })),
            Some((body, answer)) if body == idempotency.body => Ok(BatchClaim::Before(answer)),
            Some(_) => Err(Refusal::IdempotencyMismatch),
        }
    }

    /// Keeps the answer to a batch, so that it can be given again.
    pub async fn keep_batch(&self, claim: ClaimedBatch, answer: Vec<u8>) -> Result<(), Refusal> {
        Ok(self.messages.keep_answer(claim.idempotency, answer, self.clock.now()).await?)
    }

    async fn item(
        &self,
        sender: &Machine,
        index: usize,
        item: BatchItem,
        batch_key: Option<&str>,
        keys: &mut HashMap<[u8; 16], (usize, [u8; 16])>,
        purse: &mut Purse,
    ) -> Result<Step, Refusal> {
        let Some(mut fields) = item else { return Err(Fault::new("", "type", "must be an object").into()) };
        let own_key = take_key(&mut fields)?;
        let body = self.body_hash(&fields)?;
        let draft = Draft::of(fields, Kind::Item).map_err(Refusal::Invalid)?;
        let name = match (&own_key, batch_key) {
            (Some(key), _) => Some(KeyName::Message(key)),
            (None, Some(key)) => Some(KeyName::Item(key, index)),
            (None, None) => None,
        };
        let Some(name) = name else { return self.item_ready(sender, index, draft, None, purse).await };
        let key = name.hash(sender.app.id, self.control.snapshot().opened().lookup().ok_or(Refusal::NoRights)?);
        match keys.get(&key) {
            Some((earlier, same)) if *same == body => return Ok(Step::SameAs(*earlier)),
            Some(_) => return Err(Refusal::IdempotencyMismatch),
            None => {}
        }
        match self.claim(sender.app.id, name, body).await? {
            Claimed::Before(message) => Ok(Step::Done(Box::new(Ok(Sent { message, replayed: true })))),
            Claimed::Now(guard, idempotency) => {
                let step = self.item_ready(sender, index, draft, Some((guard, idempotency)), purse).await?;
                keys.insert(key, (index, body));
                Ok(step)
            }
        }
    }

    async fn item_ready(
        &self,
        sender: &Machine,
        index: usize,
        draft: Draft,
        claimed: Option<(Guard, Idempotency)>,
        purse: &mut Purse,
    ) -> Result<Step, Refusal> {
        let (guard, idempotency) = claimed.unzip();
        let (new, seat) = self.ready(sender, draft, idempotency, None, purse).await?;
        Ok(Step::Ready(Box::new(Ready { index, new, seat, _guard: guard })))
    }
}

fn take_key(fields: &mut MessageFields) -> Result<Option<String>, Refusal> {
    let invalid = || Refusal::from(Fault::new("/idempotency_key", "format", "must be 1 to 255 visible ASCII characters"));
    match std::mem::take(&mut fields.idempotency_key) {
        Given::Is(key) if is_key(&key) => Ok(Some(key)),
        Given::Absent | Given::Null => Ok(None),
        Given::Is(_) | Given::Wrong(_) => Err(invalid()),
    }
}

/// The answer to an item that repeats an earlier one of its batch.
fn repeated(earlier: Option<&ItemResult>) -> ItemResult {
    match earlier {
        Some(Ok(Sent { message, .. })) => Ok(Sent { message: Arc::clone(message), replayed: true }),
        _ => Err(Refusal::IdempotencyInProgress),
    }
}
