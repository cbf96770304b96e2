//! Opening attempts and writing down what came of them.

use std::{sync::PoisonError, time::Duration};

use tidings_core::{
    attempt::{self, Attempt},
    id::MessageId,
    message::{Lane, Status},
    time::Timestamp,
};

use super::{
    Road, Settled,
    hands::{Arrived, Authority, Held},
};
use crate::{
    queue::envelope::Progress,
    shared::{ClaimAnswer, ClaimState, ClaimWrite, Shared},
    store::{Error, Lease, Messages, Next, Opening, Settlement, Settling},
};

/// After an attempt could not be opened anywhere.
const LATER: Duration = Duration::from_secs(1);

/// As far ahead as a message waits for room. Longer ones are parked.
const WAITS_HERE: Duration = Duration::from_secs(5);

/// How long a message stays its worker's between two attempts.
const BETWEEN: Duration = Duration::from_secs(30);
/// Ends that are kept for Redis while it is away; of more, the claims' leases run out by themselves.
const MOST_OWED: usize = 50_000;
const PAID_AT_ONCE: usize = 200;

fn number(attempts: &[Attempt]) -> u32 {
    attempts.last().map_or(0, |last| last.opened.number)
}

impl Road {
    pub(super) async fn open_attempt(&self, id: MessageId, lane: Lane, lease: Lease, attempts: Vec<Attempt>) -> Result<Opening, Error> {
        let Some((new, authority)) = self.hands().held.get(&id).map(|held| (held.new.clone(), held.authority)) else {
            return Ok(Opening::Lost);
        };
        if authority == Authority::Claim {
            let write = ClaimWrite {
                id,
                owner: lease.owner,
                state: ClaimState::Open,
                unseen: self.hands().held.get(&id).is_some_and(|held| held.unseen && !held.claimed),
                number: number(&attempts),
                lease: lease.until.since(self.parts.clock.now()),
                keep: self.keep(&new.message),
                body: progress(&attempts, Next::Continue),
            };
            if let Some(held) = self.hands().held.get_mut(&id) {
                (held.claimed, held.opened) = (true, Some(write.number));
            }
            let unseen = write.unseen;
            match self.claims.ask(write).await {
                Ok(ClaimAnswer::Written) => return Ok(Opening::Opened),
                Ok(ClaimAnswer::Lost) => {
                    // A claim that nobody knew of may be our own, with an attempt of this number that was sent.
                    self.give_up(id, (!unseen).then(|| number(&attempts)));
                    return Ok(Opening::Lost);
                }
                Err(_) => self.keys.went_away(self.parts.clock.now()),
            }
        }
        // Redis is away: by the row, which is made if it is not there yet.
        let unsent = number(&attempts);
        // Boxed: it is large, and most messages are opened by their claims.
        let opened = Box::pin(async {
            if authority == Authority::Claim {
                self.ask_store(self.parts.store.adopt(std::slice::from_ref(&new), lease)).await?;
            }
            self.ask_store(self.parts.store.open(id, lane, lease, attempts)).await
        });
        match opened.await {
            Ok(Opening::Opened) => {
                let tokens = self.hands().held.get_mut(&id).map(|held| {
                    (held.authority, held.leased_until) = (Authority::Row, lease.until);
                    std::mem::take(&mut held.tokens)
                });
                // Its row is leased here: the record has nothing more to say.
                self.finish(&tokens.unwrap_or_default());
                Ok(Opening::Opened)
            }
            Ok(Opening::Lost) => {
                self.give_up(id, Some(unsent));
                Ok(Opening::Lost)
            }
            Err(error) if !error.is_unavailable() => Err(error),
            // Nobody can be asked who has it: what may be sent twice goes on, and how it ended is published.
            Err(_) if new.message.category.allows_duplicates() && self.holds(id) => Ok(Opening::Opened),
            // The row is leased here and may even be opened: the same again until the lease is over.
            Err(error) if authority == Authority::Row => Err(error),
            Err(_) => {
                self.give_up(id, Some(unsent));
                Ok(Opening::Lost)
            }
        }
    }

    /// Whether a message in our hands is nobody else's, by its row's lease or by a record in a partition that is ours, and its end
    /// can be published.
    fn holds(&self, id: MessageId) -> bool {
        let Some(consumer) = self.consumer.get() else { return false };
        let hands = self.hands();
        let ours = |held: &Held| match held.authority {
            Authority::Row => self.parts.clock.now() < held.leased_until,
            Authority::Claim => held.tokens.iter().any(|token| consumer.holds(*token)),
        };
        self.kafka_is_up() && hands.held.get(&id).is_some_and(ours)
    }

    /// Gives up a message unfinished, perhaps with an attempt that was never sent.
    pub(super) fn give_up(&self, id: MessageId, unsent: Option<u32>) {
        let held = self.hands().held.remove(&id);
        if let Some(held) = held {
            self.look_again(Held { opened: unsent, ..held });
        }
    }

    /// The records of a message that was let go are looked at again; what was opened last was never sent.
    pub(super) fn look_again(&self, held: Held) {
        self.look_again_at(held, self.parts.clock.now() + LATER, &[]);
    }

    fn look_again_at(&self, held: Held, until: Timestamp, attempts: &[Attempt]) {
        let Held { new, tokens, opened, .. } = held;
        let (lane, mut hands) = (new.message.lane(), self.hands());
        for token in tokens {
            hands.put_off.add(lane, until, Arrived { new: new.clone(), token, fresh: false, unsent: opened, attempts: attempts.to_vec() });
        }
    }

