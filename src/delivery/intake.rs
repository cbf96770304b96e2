//! The door between accepting and delivering in one process.
//!
//! A fresh message need not go round through the queue: if somebody is free, [`Intake::reserve`] keeps a seat before the message is
//! written, the row is born leased, and once it is durable the message goes straight to the seat. If a provider has room
//! too, it is chosen there and then, and the write that accepts the message opens its first attempt: one write less a
//! message. Whoever does not get a seat is written as waiting and the lane is woken.

use std::sync::Arc;

use tidings_core::{
    attempt::Opened,
    fleet::Ticket,
    message::{Lane, Message},
};
use tokio::sync::OwnedSemaphorePermit;

use super::{journey::Journey, worker::Worker};
use crate::store::Lease;

/// Somebody who is free, kept for one message.
///
/// Once the message was given to the store, a seat that is dropped may stand for a row whose first attempt is open and was
/// never made: the client went away, or the store's answer was lost. Then the store is told so; a crash is the only way in
/// which such an attempt stays ambiguous.
pub struct Seat {
    kept: Option<Kept>,
}

struct Kept {
    permit: OwnedSemaphorePermit,
    journey: Journey,
    first: Option<Ticket>,
}

impl Seat {
    pub(super) fn new(permit: OwnedSemaphorePermit, journey: Journey, first: Option<Ticket>) -> Self {
        Self { kept: Some(Kept { permit, journey, first }) }
    }

    /// The lease that the row is born with.
    pub fn lease(&self) -> Option<Lease> {
        self.kept.as_ref().map(|kept| kept.journey.lease)
    }

    /// The attempt that the row is born with, if a provider had room.
    pub fn opened(&self) -> Option<Opened> {
        let Kept { journey, first: Some(_), .. } = self.kept.as_ref()? else { return None };
        journey.attempts.last().map(|attempt| attempt.opened.clone())
    }

    /// The message was not written, for certain: gives everything back.
    pub fn give_back(mut self) {
        if let Some(Kept { journey, first: Some(ticket), .. }) = self.kept.take() {
            journey.desk.abandon(ticket);
        }
    }

    pub(super) fn take(mut self) -> Option<(OwnedSemaphorePermit, Journey, Option<Ticket>)> {
        self.kept.take().map(|Kept { permit, journey, first }| (permit, journey, first))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(Kept { permit, journey, first: Some(ticket) }) = self.kept.take() else { return };
        journey.desk.abandon(ticket);
        let worker = Arc::clone(&journey.worker);
        worker.tasks.spawn(journey.never_sent(permit));
    }
}

/// What accepting sees of delivery. A process without workers has none.
#[derive(Clone, Default)]
pub struct Intake(Option<Arc<Worker>>);

impl Intake {
    pub fn to(worker: Arc<Worker>) -> Self {
        Self(Some(worker))
    }

    /// A seat for a message, if somebody is free now or very soon.
    pub async fn reserve(&self, message: &Arc<Message>) -> Option<Seat> {
        self.0.as_ref()?.reserve(message).await
    }

    /// The message that a seat was kept for is durable, as the seat says.
    pub fn hand_over(&self, seat: Seat) {
        if let Some(worker) = &self.0 {
            worker.begin_fresh(seat);
        }
    }

    /// A message of this lane waits in the queue.
    pub fn wake(&self, lane: Lane) {
        if let Some(worker) = &self.0 {
            worker.wake(lane);
        }
    }
}
