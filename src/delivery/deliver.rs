//! The story of one message on its way out. Read it first.
//!
//! Guard (expired? held? suspended? was an attempt under way when a worker died?), then round after round: choose a provider,
//! open the attempt on disk, submit, classify, decide, settle. What is decided comes from `core`; what each step does is in
//! [`Journey`].

use std::sync::Arc;

use tidings_core::{fleet::Ticket, message::Status, retry::Decision};

use super::{
    journey::{Chosen, Journey, Start},
    submit::NoCall,
    worker::Worker,
};
use crate::store::{Next, Taken};

/// A message from the queue.
pub async fn deliver(worker: Arc<Worker>, taken: Taken) {
    match Journey::start(worker, taken) {
        Start::Go(journey) => carry(journey, None).await,
        Start::Stop(mut journey, next) => journey.settle(next).await,
    }
}

/// A message that may go; its first call may be open on disk already.
pub async fn carry(mut journey: Journey, first: Option<Ticket>) {
    let mut opened = first.map(|ticket| journey.begun(ticket));
    loop {
        let call = match opened.take() {
            Some(call) => call,
            None => {
                let ticket = match journey.choose().await {
                    Chosen::Call(ticket) => ticket,
                    Chosen::Park(until) => return journey.settle(Next::Wait(until)).await,
                    Chosen::End(decision) => return journey.settle(Next::Close(closed_by(decision))).await,
                    Chosen::HandBack => return journey.hand_back().await,
                };
                match journey.open(ticket).await {
                    Ok(call) => call,
                    Err(NoCall::Again) => continue,
                    Err(NoCall::Gone) => return,
                }
            }
        };
        let Some(call) = journey.depart(call).await else { return journey.turn_back().await };
        match journey.submit(call).await {
            Decision::NextProvider | Decision::RetryAt(_) => {}
            decision => return journey.settle(Next::Close(closed_by(decision))).await,
        }
    }
}

/// The status that a decision to go no further ends in.
fn closed_by(decision: Decision) -> Status {
    match decision {
        Decision::Done(status) | Decision::GiveUp(status) => status,
        // The others go on, and are not asked here; what may be out there is unknown.
        Decision::Unknown | Decision::NextProvider | Decision::RetryAt(_) => Status::Unknown,
    }
}
