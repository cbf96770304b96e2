//! Opening attempts and writing down what came of them.

use std::time::Duration;

use tidings_core::{attempt::Attempt, id::MessageId, message::Status};

use super::{Authority, Held, Road, Settled};
use crate::{
    queue::envelope::Progress,
    shared::{ClaimAnswer, ClaimState, ClaimWrite, Shared},
    store::{Error, Lease, Messages, Next, Opening, Settlement, Settling},
};

/// After an attempt could not be opened anywhere.
const LATER: Duration = Duration::from_secs(1);

fn number(attempts: &[Attempt]) -> u32 {
    attempts.last().map_or(0, |last| last.opened.number)
}

impl Road {
    pub(super) async fn open_attempt(&self, id: MessageId, lease: Lease, attempts: Vec<Attempt>) -> Result<Opening, Error> {
        let Some((new, authority)) = self.hands().held.get(&id).map(|held| (held.new.clone(), held.authority)) else {
            return Ok(Opening::Lost);
        };
        if authority == Authority::Claim {
            let write = ClaimWrite {
                id,
                owner: lease.owner,
                state: ClaimState::Open,
                number: number(&attempts),
                lease: lease.until.since(self.parts.clock.now()),
                keep: self.keep(&new.message),
                body: progress(&attempts, Next::Continue),
            };
            match self.parts.shared.claim(&[write]).await {
                Ok(answers) if answers[0] == ClaimAnswer::Written => return Ok(Opening::Opened),
                Ok(_) => {
                    self.let_go(id);
                    return Ok(Opening::Lost);
                }
                Err(_) => self.keys.went_away(self.parts.clock.now()),
            }
        }
        // Redis is away: by the row, which is made if it is not there yet.
        let opened = async {
            if authority == Authority::Claim {
                self.ask_store(self.parts.store.adopt(std::slice::from_ref(&new), lease)).await?;
            }
            self.ask_store(self.parts.store.open(id, lease, attempts)).await
        };
        match opened.await {
            Ok(Opening::Opened) => {
                let tokens = self.hands().held.get_mut(&id).map(|held| {
                    held.authority = Authority::Row;
                    std::mem::take(&mut held.tokens)
                });
                // Its row is leased here: the record has nothing more to say.
                self.finish(&tokens.unwrap_or_default());
                Ok(Opening::Opened)
            }
            Ok(Opening::Lost) => {
                self.let_go(id);
                Ok(Opening::Lost)
            }
            Err(error) if error.is_unavailable() => {
                self.let_go(id);
                Ok(Opening::Lost)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives up a message unfinished; its records are looked at again.
    fn let_go(&self, id: MessageId) {
        let mut hands = self.hands();
        let Some(held) = hands.held.remove(&id) else { return };
        let until = self.parts.clock.now() + LATER;
        let Held { new, tokens, .. } = held;
        hands.put_off.extend(tokens.into_iter().map(|token| (until, super::Arrived { new: new.clone(), token })));
    }

    pub(super) async fn settle_message(&self, settlement: Settlement) -> Result<Settling, Error> {
        let held = self.hands().held.get(&settlement.id).map(|held| (held.new.clone(), held.authority));
        // An outcome that came after the message had gone on, or of a message that this process does not hold any more.
        let Some((new, authority)) = held else { return self.late(settlement).await };
        let Settlement { id, owner, attempts, next, at, .. } = settlement.clone();
        if authority == Authority::Row {
            match self.ask_store(self.parts.store.settle(settlement)).await {
                Ok(Settling::Missing) => {}
                Ok(settling) => {
                    self.done(id, next);
                    return Ok(settling);
                }
                Err(error) if error.is_unavailable() => {}
                Err(error) => return Err(error),
            }
        } else {
            let state = if next == Next::Continue { ClaimState::Between } else { ClaimState::Done };
            let lease = if next == Next::Continue { LATER * 30 } else { Duration::ZERO };
            let body = progress(&attempts, next);
            let write = ClaimWrite { id, owner, state, number: number(&attempts), lease, keep: self.keep(&new.message), body };
            // With Redis away the published fact alone says it.
            if self.parts.shared.claim(&[write]).await.is_err() {
                self.keys.went_away(self.parts.clock.now());
            }
            if next == Next::Continue {
                return Ok(Settling::Settled(Status::Delivering));
            }
        }
        self.tell(Settled { new, attempts, next, at }).await?;
        self.done(id, next);
        Ok(Settling::Settled(match next {
            Next::Close(status) => status,
            Next::Continue | Next::Wait(_) => Status::Delivering,
        }))
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
