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

use super::{desk::Desk, journey::Journey, worker::Worker};
use crate::store::Lease;

/// Somebody who is free, kept for one message. Dropped unused, it gives everything back.
pub struct Seat {
    pub(super) permit: OwnedSemaphorePermit,
    pub(super) journey: Journey,
    pub(super) first: Option<First>,
}

impl Seat {
    /// The lease that the row is born with.
    pub fn lease(&self) -> Lease {
        self.journey.lease
    }

    /// The attempt that the row is born with, if a provider had room.
    pub fn opened(&self) -> Option<Opened> {
        self.first.as_ref()?;
        self.journey.attempts.last().map(|attempt| attempt.opened.clone())
    }
}

/// A call that is chosen and not yet written down.
pub(super) struct First {
    desk: Arc<Desk>,
    ticket: Option<Ticket>,
}

impl First {
    pub(super) fn new(desk: Arc<Desk>, ticket: Ticket) -> Self {
        Self { desk, ticket: Some(ticket) }
    }

    /// It is written down: the call may be made.
    pub(super) fn take(mut self) -> Option<Ticket> {
        self.ticket.take()
    }
}

impl Drop for First {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.desk.abandon(ticket);
        }
    }
}

/// What accepting sees of delivery. A process without workers has none.
#[derive(Clone, Default)]
pub struct Intake(Option<Arc<Worker>>);

impl Intake {
    pub fn to(worker: Arc<Worker>) -> Self {
        Self(Some(worker))
    }

    /// A seat for a message, if somebody is free now.
    pub fn reserve(&self, message: &Arc<Message>) -> Option<Seat> {
        self.0.as_ref()?.reserve(message)
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
