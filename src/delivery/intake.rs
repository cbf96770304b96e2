//! The door between accepting and delivering in one process.
//!
//! A fresh message need not go round through the queue: if somebody is free, [`Intake::reserve`] keeps a seat before the message is
//! written, the row is born leased, and once it is durable the message goes straight to the seat. Otherwise it is written
//! as waiting and the lane is woken.

use std::sync::Arc;

use tidings_core::message::{Lane, Message};
use tokio::sync::OwnedSemaphorePermit;

use super::worker::Worker;
use crate::store::Lease;

/// Somebody who is free, kept for one message.
pub struct Seat {
    pub(super) permit: OwnedSemaphorePermit,
    /// The lease that the row is born with.
    pub lease: Lease,
}

/// What accepting sees of delivery. A process without workers has none.
#[derive(Clone, Default)]
pub struct Intake(Option<Arc<Worker>>);

impl Intake {
    pub fn to(worker: Arc<Worker>) -> Self {
        Self(Some(worker))
    }

    /// A seat for a message of this lane, if somebody is free now.
    pub fn reserve(&self, lane: Lane) -> Option<Seat> {
        self.0.as_ref()?.reserve(lane)
    }

    /// Hands over a message whose row is durable and leased as its seat says.
    pub fn hand_over(&self, seat: Seat, message: Message) {
        if let Some(worker) = &self.0 {
            worker.begin_fresh(seat, message);
        }
    }

    /// A message of this lane waits in the queue.
    pub fn wake(&self, lane: Lane) {
        if let Some(worker) = &self.0 {
            worker.wake(lane);
        }
    }
}