    /// With the store away, a message that waits briefly waits here: parked by a fact it would be due when the store is back.
    /// Its record stays unfinished, so whoever gets the partition finds it. False if it must be parked.
    async fn waits_here(&self, write: &ClaimWrite, until: Timestamp, attempts: &[Attempt]) -> bool {
        let briefly = until.since(self.parts.clock.now()) <= WAITS_HERE;
        if !briefly || !self.store_answers.is_away() {
            return false;
        }
        let claimed = {
            let hands = self.hands();
            let Some(held) = hands.held.get(&write.id).filter(|held| !held.tokens.is_empty()) else { return false };
            if !hands.put_off.has_room(held.new.message.lane()) {
                return false;
            }
            held.claimed
        };
        // Free to be taken by whoever has the record, with all that was tried.
        let between = ClaimWrite { state: ClaimState::Between, body: progress(attempts, Next::Continue), ..write.clone() };
        if claimed && self.claims.ask(between).await.is_err() {
            self.keys.went_away(self.parts.clock.now());
        }
        let held = self.hands().held.remove(&write.id);
        if let Some(held) = held {
            self.look_again_at(Held { opened: None, ..held }, until, attempts);
        }
        true
    }

    pub(super) async fn settle_message(&self, settlement: Settlement) -> Result<Settling, Error> {
        let held = self.hands().held.get(&settlement.id).map(|held| {
            let unseen = held.unseen && !held.claimed;
            (held.new.clone(), held.authority, held.claimed, unseen, held.row)
        });
        // An outcome that came after the message had gone on, or of a message that this process does not hold any more.
        let Some((new, authority, claimed, unseen, row)) = held else { return self.late(settlement).await };
        // A fact that is no further than the row may be an old one, and must not end a lease: whoever has it ends it.
        if matches!(settlement.next, Next::Wait(_)) && !claimed && row == Some(attempt::steps(&settlement.attempts)) {
            match self.ask_store(self.parts.store.settle(settlement.clone())).await {
                Ok(Settling::Missing) => {}
                Ok(settling) => {
                    self.done(settlement.id, settlement.next);
                    return Ok(settling);
                }
                Err(error) if error.is_unavailable() => {}
                Err(error) => return Err(error),
            }
        }
        let Settlement { id, owner, attempts, next, at, .. } = settlement.clone();
        let state = if next == Next::Continue { ClaimState::Between } else { ClaimState::Done };
        let lease = if next == Next::Continue { BETWEEN } else { Duration::ZERO };
        let body = progress(&attempts, next);
        let write = ClaimWrite { id, owner, state, unseen, number: number(&attempts), lease, keep: self.keep(&new.message), body };
        if authority == Authority::Row {
            match self.ask_store(self.parts.store.settle(settlement)).await {
                Ok(Settling::Missing) => {}
                Ok(settling) => {
                    // Also one that was never claimed: its record may come again, and then only a claim says that it is over.
                    self.owe(write);
                    self.done(id, next);
                    return Ok(settling);
                }
                Err(error) if error.is_unavailable() => {}
                Err(error) => return Err(error),
            }
            self.tell(Settled { new, attempts, next, at }).await?;
            self.owe(write);
        } else if let Next::Wait(until) = next
            && self.waits_here(&write, until, &attempts).await
        {
            return Ok(Settling::Settled(Status::Delivering));
        } else {
            // With Redis away the published fact alone says it, and the claim is told when Redis is back.
            match self.claims.ask(write.clone()).await {
                Ok(ClaimAnswer::Lost) if unseen => {
                    self.give_up(id, None);
                    return Ok(Settling::Late(Status::Delivering));
                }
                Ok(_) => {}
                Err(_) => {
                    self.keys.went_away(self.parts.clock.now());
                    self.owe(write);
                }
            }
            if next == Next::Continue {
                return Ok(Settling::Settled(Status::Delivering));
            }
            self.tell(Settled { new, attempts, next, at }).await?;
        }
        self.done(id, next);
        Ok(Settling::Settled(match next {
            Next::Close(status) => status,
            Next::Continue | Next::Wait(_) => Status::Delivering,
        }))
    }

    /// Remembers the end of a message for its claim. One too many is left to run out by itself.
    fn owe(&self, write: ClaimWrite) {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        if write.state == ClaimState::Done && owed.len() < MOST_OWED {
            owed.push(write);
        }
    }

    /// Tells Redis how messages ended that it was not there to hear of.
    pub(super) async fn pay(&self) {
        let owed = std::mem::take(&mut *self.owed.lock().unwrap_or_else(PoisonError::into_inner));
        for chunk in owed.chunks(PAID_AT_ONCE) {
            if self.parts.shared.claim(chunk).await.is_err() {
                chunk.iter().for_each(|write| self.owe(write.clone()));
            }
        }
    }

    fn done(&self, id: MessageId, next: Next) {
        if next == Next::Continue {
            return;
        }
        let held = self.hands().held.remove(&id);
        self.finish(&held.map_or_else(Vec::new, |held| held.tokens));
    }

    async fn late(&self, settlement: Settlement) -> Result<Settling, Error> {
        match self.ask_store(self.parts.store.settle(settlement)).await {
            // The row comes later, with what the claim's owner knows; this attempt was declared ambiguous there.
            Ok(Settling::Missing) => Ok(Settling::Late(Status::Delivering)),
            answer => answer,
        }
    }
}

fn progress(attempts: &[Attempt], next: Next) -> Vec<u8> {
    // Attempts are text and numbers: they can be written as JSON.
    serde_json::to_vec(&Progress::new(attempts, next)).unwrap_or_default()
}
