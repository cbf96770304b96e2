//! Accepting up to a thousand messages in one durable write. Each stands for itself: one bad item fails no other.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

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
    store::{self, Idempotency, NewMessage, Repeat},
};

/// Items after which others have their turn: preparing so many takes some hundred microseconds, and answers of providers, codes
/// and other requests wait in the same line.
const TURN: usize = 16;

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

/// An item whose shape is sound.
struct Read {
    draft: Draft,
    idempotency: Option<Idempotency>,
}

/// A key that this batch has in hand and what the store knows of it, or why it has not.
type Taken = Result<(Guard, Option<Repeat>), Refusal>;

/// The idempotency keys of a batch's items.
#[derive(Default)]
struct Keys {
    /// Those that no item has come to yet: taken, with what the store knows of them, or why not.
    taken: HashMap<[u8; 16], Taken>,
    /// Those that an item will be written with: which one, and the hash of its body.
    used: HashMap<[u8; 16], (usize, [u8; 16])>,
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
        let mut read: Vec<Result<Read, Refusal>> = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            take_turns(index).await;
            read.push(self.read(sender, index, item, batch_key));
        }
        let mut keys = self.take_keys(&read).await?;
        let mut steps = Vec::with_capacity(read.len());
        for (index, item) in read.into_iter().enumerate() {
            take_turns(index).await;
            let step = match item {
                Ok(read) => self.item(sender, index, read, &mut keys, purse).await,
                Err(refusal) => Err(refusal),
            };
            steps.push(match step {
                Ok(step) => step,
                // The store is away: it would be so for every item, and nothing has been written yet.
                Err(Refusal::Store(error)) => return Err(self.not_written(sender, &steps, error, purse)),
                Err(refusal) => Step::Done(Box::new(Err(refusal))),
            });
        }
        let new = steps.iter().filter_map(|step| match step {
            Step::Ready(ready) => Some(ready.new.clone()),
            _ => None,
        });
        let new: Vec<NewMessage> = new.collect();
        let verdicts = if new.is_empty() {
            Vec::new()
        } else {
            match self.messages.accept(new).await {
                Ok(verdicts) => verdicts,
                Err(error) => return Err(self.not_written(sender, &steps, error, purse)),
            }
        };
        let mut verdicts = verdicts.into_iter();
        let mut results: Vec<ItemResult> = Vec::with_capacity(steps.len());
        for step in steps {
            take_turns(results.len()).await;
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

    /// Nothing of the batch was written: what was taken for its items is given back.
    fn not_written(&self, sender: &Machine, steps: &[Step], error: store::Error, purse: &mut Purse) -> Refusal {
        for step in steps {
            if let Step::Ready(ready) = step {
                self.not_admitted(&sender.app, &ready.new.message, purse);
            }
        }
        Refusal::Store(error)
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

    /// The shape of an item, and its key if it has one.
    fn read(&self, sender: &Machine, index: usize, item: BatchItem, batch_key: Option<&str>) -> Result<Read, Refusal> {
        let Some(mut fields) = item else { return Err(Fault::new("", "type", "must be an object").into()) };
        let own_key = take_key(&mut fields)?;
        let name = match (&own_key, batch_key) {
            (Some(key), _) => Some(KeyName::Message(key)),
            (None, Some(key)) => Some(KeyName::Item(key, index)),
            (None, None) => None,
        };
        let idempotency = name.map(|name| self.idempotency(sender.app.id, name, &fields)).transpose()?;
        Ok(Read { draft: Draft::of(fields, Kind::Item).map_err(Refusal::Invalid)?, idempotency })
    }

    /// Takes the keys of all items, and asks the store about them at once.
    async fn take_keys(&self, items: &[Result<Read, Refusal>]) -> Result<Keys, Refusal> {
        let mut keys = Keys::default();
        let mut taken: Vec<Idempotency> = Vec::new();
        for idempotency in items.iter().flatten().filter_map(|read| read.idempotency) {
            if let Entry::Vacant(entry) = keys.taken.entry(idempotency.key) {
                let guard = self.take_key(idempotency);
                taken.extend(guard.is_ok().then_some(idempotency));
                entry.insert(guard.map(|guard| (guard, None)));
            }
        }
        if taken.is_empty() {
            return Ok(keys);
        }
        let asked: Vec<[u8; 16]> = taken.iter().map(|idempotency| idempotency.key).collect();
        let repeats = self.messages.repeats_of(&asked, self.clock.now()).await?;
        for (key, repeat) in asked.iter().zip(repeats) {
            if let Some(Ok((_, known))) = keys.taken.get_mut(key) {
                *known = repeat;
            }
        }
        Ok(keys)
    }

    async fn item(&self, sender: &Machine, index: usize, read: Read, keys: &mut Keys, purse: &mut Purse) -> Result<Step, Refusal> {
        let Read { draft, idempotency } = read;
        let Some(idempotency) = idempotency else { return self.item_ready(sender, index, draft, None, purse).await };
        match keys.used.get(&idempotency.key) {
            Some((earlier, same)) if *same == idempotency.body => return Ok(Step::SameAs(*earlier)),
            Some(_) => return Err(Refusal::IdempotencyMismatch),
            None => {}
        }
        let claimed = match keys.taken.remove(&idempotency.key) {
            Some(taken) => {
                let (guard, repeat) = taken?;
                self.claimed(guard, idempotency, repeat).await?
            }
            // An earlier item with this key was refused, which released it.
            None => self.claim(idempotency).await?,
        };
        match claimed {
            Claimed::Before(message) => Ok(Step::Done(Box::new(Ok(Sent { message, replayed: true })))),
            Claimed::Now(guard, idempotency) => {
                let step = match self.item_ready(sender, index, draft, Some((guard, idempotency)), purse).await {
                    Ok(step) => step,
                    Err(refusal) => return Ok(Step::Done(Box::new(Ok(self.refused(refusal, Some(idempotency)).await?)))),
                };
                keys.used.insert(idempotency.key, (index, idempotency.body));
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

async fn take_turns(index: usize) {
    if index.is_multiple_of(TURN) {
        tokio::task::yield_now().await;
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
