//! Writing down how it went. A worker that knows an outcome keeps it until the store has taken it.

use std::{sync::Arc, time::Duration};

use tidings_core::{
    attempt::{Attempt, Ended, Outcome},
    message::{Message, Status},
};
use tokio::sync::OwnedSemaphorePermit;

use super::{journey::Journey, worker::Worker};
use crate::store::{LeaseOwner, Next, Settlement, Settling};

/// Pause before a write is tried again that the store did not take; doubled each time.
pub const AFTER_FAILURE: Duration = Duration::from_millis(100);
pub const LONGEST_AFTER_FAILURE: Duration = Duration::from_secs(2);
/// The code of an attempt that was opened with its message and never made.
const NEVER_SENT: &str = "never_sent";
/// No lease has this owner: what is settled under it is merged as a late outcome.
const NOBODY: LeaseOwner = 0;

impl Journey {
    /// Writes down the end, or that it waits, and counts it.
    pub async fn settle(&mut self, next: Next) {
        let Some(Settling::Settled(status) | Settling::Late(status)) = self.write(next).await else { return };
        if let Next::Close(wanted) = next
            && wanted == status
        {
            count_end(&self.worker, &self.message, &self.attempts, status);
        }
    }

    /// The attempt that the row may have been born with is not made: says so, as long as nobody else may take the message.
    ///
    /// The row may still be on its way to the store, so that one that is missing is looked for a few times. The permit is kept
    /// meanwhile: a store that refuses everything is asked by no more tasks than there are seats.
    pub async fn never_sent(mut self, permit: OwnedSemaphorePermit) {
        self.note_never_sent();
        let mut pause = AFTER_FAILURE;
        while let Some(Settling::Missing) = self.write(Next::Wait(self.worker.clock.now())).await {
            if pause > LONGEST_AFTER_FAILURE {
                return;
            }
            tokio::select! {
                () = self.worker.stopping.cancelled() => return,
                () = tokio::time::sleep(pause) => pause *= 2,
            }
        }
        drop(permit);
        self.worker.wake(self.message.lane());
    }

    /// The call of an attempt that is open did not depart before its lease was over: says so, and lets go of the message.
    pub async fn turn_back(&mut self) {
        self.note_never_sent();
        self.write(Next::Wait(self.worker.clock.now())).await;
    }

    /// The last attempt ended before it began.
    pub(super) fn note_never_sent(&mut self) {
        let segments = self.message.segments;
        self.note(Ended {
            outcome: Outcome::Unavailable,
            code: Some(NEVER_SENT.to_owned()),
            duration: Duration::ZERO,
            provider_message_id: None,
            segments,
            cost: None,
        });
    }

    /// Gives the message back as it is: the process stops.
    pub async fn hand_back(&mut self) {
        let now = self.worker.clock.now();
        if self.attempts.is_empty() {
            if let Err(error) = self.worker.store.hand_back(vec![self.message.id], self.lease.owner, now).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a message could not be handed back; its lease runs out by itself"
                );
            }
        } else {
            self.write(Next::Wait(now)).await;
        }
    }

    /// Writes all attempts and what follows, until the store has it. Nothing if the store is broken for this message.
    pub(super) async fn write(&mut self, next: Next) -> Option<Settling> {
        let settling = settle(&self.worker, &self.message, self.lease.owner, &self.attempts, next).await;
        self.unsettled = false;
        settling
    }
}

/// An outcome that came after the message had gone on.
pub async fn late(worker: &Arc<Worker>, message: &Message, attempts: Vec<Attempt>) {
    settle(worker, message, NOBODY, &attempts, Next::Continue).await;
}

async fn settle(worker: &Arc<Worker>, message: &Message, owner: LeaseOwner, attempts: &[Attempt], next: Next) -> Option<Settling> {
    let began = worker.clock.moment();
    let mut pause = AFTER_FAILURE;
    loop {
        let settlement =
            Settlement { id: message.id, lane: message.lane(), owner, attempts: attempts.to_vec(), next, at: worker.clock.now() };
        match worker.store.settle(settlement).await {
            Ok(settling) => {
                worker.metrics.delivery.settled(worker.clock.moment().since(began));
                return Some(settling);
            }
            Err(error) if error.is_unavailable() => {
                tracing::warn!(message = %message.id, error = &error as &dyn std::error::Error, "an outcome waits for the store");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_AFTER_FAILURE);
            }
            Err(error) => {
                tracing::error!(message = %message.id, error = &error as &dyn std::error::Error, "an outcome cannot be written down");
                return None;
            }
        }
    }
}

fn count_end(worker: &Worker, message: &Message, attempts: &[Attempt], status: Status) {
    if let Some(traces) = worker.metrics.traces() {
        traces.ended(message, attempts, status, worker.clock.now());
    }
    let receipts = attempts.last().is_some_and(|last| last.opened.receipts);
    if status == Status::Submitted {
        let since = message.send_at.unwrap_or(message.accepted_at);
        worker.metrics.delivery.submitted(message.lane(), worker.clock.now().since(since));
    }
    // A submission that a receipt will complete has not come to its end.
    if status != Status::Submitted || !receipts {
        worker.metrics.finished(message.channel, message.category, status);
    }
}
